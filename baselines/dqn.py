"""Training our DQN on a sensing problem: the environment that it learns in, evaluation on the way, checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents import DQNConfig, GreedyPolicy, PairedDQN, TensorBoardLogger, export, load, load_policy, save
from agents.improvement import Collect
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.observation import COMPACT_FEATURES, ObservationLayout
from aq_gym.problem import Problem
from baselines.control_variate import ReferenceReward
from baselines.greedy import entry_problem, same_problem
from baselines.index import best_threshold, index_policy
from baselines.joint import InTurn
from baselines.paired_rollouts import PairCollector, pack
from baselines.playing import FIRST_TUNING_SEED, native_batch
from baselines.policies import Staggered
from baselines.validation import Validation, quick_to_evaluate, solvable

RECIPES = Path(__file__).with_name("dqn_recipes.json")
PRETRAINED = Path(__file__).with_name("pretrained")
CHECKPOINT, POLICY = "checkpoint.safetensors", "policy.safetensors"
PAIR_COST = 3  # a pair takes about as long as so many decisions of learning: for the progress bar
VALIDATION_DECISIONS = 150_000  # about a second
MOST_VALIDATION_DECISIONS = 1_000_000  # where episodes are long


@dataclass(frozen=True)
class Step:
    """Where training stands after a round or an improvement."""

    stage: str  # "learning" or "improving"
    share: float  # of the whole training, by its expected time
    decisions: int
    seconds: float  # of training so far, evaluations not counted
    validation_error: float | None  # average joint error on the validation episodes [µg/m³], where evaluated


def recipe(env_id: str, seconds: float = math.inf) -> dict[str, Any]:
    """The committed settings for an id, those named ``default`` where it has none of its own.

    A recipe may know other settings for trainings that are cut short, the shortest first: the first count of which
    ``seconds`` are at most theirs. It may also name another id ``as`` which to train.
    """
    recipes: dict[str, dict[str, Any]] = json.loads(RECIPES.read_text(encoding="utf-8"))
    own = recipes.get(env_id.rpartition("/")[2], {})
    chosen = {**recipes["default"], **recipes.get(own.get("as", ""), {}), **own}
    chosen.pop("as", None)
    short = next((x for x in chosen.pop("short", []) if seconds <= x["seconds"]), {"settings": {}})
    chosen["settings"] = {**chosen["settings"], **short["settings"]}
    return chosen


def observation_of(config: DQNConfig) -> str:
    """Which observation a network of that configuration reads."""
    return {"set": "per_device", "mlp": "compact"}.get(
        config.network, "full"
    )  # the paper's own forms read the full one


def with_segments(config: DQNConfig, problem: Problem) -> DQNConfig:
    """The configuration, a state-action network's segments filled in: 4 belongs to off and 3 to on."""
    if config.network != "state_action":
        return config
    layout = ObservationLayout.of(problem, "full")
    on = layout.slice("decrease_if_on").start, layout.slice("on").stop
    off = layout.slice("decrease_if_off").start, layout.slice("off").stop
    return config.replace(action_segments=[*off, *on])


def training_env(
    env_id: str, num_envs: int, observation: str = "compact", *, reference: bool = True, **env_kwargs: Any
) -> MultiDeviceVectorEnv | ReferenceReward:
    """The environment in which the DQN learns.

    With a ``reference`` the rewards are those beyond staggered sensing's on the same levels.
    """
    env = native_batch(env_id, num_envs, observation=observation, **env_kwargs)
    return ReferenceReward(env, Staggered(env.problem)) if reference else env


GUIDES = ("greedy", "index")


class Guide:
    """What ``start="guide"`` explores around, and the policy that ``improve_from="guide"`` improves on.

    Near sensible play returns are far less noisy than under random play.

    Args:
        problem: what is played.
        name: "greedy", with the best of thirty thresholds, or "index", the tuned index policy.

    Raises:
        ValueError: another name.
    """

    def __init__(self, problem: Problem, name: str = "greedy") -> None:
        if name not in GUIDES:
            raise ValueError(f"guide: expected one of {', '.join(GUIDES)}, got {name!r}")
        if name == "index":
            self.policy = index_policy(problem)
        else:
            self.policy = best_threshold(problem, FIRST_TUNING_SEED + 2**20)  # not the validation episodes
        self.training_seconds = self.policy.training_seconds

    def score(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """(K,) advantages of sensing, in no unit, of (K, 32 or more) observations."""
        return np.asarray(self.policy.score(observations[:, : len(COMPACT_FEATURES)]), np.float64)

    def __call__(self, observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(K,) allowed actions of (K, 32 or more) observations and (K, 2) masks."""
        on = self.score(observations) > 0
        return np.where((on & masks[:, 1]) | ~masks[:, 0], 1, 0)


class Training:
    """One training run, step by step.

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
        ValueError: bad arguments, or a checkpoint of another environment, configuration or seed.
        TypeError: improvements are asked for, but the network is none that can be compiled.
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
        self._guide = recipe(env_id).get("guide", "greedy") if guide is None else guide
        self.env_id, self.folder, self.note, self.threads = env_id, folder, note or {}, threads
        self._reference = reference
        self.observation = observation_of(config)
        self.seconds = 0.0
        self._every = max(1, config.total_decisions // max(1, validations))
        config = self._prepare(config, validation_episodes, env_kwargs)
        if resume:
            if folder is None:
                raise ValueError("resume: expected a folder to resume from, got none")
            agent = load(folder / CHECKPOINT, self.env, PairedDQN)
            assert isinstance(agent, PairedDQN)
            was, given = {"seed": agent.seed, **agent.config.to_dict()}, {"seed": seed, **config.to_dict()}
            other = [
                f"{name} was {was[name]!r}, here {value!r}"
                for name, value in given.items()
                if name not in ("total_decisions", "improvements") and was[name] != value
            ]
            notes = load_policy(folder / CHECKPOINT, agent_class=PairedDQN).card
            if notes.get("guide", self._guide) != self._guide:
                other.append(f"guide was {notes['guide']!r}, here {self._guide!r}")
            if other:
                raise ValueError(
                    f"{folder / CHECKPOINT}: was trained with other settings; give the same ones to resume: "
                    + "; ".join(other)
                )
            agent.config = config
            self.agent = agent
            self.seconds = float(notes.get("training_seconds", 0.0))
            if notes.get("validated") != str(self._validation) and agent.best_error < math.inf:
                agent.best_error = self._validation.error(agent.policy(self.observation))
        else:
            self.agent = PairedDQN.for_env(self.env, config, seed)
        if "guide" in (config.start, config.improve_from):
            self.agent.guide = self._make_guide()
            if config.pair_step < 1 and config.improve_from == "guide" and not hasattr(self.agent.guide, "score"):
                raise TypeError("pair_step: below 1 it needs a guide with scores, and this training's has none")
            if not resume:
                self.seconds = self.agent.guide.training_seconds
        if config.improvements:
            pack(self.agent.average)  # rather refused now than after the last decision

    def _prepare(self, config: DQNConfig, validation_episodes: int | None, env_kwargs: dict[str, Any]) -> DQNConfig:
        """Make the environment and the validation; returns the configuration with what depends on them filled in."""
        if self.observation == "full" and "guide" in (config.start, config.improve_from):
            raise ValueError(f"start, improve_from: the guide does not read what network={config.network!r} reads")
        self.env: VectorEnv[Any, Any, Any]
        shape = config.n_environments, self.observation
        env = training_env(self.env_id, *shape, reference=self._reference, **env_kwargs)
        self.env, self.problem = env, env.problem
        length = self.problem.horizon * self.problem.n_devices
        long_enough = max(2, min(512, MOST_VALIDATION_DECISIONS // length), VALIDATION_DECISIONS // length)
        self.validation_episodes = long_enough if validation_episodes is None else validation_episodes
        self._validation: Any = Validation(
            self.problem,
            self.validation_episodes,
            solvable=solvable(self.env_id, env_kwargs),
            exact=validation_episodes is None and quick_to_evaluate(self.problem),
        )
        return with_segments(config, self.problem)

    def _make_guide(self) -> Any:
        return Guide(self.problem, self._guide)

    def _collector(self) -> Collect:
        guide = self.agent.guide.policy if isinstance(self.agent.guide, Guide) else None
        points = max(24, self.problem.horizon * self.problem.n_devices // 60)
        return PairCollector(
            self.problem,
            guide,
            observation=self.observation,
            n_episodes=max(4, 64 * 24 // points),
            points=points,
            cut=self.agent.config.pair_cut,
            alone=self.agent.config.pair_alone,
            alone_first=self.agent.config.pair_alone_first,
            threads=self.threads,
        )

    def run(self, seconds: float = math.inf) -> Iterator[Step]:
        """Train to the end, one round or improvement a step; stop whenever you like, `save` keeps what was done.

        Within a limit of ``seconds`` of training, no improvement begins that would end too late if it took as long as
        the one before.
        """
        agent, config = self.agent, self.agent.config
        log = TensorBoardLogger(self.folder) if self.folder else None
        collector = self._collector()
        if self.folder and agent.decisions == 0:
            self._validation.draw_yardsticks(self.folder, config.total_decisions + config.improvements * config.pairs)
        share = config.total_decisions / (config.total_decisions + PAIR_COST * config.improvements * config.pairs)
        try:
            while agent.decisions < config.total_decisions:
                before, began = agent.decisions // self._every, time.perf_counter()
                progress = agent.round(self.env, config.total_decisions)
                self.seconds += time.perf_counter() - began
                last = agent.decisions >= config.total_decisions
                if log:  # the episodes' own return, without what was added for learning
                    own = progress.mean_return - float(np.mean(getattr(self.env, "added", 0.0)))
                    log.log(dataclasses.replace(progress, mean_return=own))
                error = self._validate_present(log) if last or agent.decisions // self._every > before else None
                done = min(1.0, agent.decisions / config.total_decisions)
                yield Step("learning", share * done, agent.decisions, self.seconds, error)
            expected = 0.0  # until one was timed
            while agent.improvements < config.improvements and self.seconds + expected <= seconds:
                began = time.perf_counter()
                improvement = agent.improve(collector)
                expected = time.perf_counter() - began
                self.seconds += expected
                if log:
                    log.scalar("train/pair_error", improvement.fit.validation_error, self._axis)
                    log.scalar("train/pair_spread", improvement.fit.validation_spread, self._axis)
                    if not math.isnan(improvement.value_error):
                        log.scalar("train/value_error", improvement.value_error, self._axis)
                done = agent.improvements / config.improvements
                yield Step(
                    "improving", share + (1 - share) * done, self._axis, self.seconds, self._validate_present(log)
                )
        finally:
            if log:
                log.close()

    def save(self) -> None:
        """Write the checkpoint and the policy as it is now; whole or not at all."""
        if self.folder is not None:
            card = {**self.note, "env_id": self.env_id, "training_seconds": self.seconds, "validated": self.validated}
            card |= {"guide": self._guide}
            save(self.folder / CHECKPOINT, self.agent, card)
            export(self.folder / POLICY, self.agent, observation=self.observation, card=card)

    def policy(self) -> GreedyPolicy:
        """The greedy policy that was best on the validation episodes so far, with its ``training_seconds``."""
        policy = self.agent.policy(self.observation)
        policy.training_seconds = self.seconds
        return policy

    @property
    def _axis(self) -> int:
        """Decisions on TensorBoard's axis; each pair counts as the one decision that it tells of."""
        return self.agent.decisions + self.agent.pairs

    def validate(self) -> float:
        """Average joint error of the policy that `policy` returns, as `validated` says [µg/m³]."""
        return self._validation.error(self.policy())

    @property
    def validated(self) -> str:
        """On what: a number of validation episodes, or exactly."""
        return str(self._validation)

    def _validate_present(self, log: TensorBoardLogger | None) -> float:
        policy = self.agent.policy(self.observation, present=True)
        error = self._validation.error(policy)
        self.agent.keep_best(error)
        if log:
            for tag, value in {**self._validation.scalars(error), **self._validation.disagreement(policy)}.items():
                log.scalar(tag, value, self._axis)
            log.scalar("time/training_seconds", self.seconds, self._axis)
        return error


def train(
    training: Training, *, seconds: float = float("inf"), watch: Callable[[Step], None] | None = None
) -> GreedyPolicy:
    """Run a training to its end, or to the time limit; Ctrl-C stops it early. Either way a checkpoint is left.

    A checkpoint can only be written between two steps. So Ctrl-C lets the present one end; pressed again, it drops what
    that step did, and the checkpoint is the one that was written last.

    Args:
        training: what to run.
        seconds: of training in all, those before a resumption included, evaluations not; it ends with the step in
            which they pass.
        watch: called after every step.

    Returns:
        The policy that was best on the validation episodes.
    """
    saved, between, steps = time.perf_counter(), True, training.run(seconds)
    try:
        with _interrupts_held() as interrupted:
            while True:
                between = False
                step = next(steps, None)
                between = True
                if step is None:
                    break
                if watch:
                    watch(step)
                if interrupted():
                    raise KeyboardInterrupt
                if step.seconds >= seconds:
                    break
                if time.perf_counter() - saved > 30:
                    training.save()
                    saved = time.perf_counter()
    except KeyboardInterrupt:
        print("interrupted: what was learned so far is kept, --resume continues")
    finally:
        steps.close()
    if between:
        training.save()
    return training.policy()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[Callable[[], bool]]:
    """Note the first Ctrl-C instead of raising; yields whether there was one. Only the main thread can do so."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        print("interrupted: finishing this step; once more drops it")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def load_trained(folder: str | Path) -> GreedyPolicy:
    """The policy that a training left in its folder (or an exported file)."""
    folder = Path(folder)
    policy = load_policy(folder / POLICY if folder.is_dir() else folder, agent_class=PairedDQN)
    policy.training_seconds = float(policy.card.get("training_seconds", float("nan")))
    return policy


def pretrained_ids() -> list[str]:
    """The ids, without ``aq_gym/``, that an agent is shipped for."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def load_pretrained(env_id: str) -> GreedyPolicy | InTurn:
    """The agent that is shipped for an id, with or without the ``aq_gym/``; its ``card`` tells how it was trained.

    JointDevices-v0 is MultiDevice-v0's problem: its agent is that one, asked device by device. MultiDevice-Trace-v0 has
    the same devices and horizon: its agent is that one too, trained on the level chain of both periods.

    Raises:
        ValueError: none is shipped for this id; the message lists those that are.
    """
    name = env_id.rpartition("/")[2]
    if name == "JointDevices-v0":
        return InTurn(load_pretrained("MultiDevice-v0"), entry_problem(name))
    if name == "MultiDevice-Trace-v0":
        name = "MultiDevice-v0"
    if name not in pretrained_ids():
        raise ValueError(f"env_id: no agent is shipped for {env_id!r}, only for {', '.join(pretrained_ids())}")
    return load_trained(PRETRAINED / f"{name}.safetensors")


def is_shipped(problem: Problem) -> bool:
    """Whether an agent is shipped that was trained on this very problem."""
    return any(same_problem(problem, entry_problem(name)) for name in pretrained_ids())


def pretrained_policy(problem: Problem) -> GreedyPolicy:
    """The agent that is shipped for a problem.

    Raises:
        ValueError: none was trained on this very problem.
    """
    for name in pretrained_ids():
        if same_problem(problem, entry_problem(name)):
            return load_pretrained(name)
    raise ValueError(
        f"pretrained: no agent was trained on this problem, only on those of {', '.join(pretrained_ids())}; "
        "scripts.train_dqn trains one"
    )
