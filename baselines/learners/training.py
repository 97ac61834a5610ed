"""Training our DQN on a registered id, step by step, within a time limit.

What `python -m scripts.train_dqn` calls, in this order:

1. `baselines.learners.task.recipe` reads the id's settings; they become an `agents.DQNConfig`.
2. `Training` makes a `SensingTask` (environment, validation) and an `agents.PairedDQN`, new or of a checkpoint.
3. `baselines.learners.run.train` runs the rest; Ctrl-C ends it between two steps.
4. `Training.prepare` compiles the kernels, then tunes the `Guide` (a rule: greedy sensing or the index policy).
5. `Training.run` plays learning rounds around the guide: `PairedDQN.round` (`agents.rollout`, `agents.replay`).
6. Then it improves: `Improver.improve` has `PairCollector` play counterfactual pairs in the compiled kernels, and
   `PairedDQN.improve` fits the network's advantages to them (`agents.counterfactual`).
7. Each validation (`Validation.error`) may make the present network the best one (`PairedDQN.keep_best`).
8. `Training.save` writes the checkpoint and the policy: the best network, or the guide where none does better.
"""

import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agents import DQNConfig, GreedyPolicy, PairedDQN, TensorBoardLogger, export, save
from aq_gym.network_checks import as_count
from baselines.learners.clock import VALIDATION_SHARE, Clock, Step, announced_compiling, share_done
from baselines.learners.guide import Guide, index_agent
from baselines.learners.pairs import Improver
from baselines.learners.resumption import CHECKPOINT, POLICY, new_agent, resumed
from baselines.learners.task import TINY, SensingTask, tiny_config
from baselines.learners.validation import Validation
from baselines.packing import pack

_NO_GUIDE = {"constant": 0.0, "coefficients": {}, "seconds": 0.0}  # for compiling, where none need be tuned
_compiled: set[tuple[Any, ...]] = set()  # kinds of training that this process has run


class Training:
    """One training run on an id. What it returns is never worse, in validation, than the guide that it began with.

    Args:
        env_id: a registered id of the sequential view, with or without the ``aq_gym/``.
        config: every setting of the learner; its ``improvements`` follow the last decision.
        seed: of the run.
        folder: receives checkpoints, the policy and TensorBoard's events; None: nothing is written.
        resume: continue from the folder's checkpoint.
        validations: how many evaluations on the way, about evenly spread.
        validation_episodes: each time, on seeds that neither training nor evaluation uses; None: 512, more of short
            ones and fewer of very long ones.
        note: what else to write on the policy's card.
        threads: that play pairs; None: as many as there are cores. The result does not depend on it.
        reference: subtract staggered sensing's rewards on the same levels, see `training_env`.
        guide: of `GUIDES`, for configurations that start from one; None: the recipe's.
        env_kwargs: as for `gymnasium.make`.

    Raises:
        ValueError: bad arguments, or a checkpoint of another instance, configuration or seed; the message says what
            differs.
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
        self.task = task = SensingTask(env_id, config, episodes=validation_episodes, **how, env_kwargs=env_kwargs)
        self.env_id, self.folder, self.note, self._env_kwargs = env_id, folder, note or {}, env_kwargs
        self.problem, self.env, self.observation, self._validation = (
            task.problem, task.env, task.observation, task.validation,
        )  # fmt: skip
        self.validation_episodes, config = task.validation.episodes, task.config
        self._every = max(1, config.total_decisions // as_count("validations", validations, 1))
        self.clock, self._earlier = Clock(), ""
        self.interrupted = False  # by the user, before its end and its time limit
        self._guide: Guide | None = None
        self._known_guide: dict[str, Any] | None = None
        self._as_network: PairedDQN | None = None
        self._guide_error, self._validation_cost = math.inf, 0.0
        self._tuned = 0.0  # seconds that its guide took to tune, here or when its coefficients were committed
        self._prepared, self._resumes, self._compiles = False, resume, True
        if resume:
            self.agent, notes = resumed(folder, task, seed)
            self._known_guide, self._earlier = notes.get("guide_policy"), notes.get("validated", "")
            self._tuned = float((self._known_guide or {}).get("seconds", 0.0))
            tuning, validation = (float(notes.get(f"{kind}_seconds", 0.0)) for kind in ("tuning", "validation"))
            training = float(notes.get("training_seconds", 0.0)) - self._tuned
            self.clock = Clock(training=training, tuning=tuning, validation=validation)
        else:
            self.agent = new_agent(task, as_count("seed", seed, 0))
        if config.improvements:
            pack(self.agent.average)  # rather refused now than after the last decision

    @property
    def seconds(self) -> float:
        """Of training so far, the tuning of the guide counted, validation and compiling not."""
        return self.clock.spent["training"] + self._tuned

    def prepare(self, seconds: float = math.inf) -> None:
        """Compile the kernels, then start the clock: tune and validate the guide. `run` does it if nobody did."""
        if self._prepared:
            return
        self._prepared = True
        config, agent = self.agent.config, self.agent
        self._compile(limited=math.isfinite(seconds))
        self.clock.start(seconds)
        with self.clock.count("validation"):
            self._validation.limit(seconds)
        if "guide" in (config.start, config.improve_from):
            with self.clock.count("tuning"):
                guide = Guide(self.problem, self.task.guide_name, seconds=seconds, known=self._known_guide)
                self._guide = agent.guide = guide
            if not self._resumes:
                self._tuned = self._guide.training_seconds
            self._as_network = index_agent(self._guide.policy, agent.environment)
            self._guide_error = self._error(self._as_network.policy("compact", present=True))
            self._as_network.best_error = self._guide_error
        if self._earlier not in ("", self.validated) and agent.best_error < math.inf:
            agent.best_error = self._error(agent.policy(self.observation))

    def _compile(self, *, limited: bool) -> None:
        """Run the same kind of training on episodes of a few slots, so that no clock runs while numba compiles."""
        config = self.agent.config
        few = tiny_config(config)
        kind = self.env_id, self.observation, str(self._validation), str(few), limited
        if not self._compiles or kind in _compiled:
            return
        _compiled.add(kind)
        with self.clock.count("compiling"), announced_compiling():
            kwargs, own = {**self._env_kwargs, **TINY}, self._validation
            tiny = Training(self.env_id, few, validation_episodes=2, threads=1, reference=self.task.reference, **kwargs)
            tiny._validation = Validation(tiny.problem, 2, solvable=own.solvable, exact=own.exact)
            if limited:
                tiny._validation.limit(3600.0)
            tiny._known_guide, tiny._compiles = _NO_GUIDE, False
            for _ in tiny.run():
                pass

    def run(self, seconds: float = math.inf) -> Iterator[Step]:
        """Train to the end, one round or improvement a step; stop whenever you like, `save` keeps what was done.

        Args:
            seconds: time limit, resumed parts included, for training, the tuning of the
                guide and validation, but not compiling. Nothing begins that would end too late, by how long the last
                such thing took; at least one round is played.
        """
        log = TensorBoardLogger(self.folder, resumed_at=self._axis if self._resumes else None) if self.folder else None
        self.prepare(seconds)
        agent, config = self.agent, self.agent.config
        improver = Improver(agent, self.task.collector(self._guide))
        if self.folder and agent.decisions == 0:
            with self.clock.count("validation"):
                last = config.total_decisions + config.improvements * config.pairs
                self._validation.draw_yardsticks(self.folder, last, VALIDATION_SHARE / 2 * seconds)
        try:
            yield from self._learn(log)
            while agent.improvements < config.improvements and agent.decisions >= config.total_decisions:
                with self.clock.count("training"):
                    improvement = improver.improve(self.clock.left - self._validation_cost)
                if improvement is None:
                    break
                if log:
                    log.scalar("train/pair_error", improvement.fit.validation_error, self._axis)
                    log.scalar("train/pair_spread", improvement.fit.validation_spread, self._axis)
                    if not math.isnan(improvement.value_error):
                        log.scalar("train/value_error", improvement.value_error, self._axis)
                late = self.clock.left - self._validation_cost < improver.cost / 2
                last = late or agent.improvements == config.improvements
                error = self._validate_present(log) if last or self._may_validate() else None
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
        return Step(stage, share_done(stage, self.agent, self.clock), self._axis, self.seconds, error)

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
        card |= {"decisions": self.agent.decisions, "seed": self.agent.seed}
        card["policy_is"] = "its guide" if guided else "learned"
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
        """Decisions on TensorBoard's axis; a pair counts as one decision."""
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
