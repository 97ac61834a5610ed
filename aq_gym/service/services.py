"""The parts of a running service, for the code that answers requests; who may write, and how often."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, replace
from threading import Lock
from typing import cast

from flask import abort, current_app, request

from aq_gym.policy import Policy
from aq_gym.service.artefacts import Served
from aq_gym.service.clock import SlotClock
from aq_gym.service.control import Controller
from aq_gym.service.database import Device
from aq_gym.service.metrics import Metrics
from aq_gym.service.outlook import Outlook
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

MOST_KEYS = 10_000  # tokens whose rate is remembered


def new_token() -> str:
    """A token of 256 random bits; it is shown once and stored as a hash."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """The SHA-256 of a token; enough for random ones, which cannot be guessed from a list."""
    return hashlib.sha256(token.encode()).hexdigest()


def same_token(given: str, expected: str) -> bool:
    """Whether two tokens are the same, in a time that does not tell where they differ; an empty one is nobody's."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


class RateLimit:
    """A token bucket for each key."""

    def __init__(self, per_second: float) -> None:
        self._per_second, self._lock = per_second, Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # key -> tokens left, when that was

    def allow(self, key: str) -> bool:
        """Take one; False: too many within the last second."""
        now = time.monotonic()
        with self._lock:
            left, then = self._buckets.pop(key, (self._per_second, now))
            left = min(self._per_second, left + (now - then) * self._per_second)
            allowed = left >= 1.0
            self._buckets[key] = (left - 1.0 if allowed else left, now)
            if len(self._buckets) > MOST_KEYS:
                self._buckets.pop(next(iter(self._buckets)))  # the one that was used least recently
        return allowed


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
