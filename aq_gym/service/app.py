"""The web application: one factory, `create_app`, and what every answer has in common."""

import json
import logging
from typing import Any, NoReturn

from flask import Response, abort, jsonify, request
from flask_openapi3 import Info, OpenAPI
from pydantic import ValidationError
from sqlalchemy.exc import DataError, OperationalError, TimeoutError
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, ServiceUnavailable

from aq_gym.service import (
    api_devices,
    api_forecast,
    api_readings,
    api_sensorthings,
    api_views,
    events,
    health,
    report,
)
from aq_gym.service.artefacts import Served
from aq_gym.service.clock import SlotClock
from aq_gym.service.control import Controller, register_devices
from aq_gym.service.database import make_engine
from aq_gym.service.metrics import Metrics
from aq_gym.service.network_metrics import NetworkCollector
from aq_gym.service.outlook import Outlook
from aq_gym.service.services import RateLimit, Services
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
PARTS = (api_readings, api_views, api_devices, api_sensorthings, events, api_forecast, health, report)
SCHEMES: dict[str, Any] = {"token": {"type": "http", "scheme": "bearer"}}
RETRY_AFTER = {429: "1", 503: "5"}  # seconds
TROUBLES = {"locked": "the database is locked by another program", "full": "the disk is full"}
log = logging.getLogger("aq_gym.service")


def build_services(settings: Settings, served: Served, began: float) -> Services:
    """The parts that requests and the control loop share; tables and devices are made where they are missing.

    ``began``: when slot 0 begins [s since 1970]; a database that has a beginning keeps its own.
    """
    store = Store(make_engine(settings.database))
    store.create_tables()
    register_devices(store, settings)
    clock = SlotClock(float(store.fact("began", repr(began))), settings.slot_seconds)
    controller, outlook = Controller(settings, store, served.policy), Outlook(settings, store, served.forecaster)
    parts = controller, RateLimit(settings.rate_per_second), Metrics(), outlook
    built = Services(settings, store, clock, *parts, served.yardstick, served.version)
    built.metrics.registry.register(NetworkCollector(built))
    return built


def create_app(services: Services) -> OpenAPI:
    """The application over some services."""
    app = OpenAPI(
        "aq_gym.service",
        info=Info(title="aq_gym", version="1", description="Readings in; map, schedule and forecast out."),
        security_schemes=SCHEMES,
        validation_error_status=422,
        validation_error_callback=_invalid,
    )
    app.config["MAX_CONTENT_LENGTH"] = services.settings.most_body_bytes
    app.extensions["aq_gym"] = services
    app.extensions["aq_gym_live"] = events.Live(services.store, services.settings.most_streams)
    for part in PARTS:
        app.register_api(part.api)
    app.after_request(_secure)
    services.metrics.watch(app)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OperationalError, _database_error)
    app.register_error_handler(TimeoutError, _database_error)  # all connections are in use
    app.register_error_handler(DataError, _data_error)
    app.register_error_handler(RecursionError, _too_deep)

    @app.get("/", doc_ui=False)
    def index() -> Response:
        return app.send_static_file("index.html")  # it asks /api/v1 for all that it shows

    @app.get("/healthz", summary="Whether the process answers")
    def healthz() -> Response:
        return jsonify(status="ok")

    @app.get("/readyz", summary="Whether it can serve: the database answers and a slot is planned")
    def readyz() -> tuple[Response, int]:
        planned = services.store.last_plan()
        late = planned is None or planned.slot < services.clock.slot() - 1
        return jsonify(status="no plan yet" if late else "ready"), 503 if late else 200

    return app


def _secure(response: Response) -> Response:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    return response


def _invalid(error: ValidationError) -> NoReturn:
    """Say the first thing that is wrong: in a field, or of the whole body."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]]
    where, what = "".join(parts).removeprefix("."), first["msg"]
    if first["type"] == "model_type":
        what = "expected a JSON object"
    elif first["type"] == "extra_forbidden":
        what = "no such field; /openapi/openapi.json names those there are"
    if where:
        abort(422, f"{where}: {what}")
    if not request.is_json:
        given = request.headers.get("Content-Type") or "none"
        abort(415, f"Content-Type: expected application/json, got {given[:80]}")
    try:
        json.loads(request.get_data())
    except (ValueError, RecursionError) as wrong:
        abort(400, f"the body: no JSON: {wrong}")
    abort(422, f"the body: {what if 'JSON' in what else 'expected a JSON object'}")


def _http_error(error: HTTPException) -> tuple[Response, int]:
    code, reason = error.code or 500, error.description
    if type(error) is RequestEntityTooLarge and reason == RequestEntityTooLarge.description:
        reason = (
            f"the body: expected at most {request.max_content_length:,} bytes; send the readings in several requests"
        )
    response = jsonify(error=error.name, reason=reason)
    if code in RETRY_AFTER:
        response.headers["Retry-After"] = RETRY_AFTER[code]
    return response, code


def _data_error(error: DataError) -> tuple[Response, int]:
    return jsonify(error="Unprocessable Entity", reason=f"the database cannot hold that: {error.orig}"), 422


def _too_deep(_: RecursionError) -> tuple[Response, int]:
    return _http_error(BadRequest("the body: JSON that is nested too deeply"))


def _database_error(error: OperationalError | TimeoutError) -> tuple[Response, int]:
    reason = str(getattr(error, "orig", error))
    log.error("database", extra={"about": {"path": request.path, "reason": reason}})
    what = next((text for word, text in TROUBLES.items() if word in reason), "the database does not answer")
    problem = f"{what}; nothing of this request was acknowledged, so send it again: a reading is stored once"
    return _http_error(ServiceUnavailable(problem))
