"""Leave-one-out check of the map: each reading against the map of the other devices."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aq_gym.service.intake import Report
from aq_gym.service.maps import infer_map
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

WINDOW = 144  # slots whose readings count
LEAST_READINGS = 20  # fewer say nothing
TOLERANCE = 2.0  # times the promised error
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


def residuals(settings: Settings, store: Store, since: int, until: int) -> list[Residual]:
    """Check the map against the readings of some slots, in the order of slots.

    A reading is compared with the map that the other devices' readings give, with the level of its slot's plan, so it
    never confirms itself. In a very large fleet the newest readings are checked.
    """
    problem, network, first = settings.problem, settings.problem.network, max(0, since)
    levels = {x.slot: x.level for x in store.levels(first)}
    locations = {device.id: device.location for device in store.devices()}
    work = len(locations) if problem.inference == "paper" else len(locations) ** 2 * network.n_locations
    readings = store.readings(first - WINDOW, until)
    checked = MOST_WORK // max(1, work)
    newest: dict[str, Report] = {}
    found = []
    for k, reading in enumerate(readings):
        is_checked = k >= len(readings) - checked and reading.slot in levels
        others = [x for name, x in newest.items() if name != reading.device] if is_checked else []
        if others:
            where, age = [locations[x.device] for x in others], [reading.slot - x.slot for x in others]
            values, level, at = [x.value for x in others], levels[reading.slot], [locations[reading.device]]
            place = infer_map(problem, where, values, age, level, wanted=at)
            own = network.measurement_variance * reading.value**2  # what the reading itself is off
            claim = float(np.hypot(place.deviation[0], own**0.5))
            found.append(Residual(reading.device, reading.slot, reading.value - float(place.mean[0]), claim))
        newest[reading.device] = reading
    return found


def confirm(settings: Settings, store: Store, until: int) -> Confirmation:
    """How far the readings of the last slots were off the map; NaN without any."""
    found = residuals(settings, store, until - WINDOW, until)
    if not found:
        return Confirmation(np.nan, np.nan, 0)
    delivered, promised = (float(np.sqrt(x)) for x in np.square([(r.error, r.claim) for r in found]).mean(axis=0))
    return Confirmation(promised, delivered, len(found))
