"""Counterfactual pairs from the compiled kernels: what would sensing have gained, all else equal?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from agents.improvement import Pairs
from agents.networks import DuellingQ, QNetwork
from aq_gym.episodes import Episodes
from aq_gym.observation import COMPACT_FEATURES
from aq_gym.problem import Problem

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
    """Plays pairs on one problem.

    Args:
        problem: what is played.
        n_episodes: played side by side, each on fresh levels.
        points: decisions an episode at which both actions are tried.

    Raises:
        ValueError: when called, if no decision of the problem is free.
    """

    def __init__(self, problem: Problem, n_episodes: int = 128, points: int = 6) -> None:
        self._episodes = Episodes(problem, n_episodes, observation="compact")
        self._points = points

    def __call__(self, network: QNetwork, n_pairs: int, rng: np.random.Generator) -> Pairs:
        """At least ``n_pairs`` pairs under the network's greedy policy; the scale of each is the level + 10 µg/m³."""
        widths, weights = pack(network)
        problem, n = self._episodes.problem, len(self._episodes)
        decisions = problem.horizon * problem.n_devices
        observations, gains, count = [], [], 0
        while count < n_pairs:
            path = self._episodes.draw_path(rng.random((n, problem.horizon + 1)))
            self._episodes.begin(np.arange(n), path, self._episodes.blank())
            points = np.sort(rng.integers(decisions, size=(n, self._points)), axis=1)
            seen, gain = self._episodes.branch(widths, weights, points)
            free = ~np.isnan(gain)
            if not free.any():
                raise ValueError(
                    f"no pairs: all {free.size} decisions tried were forced; energy_budget {problem.energy_budget} and "
                    f"max_sleep {problem.max_sleep} leave nothing to decide in {problem.horizon} slots"
                )
            observations.append(seen[free])
            gains.append(gain[free].astype(np.float32))
            count += int(free.sum())
        together = np.concatenate(observations)
        return Pairs(together, np.concatenate(gains), np.exp(8.0 * together[:, _LEVEL_LOG]) + np.float32(10.0))
