"""One network for many networks: a DQN over sets of devices, trained on random instances, that serves any of them.

Its pairs come from fresh instances of `aq_gym.sampler.InstanceSampler` in every step, and its network
(`agents.networks.SetQ`) reads a row for each device, so the number and the order of the devices do not matter.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import DQNConfig, GreedyPolicy, TensorBoardLogger
from agents.improvement import Collect, Pairs
from agents.networks import QNetwork
from agents.rollout import FIRST_TRAINING_SEED
from aq_gym.envs.mixed import MixedInstancesVectorEnv
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from aq_gym.problem import Problem
from aq_gym.sampler import InstanceSampler
from baselines.dqn import Training, load_trained
from baselines.index import Simulator, best_threshold
from baselines.paired_rollouts import PairCollector, available_cores, pack, padded, together
from baselines.playing import FIRST_TUNING_SEED

RECIPE = Path(__file__).with_name("generalist_recipe.json")
AGENT = Path(__file__).with_name("generalist.safetensors")
GUIDE_DECISIONS = 150_000  # to choose a threshold that one instance's play starts from
GUIDE_SEED = FIRST_TUNING_SEED + 2**20  # not the validation episodes
POINTS = 24  # pairs of an episode
VALIDATION_SEED = FIRST_TUNING_SEED  # of the sampler of validation instances, and of their first episode

Sampler = Callable[[int], InstanceSampler]


def recipe() -> DQNConfig:
    """The committed settings."""
    content = json.loads(RECIPE.read_text(encoding="utf-8"))
    return DQNConfig.named(content["config"], **content["settings"])


def compiled_error(policy: GreedyPolicy, problem: Problem, episodes: int, seed: int) -> NDArray[np.float64]:
    """(episodes,) average joint errors [µg/m³] of a network's policy on the episodes of seeds ``seed`` and on.

    The same episodes as `baselines.evaluate` plays, a hundred times as fast.

    Raises:
        TypeError: a network that can't be compiled.
    """
    return Simulator(problem, policy.observation).errors([pack(policy.network)], episodes, seed)[0]


class MixedPairCollector:
    """Plays pairs on fresh instances each time; the pairs do not depend on the number of threads.

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

    def __call__(self, network: QNetwork | None, n_pairs: int, rng: np.random.Generator) -> Pairs:
        """Play pairs under the network's policy, or under greedy sensing with each instance's best threshold.

        The scales tell each instance's spread too, so that all weigh the same. What a cut shows is the 32 compact
        numbers and the mean row: of the rest of a gain they tell as much as all rows, and cost a tenth.
        """
        sampler = self._sampler(int(rng.integers(FIRST_TRAINING_SEED, 2 * FIRST_TRAINING_SEED)))
        problems = [sampler.draw() for _ in range(self._instances)]
        seeds = rng.integers(2**63, size=len(problems))
        alone = self._alone or (self._alone_first and network is None)
        share = -(-n_pairs // len(problems))

        def play(problem: Problem, seed: int) -> Pairs:
            guide = None
            if network is None:
                guide = best_threshold(problem, GUIDE_SEED, GUIDE_DECISIONS)
            side_by_side = min(64, max(8, -(-share // POINTS)))
            cut = -(-problem.horizon // self._cut) if self._cut else 0
            shape: dict[str, Any] = {"n_episodes": side_by_side, "points": POINTS, "cut": cut}
            collector = PairCollector(problem, guide, observation="per_device", **shape)
            pairs = collector.collect(collector.layers(network), share, np.random.default_rng(seed), alone)
            spread = float((pairs.deltas[:, 0] / pairs.scales).std()) or 1.0
            return pairs._replace(
                observations=padded(pairs.observations, sampler.max_devices),
                scales=pairs.scales * np.float32(spread),
                tails=_summary(pairs.tails),
            )

        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(play, problems, seeds))
        return together(parts)


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

    solvable = False

    def __init__(self, problems: Sequence[Problem], episodes: int) -> None:
        self.problems, self.episodes = problems, episodes
        self._greedy: list[float] | None = None

    def __str__(self) -> str:
        return f"relative to greedy sensing, on {self.episodes} episodes of each of {len(self.problems)} instances"

    @property
    def greedy(self) -> list[float]:
        """Average joint error of greedy sensing with its best threshold on each instance [µg/m³]."""
        if self._greedy is None:
            self._greedy = []
            for problem in self.problems:
                policy = best_threshold(problem, GUIDE_SEED, 4 * GUIDE_DECISIONS)
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

    def draw_yardsticks(self, folder: Path, last: int) -> None:
        """The line of greedy sensing."""
        with TensorBoardLogger(folder / "greedy") as line:
            for at in (0, last):
                line.scalar("eval/relative_error", 1.0, at)


class MixedGuide:
    """Greedy sensing of every instance of a mixed batch, each with its best threshold."""

    def __init__(self, env: MixedInstancesVectorEnv) -> None:
        began = time.perf_counter()
        self._policies = [best_threshold(problem, GUIDE_SEED, GUIDE_DECISIONS) for problem in env.problems]
        self._copies = env.copies
        self.training_seconds = time.perf_counter() - began

    def __call__(self, observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(K,) allowed actions of (K, size) observations and (K, 2) masks."""
        seen = observations[:, : len(COMPACT_FEATURES)].reshape(len(self._policies), self._copies, -1)
        on = np.concatenate([p.score(rows) > 0 for p, rows in zip(self._policies, seen, strict=True)])
        return np.where((on & masks[:, 1]) | ~masks[:, 0], 1, 0)


class GeneralistTraining(Training):
    """Training of the generalist; as `baselines.dqn.Training`, on many instances instead of an id.

    Args:
        config: every setting; its ``n_environments`` is the number of instances in the first stage.
        seed: of the run.
        folder: as for `Training`.
        sampler: from a seed to what draws the instances.
        validation_instances: how many it is validated on, drawn from a seed of their own.
        kwargs: ``resume``, ``validations``, ``validation_episodes``, ``note`` and ``threads``, as for `Training`.

    Raises:
        ValueError: a network that reads no sets, or what `Training` refuses.
        TypeError: an unknown argument.
    """

    def __init__(
        self,
        config: DQNConfig,
        seed: int = 0,
        folder: Path | None = None,
        *,
        sampler: Sampler = InstanceSampler,
        validation_instances: int = 48,
        **kwargs: Any,
    ) -> None:
        if config.network != "set":
            raise ValueError(f"network: the generalist's reads sets, so it must be 'set', got {config.network!r}")
        self._sampler, self._instances = sampler, validation_instances
        super().__init__("generalist", config, seed, folder, **kwargs)

    def _prepare(self, config: DQNConfig, validation_episodes: int | None, env_kwargs: dict[str, Any]) -> DQNConfig:
        if env_kwargs:
            raise TypeError(f"GeneralistTraining: unknown argument {', '.join(map(repr, env_kwargs))}")
        sampler, held_out = self._sampler(0), self._sampler(VALIDATION_SEED)
        problems = [sampler.draw() for _ in range(config.n_environments)]
        self.env = MixedInstancesVectorEnv(problems, max_devices=sampler.max_devices, autoreset_mode="Disabled")
        self.validation_episodes = validation_episodes or 128
        instances = [held_out.draw() for _ in range(self._instances)]
        self._validation = MixedValidation(instances, self.validation_episodes)
        return config

    def _make_guide(self) -> MixedGuide:
        assert isinstance(self.env, MixedInstancesVectorEnv)
        return MixedGuide(self.env)

    def _collector(self) -> Collect:
        config = self.agent.config
        return MixedPairCollector(
            self._sampler,
            cut=config.pair_cut,
            alone=config.pair_alone,
            alone_first=config.pair_alone_first,
            threads=self.threads,
        )


def generalist_for(problem: Problem) -> GreedyPolicy:
    """The shipped agent, for a problem of the kind that it was trained on.

    Raises:
        ValueError: another inference than the paper's, or none is shipped.
    """
    if problem.inference != "paper":
        raise ValueError(
            f"generalist: was trained with the paper's inference, not with {problem.inference!r}; index is tuned for "
            "any problem, scripts.train_dqn trains an agent"
        )
    return load_generalist()


def load_generalist() -> GreedyPolicy:
    """The shipped agent that plays any instance; its ``card`` tells how it was trained.

    Raises:
        ValueError: none is shipped.
    """
    if not AGENT.exists():
        raise ValueError("generalist: no such agent is shipped; scripts.train_generalist trains one")
    return load_trained(AGENT)
