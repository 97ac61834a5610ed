"""A server process of its own, and what a client needs to talk to it."""

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from baselines.studies.provenance import ROOT

OPERATOR = secrets.token_urlsafe(16)
START_SECONDS = 120.0


class Client:
    """One connection that stays open; not for several threads."""

    def __init__(self, port: int, token: str = OPERATOR) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, path: str, body: Any = None) -> Any:
        """The answer to a GET, or to a POST of a body, as JSON has it.

        Raises:
            RuntimeError: a status of 400 or more, but 409: readings that conflict are listed in the answer.
            OSError, http.client.HTTPException: no connection, or one that broke.
        """
        data = None if body is None else json.dumps(body).encode()
        self._connection.request("GET" if data is None else "POST", path, data, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400 and answer.status != 409:
            raise RuntimeError(f"{path}: {answer.status} {content[:300]!r}")
        return json.loads(content) if answer.headers["Content-Type"] == "application/json" else content

    def report(self, readings: list[dict[str, Any]]) -> Any:
        """Send readings."""
        return self.ask("/api/v1/readings", {"readings": readings})

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class Server:
    """`scripts.serve` as a process, its database and log in a folder; leaving the block kills it."""

    def __init__(self, folder: Path, arguments: Sequence[str] = ()) -> None:
        self.port = free_port()
        self._log = folder / f"{self.port}.log"
        command = [sys.executable, "-m", "scripts.serve", "--policy", "staggered", "--port", str(self.port)]
        command += ["--folder", str(folder), *arguments]
        with open(self._log, "ab") as log:
            environment = {**os.environ, "AQ_GYM_OPERATOR_TOKEN": OPERATOR}
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)

    def __enter__(self) -> Self:
        """Wait until it answers and a slot is planned.

        Raises:
            RuntimeError: it ended, or did not begin in time.
        """
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            client = Client(self.port)
            try:
                client.ask("/api/v1/schedule")
                return self
            except (OSError, RuntimeError, http.client.HTTPException):
                time.sleep(0.05)
            finally:
                client.close()
        self.kill()
        raise RuntimeError(f"the service did not start; its log ends with\n{self.log()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        self.kill()

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text("utf-8")

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait()

    def memory(self) -> float:
        """Resident memory [MiB]; Linux alone."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
