"""The jobs of scripts.benchmark, train one learner on one task or evaluate one task, and how they run side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from scipy.stats import bootstrap

from agents import DQNConfig
from aq_gym import reference_scores
from aq_gym.problem import Problem
from baselines import dqn, sb3
from baselines.evaluation import build_policy, summarise
from baselines.playing import Record, play_problem, problem_of
from baselines.validation import Validation, solvable
from scripts.files import write_json

LEARNERS = ("dqn", *(f"sb3-{algorithm}" for algorithm in sb3.ALGORITHMS))
WHERE_POSSIBLE = ("index", "pretrained", "generalist", "optimal")  # tuned, shipped or solvable for some instances
FINISHED = "finished.json"
STARTING, EVALUATING = 6.0, 15.0  # seconds beside a training, and of an evaluation: for the progress bar alone
Evaluated = Callable[[str, pd.DataFrame, list[str]], None]
_VALIDATION_EPISODES = 512


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


def label(run: str) -> str:
    """What tables call a learner, or a training of it."""
    learner, _, seed = run.partition("-seed")
    name = "DQN" if learner == "dqn" else "SB3 " + learner.removeprefix("sb3-").replace("_", " ").upper()
    return f"{name}, seed {seed}" if seed else name


def dqn_config(plan: Plan, env_id: str) -> DQNConfig:
    """The id's recipe for so many seconds with its decisions and the pairs of each improvement scaled."""
    chosen = dqn.recipe(env_id, plan.seconds)
    config = DQNConfig.named(chosen["config"], **chosen["settings"])
    names = ("total_decisions", "start_decisions", "pairs")
    return config.replace(**{name: max(1, round(getattr(config, name) * plan.scale)) for name in names})


def sb3_steps(plan: Plan, learner: str) -> int:
    """The decisions of an SB3 agent: those of its settings, scaled."""
    return max(1, int(sb3.hyperparameters(learner.removeprefix("sb3-"))["steps"] * plan.scale))


def settings(plan: Plan, env_id: str, run: str) -> dict[str, Any]:
    """Everything that decides how a training goes, as JSON values."""
    learner, seed = plan.which(run)
    if learner == "dqn":
        own = dataclasses.asdict(dqn_config(plan, env_id))
    else:
        own = sb3.hyperparameters(learner.removeprefix("sb3-")) | {"steps": sb3_steps(plan, learner)}
    limits = {name: getattr(plan, name) for name in ("seconds", "validations", "env_kwargs")} | {"seed": seed}
    return dict(json.loads(json.dumps({"env_id": env_id, "learner": learner, **limits, **plan.code, "settings": own})))


def is_finished(plan: Plan, env_id: str, run: str) -> bool:
    """Whether the folder holds this very training, run to its end."""
    path = plan.place(env_id, run) / FINISHED
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")) == settings(plan, env_id, run)


def prepare_worker() -> None:
    """One thread; Ctrl-C is the parent's to handle, and a worker does not outlive its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def train_learner(plan: Plan, env_id: str, run: str) -> None:
    """Train into the run's folder, which is emptied before; marks it as finished at the end."""
    learner, seed = plan.which(run)
    folder, note = plan.place(env_id, run), {"command": "python -m scripts.benchmark", **plan.code}
    if folder.exists():
        shutil.rmtree(folder)
    limits: dict[str, Any] = {"seed": seed, "validations": plan.validations, "note": note, **plan.env_kwargs}
    if learner == "dqn":
        training = dqn.Training(env_id, dqn_config(plan, env_id), folder=folder, threads=1, **limits)
        dqn.train(training, seconds=plan.seconds)
    else:
        algorithm, steps = learner.removeprefix("sb3-"), sb3_steps(plan, learner)
        sb3.train(algorithm, env_id, folder, steps=steps, seconds=plan.seconds, progress=False, **limits)
    write_json(folder / FINISHED, settings(plan, env_id, run))


def load_learner(plan: Plan, env_id: str, run: str) -> Any:
    """The policy that `train_learner` left."""
    folder = plan.place(env_id, run)
    return dqn.load_trained(folder) if plan.which(run)[0] == "dqn" else sb3.SB3Policy.load(folder)


def evaluate_task(plan: Plan, env_id: str) -> tuple[pd.DataFrame, list[str]]:
    """Play every policy on the same episodes.

    Returns:
        The table of `baselines.evaluate` with env_id, the regret in percent and ``seed_errors``, the mean joint error
        of each training seed; and which words were left out and why. A learner's row is the mean over its seeds.
    """
    problem = problem_of(env_id, **plan.env_kwargs)
    known = not plan.env_kwargs and reference_scores(env_id)["optimum"] is not None
    policies: dict[str, Any] = {}
    training: dict[str, float] = {}
    left_out = []
    for word in plan.yardsticks:
        try:
            policies[word], training[word] = build_policy(word, problem)
        except ValueError as error:
            if word not in WHERE_POSSIBLE or (word == "optimal" and known):
                raise
            told = str(error).removeprefix(f"{word}: ")
            left_out.append("optimal: too large to solve" if word == "optimal" else f"{word}: {told}")
    records = {
        name: play_problem(policy, problem, plan.episodes, plan.seed, name=name) for name, policy in policies.items()
    }
    seed_errors = dict.fromkeys(records, "")
    for learner in plan.learners:
        trained = {label(run): load_learner(plan, env_id, run) for run in plan.runs(learner)}
        played = [play_problem(x, problem, plan.episodes, plan.seed, name=name) for name, x in trained.items()]
        policies |= trained
        records[label(learner)] = together(played)
        training[label(learner)] = float(np.mean([float(x.training_seconds) for x in trained.values()]))
        seed_errors[label(learner)] = " ".join(f"{record.joint_error.mean():.6f}" for record in played)
    _draw_lines(plan, env_id, problem, policies)
    table = summarise(records, plan.seed).assign(training_seconds=[training[name] for name in records])
    table["seed_errors"] = list(seed_errors.values())
    table.insert(0, "env_id", env_id)
    return table.join(_regrets(records, plan.seed)), left_out


def together(records: Sequence[Record]) -> Record:
    """One record of the same episodes under several policies: each episode's mean."""
    errors, sensings = (np.mean([getattr(x, name) for x in records], axis=0) for name in ("joint_error", "sensings"))
    forced, decisions = sum(x.forced for x in records), sum(x.decisions for x in records)
    return Record(errors, sensings, forced, decisions, sum(x.seconds for x in records))


def _regrets(records: dict[str, Record], seed: int) -> pd.DataFrame:
    """The regret of each policy to the optimal one on the same episodes [%], with 95 % intervals; NaN without one."""
    best = records.get("optimal")
    rows = [
        _regret(record.joint_error, best.joint_error, seed) if best else (math.nan,) * 3 for record in records.values()
    ]
    return pd.DataFrame(rows, columns=["regret_percent", "regret_percent_low", "regret_percent_high"])


def _regret(errors: NDArray[np.float64], optimal: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    def percent(own: NDArray[np.float64], best: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return np.asarray(100.0 * (own.mean(axis) / best.mean(axis) - 1.0))

    mean = float(percent(errors, optimal))
    if np.array_equal(errors, optimal):
        return 0.0, 0.0, 0.0
    if errors.size < 2:
        return mean, math.nan, math.nan
    interval = bootstrap(
        (errors, optimal),
        percent,
        paired=True,
        vectorized=True,
        n_resamples=2000,
        batch=max(1, 2_000_000 // errors.size),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return mean, float(interval.low), float(interval.high)


def _draw_lines(plan: Plan, env_id: str, problem: Problem, policies: dict[str, Any]) -> None:
    """Lines in TensorBoard's charts for the yardsticks that the trainings did not draw."""
    end = max((policies[label(run)].card["decisions"] for run in plan.runs()), default=1)
    validation = Validation(problem, _VALIDATION_EPISODES, solvable=solvable(env_id, plan.env_kwargs))
    for word in [word for word in ("greedy", "index") if word in policies]:
        folder = plan.place(env_id, word)
        if folder.exists():
            shutil.rmtree(folder)
        validation.draw_line(folder, policies[word], end)


def _do(plan: Plan, env_id: str, run: str | None) -> Any:
    return evaluate_task(plan, env_id) if run is None else train_learner(plan, env_id, run)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes started in here never see Ctrl-C, whatever handlers they install; here it waits until the end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(plan: Plan, ids: Sequence[str], processes: int, progress: Progress, evaluated: Evaluated) -> None:
    """Train and evaluate, ``processes`` jobs at a time; a job's error is raised here and ends the others."""
    left = {env_id: [x for x in plan.runs() if not is_finished(plan, env_id, x)] for env_id in ids}
    trainings = deque((env_id, learner) for env_id in ids for learner in left[env_id])
    evaluations = deque(env_id for env_id in ids if not left[env_id])
    expected = {"train": plan.seconds + STARTING, "evaluate": EVALUATING}
    bar = progress.add_task("", total=len(trainings) * expected["train"] + len(ids) * expected["evaluate"])
    done = 0.0
    jobs: dict[Future[Any], tuple[str, str, str | None, float]] = {}  # what each is, and since when
    for env_id in ids:
        for learner in [x for x in plan.runs() if x not in left[env_id]]:
            progress.console.print(f"{env_id}: {label(learner)} is trained already")
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=prepare_worker)
    try:
        while jobs or trainings or evaluations:
            while len(jobs) < processes and (evaluations or trainings):
                what: tuple[str, str, str | None]
                what = ("evaluate", evaluations.popleft(), None) if evaluations else ("train", *trainings.popleft())
                with _interrupts_blocked():
                    future = pool.submit(_do, plan, *what[1:])
                jobs[future] = (*what, time.monotonic())
            for future in wait(jobs, timeout=0.5, return_when=FIRST_COMPLETED).done:
                verb, env_id, learner, since = jobs.pop(future)
                done += expected[verb]
                if learner is None:
                    evaluated(env_id, *future.result())
                    continue
                future.result()
                progress.console.print(f"{env_id}: {label(learner)} trained ({time.monotonic() - since:.0f} s)")
                left[env_id].remove(learner)
                if not left[env_id]:
                    evaluations.append(env_id)
            running = sum(min(time.monotonic() - since, expected[verb]) for verb, *_, since in jobs.values())
            names = ", ".join(f"{label(x) if x else 'evaluation'} on {env_id}" for _, env_id, x, _ in jobs.values())
            progress.update(bar, completed=done + running, description=names)
    except BaseException:  # Ctrl-C too: what still runs is of no use to anyone
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
