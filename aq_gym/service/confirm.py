"""Whether the map keeps its promise: each reading against the map without its device."""

from __future__ import annotations

from dataclasses import dataclass

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


def confirm(settings: Settings, store: Store, until: int) -> Confirmation:
    """Check the map against the readings of the last slots; NaN without any.

    A reading is compared with the map that the other devices' readings give, with the level of its slot's plan, so it
    never confirms itself. In a large fleet the newest few readings are checked.
    """
    network, first = settings.problem.network, max(0, until - WINDOW)
    levels = {slot: level for slot, level, _ in store.levels(first, WINDOW + 1)}
    locations = {device.id: device.location for device in store.devices()}
    readings = store.readings(None, (-1, ""), until, 2 * WINDOW * max(1, len(locations)), max(0, first - WINDOW))
    most = max(LEAST_READINGS, MOST_SOURCES // max(1, len(locations)))
    newest: dict[str, Reading] = {}
    errors, claims = [], []
    for k, reading in enumerate(readings):
        others = [x for name, x in newest.items() if name != reading.device] if k >= len(readings) - most else []
        if others and reading.slot in levels:
            where, age = [locations[x.device] for x in others], [reading.slot - x.slot for x in others]
            found = infer_map(network, where, [x.value for x in others], age, levels[reading.slot])
            own = network.measurement_variance * reading.value**2  # what the reading itself is off
            errors.append(reading.value - found.mean[locations[reading.device]])
            claims.append(np.hypot(found.deviation[locations[reading.device]], own**0.5))
        newest[reading.device] = reading
    if not errors:
        return Confirmation(np.nan, np.nan, 0)
    promised, delivered = (float(np.sqrt(np.mean(np.square(x)))) for x in (claims, errors))
    return Confirmation(promised, delivered, len(errors))
