"""A small service on a database of its own."""

import contextlib
import dataclasses
import http.client
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("flask_openapi3", reason="the service needs pip install 'aq-gym[service]'")

from waitress import create_server

from aq_gym.policy import Policy
from aq_gym.problem import Problem
from aq_gym.service.app import build_services, create_app
from aq_gym.service.artefacts import Served
from aq_gym.service.events import Live
from aq_gym.service.intake import Report
from aq_gym.service.services import Services
from aq_gym.service.settings import Settings
from baselines.evaluation import build_policy
from baselines.studies.service.server import Server
from scripts import serve as scripts_serve

SLOT_SECONDS = 1000.0
OPERATOR = "the-operator's-token"
WATCHERS = 50


@pytest.fixture(scope="session")
def problem() -> Problem:
    return Problem.create("pku2018", [0, 6, 12], 12, 3, 6)


@pytest.fixture(scope="session")
def policy(problem: Problem) -> Policy:
    return build_policy("greedy", problem)[0]


@pytest.fixture
def make_services(problem: Problem, policy: Policy, tmp_path: Path) -> Callable[..., Services]:
    """Build services over one database; slot 0 began at ``began`` seconds, and the clock says so many slots later."""

    def make(slot: int = 0, **settings: object) -> Services:
        given = {
            "database": f"sqlite:///{tmp_path}/s.sqlite3",
            "slot_seconds": SLOT_SECONDS,
            "operator_token": OPERATOR,
        }
        built = build_services(Settings(problem, **{**given, **settings}), Served(problem, policy), 0.0)  # type: ignore[arg-type]
        clock = type(built.clock)(built.clock.began, SLOT_SECONDS, now=lambda: (slot + 0.5) * SLOT_SECONDS)
        return dataclasses.replace(built, clock=clock)

    return make


@pytest.fixture
def air() -> Callable[[int], float]:
    """The level of a slot [µg/m³], always the same."""
    steps = np.random.default_rng(0).normal(0.0, 4.0, 10_000)
    level = 60.0 + np.cumsum(steps)
    return lambda slot: float(np.abs(level[slot]) + 5.0)


class Running:
    """A service whose slots go by as a test wants."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.app = create_app(services)
        self.live: Live = self.app.extensions["aq_gym_live"]
        self.server = create_server(self.app, port=0, threads=WATCHERS + 8, connection_limit=1000)
        self.url = f"http://127.0.0.1:{self.server.effective_port}"
        self._calls: list[tuple[http.client.HTTPConnection, http.client.HTTPResponse]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # it is closed while it waits
            self.server.run()

    def report(self, slot: int, value: float) -> None:
        devices = self.services.store.devices()
        self.services.store.add_readings([Report(x.id, slot, value + x.position) for x in devices])

    def watch(self) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        connection.request("GET", "/api/v1/events")
        response = connection.getresponse()
        self._calls.append((connection, response))
        return response

    def hang_up(self) -> None:
        for connection, response in self._calls:
            response.close()
            connection.close()

    def stop(self) -> None:
        self.hang_up()
        self.live.close()
        self.server.task_dispatcher.shutdown()
        self.server.close()
        self.server.asyncore.close_all(self.server._map)
        self._thread.join()


@pytest.fixture
def running(make_services: Callable[..., Services]) -> Iterator[Running]:
    services = make_services(9, most_streams=WATCHERS)
    services.controller.plan_until(0)
    found = Running(services)
    yield found
    found.stop()


@pytest.fixture
def serve_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Run scripts.serve in this process until a signal ends it; what it changes of the process is put back."""
    servers: list[Any] = []

    def create(*given: Any, **how: Any) -> Any:
        servers.append(create_server(*given, **how))
        return servers[-1]

    monkeypatch.setattr(scripts_serve, "create_server", create)
    monkeypatch.setattr("aq_gym.service.logs.configure", lambda level: None)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield lambda *given: scripts_serve.main(scripts_serve.parse(["--policy", "staggered", "--port", "0", *given]))
    for number, handler in handlers:
        signal.signal(number, handler)
    for server in servers:
        server.asyncore.close_all(server._map)  # connections that its end left open


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start scripts.serve as a process of its own and wait until it answers; at the end it is killed."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(Server(tmp_path, arguments))
