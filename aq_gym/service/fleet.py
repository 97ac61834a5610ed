"""A simulated fleet: devices that read made-up or real air and report it over HTTP, as real ones would."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.datasets import load_readings
from aq_gym.estimation import deviation_covariance, mean_deviation
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem

Air = Callable[[int], NDArray[np.float64]]  # slot -> (N,) true concentrations [µg/m³]


class SyntheticAir:
    """Air as the network describes it: a level that drifts, and deviations from it that last for hours."""

    def __init__(self, network: SensorNetwork, seed: int) -> None:
        self._network, self._rng = network, np.random.default_rng(seed)
        n = network.n_locations
        self._root = np.linalg.cholesky(deviation_covariance(network) + 1e-9 * np.eye(n))
        self._mean_level = self._level = float(network.levels @ network.start)
        self._deviation = np.zeros(n)
        self._slot = -1

    def __call__(self, slot: int) -> NDArray[np.float64]:
        """(N,) concentrations in a slot that is not before the last one asked for [µg/m³]."""
        while self._slot < slot:
            step = self._rng.normal(0.0, 0.5 * self._network.temporal_variance**0.5)
            level = 0.995 * self._level + 0.005 * self._mean_level + step
            self._level = float(np.clip(level, 3.0, self._network.levels[-1]))
            self._deviation = 0.95 * self._deviation + 0.31 * (self._root @ self._rng.normal(size=len(self._root)))
            self._slot += 1
        return np.asarray(np.maximum(self._level * (1.0 + mean_deviation(self._network) + self._deviation), 0.0))


def air_over(network: SensorNetwork, path: Path | None, seed: int) -> Air:
    """Made-up air, or the readings of a file, a row a slot, again and again.

    Raises:
        ValueError: a malformed file, or another number of columns than locations.
    """
    if path is None:
        return SyntheticAir(network, seed)
    table = load_readings([path])[0]
    if table.shape[1] != network.n_locations:
        raise ValueError(f"{path}: expected {network.n_locations} columns, a location each, got {table.shape[1]}")
    return lambda slot: table[slot % len(table)]


class Fleet(threading.Thread):
    """All devices in one thread: each asks for its schedule and reports when it is due.

    Args:
        url: of the service.
        token: that may write for all devices.
        air: what is there.
        problem: the sensors' noise, equation (1), and how many reports get lost.
        slot_seconds: how often to ask.
        seed: of the noise and of the losses.
    """

    def __init__(self, url: str, token: str, air: Air, problem: Problem, slot_seconds: float, seed: int = 0) -> None:
        super().__init__(name="fleet", daemon=True)
        self._url, self._token, self._air, self._problem = url.rstrip("/"), token, air, problem
        self._pause, self._rng = slot_seconds / 4.0, np.random.default_rng(seed)
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Ask and report until stopped; a service that does not answer is asked again."""
        done = -1
        while not self._stop_asked.is_set():
            try:
                schedule = self._ask("/api/v1/schedule")
                if schedule["slot"] > done:
                    self.report(schedule)
                    done = schedule["slot"]
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)  # the server is starting or restarting
            self._stop_asked.wait(self._pause)

    def report(self, schedule: dict[str, Any]) -> None:
        """Send what the devices measure that are due, or that are taken for dead; some reports get lost."""
        air = self._air(schedule["slot"])
        locations = {x["id"]: x["location"] for x in self._ask("/api/v1/devices")["devices"]}
        readings = []
        for decision in schedule["decisions"]:
            if decision["sense"] or decision["stale"]:
                truth = air[locations[decision["device"]]]
                value = truth * (1.0 + self._problem.network.measurement_variance**0.5 * self._rng.normal())
                if schedule["cycle_slot"] > 0 and self._rng.random() < self._problem.loss:
                    continue
                readings.append(
                    {"device": decision["device"], "slot": schedule["slot"], "value": max(0.0, float(value))}
                )
        if readings:
            self._ask("/api/v1/readings", {"readings": readings})

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    def stop(self) -> None:
        """Ask the thread to end and wait for it."""
        self._stop_asked.set()
        self.join()
