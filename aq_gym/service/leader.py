"""Which of several web processes runs the control loop: the one that holds a lock, which ends with its process."""

from pathlib import Path
from threading import Lock

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

LOCK_NUMBER = 0x6171_0001  # of PostgreSQL's advisory locks; one service a database


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
