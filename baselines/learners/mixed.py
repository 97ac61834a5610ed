"""Learning on many instances at once: fresh ones for the pairs, fixed ones for validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents import DQNConfig, GreedyPolicy, PairedDQN, TensorBoardLogger
from agents.improvement import Pairs
from agents.networks import QNetwork
from agents.rollout import FIRST_TRAINING_SEED
from aq_gym.envs.mixed import MixedInstancesVectorEnv
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from aq_gym.problem import Problem
from aq_gym.sampler import InstanceSampler
from baselines.heuristics.index import Simulator
from baselines.heuristics.index_tuning import best_threshold
from baselines.learners.compiled import compiled_error
from baselines.learners.guide import GUIDE_SEED, Plays
from baselines.learners.own_unit import UNREAD, greedy_in_own_unit, in_own_unit
from baselines.learners.pairs import PairCollector, together
from baselines.packing import available_cores
from baselines.playing import FIRST_TUNING_SEED

UNIT_DECISIONS = 100_000  # to find the unit of one instance
GREEDY_DECISIONS = 600_000  # to tune the greedy sensing that an instance is validated against
POINTS = 24  # pairs of an episode
VALIDATION_SEED = FIRST_TUNING_SEED  # of the sampler of validation instances, and of their first episode
_SHARE = 0.05  # of a time limit that one validation may take
_CHOICE = 20.0  # seconds of a limit for which greedy sensing is tuned on an instance as well as without one

Sampler = Callable[[int], InstanceSampler]


def training_sampler(seed: int) -> InstanceSampler:
    """What the generalist learns on: every instance with the paper's inference, and none too large to play quickly."""
    return InstanceSampler(seed, inferences=("paper",), most_work=3e5)


class MixedPairCollector:
    """Plays pairs on fresh instances, each in its own unit; the pairs do not depend on the number of threads.

    Args:
        sampler: from a seed to what draws the instances.
        instances: how many share the pairs.
        cut: an instance's pairs are cut off (`PairCollector`) after T over this number; 0: never.
        alone, alone_first: as for `PairCollector`.
        threads: None: as many as there are cores, at most eight.
    """

    def __init__(
        self,
        sampler: Sampler,
        instances: int = 64,
        *,
        cut: int = 0,
        alone: bool = False,
        alone_first: bool = False,
        threads: int | None = None,
    ) -> None:
        self._sampler, self._instances, self._cut, self._alone = sampler, instances, cut, alone
        self._alone_first = alone_first
        self._threads = threads or min(8, available_cores())

    def __call__(
        self, network: QNetwork | None, n_pairs: int, rng: np.random.Generator, until: float = math.inf
    ) -> Pairs:
        """Play pairs under the network's policy, or under greedy sensing.

        The scales contain each instance's spread too, so that all weigh the same. What is observed are the 32 compact
        numbers and the mean row, which is all that a network without an encoder reads.
        """
        sampler = self._sampler(int(rng.integers(FIRST_TRAINING_SEED, 2 * FIRST_TRAINING_SEED)))
        problems = [sampler.draw() for _ in range(self._instances)]
        seeds = rng.integers(2**63, size=len(problems))
        alone = self._alone or (self._alone_first and network is None)
        share = -(-n_pairs // len(problems))

        def play(problem: Problem, seed: int) -> Pairs | None:
            if time.perf_counter() > until and problem is not problems[0]:
                return None
            problem = in_own_unit(problem, UNIT_DECISIONS)
            guide = greedy_in_own_unit(problem) if network is None else None
            side_by_side = min(64, max(8, -(-share // POINTS)))
            cut = -(-problem.horizon // self._cut) if self._cut else 0
            shape: dict[str, Any] = {"n_episodes": side_by_side, "points": POINTS, "cut": cut}
            collector = PairCollector(problem, guide, observation="per_device", **shape)
            pairs = collector.collect(collector.layers(network), share, np.random.default_rng(seed), alone, until)
            spread = float((pairs.deltas[:, 0] / pairs.scales).std()) or 1.0
            return pairs._replace(
                observations=_summary(pairs.observations),
                scales=pairs.scales * np.float32(spread),
                tails=_summary(pairs.tails),
            )

        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(play, problems, seeds))
        return together([part for part in parts if part is not None])


def _summary(observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., 50) compact numbers and mean row of (..., size) ``per_device`` observations."""
    compact, rows = np.split(observations, [len(COMPACT_FEATURES)], axis=-1)
    shape = *rows.shape[:-1], rows.shape[-1] // len(DEVICE_FEATURES), len(DEVICE_FEATURES)
    return np.concatenate([compact, rows.reshape(shape).mean(axis=-2)], axis=-1)


class MixedValidation:
    """How a policy does on fixed instances that training never draws, relative to greedy sensing on each.

    Args:
        problems: the instances.
        episodes: of each.
    """

    def __init__(self, problems: Sequence[Problem], episodes: int) -> None:
        self.problems, self.episodes = problems, episodes
        self._greedy: list[float] | None = None

    def __str__(self) -> str:
        return f"relative to greedy sensing, on {self.episodes} episodes of each of {len(self.problems)} instances"

    def limit(self, seconds: float) -> None:
        """Fewer episodes of fewer instances for a short training: a validation is to take a small share of it."""
        if math.isinf(seconds):
            return
        began = time.perf_counter()
        Simulator(self.problems[0]).errors([best_threshold(self.problems[0], GUIDE_SEED, 1)], 8, VALIDATION_SEED)
        instances = int(_SHARE * seconds / 4 / (time.perf_counter() - began))  # greedy is tuned on each of them
        self.problems = self.problems[: max(4, instances)]
        self.episodes = min(self.episodes, max(8, int(self.episodes * seconds / _CHOICE / len(self.problems))))

    @property
    def greedy(self) -> list[float]:
        """Average joint error of greedy sensing with its best threshold on each instance [µg/m³]."""
        if self._greedy is None:
            self._greedy = []
            for problem in self.problems:
                policy = best_threshold(problem, GUIDE_SEED, GREEDY_DECISIONS)
                errors = Simulator(problem).errors([policy], self.episodes, VALIDATION_SEED)
                self._greedy.append(float(errors.mean()))
        return self._greedy

    def error(self, policy: GreedyPolicy) -> float:
        """Mean over the instances of the policy's error over greedy sensing's."""
        found = [compiled_error(policy, p, self.episodes, VALIDATION_SEED).mean() for p in self.problems]
        return float(np.mean(np.array(found) / np.array(self.greedy)))

    def scalars(self, error: float) -> dict[str, float]:
        """What to log, by TensorBoard tag."""
        return {"eval/relative_error": error}

    def disagreement(self, policy: GreedyPolicy) -> dict[str, float]:
        """Nothing: no optimum is known."""
        del policy
        return {}

    def draw_yardsticks(self, folder: Path, last: int, seconds: float = math.inf) -> None:
        """The line of greedy sensing."""
        del seconds
        with TensorBoardLogger(folder / "greedy") as line:
            for at in (0, last):
                line.scalar("eval/relative_error", 1.0, at)


class MixedGuide:
    """Greedy sensing of instances in their own units, where one threshold suits all."""

    training_seconds = 0.0

    def __init__(self, problem: Problem) -> None:
        self._policy = greedy_in_own_unit(problem)

    def score(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """(K,) advantages of sensing, in no unit, of (K, 32 or more) observations."""
        return self._policy.score(observations[:, : len(COMPACT_FEATURES)])

    def __call__(self, observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(K,) allowed actions of (K, 32 or more) observations and (K, 2) masks."""
        return np.where(((self.score(observations) > 0) & masks[:, 1]) | ~masks[:, 0], 1, 0)

    def to_json(self) -> dict[str, Any]:
        """Nothing to remember but that it took no time."""
        return {"seconds": 0.0}

    def as_agent(self, environment: dict[str, Any]) -> PairedDQN | None:
        """None: it reads another observation than the network, so it can't be exported in its place."""
        del environment


class MixedTask:
    """Learning on instances of a sampler, with the arguments and errors of `GeneralistTraining`."""

    env_id, observation = "generalist", "per_device"

    def __init__(
        self,
        config: DQNConfig,
        sampler: Sampler = training_sampler,
        *,
        validation_instances: int = 40,
        episodes: int = 96,
        instances: int = 64,
        threads: int | None = None,
    ) -> None:
        if config.network != "set" or config.set_encoder:
            raise ValueError("network, set_encoder: the generalist's is a 'set' without an encoder, which reads means")
        if set(config.unread) != set(UNREAD):
            raise ValueError(f"unread: the generalist does not read what has a unit, so expected {list(UNREAD)}")
        self.config, self._sampler, self._instances, self._threads = config, sampler, instances, threads
        here, held_out = sampler(0), sampler(VALIDATION_SEED)
        problems = [in_own_unit(here.draw(), UNIT_DECISIONS) for _ in range(config.n_environments)]
        self._mixed = MixedInstancesVectorEnv(problems, max_devices=here.max_devices, autoreset_mode="Disabled")
        self.env: VectorEnv[Any, Any, Any] = self._mixed
        held = [in_own_unit(held_out.draw(), UNIT_DECISIONS) for _ in range(validation_instances)]
        self.validation = MixedValidation(held, episodes)

    def make_guide(self, seconds: float, known: dict[str, Any] | None) -> Plays:
        """See `baselines.learners.task.Task`; each instance's threshold takes little time, whatever the limit."""
        del seconds, known
        return MixedGuide(self._mixed.problems[0])

    def collector(self, guide: Plays | None) -> MixedPairCollector:
        """See `baselines.learners.task.Task`."""
        del guide
        config = self.config
        how = {"alone": config.pair_alone, "alone_first": config.pair_alone_first}
        return MixedPairCollector(self._sampler, self._instances, cut=config.pair_cut, **how, threads=self._threads)

    def added(self) -> float:
        """Nothing."""
        return 0.0

    def record(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def differences(self, recorded: dict[str, Any]) -> list[str]:
        """None: the sampler is the program's."""
        del recorded
        return []

    def tiny(self, config: DQNConfig) -> MixedTask:
        """See `baselines.learners.task.Task`."""
        return MixedTask(config, _tiny_sampler, validation_instances=1, episodes=2, instances=1, threads=1)


def _tiny_sampler(seed: int) -> InstanceSampler:
    return InstanceSampler(seed, n_devices=(2,), horizon=(4, 5), period=(2.0, 2.0), inferences=("paper",))
