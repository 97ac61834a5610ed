"""Leave-one-out check of the map: each reading against the map of the other devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from aq_gym.estimation import Sources, mean_deviation, paper_map
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.database import Reading
from aq_gym.service.level import LEAST
from aq_gym.service.maps import infer_map
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

WINDOW = 144  # slots whose readings count
LEAST_READINGS = 20  # fewer say nothing
TOLERANCE = 2.0  # times the promised error
MOST_SLOTS = 1_000_000
MOST_WORK = 20_000_000  # readings that are checked, times what a map of each takes: some seconds


@dataclass(frozen=True)
class Confirmation:
    """Errors of the map where it could be checked, over the last slots."""

    promised: float  # root mean square of the standard deviations that the map claimed [µg/m³]
    delivered: float  # root mean square of reading minus map [µg/m³]
    readings: int

    @property
    def broken(self) -> bool:
        """Whether the map was off by far more than it claimed."""
        return self.readings >= LEAST_READINGS and self.delivered > TOLERANCE * self.promised


class Residual(NamedTuple):
    """A reading against the map of its place just before it came."""

    device: str
    slot: int
    error: float  # reading minus map [µg/m³]
    claim: float  # standard deviation that the map and the sensor claimed of it [µg/m³]


def infer_at(
    network: SensorNetwork, location: int, sources: ArrayLike, values: ArrayLike, age: ArrayLike, level: float
) -> tuple[float, float]:
    """Mean and deviation of one location from the readings of others, equations (1) to (6); see `maps.infer_map`.

    Args:
        network: the fitted parameters.
        location: that is inferred.
        sources: (M,) locations of the others.
        values: (M,) their last readings [µg/m³].
        age: (M,) slots since.
        level: the area's level now [µg/m³].
    """
    where, x = np.asarray(sources, dtype=np.int64), np.asarray(values, dtype=np.float64)
    level_then = np.maximum(x / (1.0 + mean_deviation(network)[where]), LEAST)
    found = paper_map(
        network, Sources(where, x, np.asarray(age, np.int64), level_then), level, fuse_measured=True, wanted=[location]
    )  # no source is there
    return float(found.mean[0]), float(found.deviation[0])


def residuals(settings: Settings, store: Store, since: int, until: int) -> list[Residual]:
    """Check the map against the readings of some slots, in the order of slots.

    A reading is compared with the map that the other devices' readings give, with the level of its slot's plan, so it
    never confirms itself. In a very large fleet the newest readings are checked.
    """
    problem, network, first = settings.problem, settings.problem.network, max(0, since)
    levels = {slot: level for slot, level, _ in store.levels(first, MOST_SLOTS)}
    locations = {device.id: device.location for device in store.devices()}
    work = len(locations) if problem.inference == "paper" else len(locations) ** 2 * network.n_locations
    most = (until - first + 1 + WINDOW) * max(1, len(locations))
    readings = store.readings(None, (-1, ""), until, max(1, most), max(0, first - WINDOW))
    checked = MOST_WORK // max(1, work)
    newest: dict[str, Reading] = {}
    found = []
    for k, reading in enumerate(readings):
        is_checked = k >= len(readings) - checked and reading.slot in levels
        others = [x for name, x in newest.items() if name != reading.device] if is_checked else []
        if others:
            where, age = [locations[x.device] for x in others], [reading.slot - x.slot for x in others]
            given = where, [x.value for x in others], age, levels[reading.slot]
            mean, deviation = _of_others(problem, locations[reading.device], given)
            own = network.measurement_variance * reading.value**2  # what the reading itself is off
            claim = float(np.hypot(deviation, own**0.5))
            found.append(Residual(reading.device, reading.slot, reading.value - mean, claim))
        newest[reading.device] = reading
    return found


def _of_others(problem: Problem, location: int, given: tuple[Any, ...]) -> tuple[float, float]:
    if problem.inference == "paper":
        return infer_at(problem.network, location, *given)
    found = infer_map(problem, *given)
    return float(found.mean[location]), float(found.deviation[location])


def confirm(settings: Settings, store: Store, until: int) -> Confirmation:
    """How far the readings of the last slots were off the map; NaN without any."""
    found = residuals(settings, store, until - WINDOW, until)
    if not found:
        return Confirmation(np.nan, np.nan, 0)
    delivered, promised = (float(np.sqrt(x)) for x in np.square([(r.error, r.claim) for r in found]).mean(axis=0))
    return Confirmation(promised, delivered, len(found))
