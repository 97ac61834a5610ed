"""What Prometheus reads at /metrics, from a registry of its own: one process, one registry."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from aq_gym.service.confirm import Confirmation, confirm
from aq_gym.service.drift import FORECAST, drifted
from aq_gym.service.planning_state import PlanningState

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from aq_gym.service.services import Services

log = logging.getLogger("aq_gym.service")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters and histograms that requests and the control loop write to."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        to = self.registry
        self.readings = Counter("aq_readings", "Readings received", ["device", "result"], registry=to)
        labels = ["method", "route", "status"]
        self.requests = Histogram(
            "aq_http_request_seconds", "Answers to requests", labels, buckets=SECONDS, registry=to
        )
        self.planning = Histogram("aq_plan_seconds", "Planning of a slot", buckets=SECONDS, registry=to)
        self.refused = Counter("aq_versions_refused", "Promoted versions that did not load", registry=to)
        self.errors = Counter("aq_control_errors", "Slots not planned at the first try", registry=to)

    def watch(self, app: Flask) -> None:
        """Time every request, and answer /metrics."""
        app.before_request(self._begin)
        app.after_request(self._end)
        app.add_url_rule("/metrics", "metrics", self._answer)

    def _begin(self) -> None:
        g.began = time.perf_counter()

    def _end(self, response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"  # never the path: it would be unbounded
        seconds = time.perf_counter() - g.get("began", time.perf_counter())
        self.requests.labels(request.method, route, response.status_code).observe(seconds)
        about = {"method": request.method, "route": route, "status": response.status_code, "seconds": round(seconds, 5)}
        log.info("request", extra={"about": about})
        return response

    def _answer(self) -> Response:
        return Response(generate_latest(self.registry), content_type=CONTENT_TYPE_LATEST)


class NetworkCollector(Collector):
    """Numbers that are read from the database when Prometheus asks: ages, energy, level and errors."""

    def __init__(self, services: Services) -> None:
        self._services, self._store, self._clock = services, services.store, services.clock
        self._confirmed = -1, Confirmation(math.nan, math.nan, 0)  # slot, and what was found up to the one before

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering asks no database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The present values."""
        age = GaugeMetricFamily("aq_reading_age_seconds", "Since a device last reported", labels=["device"])
        energy = GaugeMetricFamily("aq_energy_left", "Sensings left to a device", labels=["device"])
        stale = GaugeMetricFamily("aq_device_stale", "1: missed its scheduled report", labels=["device"])
        now = self._clock.now()
        for name, latest in self._store.latest().items():
            age.add_metric([name], max(0.0, now - latest.received))
        yield age
        plan = self._store.last_plan()
        if plan is None:
            return
        state = PlanningState.from_json(plan.state)
        for m, device in enumerate(self._store.devices()):
            energy.add_metric([device.id], float(state.energy[m]))
            stale.add_metric([device.id], float(state.stale[m]))
        yield from (energy, stale)
        drift = GaugeMetricFamily("aq_drift", "1: its residuals have changed", labels=["stream"])
        changed = drifted(self._store, plan.slot)
        for stream in (*(device.id for device in self._store.devices()), FORECAST):
            drift.add_metric([stream], float(stream in changed))
        yield drift
        if self._confirmed[0] != plan.slot:
            self._confirmed = plan.slot, confirm(self._services.settings, self._store, plan.slot - 1)
        found = self._confirmed[1]
        numbers = {
            "aq_level": ("Estimated level of the area [µg/m³]", plan.level),
            "aq_joint_error_promised": ("Average joint error that the plan claims [µg/m³]", plan.promised_error),
            "aq_map_error_promised": ("Error that the map claimed where readings came [µg/m³]", found.promised),
            "aq_map_error_delivered": ("Error that the map had where readings came [µg/m³]", found.delivered),
            "aq_version": ("The promoted version that is served; 0: none", float(self._services.version or 0)),
            "aq_plan_lag_slots": ("Slots since the last plan", float(self._clock.slot() - plan.slot)),
        }
        for name, (text, value) in numbers.items():
            yield GaugeMetricFamily(name, text, value=value)
