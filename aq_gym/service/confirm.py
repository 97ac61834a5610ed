"""Whether the map keeps its promise: each reading against what the map said of its place just before it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aq_gym.estimation import Sources, mean_deviation, paper_map
from aq_gym.service.database import Plan, Reading
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

WINDOW = 144  # slots whose readings count
LEAST_READINGS = 20  # fewer say nothing
TOLERANCE = 2.0  # times the promised error


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
    never confirms itself.
    """
    network = settings.problem.network
    plans = {plan.slot: plan for plan in store.plans(max(0, since))}
    most = (until - since + WINDOW) * max(1, len(store.devices()))
    readings = store.readings(None, (-1, ""), until, most, max(0, since - WINDOW))
    locations = {device.id: device.location for device in store.devices()}
    newest: dict[str, Reading] = {}
    found = []
    for reading in readings:
        plan = plans.get(reading.slot)
        others = [x for name, x in newest.items() if name != reading.device]
        if plan is not None and others:
            mean, deviation = _map_of(settings, others, plan, locations)[locations[reading.device]]
            own = network.measurement_variance * reading.value**2  # what the reading itself is off
            claim = float(np.sqrt(deviation**2 + own))
            found.append(Residual(reading.device, reading.slot, reading.value - mean, claim))
        newest[reading.device] = reading
    return found


def confirm(settings: Settings, store: Store, until: int) -> Confirmation:
    """How far the readings of the last slots were off the map; NaN without any."""
    found = residuals(settings, store, until - WINDOW, until)
    if not found:
        return Confirmation(np.nan, np.nan, 0)
    delivered, promised = (float(np.sqrt(x)) for x in np.square([(r.error, r.claim) for r in found]).mean(axis=0))
    return Confirmation(promised, delivered, len(found))


def _map_of(
    settings: Settings, readings: list[Reading], plan: Plan, locations: dict[str, int]
) -> list[tuple[float, float]]:
    network = settings.problem.network
    where = np.array([locations[x.device] for x in readings])
    values = np.array([x.value for x in readings])
    age = np.array([max(0, plan.slot - x.slot) for x in readings])
    record = np.maximum(values / (1.0 + mean_deviation(network)[where]), 1.0)
    estimate = paper_map(network, Sources(where, values, age, record), plan.level)
    return list(zip(estimate.mean.tolist(), estimate.deviation.tolist(), strict=True))
