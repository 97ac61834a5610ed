"""A version that is promoted while the service runs is taken over between two slots; a bad one is not."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aq_gym.problem import Problem
from aq_gym.service.app import build_services
from aq_gym.service.artefacts import NETWORK, Artefacts, Served, Versions
from aq_gym.service.loop import ControlLoop
from aq_gym.service.settings import Settings


class Named:
    """Notes who is asked, and takes its time."""

    def __init__(self, name: str | None, asked: list[tuple[int, str | None]]) -> None:
        self._name, self._asked = name, asked

    def act(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        self._asked.append((int(info["slot"][0]), self._name))
        time.sleep(0.01)
        return np.zeros(1, np.int64)


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_running_service_takes_over_what_was_promoted(
    problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aq_gym.service.loop.LOOK_SECONDS", 0.02)
    artefacts, asked = Artefacts(tmp_path / "models"), []
    long = dataclasses.replace(problem, horizon=10_000)  # no new cycle, in which nobody is asked

    def add() -> str:
        network = dataclasses.replace(problem.network, temporal_variance=30.0 + len(artefacts.versions()))
        with artefacts.drafting() as draft:
            network.save(draft / NETWORK)
            return artefacts.add(draft, {"problem": {}})

    def load() -> Served:
        version, _, files = artefacts.promoted()
        network = type(problem.network).load(files[NETWORK]) if files else problem.network
        return Served(dataclasses.replace(long, network=network), Named(version, asked), version=version)

    settings = Settings(long, f"sqlite:///{tmp_path}/s.sqlite3", slot_seconds=0.15)
    versions = Versions(artefacts, load)
    services = build_services(settings, load(), time.time())
    value = services.metrics.registry.get_sample_value
    loop = ControlLoop(services, versions=versions)
    loop.start()
    try:
        until(lambda: len(asked) > 4)
        artefacts.promote(add())
        until(lambda: asked[-1][1] == "0001")
        assert services.settings.problem.network.temporal_variance == 30.0 and value("aq_version") == 1.0
        damaged = add()
        artefacts.promote(damaged)
        (artefacts.folder / damaged / NETWORK).write_bytes(b"no network")
        until(lambda: value("aq_versions_refused_total") == 1.0)
        seen = len(asked)
        until(lambda: len(asked) > seen + 6)
        assert asked[-1][1] == "0001" and value("aq_versions_refused_total") == 1.0, "once, not in every slot"
        artefacts.promote(None)  # a rollback
        until(lambda: asked[-1][1] is None)
        assert services.settings.problem.network == problem.network
    finally:
        loop.stop()
        services.store.engine.dispose()
    by_slot: dict[int, set[str | None]] = {}
    for slot, name in asked:
        by_slot.setdefault(slot, set()).add(name)
    assert all(len(names) == 1 for names in by_slot.values()), "a slot was decided by two versions"
    assert {name for names in by_slot.values() for name in names} == {None, "0001"}
