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
MOST_WORK = 1_000_000  # in a very large fleet fewer: so many numbers in the maps that are checked, half a second


def present_factor(problem: Problem, store: Store, until: int) -> float:
    """What the reports up to a slot make of the variance that grows between reports; 1 before any was checked."""
    levels = reported_levels(problem, store, max(0, until - WINDOW + 1), until)
    heard = ~np.isnan(levels).all(axis=0)  # others say nothing
    levels = levels[:, heard]
    rows = np.arange(len(levels))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(levels), -1, rows), axis=0)  # row of the last report; -1: none yet
    most = 2 + MOST_WORK // (problem.n_devices * problem.n_locations)
    begun = np.flatnonzero((last >= 0).all(axis=1))[-most:]
    if not heard.any() or len(begun) < 2:
        return 1.0
    delay, record = (rows - last)[begun], np.take_along_axis(levels, last, axis=0)[begun]
    where = np.array(problem.devices)[heard]
    return float(adapted_factors(problem, delay[None], record[None], devices=where)[0, -1, CLAIM])


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
