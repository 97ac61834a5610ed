"""Counterfactual pairs: what would sensing have gained, all else equal? Played by the kernels, and fitted in time."""

import copy
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from agents import Improvement, PairedDQN, fit_advantages
from agents.fitting import torch_threads
from agents.improvement import Pairs
from agents.networks import QNetwork
from aq_gym.episodes import Episodes, Layers
from aq_gym.observation import DEVICE_FEATURES
from aq_gym.problem import Problem
from baselines.heuristics.index import AT, WIDTHS, Index
from baselines.packing import available_cores, pack

PIECE = 4, 24  # episodes and pairs of each that are played at once where a time is set
_SHARES = 8  # parts that may be played side by side, each from a seed of its own
_DOUBT, _EVERYWHERE = 0.2, 0.1  # the least fifth of the scores counts as near zero; odds of the others beside theirs
_VALUE_COST = 3  # an update of the values takes about as long as so many of the advantages
_LEAST = 500  # pairs below which an improvement of more is not worth its fit
_TRIAL_UPDATES = 10  # to learn how long one takes


def together(parts: Sequence[Pairs]) -> Pairs:
    """All pairs in one, in that order."""
    return Pairs(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class PairCollector:
    """Plays pairs on one problem, in threads side by side; the pairs do not depend on how many there are.

    Args:
        guide: the policy that plays on where no network is given.
        observation: that the network reads, "compact" or "per_device".
        n_episodes: played side by side in each thread, on fresh levels.
        points: decisions an episode at which both actions are tried; most of them where the policy is in doubt.
        cut: slots after which a pair is cut off for the first time, and after twice as many for good; 0: never.
        alone: of the devices only the one that decided otherwise reacts, see `Episodes.branch`.
        alone_first: so where no network is given: noise falls by more than the bias that this brings in.
        threads: None: as many as there are cores, at most eight.
    """

    def __init__(
        self,
        problem: Problem,
        guide: Index | None = None,
        *,
        observation: str = "compact",
        n_episodes: int = 64,
        points: int = 24,
        cut: int = 0,
        alone: bool = False,
        alone_first: bool = False,
        threads: int | None = None,
    ) -> None:
        self.problem, self.guide, self.observation, self._alone = problem, guide, observation, alone
        self._alone_first = alone_first
        self._cuts = (cut, 2 * cut) if cut else ()
        self._n_episodes, self._points = n_episodes, min(points, problem.horizon * problem.n_devices)
        self._threads = threads or min(_SHARES, available_cores())

    def __call__(
        self, network: QNetwork | None, n_pairs: int, rng: np.random.Generator, until: float = math.inf
    ) -> Pairs:
        """Play pairs under the network's policy (None: the guide's); fewer if the time passes ``until``.

        The deltas are in µg/m³, summed over the slots; their noise grows with the level, about as level + 10 µg/m³.
        """
        layers, alone = self.layers(network), self._alone or (self._alone_first and network is None)
        share, seeds = -(-n_pairs // _SHARES), rng.integers(2**63, size=_SHARES)
        began, waves = time.perf_counter(), -(-_SHARES // self._threads)

        def play(number: int) -> Pairs:
            part = (number // self._threads + 1) / waves  # of the time, when this share's turn ends
            ends = until if math.isinf(until) else began + part * (until - began)
            return self.collect(layers, share, np.random.default_rng(seeds[number]), alone, ends)

        with ThreadPoolExecutor(self._threads) as pool:
            return together(list(pool.map(play, range(_SHARES))))

    def layers(self, network: QNetwork | None) -> Layers:
        """What plays on, ready for compiled play."""
        if network is not None:
            return pack(network)
        if self.guide is None:
            raise ValueError("network: None means the guide, but the collector has none")
        if self.observation == "compact":
            return self.guide.layers
        weights = np.insert(self.guide.weights, -1, 0.0)  # the guide reads no rows: a code of one zero
        silent = np.array([len(DEVICE_FEATURES), 1], np.int64)
        return Layers(WIDTHS + np.array([1, 0]), weights, silent, np.zeros(len(DEVICE_FEATURES) + 1, np.float32))

    def collect(
        self, layers: Layers, n_pairs: int, rng: np.random.Generator, alone: bool = False, until: float = math.inf
    ) -> Pairs:
        """Play ``n_pairs`` pairs in this thread, see `Pairs`; deltas in µg/m³, summed over the slots of a stretch.

        With a time to stop at, pairs are played a few at a time, at least once.
        """
        problem, n, points = self.problem, self._n_episodes, self._points
        if not math.isinf(until):
            n, points = min(n, PIECE[0]), min(points, PIECE[1])
        episodes = Episodes(problem, n, observation=self.observation)
        rows, unread = np.arange(n), episodes.empty_observations()
        scores = np.empty((n, problem.horizon * problem.n_devices), np.float32)
        parts: list[Pairs] = []
        count = 0
        while count < n_pairs and (not parts or time.perf_counter() < until):
            path = episodes.draw_path(rng.random((n, episodes.n_uniforms)))
            episodes.begin(rows, path, unread)
            episodes.play(layers, scores)
            chosen = _doubtful(scores, points, rng)
            episodes.begin(rows, path, unread)
            found = episodes.branch(layers, chosen, self._cuts, alone=alone)
            free = ~np.isnan(found.gains[..., 0])
            if not free.any():
                raise ValueError(
                    f"no pairs: all {free.size} decisions tried were forced; energy_budget {problem.energy_budget} and "
                    f"max_sleep {problem.max_sleep} leave nothing to decide in {problem.horizon} slots"
                )
            seen = found.observations[free]
            scales = np.exp(8.0 * seen[:, AT["level_log"]]) + np.float32(10.0)
            parts.append(Pairs(seen, found.gains[free].astype(np.float32), scales, found.tails[free], found.cut[free]))
            count += len(seen)
        return Pairs(*(part[:n_pairs] for part in together(parts)))


def _doubtful(scores: NDArray[np.float32], points: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(K, points) decisions without repetition, likelier where the score is near zero; forced if need be."""
    size = np.abs(scores)
    near = np.nanquantile(size, _DOUBT) if not np.isnan(size).all() else 1.0
    weight = _EVERYWHERE + 1.0 / (1.0 + np.square(size / max(near, 1e-12)))
    keys = np.log(np.nan_to_num(weight, nan=1e-12)) + rng.gumbel(size=scores.shape)
    return np.sort(np.argpartition(-keys, points - 1, axis=1)[:, :points], axis=1)


class Improver:
    """Calls `PairedDQN.improve` so that it ends in time."""

    def __init__(self, agent: PairedDQN, collector: PairCollector) -> None:
        self._agent, self._collector = agent, collector
        self.cost = math.nan  # seconds that a whole improvement takes, estimated from the last one

    def improve(self, left: float) -> Improvement | None:
        """One step of policy iteration in at most ``left`` seconds; None where that is too little."""
        agent, config, began = self._agent, self._agent.config, time.perf_counter()
        if math.isinf(left):
            return agent.improve(self._collector)
        if left <= 0.0 or left < self.cost / 2:  # False as long as the cost is NaN
            return None
        guided = agent.improvements == 0 and config.improve_from == "guide"
        pairs = self._collector(None if guided else agent.chosen, config.pairs, agent.rng, began + left / 2)
        played = len(pairs.deltas) / config.pairs
        if len(pairs.deltas) < min(_LEAST, config.pairs):
            return None
        collecting = time.perf_counter() - began
        updates = config.pair_updates + (_VALUE_COST * config.value_updates if config.pair_cut else 0)
        fitting = updates * self._update_seconds(pairs)
        share = min(1.0, max(0.0, left - (time.perf_counter() - began)) / max(fitting, 1e-9))
        names = ("pair_updates", "value_updates")
        agent.config = config.replace(**{name: round(share * getattr(config, name)) for name in names})
        try:
            improvement = agent.improve(lambda *_: pairs)
        finally:
            agent.config = config
        self.cost = collecting / played + fitting
        return improvement

    def _update_seconds(self, pairs: Pairs) -> float:
        """How long an update of the advantages takes, tried on a copy."""
        config, network = self._agent.config, copy.deepcopy(self._agent.online)
        given = pairs.observations[:4096], pairs.deltas[:4096, 0]
        began = time.perf_counter()
        with torch_threads(config.threads):
            fit_advantages(network, *given, updates=_TRIAL_UPDATES, batch_size=config.batch_size)
        return (time.perf_counter() - began) / _TRIAL_UPDATES
