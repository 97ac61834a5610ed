"""What the server believes of a hidden level, from the last report and its age (docs/model.md, last part).

Two beliefs, each with `moments`: the mean [µg/m³] and the variance [(µg/m³)²] of the level ``delay`` slots after it
was ``record``. Both arguments broadcast; at delay 0 the level is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.parameters import NetworkParameters

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
BELIEFS = ("grown", "chain")
_LAGS = (1, 2, 3, 4, 6, 9, 12, 18, 24, 36)  # that the grown belief is fitted at [slots]
_MOST_STARTS = 50_000  # of pairs; of a longer series every n-th slot is one
_LEAST_PAIRS = 200  # at each lag
_LOW = np.array([1e-6, 1e-6, 1e-6, 0.0, 1e-6])  # bounds of q0, q1, q2, h, k
_HIGH = np.array([1e6, 1e4, 10.0, 4.0, 1.0])


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

    @classmethod
    def fit(cls, levels: Sequence[ArrayLike]) -> GrownBelief | None:
        """Fit the belief to the level's course.

        m is the mean level. The others maximise the Gaussian likelihood of the level ``d`` slots later, over pairs of
        slots within one period, by Fisher scoring.

        Args:
            levels: (T,) for each uninterrupted period [µg/m³]; NaN where nothing is known.

        Returns:
            The belief, or None where fewer than 200 pairs are 36 slots apart.
        """
        series = [np.asarray(x, dtype=np.float64) for x in levels]
        pairs = [_pairs(series, lag) for lag in _LAGS]
        if min(len(then) for then, _ in pairs) < _LEAST_PAIRS:
            return None
        m = float(np.nanmean(np.concatenate(series)))
        d = np.concatenate([np.full(len(then), float(lag)) for lag, (then, _) in zip(_LAGS, pairs, strict=True)])
        u, now = (np.concatenate(x) for x in zip(*pairs, strict=True))
        q0, q1, q2, h, k = _most_likely(m, d, u, now).tolist()
        return cls(q0, q1, q2, h, k, max(m, 1e-6))


def _pairs(series: Sequence[NDArray[np.float64]], lag: int) -> Moments:
    """The levels of slots, and those ``lag`` slots later, each (n,)."""
    stride = -(-sum(len(x) for x in series) // _MOST_STARTS)
    then = np.concatenate([x[:-lag][::stride] for x in series])
    now = np.concatenate([x[lag:][::stride] for x in series])
    known = np.isfinite(then) & np.isfinite(now)
    return then[known], now[known]


def _most_likely(
    m: float, d: NDArray[np.float64], u: NDArray[np.float64], now: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(5,) q0, q1, q2, h, k of the greatest likelihood of the levels ``now``, ``d`` slots after ``u``."""

    def loss(x: NDArray[np.float64]) -> float:
        mean, variance = GrownBelief._make([*x, m]).moments(d, u)
        return float((np.log(variance) + np.square(now - mean) / variance).mean())

    best = np.array([5.0, 1.0, 0.03, 1.4, 0.003])
    least, damping = loss(best), 1e-3
    for _ in range(200):
        q0, q1, q2, h, k = best
        fade, grown = np.exp(-k * d), d**h
        growing = (q1 + q2 * u) * grown
        mean, variance = np.maximum(m + (u - m) * fade, 1.0), q0 + (q1 + q2 * u) * growing
        mean_slope = (m - u) * d * fade * k  # by ln k
        slopes = [np.full(len(d), q0), 2.0 * growing * q1, 2.0 * growing * u * q2, (variance - q0) * np.log(d)]
        by = np.stack([*slopes, np.zeros(len(d))]) / variance  # of ln variance by ln q0, ln q1, ln q2, h, ln k
        error = now - mean
        gradient = by @ (np.square(error) / variance - 1.0) / 2.0
        gradient[4] += (mean_slope * error / variance).sum()
        information = by @ by.T / 2.0
        information[4, 4] += (np.square(mean_slope) / variance).sum()
        diagonal = np.maximum(np.diag(information), 1e-12 * information.max())
        step = np.linalg.solve(information + np.diag(damping * diagonal), gradient)
        tried = np.where(np.arange(5) == 3, best + step, best * np.exp(np.clip(step, -2.0, 2.0)))
        tried = np.clip(tried, _LOW, _HIGH)
        found = loss(tried)
        if found <= least + 1e-12 * abs(least):  # rounding must not end it before the gradient does
            small = np.abs(tried / np.maximum(best, 1e-9) - 1.0).max() < 1e-10
            best, least, damping = tried, found, damping / 10.0
            if small:
                break
        else:
            damping = max(damping, 1e-9) * 10.0
            if damping > 1e9:
                break
    return best


class ChainBelief:
    """Rows of P^d: exact if the level follows the chain. A record is rounded to the nearest level.

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


Belief: TypeAlias = GrownBelief | ChainBelief


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
