"""Real processes: killed under load, and several over one PostgreSQL."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aq_gym.service.database import make_engine
from aq_gym.service.intake import Report
from aq_gym.service.store import Store

BIN = Path("/usr/lib/postgresql/15/bin")
OPERATOR = "the-operator's-token"
Serve = Callable[..., tuple[subprocess.Popen[bytes], str]]
pytestmark = pytest.mark.slow


def post(url: str, readings: list[dict[str, Any]]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + "/api/v1/readings", json.dumps({"readings": readings}).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return dict(json.loads(answer.read()))


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL of its own in a temporary folder, reached over a socket there."""
    if not (BIN / "initdb").exists() or shutil.which("runuser") is None:
        pytest.skip("PostgreSQL 15 is not installed (apt install postgresql-15)")
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/aq_gym_pg.XXXXXX"], text=True).strip())
    shutil.chown(folder, "postgres")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/tmp"}
    subprocess.run([*as_postgres, BIN / "initdb", "-A", "trust", "-D", folder / "data"], **quiet)  # type: ignore[call-overload]
    options = f"-c listen_addresses= -k {folder}"
    control = [*as_postgres, BIN / "pg_ctl", "-w", "-D", folder / "data"]
    subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **quiet)  # type: ignore[call-overload]
    yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], **quiet)  # type: ignore[call-overload]
    shutil.rmtree(folder)


def test_the_store_on_postgresql(postgres: str) -> None:
    from sqlalchemy.exc import DataError

    from aq_gym.service.database import Device

    store = Store(make_engine(postgres))
    for _ in range(2):
        store.create_tables()
    store.put_device(Device(id="a", position=0, location=0, token_hash=None))
    assert store.add_readings([Report("a", 1, 2.0), Report("a", 3, 4.0)]).stored == 2
    again = store.add_readings([Report("a", 1, 2.0), Report("a", 3, 5.0), Report("a", 2, 1.0)])
    assert (again.stored, again.repeated, len(again.conflicting)) == (1, 1, 1)
    assert store.latest()["a"].slot == 3 and [x.slot for x in store.readings(None, (-1, ""), 2**31 - 1, 9)] == [1, 2, 3]
    with pytest.raises(DataError):
        store.readings("\0", (-1, ""), 9, 9)
    store.engine.dispose()


def test_another_process_plans_when_the_first_is_killed(serve: Serve, postgres: str) -> None:
    arguments = ["--database", postgres, "--slot-seconds", "0.5"]
    first, _ = serve(*arguments)
    _, url = serve(*arguments)
    store = Store(make_engine(postgres))
    time.sleep(2.0)
    before = store.plans(0)
    first.kill()
    time.sleep(4.0)
    after = store.plans(0)
    with urllib.request.urlopen(url + "/readyz", timeout=5) as answer:
        assert answer.status == 200
    assert [x.slot for x in after] == list(range(len(after))), "a slot is missing"
    assert len(after) >= len(before) + 5
    essence = [(x.slot, x.state, x.decisions) for x in before]
    assert essence == [(x.slot, x.state, x.decisions) for x in after[: len(before)]]
    store.engine.dispose()


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(serve: Serve, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    acknowledged: dict[tuple[str, int], float] = {}
    sent = 0
    plans: dict[int, Any] = {}
    store = Store(make_engine(f"sqlite:///{tmp_path}/service.sqlite3"))
    for _ in range(8):
        process, url = serve("--slot-seconds", "0.05")
        killer = threading.Timer(rng.uniform(0.2, 1.0), process.kill)
        killer.start()
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                slot = sent % 20
                batch = [{"device": f"device_{m}", "slot": slot, "value": float(sent)} for m in range(5)]
                answer = post(url, batch)
                lost = {(x["device"], x["slot"]) for x in answer["conflicting"]}
                for x in batch:
                    if (x["device"], x["slot"]) not in lost:
                        acknowledged.setdefault((x["device"], x["slot"]), x["value"])
                sent += 1
        killer.join()
        process.wait()
        for plan in store.plans(0):
            found = plan.state, plan.decisions
            assert plans.setdefault(plan.slot, found) == found, "a stored plan changed"
    stored = {(x.device, x.slot): x.value for x in store.readings(None, (-1, ""), 2**31 - 1, 10_000)}
    assert acknowledged and len(stored) == store.count_readings()
    assert {key: stored.get(key) for key in acknowledged} == acknowledged
    store.engine.dispose()
