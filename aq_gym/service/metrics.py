"""What Prometheus reads at /metrics, from a registry of its own: one process, one registry."""

import logging
import time

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

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
