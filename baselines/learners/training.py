"""Training our DQN on a task, step by step: learning rounds, improvements, validation, checkpoints, a time limit."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import (
    DQNConfig,
    GreedyPolicy,
    Improvement,
    PairedDQN,
    TensorBoardLogger,
    export,
    fit_advantages,
    load_policy,
    save,
)
from agents import load as load_agent
from agents.dqn import torch_threads
from agents.improvement import Pairs
from baselines.learners.clock import VALIDATION_SHARE, Clock, announced_compiling
from baselines.learners.compiled import pack
from baselines.learners.guide import Plays
from baselines.learners.pairs import Collector
from baselines.learners.task import SensingTask, Task
from baselines.playing import check_count

CHECKPOINT, POLICY = "checkpoint.safetensors", "policy.safetensors"
PAIR_COST = 3  # a pair takes about as long as so many decisions of learning: for the progress bar
_VALUE_COST = 3  # an update of the values takes about as long as so many of the advantages
_LEAST = 0.05  # share of its pairs below which an improvement is not begun
_TRIAL_UPDATES = 10  # to learn how long one takes
_NO_GUIDE = {"constant": 0.0, "coefficients": {}, "seconds": 0.0}  # for compiling, where none need be tuned
_compiled: set[tuple[Any, ...]] = set()  # kinds of training that this process has run


@dataclass(frozen=True)
class Step:
    """Where training stands after a round or an improvement."""

    stage: str  # "learning" or "improving"
    share: float  # of the whole training, by its expected time or by the limit
    decisions: int
    seconds: float  # of training and tuning so far, validation and compiling not counted
    validation_error: float | None  # average joint error on the validation episodes [µg/m³], where evaluated


class TaskTraining:
    """One training run on a `Task`. What it returns is never worse, in validation, than the guide that it began with.

    Args:
        task: what is learned; its configuration is the run's.
        seed: of the run.
        folder: receives checkpoints, the policy and TensorBoard's events; None: nothing is written.
        resume: continue from the folder's checkpoint.
        validations: how many evaluations on the way, about evenly spread.
        note: what else to write on the policy's card.

    Raises:
        ValueError: bad arguments, or a checkpoint of another instance, configuration or seed; the message says what
            differs.
        FileNotFoundError: nothing to resume.
    """

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        folder: Path | None = None,
        *,
        resume: bool = False,
        validations: int = 20,
        note: dict[str, Any] | None = None,
    ) -> None:
        self.task, self.env_id, self.folder, self.note = task, task.env_id, folder, note or {}
        self.env, self.observation, self._validation = task.env, task.observation, task.validation
        config = task.config
        self._every = max(1, config.total_decisions // check_count("validations", validations, 1))
        self.clock, self._guide, self._known_guide, self._earlier = Clock(), None, None, ""
        self._guide: Plays | None
        self._known_guide: dict[str, Any] | None
        self._as_network: PairedDQN | None = None
        self._guide_error, self._validation_cost, self._improvement_cost = math.inf, 0.0, math.nan
        self._prepared = False
        if resume:
            self.agent = self._resumed(config, seed)
        else:
            self.agent = PairedDQN.for_env(self.env, config, check_count("seed", seed, 0))
        if config.improvements:
            pack(self.agent.average)  # rather refused now than after the last decision

    def _resumed(self, config: DQNConfig, seed: int) -> PairedDQN:
        if self.folder is None:
            raise ValueError("resume: expected a folder to resume from, got none")
        path = self.folder / CHECKPOINT
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: nothing to resume there; without resume a training begins")
        notes = load_policy(path, agent_class=PairedDQN).card
        instance = self.task.differences(notes)
        if any("other parameters" in phrase for phrase in instance):  # the id and its arguments may be the same
            raise ValueError(f"{path}: trained on another environment: {'; '.join(instance)}")
        agent = load_agent(path, self.env, PairedDQN)
        assert isinstance(agent, PairedDQN)
        was, given = {"seed": agent.seed, **agent.config.to_dict()}, {"seed": seed, **config.to_dict()}
        other = [
            f"{name} was {was[name]!r}, here {value!r}"
            for name, value in given.items()
            if name not in ("total_decisions", "improvements") and was[name] != value
        ] + instance
        if other:
            raise ValueError(
                f"{path}: was trained with other settings; give the same ones to resume: {'; '.join(other)}"
            )
        agent.config = config
        total, kinds = float(notes.get("training_seconds", 0.0)), ("tuning", "validation")
        spent = {kind: float(notes.get(f"{kind}_seconds", 0.0)) for kind in kinds}
        self.clock = Clock(training=total - spent["tuning"], **spent)
        self._known_guide, self._earlier = notes.get("guide_policy"), notes.get("validated", "")
        return agent

    @property
    def seconds(self) -> float:
        """Of training so far, the tuning of the guide counted, validation and compiling not."""
        return self.clock.spent["training"] + self.clock.spent["tuning"]

    def prepare(self, seconds: float = math.inf) -> None:
        """Compile the kernels, then start the clock: tune and validate the guide. `run` does it if nobody did."""
        if self._prepared:
            return
        self._prepared = True
        config, agent = self.agent.config, self.agent
        self._compile()
        self.clock.start(seconds)
        with self.clock.count("validation"):
            self._validation.limit(seconds)
        if "guide" in (config.start, config.improve_from):
            began = time.perf_counter()
            self._guide = agent.guide = self.task.make_guide(seconds, self._known_guide)
            if self._known_guide is None:
                self.clock.spent["tuning"] += max(self._guide.training_seconds, time.perf_counter() - began)
            self._as_network = self._guide.as_agent(agent.environment)
            if self._as_network is not None:
                self._guide_error = self._error(self._as_network.policy("compact", present=True))
                self._as_network.best_error = self._guide_error
        if self._earlier not in ("", self.validated) and agent.best_error < math.inf:
            agent.best_error = self._error(agent.policy(self.observation))

    def _compile(self) -> None:
        """Run the same kind of training on episodes of a few slots, so that no clock runs while numba compiles."""
        config = self.agent.config
        few = {"total_decisions": 1, "start_decisions": 1, "start_updates": 1, "n_environments": 2, "batch_size": 8}
        few |= {"replay_capacity": 64, "pairs": 8, "pairs_kept": 1, "pair_updates": 1, "value_updates": 1}
        few |= {"improvements": min(1, config.improvements), "pair_cut": min(1, config.pair_cut)}
        kind = type(self.task), self.env_id, self.observation, str(self._validation), str(config.replace(**few))
        if kind in _compiled:
            return
        _compiled.add(kind)
        with self.clock.count("compiling"), announced_compiling():
            tiny = TaskTraining(self.task.tiny(config.replace(**few, pair_step=1.0, action_segments=[])))
            tiny._known_guide = _NO_GUIDE
            for _ in tiny.run():
                pass

    def run(self, seconds: float = math.inf) -> Iterator[Step]:
        """Train to the end, one round or improvement a step; stop whenever you like, `save` keeps what was done.

        Args:
            seconds: limit of all that this training takes in all, resumed parts included: training, the tuning of the
                guide and validation, but not compiling. Nothing begins that would end too late, by how long the last
                such thing took; at least one round is played.
        """
        log = TensorBoardLogger(self.folder) if self.folder else None
        self.prepare(seconds)
        agent, config = self.agent, self.agent.config
        collector = self.task.collector(self._guide)
        if self.folder and agent.decisions == 0:
            with self.clock.count("validation"):
                last = config.total_decisions + config.improvements * config.pairs
                self._validation.draw_yardsticks(self.folder, last, VALIDATION_SHARE / 2 * seconds)
        try:
            yield from self._learn(log)
            while agent.improvements < config.improvements and agent.decisions >= config.total_decisions:
                with self.clock.count("training"):
                    improvement = self._improve(collector)
                if improvement is None:
                    break
                if log:
                    log.scalar("train/pair_error", improvement.fit.validation_error, self._axis)
                    log.scalar("train/pair_spread", improvement.fit.validation_spread, self._axis)
                    if not math.isnan(improvement.value_error):
                        log.scalar("train/value_error", improvement.value_error, self._axis)
                last_one = agent.improvements == config.improvements or not self._fits(self._improvement_cost / 2)
                error = self._validate_present(log) if last_one or self._may_validate() else None
                yield self._step("improving", error)
        finally:
            if log:
                log.close()

    def _learn(self, log: TensorBoardLogger | None) -> Iterator[Step]:
        agent, total, cost = self.agent, self.agent.config.total_decisions, 0.0
        while agent.decisions < total and (agent.decisions == 0 or self._fits(cost)):
            before, began = agent.decisions // self._every, time.perf_counter()
            with self.clock.count("training"):
                progress = agent.round(self.env, total)
            cost = time.perf_counter() - began
            if log:  # the episodes' own return, without what was added for learning
                log.log(dataclasses.replace(progress, mean_return=progress.mean_return - self.task.added()))
            last = agent.decisions >= total or not self._fits(cost)
            due = agent.decisions // self._every > before and self._may_validate()
            yield self._step("learning", self._validate_present(log) if last or due else None)

    def _fits(self, cost: float) -> bool:
        """Whether the limit leaves so many seconds, and those of a last validation."""
        return self.clock.left >= cost + self._validation_cost

    def _may_validate(self) -> bool:
        return self.clock.may_validate(self._validation_cost)

    def _step(self, stage: str, error: float | None) -> Step:
        agent, config, limit = self.agent, self.agent.config, self.clock.limit
        all_pairs = PAIR_COST * config.improvements * config.pairs
        share = config.total_decisions / (config.total_decisions + all_pairs)
        if stage == "learning":
            share *= min(1.0, agent.decisions / config.total_decisions)
        else:
            share += (1.0 - share) * agent.improvements / config.improvements
        if math.isfinite(limit) and limit > 0:
            share = max(share, min(1.0, 1.0 - self.clock.left / limit))
        return Step(stage, share, self._axis, self.seconds, error)

    def _improve(self, collector: Collector) -> Improvement | None:
        """One step of policy iteration, with fewer pairs and updates where less time is left; None: with too little."""
        agent, config, began = self.agent, self.agent.config, time.perf_counter()
        left = self.clock.left - self._validation_cost
        if math.isinf(left):
            return agent.improve(collector)
        known = not math.isnan(self._improvement_cost)
        if left <= 0.0 or (known and left < self._improvement_cost / 2):
            return None
        guided = agent.improvements == 0 and config.improve_from == "guide"
        pairs = collector(None if guided else agent.chosen, config.pairs, agent.rng, began + left / 2)
        if len(pairs.deltas) < _LEAST * config.pairs:
            return None
        updates = config.pair_updates + (_VALUE_COST * config.value_updates if config.pair_cut else 0)
        took = time.perf_counter() - began
        needed = updates * self._update_seconds(pairs)
        share = min(1.0, max(0.0, left - (time.perf_counter() - began)) / max(needed, 1e-9))
        names = ("pair_updates", "value_updates")
        agent.config = config.replace(**{name: round(share * getattr(config, name)) for name in names})
        try:
            improvement = agent.improve(lambda *_: pairs)
        finally:
            agent.config = config
        self._improvement_cost = took / max(len(pairs.deltas) / config.pairs, 1e-9) + needed
        return improvement

    def _update_seconds(self, pairs: Pairs) -> float:
        """How long an update of the advantages takes, tried on a copy."""
        config, network = self.agent.config, copy.deepcopy(self.agent.online)
        given = pairs.observations[:4096], pairs.deltas[:4096, 0]
        began = time.perf_counter()
        with torch_threads(config.threads):
            fit_advantages(network, *given, updates=_TRIAL_UPDATES, batch_size=config.batch_size, value_anchor=0.0)
        return (time.perf_counter() - began) / _TRIAL_UPDATES

    def save(self) -> None:
        """Write the checkpoint and the policy as it is now; whole or not at all."""
        if self.folder is None:
            return
        spent = {f"{kind}_seconds": self.clock.spent[kind] for kind in ("tuning", "validation")}
        card = {**self.note, "env_id": self.env_id, "training_seconds": self.seconds, **spent}
        card |= {"validated": self.validated, **self.task.record()}
        card["guide_policy"] = self._guide.to_json() if self._guide else None
        save(self.folder / CHECKPOINT, self.agent, card)
        guided = self.is_guide
        card |= {"decisions": self.agent.decisions, "policy_is": "its guide" if guided else "learned"}
        chosen = self._as_network if guided and self._as_network is not None else self.agent
        export(self.folder / POLICY, chosen, observation="compact" if guided else self.observation, card=card)

    def policy(self) -> GreedyPolicy:
        """The greedy policy that was best in validation so far, maybe the guide's, with its ``training_seconds``."""
        if self.is_guide and self._as_network is not None:
            policy = self._as_network.policy("compact")
        else:
            policy = self.agent.policy(self.observation)
        policy.training_seconds = self.seconds
        return policy

    @property
    def is_guide(self) -> bool:
        """Whether nothing learned does better than the guide, or none of it has been validated."""
        return self._guide_error < self.agent.best_error

    @property
    def _axis(self) -> int:
        """Decisions on TensorBoard's axis; each pair counts as the one decision that it tells of."""
        return self.agent.decisions + self.agent.pairs

    def validate(self) -> float:
        """How the policy that `policy` returns does, as `validated` says: average joint error [µg/m³]."""
        self.prepare()
        best = min(self.agent.best_error, self._guide_error)
        return best if best < math.inf else self._error(self.policy())

    @property
    def validated(self) -> str:
        """On what: a number of validation episodes, or exactly."""
        return str(self._validation)

    def _error(self, policy: GreedyPolicy) -> float:
        began = time.perf_counter()
        with self.clock.count("validation"):
            error = self._validation.error(policy)
        self._validation_cost = time.perf_counter() - began
        return error

    def _validate_present(self, log: TensorBoardLogger | None) -> float:
        policy = self.agent.policy(self.observation, present=True)
        error = self._error(policy)
        self.agent.keep_best(error)
        if log:
            with self.clock.count("validation"):
                scalars = {**self._validation.scalars(error), **self._validation.disagreement(policy)}
            for tag, value in scalars.items():
                log.scalar(tag, value, self._axis)
            log.scalar("time/training_seconds", self.seconds, self._axis)
        return error


class Training(TaskTraining):
    """A training run on an id.

    Args:
        env_id: a registered id of the sequential view, with or without the ``aq_gym/``.
        config: every setting of the learner; its ``improvements`` follow the last decision.
        seed: of the run.
        folder: as for `TaskTraining`, like ``resume``, ``validations`` and ``note``.
        validation_episodes: each time, on seeds that neither training nor evaluation uses; None: 512, more of short
            ones and fewer of very long ones.
        threads: that play pairs; None: as many as there are cores. The result does not depend on it.
        reference: subtract staggered sensing's rewards on the same levels, see `training_env`.
        guide: of `GUIDES`, for configurations that start from one; None: the recipe's.
        env_kwargs: as for `gymnasium.make`.

    Raises:
        ValueError: as for `SensingTask` and `TaskTraining`.
        FileNotFoundError: nothing to resume.
    """

    def __init__(
        self,
        env_id: str,
        config: DQNConfig,
        seed: int = 0,
        folder: Path | None = None,
        *,
        resume: bool = False,
        validations: int = 20,
        validation_episodes: int | None = None,
        note: dict[str, Any] | None = None,
        threads: int | None = None,
        reference: bool = True,
        guide: str | None = None,
        **env_kwargs: Any,
    ) -> None:
        how: dict[str, Any] = {"reference": reference, "guide": guide, "threads": threads}
        task = SensingTask(env_id, config, episodes=validation_episodes, **how, env_kwargs=env_kwargs)
        super().__init__(task, seed, folder, resume=resume, validations=validations, note=note)
        self.problem, self.validation_episodes = task.problem, task.validation.episodes
