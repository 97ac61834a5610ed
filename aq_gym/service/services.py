"""The parts of a running service, for the code that answers requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from flask import abort, current_app, request

from aq_gym.policy import Policy
from aq_gym.service.clock import SlotClock
from aq_gym.service.control import Controller
from aq_gym.service.database import Device
from aq_gym.service.metrics import Metrics
from aq_gym.service.outlook import Outlook
from aq_gym.service.security import RateLimit, hash_of, same_token
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store
from aq_gym.service.versions import Served


@dataclass
class Services:
    """One service. The control loop alone changes it, by `adopt`."""

    settings: Settings
    store: Store
    clock: SlotClock
    controller: Controller
    limit: RateLimit
    metrics: Metrics
    outlook: Outlook
    yardstick: Policy | None = None
    version: str | None = None

    def adopt(self, served: Served) -> None:
        """Serve something else from now on; where it cannot be, an error is raised and nothing has changed."""
        settings = replace(self.settings, problem=served.problem)
        controller = Controller(settings, self.store, served.policy)
        outlook = Outlook(settings, self.store, served.forecaster)
        self.settings, self.controller, self.outlook = settings, controller, outlook
        self.yardstick, self.version = served.yardstick, served.version


def services() -> Services:
    """Those of the present application."""
    return cast(Services, current_app.extensions["aq_gym"])


def require_writer() -> Device | None:
    """Who writes: a device by its token; None for the operator, who may write for all. Anybody else is turned away."""
    here = services()
    token = _token()
    if not here.limit.allow(hash_of(token)):
        abort(429, "too many requests with this token; wait a second")
    if same_token(token, here.settings.operator_token):
        return None
    device = here.store.device_with(hash_of(token))
    if device is None:
        abort(401, "an unknown or revoked token")
    return device


def require_operator() -> None:
    """Turn away everybody but the operator."""
    token = _token()
    if not same_token(token, services().settings.operator_token):
        abort(403, "only the operator may do that")


def _token() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        abort(401, "expected the header 'Authorization: Bearer TOKEN'")
    return token.strip()
