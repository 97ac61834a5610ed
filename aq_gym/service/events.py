"""Live: what is there now as one answer, and server-sent events that say when it has changed."""

import json
import logging
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Response, abort, current_app, request
from flask_openapi3 import APIBlueprint, Tag
from sqlalchemy.exc import SQLAlchemyError

from aq_gym.service.maps import current_map
from aq_gym.service.planning_state import PlanningState
from aq_gym.service.services import Services, services
from aq_gym.service.store import Newest, Store

api = APIBlueprint("live", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="live")])
log = logging.getLogger("aq_gym.service")
ALERTS = 30  # in one answer
POLL = 0.2  # s between two looks for news
REST, LONGEST_REST = 3.0, 0.5  # or 3 times what the last answer took, at most 0.5 s


class Live:
    """What is newest, for all who watch: the store is asked once for all of them.

    Args:
        store: that is watched.
        most: watchers at a time; each holds a thread of the web server.
        heartbeat: seconds after which a watcher without news is sent a comment, which shows whether it is still there.
    """

    def __init__(self, store: Store, most: int, heartbeat: float = 15.0) -> None:
        self._store, self._most, self._heartbeat = store, most, heartbeat
        self._ended = threading.Event()
        self._lock, self._asking, self._cache_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self.watchers = 0
        self._newest: Newest | None = None
        self._asked = -math.inf  # when the store was asked last [s]
        self._cached: tuple[Newest, bytes] | None = None
        self._took = 0.0  # s that the last answer took to make

    def join(self) -> bool:
        """Begin to watch; False: too many do, or the service ends. Call `leave` for every True."""
        with self._lock:
            if self.watchers >= self._most or self._ended.is_set():
                return False
            self.watchers += 1
            return True

    def leave(self) -> None:
        """Watch no more."""
        with self._lock:
            self.watchers -= 1

    def close(self) -> None:
        """End all streams."""
        self._ended.set()

    def events(self) -> Iterator[str]:
        """Server-sent events: what is newest, then again at every change."""
        seen, said = None, time.monotonic()
        yield "retry: 2000\n\n"
        while not self._ended.is_set():
            newest = self.newest()
            if newest is not None and newest != seen:
                kind = "plan" if seen is None or newest.slot != seen.slot else "reading"
                seen, said = newest, time.monotonic()
                yield f"event: {kind}\ndata: {json.dumps(newest._asdict())}\n\n"
            elif time.monotonic() - said >= self._heartbeat:
                said = time.monotonic()
                yield ": still here\n\n"
            self._ended.wait(min(POLL, self._heartbeat))

    def newest(self) -> Newest | None:
        """What was newest when the store was asked last; None: it has not answered yet."""
        pause = max(POLL, min(REST * self._took, LONGEST_REST))
        if time.monotonic() - self._asked >= pause and self._asking.acquire(blocking=False):  # else another thread asks
            try:
                self._newest = self._store.newest()
            except SQLAlchemyError as error:
                log.error("database", extra={"about": {"reason": str(getattr(error, "orig", error))}})
            finally:
                self._asked = time.monotonic()
                self._asking.release()
        return self._newest

    def now(self, here: Services) -> bytes:
        """The answer of `/now`, made once for all who ask before the next change; empty before the first plan."""
        newest = (self.newest() if self.watchers else None) or self._store.newest()
        with self._cache_lock:
            if self._cached is None or self._cached[0] != newest:
                began = time.perf_counter()
                found = snapshot(here)
                if found is None:
                    return b""
                self._cached = newest, json.dumps(found).encode()
                self._took = time.perf_counter() - began
            return self._cached[1]


def snapshot(here: Services) -> dict[str, Any] | None:
    """All that the page shows of the present slot."""
    present = here.store.present()
    if present is None:
        return None
    plan, settings, problem = present.plan, here.settings, here.settings.problem
    state, decisions = PlanningState.from_json(plan.state), {x["device"]: x for x in plan.decisions}
    devices = []
    for m, device in enumerate(present.devices):
        last, decision = present.latest.get(device.id), decisions.get(device.id, {})
        energy, delay = int(state.energy[m]), 0 if decision.get("sense") else int(state.delay[m])
        to_new_budget = max(1, problem.horizon - plan.cycle_slot + 1)  # T + 1: waits for a new cycle
        wait = min(max(problem.max_sleep - delay, 1), to_new_budget) if energy else to_new_budget
        devices.append(
            {
                "device": device.id,
                "location": device.location,
                "sense": bool(decision.get("sense", False)),
                "forced": bool(decision.get("forced", False)),
                "decrease": decision.get("decrease"),
                "scarcity": decision.get("scarcity"),
                "energy": energy,
                "delay": delay,
                "stale": bool(state.stale[m]),
                "lost": int(state.lost[m]),  # scheduled reports in a row that did not come
                "wake_by": plan.slot + wait,  # the slot in which it senses at the latest
                "last_report": None if last is None else last.slot,
                "last_value": None if last is None else last.value,
            }
        )
    found = current_map(settings, here.clock, present, here.store) or {}  # empty: no reading yet
    return {
        "slot": plan.slot,
        "time": here.clock.iso(plan.slot),
        "slot_seconds": settings.slot_seconds,
        "air_seconds": settings.air_seconds,
        "cycle_slot": plan.cycle_slot,
        "horizon": problem.horizon,
        "energy_budget": problem.energy_budget,
        "alert_level": settings.alert_level,
        "degrees": settings.places.origin is not None,  # whether there is a GeoJSON
        "level": found.get("level"),
        "level_deviation": found.get("level_deviation"),
        "inference": problem.inference,
        "promised_error": found.get("average_joint_error"),
        "devices": devices,
        "locations": found.get("locations", []),
        "outlook": here.outlook.of(present),
        "alerts": [x.as_json() for x in here.store.alerts(0, ALERTS)],
    }


def live() -> Live:
    """That of the present application."""
    found: Live = current_app.extensions["aq_gym_live"]
    return found


@api.get("/now", summary="The present slot: devices, decisions, map and alerts in one answer")
def now() -> Response:
    """What the page shows; made once for each change."""
    found = live().now(services())
    if not found:
        abort(503, "no slot is planned yet")
    return Response(found, mimetype="application/json", headers={"Cache-Control": "no-cache"})


@api.get("/events", summary="Server-sent events: `plan` and `reading`", doc_ui=False)
def events() -> Response:
    """A stream that never ends, so it is not in the OpenAPI document."""
    response = Response(mimetype="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    if request.method == "HEAD":
        return response
    here = live()
    if not here.join():
        abort(503, "too many watch already; ask /api/v1/now from time to time")
    response.response = here.events()
    response.call_on_close(here.leave)
    return response
