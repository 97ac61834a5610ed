"""Metrics that are read from the database when Prometheus asks: ages, energy, level and errors."""

from __future__ import annotations

import math
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aq_gym.service.confirm import Confirmation, confirm
from aq_gym.service.drift import EVERY, FORECAST, drifted
from aq_gym.service.level import present_level
from aq_gym.service.planning_state import PlanningState
from aq_gym.service.services import Services


class NetworkCollector(Collector):
    """Of one service."""

    def __init__(self, services: Services) -> None:
        self._services, self._store, self._clock = services, services.store, services.clock
        self._skill = -1, math.nan  # slot that it was computed in, and what was found
        self._confirmed = -1, Confirmation(math.nan, math.nan, 0)  # slot, and what was found up to the one before

    def collect(self) -> Iterable[Metric]:
        """The present values."""
        age = GaugeMetricFamily("aq_reading_age_seconds", "Since a device last reported", labels=["device"])
        energy = GaugeMetricFamily("aq_energy_left", "Sensings left to a device", labels=["device"])
        stale = GaugeMetricFamily("aq_device_stale", "1: missed its scheduled report", labels=["device"])
        drift = GaugeMetricFamily("aq_drift", "1: its residuals have changed", labels=["stream"])
        present = self._store.present()
        if present is None:
            return
        plan, devices, latest = present
        now, state = self._clock.now(), PlanningState.from_json(plan.state)
        for name, reading in latest.items():
            age.add_metric([name], max(0.0, now - reading.received))
        for m, device in enumerate(devices):
            energy.add_metric([device.id], float(state.energy[m]))
            stale.add_metric([device.id], float(state.stale[m]))
        changed = drifted(self._store, plan.slot)
        for stream in (*(device.id for device in devices), FORECAST):
            drift.add_metric([stream], float(stream in changed))
        yield from (age, energy, stale, drift)
        if self._confirmed[0] != plan.slot:
            self._confirmed = plan.slot, confirm(self._services.settings, self._store, plan.slot - 1)
        if self._skill[0] < 0 or plan.slot >= self._skill[0] + EVERY:
            self._skill = plan.slot, self._services.outlook.skill(plan.slot)
        found, settings = self._confirmed[1], self._services.settings
        known = present_level(settings.problem, devices, latest, plan.slot)
        level = math.nan if known is None else known.level
        promised = math.nan if plan.level_deviation is None else plan.promised_error
        numbers = {
            "aq_level": ("Estimated level of the area [µg/m³]; NaN: no reading yet", level),
            "aq_joint_error_promised": ("Average joint error that the plan claims [µg/m³]", promised),
            "aq_map_error_promised": ("Error that the map claimed where readings came [µg/m³]", found.promised),
            "aq_map_error_delivered": ("Error that the map had where readings came [µg/m³]", found.delivered),
            "aq_forecast_skill": (
                "Skill of the last forecasts against persistence; NaN: fewer than 36 of them",
                self._skill[1],
            ),
            "aq_version": ("The promoted version that is served; 0: none", float(self._services.version or 0)),
            "aq_plan_lag_slots": ("Slots since the last plan", float(self._clock.slot() - plan.slot)),
        }
        for name, (text, value) in numbers.items():
            yield GaugeMetricFamily(name, text, value=value)
