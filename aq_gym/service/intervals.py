"""Intervals of a hidden level's map that are adapted to the reports, as in the backtest."""

import numpy as np
from numpy.typing import NDArray

from aq_gym.adapted_intervals import QUANTILES, adapted_factors, variance_parts
from aq_gym.estimation import LEVELS_OF_COVERAGE, Estimate
from aq_gym.problem import Problem
from aq_gym.service.level import reported_levels
from aq_gym.service.store import Store

CLAIM = LEVELS_OF_COVERAGE.index(0.9)  # the interval that is shown
WINDOW = 1008  # slots whose reports count: a week of ten minutes
MOST_NUMBERS = 200_000  # devices x locations x slots: a large fleet has a shorter window, so that a map takes 0.1 s
FARTHEST = 3.0  # ln(factor): the deviation that grows is at most 4.5 times as large, or as small


def present_factor(problem: Problem, store: Store, until: int) -> float:
    """What the reports up to a slot make of the variance that grows between reports; 1 before any was checked.

    Devices that did not report in the window are left out. Until a device's first report in the window its delay is the
    longest, so it says almost nothing; its record is then that of the window's first report.
    """
    levels = reported_levels(problem, store, max(0, until - WINDOW + 1), until)
    came = ~np.isnan(levels)
    heard, slots = came.any(axis=0), np.flatnonzero(came.any(axis=1))
    if not len(slots):
        return 1.0
    most = 2 + MOST_NUMBERS // (problem.n_devices * problem.n_locations)
    begin = max(int(slots[0]), len(levels) - most)
    first = levels[slots[0]][came[slots[0]]][0]
    rows, levels = np.arange(len(levels))[:, None], levels[:, heard]
    last = np.maximum.accumulate(np.where(np.isnan(levels), -1, rows), axis=0)  # row of the last report; -1: none yet
    delay = np.where(last < 0, problem.longest_delay, rows - last)[begin:]
    record = np.where(last < 0, first, np.take_along_axis(levels, last, axis=0))[begin:]
    where = np.array(problem.devices)[heard]
    found = adapted_factors(problem, delay[None], record[None], devices=where, farthest=FARTHEST)
    return float(found[0, -1, CLAIM])


def interval(
    problem: Problem, factor: float, delay: NDArray[np.int64], record: NDArray[np.float64], estimate: Estimate
) -> NDArray[np.float64]:
    """(N, 2) where 90 % of what is really there should lie [µg/m³].

    Args:
        problem: with a hidden level.
        factor: of `present_factor`.
        delay: (M,) slots since the reports that the map is made of.
        record: (M,) what they said of the level [µg/m³].
        estimate: the map.
    """
    still, growing = variance_parts(problem, delay, record, estimate.deviation)
    wide = QUANTILES[CLAIM] * np.sqrt(still + factor * growing)
    return np.asarray(np.maximum(np.stack([estimate.mean - wide, estimate.mean + wide], axis=-1), 0.0))
