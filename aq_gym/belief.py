"""What the server believes of a hidden level, from the last report and its age (MODEL.md, last section).

Two beliefs, each with `moments`: the mean [µg/m³] and the variance [(µg/m³)²] of the level ``delay`` slots after it
was ``record``. Both arguments broadcast; at delay 0 the level is known.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.parameters import NetworkParameters

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
BELIEFS = ("grown", "chain")


class Belief(Protocol):
    """Mean and variance of the level, given the last report."""

    def moments(self, delay: ArrayLike, record: ArrayLike) -> Moments: ...  # noqa: D102 - see the module


class GrownBelief(NamedTuple):
    """Mean m + (u - m) exp(-k d), at least 1; variance q0 + (q1 + q2 u)² d^h. Fitted to readings, so calibrated.

    The fields, in the order of a network's ``level_belief``: q0 [(µg/m³)²], q1 [µg/m³], q2 [1], h [1], k [1/slot],
    m [µg/m³].
    """

    q0: float
    q1: float
    q2: float
    h: float
    k: float
    m: float

    def moments(self, delay: ArrayLike, record: ArrayLike) -> Moments:
        """Mean and variance of the level, ``delay`` slots after it was ``record``."""
        d, u = np.asarray(delay, dtype=np.float64), np.asarray(record, dtype=np.float64)
        mean = np.where(d > 0, np.maximum(self.m + (u - self.m) * np.exp(-self.k * d), 1.0), u)
        variance = np.where(d > 0, self.q0 + np.square(self.q1 + self.q2 * u) * d**self.h, 0.0)
        return mean, variance


class ChainBelief:
    """The rows of P^d: right in the model's own weather. A record counts as the nearest of the levels.

    Attributes:
        means, variances: (delays, E) for each delay and level.
    """

    def __init__(self, levels: NDArray[np.float64], transition: NDArray[np.float64], longest: int) -> None:
        """Tables for delays 0..longest; later ones count as the longest."""
        self.levels = levels
        first, second = [levels], [np.square(levels)]
        for _ in range(longest):
            first.append(transition @ first[-1])
            second.append(transition @ second[-1])
        self.means = np.array(first)
        self.variances = np.maximum(np.array(second) - np.square(self.means), 0.0)
        self.variances[0] = 0.0

    def moments(self, delay: ArrayLike, record: ArrayLike) -> Moments:
        """Mean and variance of the level, ``delay`` slots after it was ``record``."""
        middles = (self.levels[1:] + self.levels[:-1]) / 2.0
        nearest = np.searchsorted(middles, np.asarray(record, dtype=np.float64))
        d = np.minimum(np.asarray(delay, dtype=np.int64), len(self.means) - 1)
        return self.means[d, nearest], self.variances[d, nearest]


def belief_of(network: NetworkParameters, word: str, longest: int) -> Belief:
    """The belief meant by ``word``, "grown" or "chain", for delays up to ``longest`` slots.

    Raises:
        ValueError: an unknown word, or "grown" for a network to which none was fitted.
    """
    if word not in BELIEFS:
        raise ValueError(f"belief: expected one of {', '.join(BELIEFS)}, got {word!r}")
    if word == "chain":
        return ChainBelief(network.levels, network.transition, longest)
    if network.level_belief is None:
        raise ValueError(
            f"belief: {network.name!r} has no level_belief, which 'grown' needs; scripts.fit_network fits it, or take "
            "belief='chain'"
        )
    return GrownBelief(*network.level_belief.tolist())
