"""Whether the map keeps its promise: each reading against what the map said of its place just before it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aq_gym.service.database import Reading
from aq_gym.service.maps import infer_map
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

WINDOW = 144  # slots whose readings count
LEAST_READINGS = 20  # fewer say nothing
TOLERANCE = 2.0  # times the promised error
MOST_SOURCES = 20_000  # devices times readings that are checked


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
    never confirms itself. In a large fleet the newest few readings are checked.
    """
    network, first, length = settings.problem.network, max(0, since), until - since + 1
    levels = {slot: level for slot, level, _ in store.levels(first, length)}
    locations = {device.id: device.location for device in store.devices()}
    limit = (length + WINDOW) * max(1, len(locations))
    readings = store.readings(None, (-1, ""), until, limit, max(0, first - WINDOW))
    most = max(LEAST_READINGS, MOST_SOURCES // max(1, len(locations)))
    newest: dict[str, Reading] = {}
    found = []
    for k, reading in enumerate(readings):
        others = [x for name, x in newest.items() if name != reading.device] if k >= len(readings) - most else []
        if others and reading.slot in levels:
            where, age = [locations[x.device] for x in others], [reading.slot - x.slot for x in others]
            here = infer_map(network, where, [x.value for x in others], age, levels[reading.slot])
            own = network.measurement_variance * reading.value**2  # what the reading itself is off
            claim = float(np.hypot(here.deviation[locations[reading.device]], own**0.5))
            error = float(reading.value - here.mean[locations[reading.device]])
            found.append(Residual(reading.device, reading.slot, error, claim))
        newest[reading.device] = reading
    return found


def confirm(settings: Settings, store: Store, until: int) -> Confirmation:
    """How far the readings of the last slots were off the map; NaN without any."""
    found = residuals(settings, store, until - WINDOW, until)
    if not found:
        return Confirmation(np.nan, np.nan, 0)
    delivered, promised = (float(np.sqrt(x)) for x in np.square([(r.error, r.claim) for r in found]).mean(axis=0))
    return Confirmation(promised, delivered, len(found))
