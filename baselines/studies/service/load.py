"""How many readings a second, how fast the answers, and whether memory grows."""

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.control import register_devices
from aq_gym.service.database import make_engine
from aq_gym.service.planning_state import PlanningState
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store
from baselines.studies.service.server import Client, Server

SLOT_SECONDS = 600.0
PAGE_PAUSE = 0.3  # s between two refreshes of a page, as in its script
FLEET = 1000  # devices of the large fleet
SLOTS_AHEAD = 1_000_000  # that the service is old, so that readings of any slot before are accepted


def large_fleet(folder: Path, n_readings: int, n_devices: int = FLEET) -> list[str]:
    """A database with readings of many devices, filled by one statement of SQL; arguments for the service over it."""
    network = SensorNetwork.synthetic(n_devices, seed=0)
    file = network.save(folder / "fleet.npz")
    database = folder / "service.sqlite3"
    problem = Problem.create(network, range(n_devices), 60, 10, 12)
    settings, state = Settings(problem, f"sqlite:///{database}"), json.dumps(PlanningState.first(problem).to_json())
    store = Store(make_engine(settings.database))
    store.create_tables()
    register_devices(store, settings)
    store.fact("began", repr(time.time() - SLOTS_AHEAD * SLOT_SECONDS))
    store.engine.dispose()
    with sqlite3.connect(database) as connection:
        connection.executescript(
            f"""
            PRAGMA synchronous = OFF;
            PRAGMA cache_size = -500000;
            DROP INDEX reading_by_slot;
            WITH RECURSIVE slots(slot) AS (SELECT 0 UNION ALL SELECT slot + 1 FROM slots
                                           WHERE slot + 1 < {n_readings // n_devices})
            INSERT INTO reading SELECT id, slot, 20 + (slot * 7 + position * 13) % 50, slot
            FROM (SELECT id, position FROM device ORDER BY id) CROSS JOIN slots;
            CREATE INDEX reading_by_slot ON reading (slot, device);
            INSERT INTO latest SELECT device, max(slot), value, received FROM reading GROUP BY device;
            INSERT INTO plan (slot, cycle_slot, level, level_deviation, promised_error, state, decisions)
            VALUES ({SLOTS_AHEAD - 1}, 60, 40.0, 5.0, 5.0, '{state}', '[]');
            """
        )
    connection.close()
    return ["--network", str(file), "--devices", *map(str, range(n_devices)), "--slot-seconds", str(SLOT_SECONDS)]


@contextmanager
def pages(port: int, count: int) -> Iterator[Any]:
    """So many open pages, in a process of their own; yields the numbers of refreshes that each has had."""
    spawn = get_context("spawn")
    refreshes, ended = spawn.Array("i", count), spawn.Event()
    process = spawn.Process(target=_open_pages, args=(port, refreshes, ended))
    process.start()
    try:
        yield refreshes
    finally:
        ended.set()
        process.join(5.0)
        process.kill()  # pages whose stream is silent
        process.join()


def _open_pages(port: int, refreshes: Any, ended: Any) -> None:
    def page(k: int) -> None:
        for _ in shown_by_a_page(port):
            refreshes[k] += 1

    for k in range(len(refreshes)):
        threading.Thread(target=page, args=(k,), daemon=True).start()
    ended.wait()


def shown_by_a_page(port: int) -> Generator[Any, None, None]:
    """Read the stream of events; ask for the present slot when one says that something is new, as the page does."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as stream, closing(Client(port)) as client:
        stream.request("GET", "/api/v1/events")
        with stream.getresponse() as events:
            for line in events:
                if line.startswith(b"event:"):
                    yield client.ask("/api/v1/now")
                    time.sleep(PAGE_PAUSE)


def until_shown(port: int, device: str, token: str, seconds: float, first_slot: int) -> NDArray[np.float64]:
    """Seconds from sending each of some readings, one after another, until an open page has it.

    Nobody else sends for the device, of which nothing is stored yet from the first slot on.

    Raises:
        RuntimeError: a page that is still open does not show a reading.
    """
    took, end = list[float](), time.perf_counter() + seconds
    with closing(Client(port, token)) as client, closing(shown_by_a_page(port)) as pages_now:
        next(pages_now)  # the first event comes at once
        while time.perf_counter() < end:
            slot = first_slot + len(took)
            began = time.perf_counter()
            client.report([{"device": device, "slot": slot, "value": 20.0}])
            for now in pages_now:
                if next(x["last_report"] for x in now["devices"] if x["device"] == device) == slot:
                    break
            else:
                raise RuntimeError(f"{device}: the stream ended before its reading of slot {slot} was shown")
            took.append(time.perf_counter() - began)
    return np.array(took)


def send(
    port: int, tokens: dict[str, str], size: int, seconds: float, first_slot: int, pause: float = 0.0
) -> tuple[float, NDArray[np.float64]]:
    """Every device sends new readings over a connection of its own, one request after another, ``size`` in each.

    Nothing is stored yet from the first slot on. A ``pause`` [s] is from when a device was to send until it is to send
    again; 0: as soon as it is answered.

    Returns:
        Readings a second, all devices together, and the seconds that each request took, counted from when it was to be
        sent: a device that is behind its time waits already.
    """
    start = time.perf_counter()

    def one(device: tuple[str, str]) -> list[float]:
        name, token = device
        client = Client(port, token)
        took: list[float] = []
        began = start + pause * list(tokens).index(name) / len(tokens)
        while began < start + seconds:
            time.sleep(max(0.0, began - time.perf_counter()))
            slot = first_slot + len(took) * size
            readings = [{"device": name, "slot": slot + i, "value": 20.0 + i % 50} for i in range(size)]
            stored = client.report(readings)["stored"]
            took.append(time.perf_counter() - began)
            began = began + pause if pause else time.perf_counter()
            if stored != size:
                raise RuntimeError(f"{name}, slots from {slot}: {stored} of {size} readings were new")
        client.close()
        return took

    with ThreadPoolExecutor(len(tokens)) as pool:
        took = np.concatenate(list(pool.map(one, tokens.items())))
    return size * len(took) / (time.perf_counter() - start), took


def tokens_of(port: int, count: int) -> dict[str, str]:
    """New tokens of the first devices."""
    client = Client(port)
    made = {f"device_{m}": client.ask(f"/api/v1/devices/device_{m}/token", {})["token"] for m in range(count)}
    client.close()
    return made


def memory_over(folder: Path, slots: int, slot_seconds: float) -> list[float]:
    """Resident memory [MiB] at each of the slots of a simulated fleet, with pages open and metrics read."""
    arguments = ["--simulate", "--slot-seconds", str(slot_seconds)]
    found: list[float] = []
    with Server(folder, arguments) as server, pages(server.port, 5):
        client = Client(server.port)
        end = time.monotonic() + 10.0 * slots * slot_seconds
        while len(found) <= slots and time.monotonic() < end:
            slot = client.ask("/api/v1/schedule")["slot"]
            found += [server.memory()] * (slot - len(found) + 1)
            client.ask("/metrics")
            time.sleep(slot_seconds)
    return found[: slots + 1]


def growth(memory: list[float]) -> tuple[float, float]:
    """Mean memory in the first and the last tenth of the second half [MiB]; the first half is the warm-up."""
    half = memory[len(memory) // 2 :]
    part = max(1, len(half) // 10)
    return float(np.mean(half[:part])), float(np.mean(half[-part:]))
