"""Counterfactual pairs from the compiled kernels: what would sensing have gained, all else equal?"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from agents.improvement import Pairs
from agents.networks import DuellingQ, QNetwork
from aq_gym.episodes import Episodes
from aq_gym.observation import COMPACT_FEATURES
from aq_gym.problem import Problem
from baselines.index import WIDTHS, Index

_SHARES = 8  # parts that may be played side by side, each from a seed of its own
_DOUBT, _EVERYWHERE = 0.2, 0.1  # the least fifth of the scores counts as near zero; odds of the others beside theirs
_LEVEL_LOG = [name for name, _, _ in COMPACT_FEATURES].index("level_log")


def pack(network: QNetwork) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A duelling network's gap Q(on) - Q(off) as the plain layers that `Episodes.play` and `branch` take.

    Returns:
        widths and weights, see `aq_gym.episodes.Episodes.play`.

    Raises:
        TypeError: the network is no `DuellingQ` with linearly scaled inputs (``input_scaling`` "none" or "standard").
    """
    if not isinstance(network, DuellingQ) or network.compress:
        raise TypeError(
            "only a duelling network with input_scaling 'standard' or 'none' can be compiled, got "
            f"{type(network).__name__}{' with input_scaling robust' if network.compress else ''}"
        )
    layers = [(layer.weight, layer.bias) for layer in network.trunk if isinstance(layer, torch.nn.Linear)]
    head = network.advantage_head
    with torch.no_grad():
        scale = network.output_scale
        layers.append(((head.weight[1:] - head.weight[:1]) * scale, (head.bias[1:] - head.bias[:1]) * scale))
        weight, bias = (x.detach().double() for x in layers[0])
        scaled = weight / network.input_scale.double()
        layers[0] = (scaled, bias - scaled @ network.input_center.double())
        parts = [part for weight, bias in layers for part in (weight.T.reshape(-1), bias)]
        weights = torch.cat([part.detach().float() for part in parts]).numpy()
    return np.array([network.n_inputs, *(len(bias) for _, bias in layers)], np.int64), weights


class PairCollector:
    """Plays pairs on one problem, in threads side by side; the pairs do not depend on how many there are.

    Args:
        problem: what is played.
        guide: the policy that plays on where no network is given.
        n_episodes: played side by side in each thread, on fresh levels.
        points: decisions an episode at which both actions are tried; most of them where the policy is in doubt.
        threads: None: as many as there are cores, at most eight.

    Raises:
        ValueError: when called, if no decision of the problem is free.
    """

    def __init__(
        self,
        problem: Problem,
        guide: Index | None = None,
        n_episodes: int = 64,
        points: int = 12,
        threads: int | None = None,
    ) -> None:
        self.problem, self.guide = problem, guide
        self._n_episodes, self._points = n_episodes, min(points, problem.horizon * problem.n_devices)
        self._threads = threads or min(_SHARES, len(os.sched_getaffinity(0)))

    def __call__(self, network: QNetwork | None, n_pairs: int, rng: np.random.Generator) -> Pairs:
        """``n_pairs`` pairs, rounded up to eights, under its greedy policy; each scale is the level + 10 µg/m³."""
        if network is not None:
            policy = pack(network)
        elif self.guide is not None:
            policy = WIDTHS, self.guide.weights
        else:
            raise ValueError("network: None means the guide, but the collector has none")
        share, seeds = -(-n_pairs // _SHARES), rng.integers(2**63, size=_SHARES)
        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(lambda seed: self._collect(policy, share, np.random.default_rng(seed)), seeds))
        observations, gains = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Pairs(observations, gains, np.exp(8.0 * observations[:, _LEVEL_LOG]) + np.float32(10.0))

    def _collect(
        self, policy: tuple[NDArray[np.int64], NDArray[np.float32]], n_pairs: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        problem, n = self.problem, self._n_episodes
        episodes = Episodes(problem, n, observation="compact")
        rows, unread = np.arange(n), episodes.blank()
        scores = np.empty((n, problem.horizon * problem.n_devices), np.float32)
        observations, gains, count = [], [], 0
        while count < n_pairs:
            path = episodes.draw_path(rng.random((n, problem.horizon + 1)))
            episodes.begin(rows, path, unread)
            episodes.play(*policy, scores)
            points = self._doubtful(scores, rng)
            episodes.begin(rows, path, unread)
            seen, gain = episodes.branch(*policy, points)
            free = ~np.isnan(gain)
            if not free.any():
                raise ValueError(
                    f"no pairs: all {free.size} decisions tried were forced; energy_budget {problem.energy_budget} and "
                    f"max_sleep {problem.max_sleep} leave nothing to decide in {problem.horizon} slots"
                )
            observations.append(seen[free])
            gains.append(gain[free].astype(np.float32))
            count += int(free.sum())
        return np.concatenate(observations)[:n_pairs], np.concatenate(gains)[:n_pairs]

    def _doubtful(self, scores: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
        """(K, points) decisions without repetition, likelier where the score is near zero; forced if need be."""
        size = np.abs(scores)
        near = np.nanquantile(size, _DOUBT) if not np.isnan(size).all() else 1.0
        weight = _EVERYWHERE + 1.0 / (1.0 + np.square(size / max(near, 1e-12)))
        keys = np.log(np.nan_to_num(weight, nan=1e-12)) + rng.gumbel(size=scores.shape)
        return np.sort(np.argpartition(-keys, self._points - 1, axis=1)[:, : self._points], axis=1)
