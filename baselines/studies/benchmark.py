"""The jobs of the benchmark: train one learner on one task, or evaluate one task."""

import dataclasses
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents import DQNConfig
from aq_gym.problem import Problem
from baselines import dqn, sb3
from baselines.evaluation.comparing import interquartile_mean, regret, summarise
from baselines.evaluation.registry import build_policy
from baselines.learners import validation
from baselines.playing import Record, play_problem, problem_of
from baselines.studies.files import write_json
from baselines.studies.stored_trainings import FINISHED, read_marker, recipe_config

LEARNERS = ("dqn", *(f"sb3-{algorithm}" for algorithm in sb3.ALGORITHMS))
SB3_SECONDS = 80  # that the settings of sb3_hyperparameters.json take on a quiet core
LINES = ("staggered", "greedy", "index", "optimal")  # drawn beside the learning curves
_NOT_EVERYWHERE = ("index", "pretrained", "generalist", "optimal")  # tuned, shipped or solvable for some instances


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every job must know."""

    folder: Path
    learners: tuple[str, ...]
    seconds: float  # most, of each training
    scale: float  # of the decisions that the settings ask for
    validations: int  # on the way of a training
    episodes: int
    seed: int  # of the trainings, and of the first episode
    yardsticks: tuple[str, ...]  # words of `baselines.evaluation`; the first is what others are compared to
    code: dict[str, Any]  # which code runs: a training is resumed under the same only
    env_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    training_seeds: int = 1  # trainings of each learner, on seeds from ``seed`` on

    def place(self, env_id: str, run: str = "") -> Path:
        """The folder of a task, or of a training in it."""
        return self.folder / env_id.rpartition("/")[2] / run

    def runs(self, *learners: str) -> list[str]:
        """The trainings of some learners, of all by default: ``dqn``, ``dqn-seed1`` and so on."""
        seeds = ["", *(f"-seed{self.seed + k}" for k in range(1, self.training_seeds))]
        return [learner + seed for seed in seeds for learner in learners or self.learners]

    def which(self, run: str) -> tuple[str, int]:
        """The learner and the seed of a training."""
        learner, _, seed = run.partition("-seed")
        return learner, int(seed) if seed else self.seed

    @property
    def caption(self) -> str:
        """What a table or a picture says of where its numbers come from."""
        seeds = f", on {self.training_seeds} seeds (rows are means)" if self.training_seeds > 1 else ""
        if self.seconds < SB3_SECONDS:
            seeds += f", too short for SB3, whose settings need {SB3_SECONDS} s"
        return (
            f"{self.episodes:,} episodes, the same for every policy. DQN and SB3 were trained here, each at most "
            f"{self.seconds:g} s on one core{seeds}. pretrained and generalist were trained before, "
            "greedy and index tuned before; where DQN starts from index, its seconds include that tuning."
        )


def label(run: str) -> str:
    """What tables call a learner, or a training of it."""
    learner, _, seed = run.partition("-seed")
    name = "DQN" if learner == "dqn" else "SB3 " + learner.removeprefix("sb3-").replace("_", " ").upper()
    return f"{name}, seed {seed}" if seed else name


def dqn_config(plan: Plan, env_id: str) -> DQNConfig:
    """The id's recipe for so many seconds with its decisions and the pairs of each improvement scaled."""
    config = recipe_config(env_id, plan.seconds)
    names = ("total_decisions", "start_decisions", "pairs")
    return config.replace(**{name: max(1, round(getattr(config, name) * plan.scale)) for name in names})


def settings(plan: Plan, env_id: str, run: str) -> dict[str, Any]:
    """Everything that decides how a training goes, as JSON values; decisions are scaled."""
    learner, seed = plan.which(run)
    if learner == "dqn":
        own = dataclasses.asdict(dqn_config(plan, env_id))
    else:
        own = sb3.hyperparameters(learner.removeprefix("sb3-"))
        own["steps"] = max(1, int(own["steps"] * plan.scale))
    limits = {name: getattr(plan, name) for name in ("seconds", "validations", "env_kwargs")} | {"seed": seed}
    return dict(json.loads(json.dumps({"env_id": env_id, "learner": learner, **limits, **plan.code, "settings": own})))


def is_finished(plan: Plan, env_id: str, run: str) -> bool:
    """Whether the folder holds this very training, run to its end."""
    return read_marker(plan.place(env_id, run)) == settings(plan, env_id, run)


def validation_episodes(problem: Problem) -> int:
    """The same number for every learner, so that the heights of learning curves compare: about a second of play."""
    return min(2_500, validation.validation_episodes(problem))


def train_learner(plan: Plan, env_id: str, run: str) -> None:
    """Train into the run's folder, which is emptied before; marks it as finished at the end."""
    learner, seed = plan.which(run)
    folder, problem = plan.place(env_id, run), problem_of(env_id, **plan.env_kwargs)
    asked = settings(plan, env_id, run)
    if folder.exists():
        shutil.rmtree(folder)
    note = {"command": "python -m scripts.benchmark", "env_kwargs": plan.env_kwargs, **plan.code}
    limits: dict[str, Any] = {"seed": seed, "validations": plan.validations, "note": note, **plan.env_kwargs}
    limits["validation_episodes"] = validation_episodes(problem)
    if learner == "dqn":
        training = dqn.Training(env_id, dqn_config(plan, env_id), folder=folder, threads=1, **limits)
        dqn.train(training, seconds=plan.seconds)
    else:
        limits |= {"steps": asked["settings"]["steps"], "seconds": plan.seconds, "progress": False}
        sb3.train(learner.removeprefix("sb3-"), env_id, folder, **limits)
    write_json(folder / FINISHED, asked)


def load_learner(plan: Plan, env_id: str, run: str) -> Any:
    """The policy that `train_learner` left."""
    folder = plan.place(env_id, run)
    try:
        return dqn.load_trained(folder) if plan.which(run)[0] == "dqn" else sb3.SB3Policy.load(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"{error}; remove {folder}, and --resume trains it anew") from error


def evaluate_task(plan: Plan, env_id: str) -> tuple[pd.DataFrame, list[str]]:
    """Play every policy on the same episodes.

    Returns:
        The table of `baselines.evaluate` with env_id, the regret in percent and ``seed_errors``, the mean joint error
        of each training seed; and notes: which words were left out and why, which learner learned nothing. A
        learner's row is the mean over its seeds.
    """
    problem = problem_of(env_id, **plan.env_kwargs)
    policies, training, notes = _yardsticks(plan, env_id, problem)
    records = {
        name: play_problem(policy, problem, plan.episodes, plan.seed, name=name) for name, policy in policies.items()
    }
    _draw_lines(plan, env_id, problem, policies)
    seed_errors = dict.fromkeys(records, "")
    for learner in plan.learners:
        trained = {label(run): load_learner(plan, env_id, run) for run in plan.runs(learner)}
        notes += [
            f"{name} is the tuned rule that it started from: what it learned in the time was not better in validation"
            for name, policy in trained.items()
            if policy.card.get("policy_is") == "its guide"
        ]
        played = [play_problem(x, problem, plan.episodes, plan.seed, name=name) for name, x in trained.items()]
        records[label(learner)] = together(played)
        training[label(learner)] = float(np.mean([float(x.training_seconds) for x in trained.values()]))
        seed_errors[label(learner)] = " ".join(f"{record.joint_error.mean():.6f}" for record in played)
    table = summarise(records, plan.seed).assign(training_seconds=[training[name] for name in records])
    table["seed_errors"] = list(seed_errors.values())
    table.insert(0, "env_id", env_id)
    best = records.get("optimal")
    regrets = [
        regret(x.joint_error, best.joint_error, plan.seed) if best else (math.nan,) * 3 for x in records.values()
    ]
    names = ["regret_percent", "regret_percent_low", "regret_percent_high"]
    return table.join(pd.DataFrame(regrets, columns=names)), notes


def _yardsticks(plan: Plan, env_id: str, problem: Problem) -> tuple[dict[str, Any], dict[str, float], list[str]]:
    """The policies of the plan's words, the seconds that each took, and which there are none of here and why."""
    known = validation.solvable(env_id, plan.env_kwargs)
    policies: dict[str, Any] = {}
    training: dict[str, float] = {}
    notes = []
    for word in plan.yardsticks:
        try:
            policies[word], training[word] = build_policy(word, problem)
        except ValueError as error:
            if word not in _NOT_EVERYWHERE or (word == "optimal" and known):
                raise
            reason = "too large to solve" if word == "optimal" else str(error).removeprefix(f"{word}: ")
            notes.append(f"no {word}: {reason}")
    return policies, training, notes


def _draw_lines(plan: Plan, env_id: str, problem: Problem, policies: dict[str, Any]) -> None:
    """Constant lines of yardsticks beside the learning curves, on the validation episodes of all learners."""
    cards = [load_learner(plan, env_id, run).card for run in plan.runs()]
    end = max((card["decisions"] for card in cards), default=1)
    known = validation.solvable(env_id, plan.env_kwargs)
    lines = validation.Validation(problem, validation_episodes(problem), solvable=known)
    for word in [word for word in LINES if word in policies and plan.learners]:
        folder = plan.place(env_id, word)
        if folder.exists():
            shutil.rmtree(folder)
        lines.draw_line(folder, policies[word], end)


def together(records: Sequence[Record]) -> Record:
    """One record of the same episodes under several policies: each episode's mean."""
    errors, sensings = (np.mean([getattr(x, name) for x in records], axis=0) for name in ("joint_error", "sensings"))
    forced, decisions = sum(x.forced for x in records), sum(x.decisions for x in records)
    return Record(errors, sensings, forced, decisions, sum(x.seconds for x in records))


def over_seeds(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """What training seeds change: one row a task and learner, and one a learner over all tasks together.

    Of several tasks the errors are those over the first policy's (staggered by default) on the same task.

    Returns:
        Columns env_id ("all" for the tasks together), policy, seeds, iqm, iqm_low, iqm_high (see
        `interquartile_mean`), lowest, highest.
    """
    rows = []
    for policy in dict.fromkeys(table.policy[table.seed_errors != ""]):
        relative = []
        for env_id, task in table.groupby("env_id", sort=False):
            errors = np.array([float(x) for x in str(task.seed_errors[task.policy == policy].item()).split()])
            relative.append(errors / task.joint_error.iloc[0])
            rows.append((env_id, policy, len(errors), *interquartile_mean([errors], seed), errors.min(), errors.max()))
        if len(relative) > 1:
            ends = np.min(relative), np.max(relative)
            rows.append(("all", policy, len(relative[0]), *interquartile_mean(relative, seed), *ends))
    columns = ["env_id", "policy", "seeds", "iqm", "iqm_low", "iqm_high", "lowest", "highest"]
    return pd.DataFrame(rows, columns=columns)
