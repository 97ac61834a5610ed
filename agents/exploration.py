"""Schedules, and epsilon-greedy choice among the allowed actions."""

import math

import numpy as np
from numpy.typing import NDArray

from agents.config import DQNConfig


def linear(start: float, end: float, fraction: float) -> float:
    """Go from ``start`` to ``end`` in a straight line; ``fraction`` beyond [0, 1] stays at the ends."""
    return start + (end - start) * min(max(fraction, 0.0), 1.0)


def cosine(start: float, end: float, fraction: float) -> float:
    """Go from ``start`` to ``end`` along half a cosine: slow, fast, slow."""
    return linear(start, end, 0.5 - 0.5 * math.cos(math.pi * min(max(fraction, 0.0), 1.0)))


def epsilon_at(config: DQNConfig, fraction: float, starting: bool) -> float:
    """Return the share of random actions at a fraction of the training; the first rounds have their own."""
    if starting:
        return 1.0 if config.start == "random" else config.epsilon_start
    share = fraction / config.epsilon_fraction if config.epsilon_fraction else 1.0
    return linear(config.epsilon_start, config.epsilon_end, share)


def random_actions(
    masks: NDArray[np.bool_], rng: np.random.Generator, weights: tuple[float, ...] | None = None
) -> NDArray[np.int64]:
    """Draw an allowed action for each row, with odds in proportion to ``weights``.

    Args:
        masks: (K, A), True where allowed; at least one in each row.
        weights: (A,) relative odds; None: all equal.

    Returns:
        (K,) actions.
    """
    odds = np.cumsum(masks * np.asarray(1.0 if weights is None else weights), axis=1)
    draws = rng.random(len(masks)) * odds[:, -1]
    return np.asarray((draws[:, None] >= odds).sum(axis=1).clip(max=masks.shape[1] - 1), dtype=np.int64)


def epsilon_greedy(
    greedy: NDArray[np.int64], random: NDArray[np.int64], epsilon: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Replace each of the (K,) greedy actions by the random one with probability ``epsilon``."""
    return np.where(rng.random(len(greedy)) < epsilon, random, greedy)
