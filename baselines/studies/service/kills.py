"""SIGKILL at random moments under load: what was acknowledged must be there, once, and plans must not change."""

import http.client
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from aq_gym.service.database import Plan, Reading, make_engine
from aq_gym.service.store import Store
from baselines.studies.service.server import Client, Server

DEVICES = 5
SLOTS = 1000  # that late readings are sent for, in random order
BATCH = 20
SLOT_SECONDS = 0.2
LEAST_ACKNOWLEDGED = 20  # readings; the first kill comes after them
LEAST_SLOT = 3


@dataclass
class Survival:
    """What became of readings and plans over all rounds."""

    acknowledged: dict[tuple[str, int], float] = field(default_factory=dict)  # device and slot -> value [µg/m³]
    plans: dict[int, Any] = field(default_factory=dict)  # slot -> what was stored when it was first seen
    lost: int = 0  # acknowledged, but missing or another value
    twice: int = 0  # devices and slots that are stored more than once
    changed: int = 0  # plans that were stored and are another now, or are gone
    gaps: int = 0  # slots without a plan


def kill_often(folder: Path, rounds: int, seed: int = 0) -> Survival:
    """Start the service, send readings, kill it after 0.05 to 1 s of load; again and again over one database."""
    rng, found = np.random.default_rng(seed), Survival()
    for _ in range(rounds):
        with Server(folder, ["--slot-seconds", str(SLOT_SECONDS)]) as server:
            killer = threading.Timer(rng.uniform(0.05, 1.0), server.process.kill)
            _load(server.port, rng, found.acknowledged, killer)
            killer.join()
        check(Store(make_engine(f"sqlite:///{folder}/service.sqlite3")), found)
    return found


def _load(
    port: int, rng: np.random.Generator, acknowledged: dict[tuple[str, int], float], killer: threading.Timer
) -> None:
    """Send batches until the connection breaks; some repeat what is there with another value, which must not win.

    The killer's clock starts when some slots have passed and enough was acknowledged, however slow the machine is.
    """
    client = Client(port)
    try:
        while True:
            present = client.ask("/api/v1/schedule")["slot"]
            if killer.ident is None and present >= LEAST_SLOT and len(acknowledged) >= LEAST_ACKNOWLEDGED:
                killer.start()
            keys = {
                (f"device_{rng.integers(DEVICES)}", int(rng.integers(min(present, SLOTS) + 1))) for _ in range(BATCH)
            }
            values = {key: round(float(rng.uniform(1, 500)), 3) for key in sorted(keys)}
            batch = [{"device": device, "slot": slot, "value": x} for (device, slot), x in values.items()]
            refused = {(x["device"], x["slot"]) for x in client.report(batch)["conflicting"]}
            for key in keys - refused:
                acknowledged.setdefault(key, values[key])
    except (OSError, http.client.HTTPException):
        client.close()  # it was killed


def check(store: Store, found: Survival) -> None:
    """Compare what is stored with what was acknowledged and planned before."""
    with store.session() as session:
        rows = session.execute(select(Reading.device, Reading.slot, Reading.value)).all()
        plans = {
            x.slot: (x.cycle_slot, x.level, x.promised_error, x.state, x.decisions)
            for x in session.scalars(select(Plan))
        }
    store.engine.dispose()
    stored = {(device, slot): value for device, slot, value in rows}
    found.twice = len(rows) - len(stored)
    found.lost = sum(stored.get(key) != value for key, value in found.acknowledged.items())
    found.changed = sum(plans.get(slot) != plan for slot, plan in found.plans.items())
    found.gaps = len(set(range(max(plans) + 1)) - set(plans))
    found.plans = plans
