"""Real processes: killed under load, and several over one PostgreSQL."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from aq_gym.service.database import Plan, make_engine
from aq_gym.service.intake import Report
from aq_gym.service.store import Store
from baselines.studies.service.kills import LEAST_ACKNOWLEDGED, LEAST_SLOT, Survival, check, kill_often
from baselines.studies.service.server import Client, Server

BIN = Path("/usr/lib/postgresql/15/bin")
Serve = Callable[..., Server]
pytestmark = pytest.mark.slow


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
    assert store.latest()["a"].slot == 3 and [x.slot for x in store.readings(0, 9)] == [1, 2, 3]
    with pytest.raises(DataError):
        store.readings(0, 9, device="\0")
    store.engine.dispose()


def wait_for_plans(store: Store, count: int) -> list[Plan]:
    """All plans, as soon as there are so many of them."""
    end = time.monotonic() + 60.0
    while True:
        with store.session() as session:
            plans = list(session.scalars(select(Plan).order_by(Plan.slot)))
        if len(plans) >= count:
            return plans
        assert time.monotonic() < end, f"{len(plans)} plans instead of {count} after a minute"
        time.sleep(0.1)


def test_another_process_plans_when_the_first_is_killed(serve: Serve, postgres: str) -> None:
    arguments = ["--database", postgres, "--slot-seconds", "0.5"]
    first, second = serve(*arguments), serve(*arguments)
    store = Store(make_engine(postgres))
    before = wait_for_plans(store, 3)
    first.kill()
    after = wait_for_plans(store, len(before) + 5)
    client = Client(second.port)
    assert client.ask("/readyz") == {"status": "ready"}
    client.close()
    assert [x.slot for x in after] == list(range(len(after))), "a slot is missing"
    essence = [(x.slot, x.state, x.decisions) for x in before]
    assert essence == [(x.slot, x.state, x.decisions) for x in after[: len(before)]]
    store.engine.dispose()


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    found = kill_often(tmp_path, rounds=2)
    assert len(found.acknowledged) >= LEAST_ACKNOWLEDGED and len(found.plans) >= LEAST_SLOT
    assert (found.lost, found.twice, found.changed, found.gaps) == (0, 0, 0, 0)


def test_a_lost_reading_and_a_changed_plan_are_noticed(tmp_path: Path) -> None:
    store = Store(make_engine(f"sqlite:///{tmp_path}/service.sqlite3"))
    store.create_tables()
    plan = {"slot": 0, "cycle_slot": 0, "level": 50.0, "promised_error": 1.0, "state": {}, "decisions": []}
    store.add_plan(Plan(**plan), [])
    known = {0: (0, 50.0, 1.0, {}, [])}
    for found, counts in [
        (Survival(acknowledged={("device_0", 3): 1.0}, plans=known), (1, 0)),
        (Survival(plans={0: (0, 51.0, 1.0, {}, [])}), (0, 1)),
        (Survival(plans={**known, 1: known[0]}), (0, 1)),
    ]:
        check(store, found)
        assert (found.lost, found.changed) == counts
