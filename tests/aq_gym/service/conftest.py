"""A small service on a database of its own."""

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flask_openapi3", reason="the service needs pip install 'aq-gym[service]'")

from waitress import create_server

from aq_gym.policy import Policy
from aq_gym.problem import Problem
from aq_gym.service.app import build_services
from aq_gym.service.artefacts import Served
from aq_gym.service.services import Services
from aq_gym.service.settings import Settings
from baselines.evaluation import build_policy
from baselines.studies.service.server import Server
from scripts import serve as scripts_serve

SLOT_SECONDS = 1000.0
OPERATOR = "the-operator's-token"


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
