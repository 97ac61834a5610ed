"""What one of several web processes does alone: it plans slots and sends alerts to other systems.

It is the one that holds a lock, which ends with its process.
"""

import hashlib
import http.client
import json
import logging
import urllib.error
import urllib.request
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from aq_gym.service.artefacts import Versions
from aq_gym.service.database import Alert
from aq_gym.service.running import Part
from aq_gym.service.services import Services
from aq_gym.service.store import Store

log = logging.getLogger("aq_gym.service")
LOCK_NUMBER = 0x6171_0001  # of PostgreSQL's advisory locks; one service a database
RETRY_SECONDS = 1.0
LOOK_SECONDS = 1.0  # between two looks for another version
TIMEOUT, FIRST_PAUSE, LONGEST_PAUSE = 5.0, 1.0, 300.0  # s, of webhooks


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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A redirection is an error: it could lead to a host that nobody listed."""


class Webhooks(Part):
    """Sends alerts to one receiver as JSON, each at least once, in order; a restart goes on after the last one."""

    def __init__(self, store: Store, url: str, leadership: Leadership, first_pause: float = FIRST_PAUSE) -> None:
        super().__init__("webhook")
        self._store, self._url, self._leadership = store, url, leadership
        self._first_pause = first_pause
        self._fact = "webhook:" + hashlib.sha256(url.encode()).hexdigest()[:32]
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    def run(self) -> None:
        """Send what is new; after a failure wait twice as long as before."""
        pause = self._first_pause
        while not self._stop_asked.wait(pause):
            try:
                if self._leadership.held():
                    self.send_new()
                pause = self._first_pause
            except (OSError, http.client.HTTPException, DBAPIError) as error:
                pause = min(2.0 * pause, LONGEST_PAUSE)
                about = {"host": urlsplit(self._url).hostname, "reason": type(error).__name__, "again_in": pause}
                log.warning("webhook", extra={"about": about})  # never the URL: its path may be a secret

    def send_new(self) -> None:
        """Send the alerts that were not sent yet, oldest first."""
        for alert in self._store.alerts_after(int(self._store.fact(self._fact, "0"))):
            self._post(alert)
            self._store.put_fact(self._fact, str(alert.id))

    def _post(self, alert: Alert) -> None:
        body = {"id": alert.id, **alert.as_json()}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers, method="POST")
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            answer.read(1000)
