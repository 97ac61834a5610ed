"""How often adapted intervals (`aq_gym.adapted_intervals`) hold what was read where no device stands."""

import numpy as np
from numpy.typing import NDArray

from aq_gym.adapted_intervals import QUANTILES, STEP, adapted_factors, variance_parts
from aq_gym.estimation import Estimate
from aq_gym.problem import Problem
from baselines.studies.backtest.replaying import Windows


def adapted_coverage(
    problem: Problem,
    delay: NDArray[np.int64],
    record: NDArray[np.float64],
    maps: Estimate,
    data: Windows,
    step: float = STEP,
) -> list[float]:
    """Shares of the readings at locations without a device that the adapted 50, 90 and 95 % intervals cover.

    The maps are made of the reports: (K, T, M) ages [slots] and records [µg/m³] at the end of each slot.
    """
    factors = adapted_factors(problem, delay, record, step)
    unseen = np.setdiff1d(np.arange(problem.n_locations), problem.devices)
    still, growing = variance_parts(problem, delay, record, maps.deviation)
    error = np.abs(maps.mean - data.readings[:, 1:])
    covered = []
    for i, quantile in enumerate(QUANTILES):
        wide = quantile * np.sqrt(still + factors[:, :, i, None] * growing)
        covered.append(float((error <= wide)[..., unseen].mean()))
    return covered
