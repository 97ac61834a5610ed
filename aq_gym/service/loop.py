"""The control loop as a thread: a plan at the beginning of each slot; versions are changed between two plans."""

import logging

from sqlalchemy.exc import OperationalError

from aq_gym.service.artefacts import Versions
from aq_gym.service.leader import Leadership
from aq_gym.service.running import Part
from aq_gym.service.services import Services

log = logging.getLogger("aq_gym.service")
RETRY_SECONDS = 1.0
LOOK_SECONDS = 1.0  # between two looks for another version


class ControlLoop(Part):
    """Plans at the beginning of each slot, versions are changed between two; a silent database is asked again."""

    def __init__(
        self, services: Services, leadership: Leadership | None = None, versions: Versions | None = None
    ) -> None:
        super().__init__("control")
        self._leadership = leadership or Leadership(services.store.engine)
        self._services, self._versions = services, versions

    def run(self) -> None:
        """Plan the present slot, wait for the next one."""
        clock = self._services.clock
        while not self._stop_asked.is_set():
            self._change_version()
            slot = clock.slot()
            try:
                if not self._leadership.held():
                    self._stop_asked.wait(RETRY_SECONDS)
                    continue
                with self._services.metrics.planning.time():
                    plans = self._services.controller.plan_until(slot)
                for plan in plans:
                    due = [x["device"] for x in plan.decisions if x["sense"]]
                    about = {"slot": plan.slot, "due": due}
                    if plan.level_deviation is not None:  # else no level was known, and one is assumed
                        about |= {"level": round(plan.level, 2), "error": round(plan.promised_error, 3)}
                    log.info("plan", extra={"about": about})
            except OperationalError as error:
                self._services.metrics.errors.inc()
                log.error("database", extra={"about": {"reason": str(error.orig)}})
                self._stop_asked.wait(RETRY_SECONDS)
                continue
            while (left := clock.begin(slot + 1) - clock.now()) > 0 and not self._stop_asked.is_set():
                self._stop_asked.wait(min(left, LOOK_SECONDS))
                self._change_version()

    def _change_version(self) -> None:
        """Serve another version if one was promoted; one that does not load is logged, and the running one stays."""
        try:
            found = None if self._versions is None else self._versions.look()
            if found is not None:
                self._services.adopt(found)
                log.info("version", extra={"about": {"version": found.version}})
        except Exception as error:  # whatever a file of another program holds, slots are planned
            self._services.metrics.refused.inc()
            log.error("version", extra={"about": {"reason": str(error), "serving": self._services.version}})

    def stop(self) -> None:
        """Let another process lead, too."""
        super().stop()
        self._leadership.release()
