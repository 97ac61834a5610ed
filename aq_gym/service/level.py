"""The area's level as the server knows it: from what devices reported, nothing else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from aq_gym.estimation import mean_deviation
from aq_gym.network import SensorNetwork

LEAST = 1.0  # µg/m³; a level of 0 would make every error 0


class LevelEstimate(NamedTuple):
    """A level and how far off it may be."""

    level: float  # µg/m³
    deviation: float  # standard deviation [µg/m³]


def estimate_level(network: SensorNetwork, devices: ArrayLike, values: ArrayLike, age: ArrayLike) -> LevelEstimate:
    """Each device's last reading, divided by what its location usually reads over the level, weighted by precision.

    A reading x at a location with mean deviation φ - 1 means a level of x/φ, with variance δ²x² (1), grown by σ² each
    slot (2), plus the variance of the location's deviation.

    Args:
        network: the fitted parameters.
        devices: (M,) locations.
        values: (M,) last readings [µg/m³]; NaN: none yet.
        age: (M,) slots since.

    Raises:
        ValueError: no reading at all.
    """
    rows, x = np.asarray(devices, dtype=np.intp), np.asarray(values, dtype=np.float64)
    known = ~np.isnan(x)
    if not known.any():
        raise ValueError("values: expected at least one reading, got none")
    ratio = 1.0 + mean_deviation(network)[rows]
    level = np.maximum(x / ratio, LEAST)
    field = network.variance_relation[rows].mean(axis=1) * level**2
    variance = network.measurement_variance * level**2 + network.temporal_variance * np.asarray(age) + field
    precision = 1.0 / variance[known]
    mean = float((level[known] * precision).sum() / precision.sum())
    return LevelEstimate(mean, float(precision.sum() ** -0.5))
