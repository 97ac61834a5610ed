"""The area's level as the server knows it: from what devices reported, nothing else."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.estimation import flat_map, mean_deviation
from aq_gym.forecasting.series import Series
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.database import Device, Latest, Reading
from aq_gym.service.store import Store

LEAST = 1.0  # µg/m³; a level of 0 would make every error 0
BROKEN = 10.0  # a level so many times above or below the others' median is no air
LastReadings = Mapping[str, Latest | Reading]  # the newest reading of each device that has reported, by its id


class LevelEstimate(NamedTuple):
    """A level and how far off it may be."""

    level: float  # µg/m³
    deviation: float  # standard deviation [µg/m³]


def level_read(network: SensorNetwork, locations: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """(M,) the level that each reading means [µg/m³]: divided by what its location usually reads over the level."""
    ratio = 1.0 + mean_deviation(network)[np.asarray(locations, dtype=np.intp)]
    return np.maximum(np.asarray(values, dtype=np.float64) / ratio, LEAST)


def level_series(network: SensorNetwork, levels: NDArray[np.float64]) -> Series:
    """What the service's forecasts are made from: levels (T,), and the spread of the network's locations about them."""
    spread = np.sqrt(np.square(flat_map(network, 1.0).deviation).mean())
    return Series(levels, levels, spread * levels)


def readings_table(store: Store, first: int, last: int) -> NDArray[np.float64]:
    """(last - first + 1, M) the readings of some slots [µg/m³]; NaN: none."""
    position = {device.id: device.position for device in store.devices()}
    table = np.full((last - first + 1, len(position)), np.nan)
    for x in store.readings(first, last):
        table[x.slot - first, position[x.device]] = x.value
    return table


def planned_levels(store: Store, first: int, last: int) -> NDArray[np.float64]:
    """(last - first + 1,) the levels that the plans of some slots began with [µg/m³]; NaN: unknown."""
    levels = np.full(last - first + 1, np.nan)
    for x in store.levels(first, last):
        levels[x.slot - first] = x.level
    return levels


def reported_levels(problem: Problem, store: Store, first: int, last: int) -> NDArray[np.float64]:
    """(last - first + 1, M) the level that each report of some slots means [µg/m³]; NaN: no report."""
    return level_read(problem.network, problem.devices, readings_table(store, first, last))


def believed_reports(problem: Problem, levels: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """What was believed of a hidden level at each slot with reports but the first, from the previous such slot.

    ``levels``: (T, M) that reports mean, NaN: no report. Four series: the level that the previous reports mean and the
    one that these mean [µg/m³], then mean [µg/m³] and variance of the belief about the latter.
    """
    count = (~np.isnan(levels)).sum(axis=1)
    at = np.flatnonzero(count)
    found = np.nansum(levels[at], axis=1) / count[at]
    delay = np.minimum(np.diff(at), problem.longest_delay)
    return found[:-1], found[1:], *problem.hidden_level.belief.moments(delay, found[:-1])


def estimate_level(network: SensorNetwork, devices: ArrayLike, values: ArrayLike, age: ArrayLike) -> LevelEstimate:
    """The levels that the devices' last readings mean, weighted by precision.

    A reading means a level of e. Its variance is δ²l² (1), grown by σ² each slot (2), plus the variance of the
    location's deviation; l is the mean of these levels. With e² instead of l² low readings would count most, and the
    result would be too low. A level more than `BROKEN` times above or below their median does not count: its device is
    taken for broken.

    Args:
        network: the fitted parameters.
        devices: (M,) locations.
        values: (M,) last readings [µg/m³].
        age: (M,) slots since.
    """
    rows = np.asarray(devices, dtype=np.intp)
    level = level_read(network, rows, values)
    off = np.abs(np.log(level) - np.median(np.log(level)))
    counts = (off <= math.log(BROKEN)) | (off.min() > math.log(BROKEN))  # all, where they lie in two far groups
    relative = network.measurement_variance + network.variance_relation[rows].mean(axis=1)
    variance = relative * level[counts].mean() ** 2 + network.temporal_variance * np.asarray(age)
    precision = np.where(counts, 1.0 / variance, 0.0)
    mean = float((level * precision).sum() / precision.sum())
    return LevelEstimate(mean, float(precision.sum() ** -0.5))


def last_readings(devices: Sequence[Device], newest: LastReadings, slot: int) -> list[tuple[int, float, int]]:
    """Location, value [µg/m³] and age [slots] of the newest reading of each device that has reported."""
    return [(x.location, newest[x.id].value, max(0, slot - newest[x.id].slot)) for x in devices if x.id in newest]


def present_level(problem: Problem, devices: Sequence[Device], newest: LastReadings, slot: int) -> LevelEstimate | None:
    """The level in a slot with the newest reading of each device; None: nobody has reported yet."""
    found = last_readings(devices, newest, slot)
    if not found:
        return None
    if problem.inference == "hidden":
        mean, variance = problem.hidden_level.belief.moments(*freshest(problem, devices, newest, slot))
        return LevelEstimate(float(mean), float(variance) ** 0.5)
    return estimate_level(problem.network, *zip(*found, strict=True))


def freshest(problem: Problem, devices: Sequence[Device], newest: LastReadings, slot: int) -> tuple[int, float]:
    """Slots since the newest of all readings, and the level that it means [µg/m³]."""
    device = max((x for x in devices if x.id in newest), key=lambda x: newest[x.id].slot)
    reading = newest[device.id]
    then = level_read(problem.network, device.location, reading.value)
    return min(max(0, slot - reading.slot), problem.longest_delay), float(then)
