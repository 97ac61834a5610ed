"""The area's level as the server knows it: from what devices reported, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.estimation import mean_deviation
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.database import Device, Latest
from aq_gym.service.store import Store

LEAST = 1.0  # µg/m³; a level of 0 would make every error 0


class LevelEstimate(NamedTuple):
    """A level and how far off it may be."""

    level: float  # µg/m³
    deviation: float  # standard deviation [µg/m³]


def level_read(network: SensorNetwork, locations: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """(M,) the level that each reading means [µg/m³]: divided by what its location usually reads over the level."""
    ratio = 1.0 + mean_deviation(network)[np.asarray(locations, dtype=np.intp)]
    return np.maximum(np.asarray(values, dtype=np.float64) / ratio, LEAST)


def reported_levels(problem: Problem, store: Store, first: int, last: int) -> NDArray[np.float64]:
    """(last - first + 1, M) the level that each report of some slots means [µg/m³]; NaN: no report."""
    table = np.full((max(0, last - first + 1), problem.n_devices), np.nan)
    position = {device.id: device.position for device in store.devices()}
    for x in store.readings(None, (-1, ""), last, max(1, table.size), first):
        m = position[x.device]
        table[x.slot - first, m] = level_read(problem.network, problem.devices[m], x.value)
    return table


def successive_reports(
    problem: Problem, levels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """What each slot with reports meant, what the next such slot meant [µg/m³], and the slots between the two.

    Args:
        problem: the slots between are at most its ``longest_delay``.
        levels: (T, M) as of `reported_levels`.
    """
    count = (~np.isnan(levels)).sum(axis=1)
    at = np.flatnonzero(count)
    found = np.nansum(levels[at], axis=1) / count[at]
    return found[:-1], found[1:], np.minimum(np.diff(at), problem.longest_delay)


def estimate_level(network: SensorNetwork, devices: ArrayLike, values: ArrayLike, age: ArrayLike) -> LevelEstimate:
    """The levels that the devices' last readings mean, weighted by precision.

    A reading means a level of e, with variance δ²e² (1), grown by σ² each slot (2), plus the variance of the location's
    deviation.

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
    level = level_read(network, rows, x)
    field = network.variance_relation[rows].mean(axis=1) * level**2
    variance = network.measurement_variance * level**2 + network.temporal_variance * np.asarray(age) + field
    precision = 1.0 / variance[known]
    mean = float((level[known] * precision).sum() / precision.sum())
    return LevelEstimate(mean, float(precision.sum() ** -0.5))


def present_level(
    problem: Problem, devices: Sequence[Device], latest: Mapping[str, Latest], slot: int
) -> LevelEstimate | None:
    """The level with all readings that have come by now, those of the slot itself too; None: there is none.

    While no reading of the slot has come, it is the level of the slot's plan.
    """
    found = [(x.location, latest[x.id].value, max(0, slot - latest[x.id].slot)) for x in devices if x.id in latest]
    if not found:
        return None
    if problem.inference == "hidden":
        mean, variance = problem.hidden_level.belief.moments(*freshest(problem, devices, latest, slot))
        return LevelEstimate(float(mean), float(variance) ** 0.5)
    return estimate_level(problem.network, *zip(*found, strict=True))


def freshest(problem: Problem, devices: Sequence[Device], latest: Mapping[str, Latest], slot: int) -> tuple[int, float]:
    """Slots since the newest of all readings, and the level that it means [µg/m³]."""
    newest = max((x for x in devices if x.id in latest), key=lambda x: latest[x.id].slot)
    reading = latest[newest.id]
    then = level_read(problem.network, newest.location, reading.value)
    return min(max(0, slot - reading.slot), problem.longest_delay), float(then)
