"""The control loop as a thread: a plan at the beginning of each slot."""

from __future__ import annotations

import logging
import threading

from sqlalchemy.exc import OperationalError

from aq_gym.service.leader import Leadership
from aq_gym.service.services import Services

log = logging.getLogger("aq_gym.service")
RETRY_SECONDS = 1.0


class ControlLoop(threading.Thread):
    """Plans until it is asked to stop; a database that does not answer is asked again."""

    def __init__(self, services: Services, leadership: Leadership | None = None) -> None:
        super().__init__(name="control", daemon=True)
        self._leadership = leadership or Leadership(services.store.engine)
        self._services, self._stop_asked = services, threading.Event()

    def run(self) -> None:
        """Plan the present slot, wait for the next one."""
        clock = self._services.clock
        while not self._stop_asked.is_set():
            slot = clock.slot()
            try:
                if not self._leadership.held():
                    self._stop_asked.wait(RETRY_SECONDS)
                    continue
                with self._services.metrics.planning.time():
                    plans = self._services.controller.plan_until(slot)
                for plan in plans:
                    due = [x["device"] for x in plan.decisions if x["sense"]]
                    about = {"slot": plan.slot, "level": round(plan.level, 2), "error": round(plan.promised_error, 3)}
                    log.info("plan", extra={"about": {**about, "due": due}})
            except OperationalError as error:
                self._services.metrics.errors.inc()
                log.error("database", extra={"about": {"reason": str(error.orig)}})
                self._stop_asked.wait(RETRY_SECONDS)
                continue
            self._stop_asked.wait(max(0.0, clock.begin(slot + 1) - clock.now()))

    def stop(self) -> None:
        """Ask the thread to end and wait for it."""
        self._stop_asked.set()
        self.join()
        self._leadership.release()
