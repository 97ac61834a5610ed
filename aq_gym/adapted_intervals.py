"""Intervals that the server adapts to the reports: uncertainty that was fitted to one season may not fit the next.

A map's variance has a part φ²γ that grows since the freshest report (φ: how many times the level a location usually
reads; γ: variance of the believed level). Each of the
50, 90 and 95 % intervals gets a factor of its own for that part, 1 at the beginning of a window. A report of a device
checks what the map claimed of its location just before: ln(factor) rises by `STEP` times the claimed share where the
reading was outside, and falls by `STEP` times the rest where it was inside (adaptive conformal inference).
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.estimation import LEVELS_OF_COVERAGE, mean_deviation
from aq_gym.problem import Problem

STEP = 0.2  # half of it and a quarter of it are in docs/experiments.md
QUANTILES = np.array([NormalDist().inv_cdf((1.0 + x) / 2.0) for x in LEVELS_OF_COVERAGE])
_LEAST = 0.05  # at least this share of a variance counts as not growing
_CLAIMED = np.array(LEVELS_OF_COVERAGE)


def adapted_factors(
    problem: Problem,
    delay: NDArray[np.int64],
    record: NDArray[np.float64],
    step: float = STEP,
    devices: ArrayLike | None = None,
    farthest: float = np.inf,
) -> NDArray[np.float64]:
    """(K, T, 3) factors after the reports of each slot, for the 50, 90 and 95 % intervals.

    Args:
        problem: with a hidden level.
        delay: (K, T, M) slots since each device's last report, at the end of each slot.
        record: (K, T, M) what it said of the level [µg/m³].
        step: by which ln(factor) moves.
        devices: (M,) locations; None: the problem's.
        farthest: |ln(factor)| at most, so that calm air for weeks is soon undone.
    """
    own, came = np.array(problem.devices if devices is None else devices), delay == 0
    came[:, 0] = False  # no slot before it made a claim that its reports could check
    k, t = np.nonzero(came.any(axis=2))
    age, last = np.minimum(delay[k, t - 1] + 1, problem.longest_delay), record[k, t - 1]
    before = problem.hidden_level.estimate(own, age, last)
    still, growing = (x[:, own] for x in variance_parts(problem, age, last, before.deviation))
    error = np.abs(record[k, t] * (1.0 + mean_deviation(problem.network)[own]) - before.mean[:, own])
    row = np.zeros(came.shape[:2], np.int64)  # of a window's slot among these
    row[k, t] = np.arange(len(k))
    log, factors = np.zeros((len(came), 3)), np.ones((*came.shape[:2], 3))
    for slot in range(1, came.shape[1]):
        at = row[:, slot]
        for m in np.flatnonzero(came[:, slot].any(axis=0)):
            wide = QUANTILES * np.sqrt(still[at, m, None] + np.exp(log) * growing[at, m, None])
            missed = error[at, m, None] > wide
            log = np.clip(log + step * came[:, slot, m, None] * (missed - (1.0 - _CLAIMED)), -farthest, farthest)
        factors[:, slot] = np.exp(log)
    return factors


def variance_parts(
    problem: Problem, delay: NDArray[np.int64], record: NDArray[np.float64], deviation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each location's variance (..., N): what does not grow since the freshest report, and what does [(µg/m³)²]."""
    variance = problem.hidden_level.level(delay, record)[1][..., None]
    whole = np.square(deviation)
    growing = np.minimum(np.square(1.0 + mean_deviation(problem.network)) * variance, (1.0 - _LEAST) * whole)
    return whole - growing, growing
