"""A simulated fleet: devices that read made-up or real air and report it over HTTP, as real ones would."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.estimation import deviation_covariance, mean_deviation
from aq_gym.ingestion.loading import raw_readings
from aq_gym.ingestion.screening import Rules, screen
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.running import Part
from aq_gym.tables import LARGEST_READING

CONFLICT, TOO_MANY = 409, 429  # statuses
Air = Callable[[int], NDArray[np.float64]]  # slot -> (N,) true concentrations, NaN: no report [µg/m³]


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


def recorded_air(
    path: Path, network: SensorNetwork, names: Sequence[str] = (), largest: float = LARGEST_READING
) -> Air:
    """Readings of a file, one row per slot, again and again; what cannot be right is a gap, as in `scripts.calibrate`.

    Args:
        path: the file, with or without a header and times.
        network: whose locations were read.
        names: (N,) of its locations; a column of each name is looked for. Empty: the columns are the locations.
        largest: larger readings are gaps [µg/m³].

    Raises:
        ValueError: a malformed file, other columns than locations, or slots that are longer than the network's.
    """
    table = pd.DataFrame(raw_readings([path], slot_minutes=network.slot_minutes, plausible=largest)[0])
    table.columns = table.columns.map(str)
    lost = [name for name in names if name not in table.columns]
    if names and not lost:
        table = table[list(names)]
    if table.shape[1] != network.n_locations or 0 < len(lost) < len(names):  # some found: their order is no guide
        missing = f", named as {network.name!r} has them ({', '.join(lost[:5])} missing)" if lost else ""
        raise ValueError(
            f"{path}: expected {network.n_locations} columns, a location each{missing}, got {table.shape[1]}"
        )
    screened = screen([table], rules=Rules(largest))
    values = screened.tables[0].reindex(columns=table.columns).to_numpy(dtype=np.float64)  # left out: no readings
    return lambda slot: values[slot % len(values)]


class Fleet(Part):
    """All devices in one thread: each asks for its schedule and reports when it is due.

    The token is the operator's. The problem says what noise the sensors have, equation (1), and how many reports get
    lost.
    """

    def __init__(self, url: str, token: str, air: Air, problem: Problem, slot_seconds: float, seed: int = 0) -> None:
        super().__init__("fleet")
        self._url, self._token, self._air, self._problem = url.rstrip("/"), token, air, problem
        self._pause, self._rng = slot_seconds / 4.0, np.random.default_rng(seed)

    def run(self) -> None:
        """Ask and report until stopped; a service that does not answer is asked again.

        Raises:
            RuntimeError: the service refuses a request.
        """
        done = -1
        while not self._stop_asked.is_set():
            try:
                schedule = self._ask("/api/v1/schedule")
                if schedule["slot"] > done:
                    self.report(schedule)
                    done = schedule["slot"]
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != TOO_MANY:
                    reason = error.read(500).decode(errors="replace")
                    raise RuntimeError(f"{error.url}: {error.code} {reason}") from None
                time.sleep(0.2)  # the server is busy, starting or restarting
            self._stop_asked.wait(self._pause)

    def report(self, schedule: dict[str, Any]) -> None:
        """Send what the devices measure that are due, or that are taken for dead; some reports get lost."""
        air = self._air(schedule["slot"])
        locations = {x["id"]: x["location"] for x in self._ask("/api/v1/devices")["devices"]}
        readings = []
        for decision in schedule["decisions"]:
            truth = air[locations[decision["device"]]]
            if np.isnan(truth):
                continue  # a gap of the file is a report that does not come
            if decision["sense"] or decision["stale"]:
                value = truth * (1.0 + self._problem.network.measurement_variance**0.5 * self._rng.normal())
                if schedule["cycle_slot"] > 0 and self._rng.random() < self._problem.loss:
                    continue
                readings.append(
                    {"device": decision["device"], "slot": schedule["slot"], "value": max(0.0, float(value))}
                )
        if readings:
            try:
                self._ask("/api/v1/readings", {"readings": readings})
            except urllib.error.HTTPError as error:
                if error.code != CONFLICT:  # before a restart this slot was reported with other noise
                    raise

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
