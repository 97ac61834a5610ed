"""The control loop as a thread: a plan at the beginning of each slot; versions are changed between two plans.

Of several web processes the one runs it that holds a lock, which ends with its process.
"""

import logging
from pathlib import Path
from threading import Lock

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from aq_gym.service.artefacts import Versions
from aq_gym.service.running import Part
from aq_gym.service.services import Services

log = logging.getLogger("aq_gym.service")
LOCK_NUMBER = 0x6171_0001  # of PostgreSQL's advisory locks; one service a database
RETRY_SECONDS = 1.0
LOOK_SECONDS = 1.0  # between two looks for another version


class Leadership:
    """An advisory lock of PostgreSQL on a connection of its own, or a lock file beside a SQLite database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._asking = Lock()  # the control loop and the webhooks share the connection
        name = engine.url.database if engine.dialect.name == "sqlite" else None
        in_file = name and name != ":memory:"
        self._file = FileLock(Path(f"{name}.control.lock"), timeout=0, thread_local=False) if in_file else None

    def held(self) -> bool:
        """Whether this process leads; tries to become the leader where nobody is."""
        if self._engine.dialect.name != "sqlite":
            with self._asking:
                return self._advisory()
        if self._file is None or self._file.is_locked:
            return True
        try:
            self._file.acquire()
        except Timeout:
            return False
        return True

    def _advisory(self) -> bool:
        """A connection that broke has lost the lock, so each call asks over that very connection."""
        try:
            if self._connection is not None:
                self._connection.execute(text("select 1"))
                return True
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.scalar(text("select pg_try_advisory_lock(:n)"), {"n": LOCK_NUMBER}):
                self._connection = connection
                return True
            connection.close()
        except DBAPIError:
            self.release()
            raise
        return False

    def release(self) -> None:
        """Let another process lead."""
        if self._connection is not None:
            self._connection.invalidate()  # closes the connection itself, and with it the lock
            self._connection.close()
            self._connection = None
        if self._file is not None:
            self._file.release()


class ControlLoop(Part):
    """Plans until it is asked to stop; a database that does not answer is asked again."""

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
                    if plan.level_deviation is not None:  # else nobody has reported, and a level is assumed
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
