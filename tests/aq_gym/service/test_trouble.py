"""A locked database and a full disk: a clear 503, and nothing lost that was acknowledged."""

import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from aq_gym.service import database
from aq_gym.service.app import create_app
from aq_gym.service.loop import ControlLoop
from aq_gym.service.services import Services
from aq_gym.service.store import Store

Make = Callable[..., Services]
HEADERS = {"Authorization": "Bearer the-operator's-token"}
LAST = 100_000  # slot


def send(client: FlaskClient, first: int, count: int) -> object:
    readings = [
        {"device": f"device_{k % 3}", "slot": (first + k) // 3, "value": float((first + k) % 1000)}
        for k in range(count)
    ]
    return client.post("/api/v1/readings", json={"readings": readings}, headers=HEADERS)


def check_refusal(answer: object, reason: str) -> None:
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    assert reason in answer.json["reason"] and "send it again" in answer.json["reason"]


def stored(services: Services) -> list[float]:
    return [x.value for x in services.store.readings(0, LAST)]


def test_a_locked_database(make_services: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 100)
    services = make_services(slot=LAST)
    client = create_app(services).test_client()
    assert send(client, 0, 30).status_code == 201
    with sqlite3.connect(tmp_path / "s.sqlite3", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        check_refusal(send(client, 30, 30), "the database is locked")
        assert client.get("/api/v1/history").status_code == 200, "readers need not wait"
        other.execute("COMMIT")
    other.close()
    assert send(client, 30, 30).json["stored"] == 30
    assert stored(services) == [float(k % 1000) for k in range(60)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///{}/no/such/folder.sqlite3", "unable to open database file; does its folder exist"),
        ("sqlite:///{}/notes.txt", "file is not a database; does its folder exist, and is it a database"),
        ("postgresql+psycopg://user:secret@127.0.0.1:9/air", "user:[*]+@.*refused.*; is it running"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_in_a_line(tmp_path: Path, url: str, reason: str) -> None:
    (tmp_path / "notes.txt").write_text("no database\n" * 100)
    with pytest.raises(ConnectionError, match=rf"(?s)^database .*{reason}"):
        Store(database.make_engine(url.format(tmp_path))).create_tables()


def test_the_control_loop_waits_for_a_locked_database(
    make_services: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 50)
    monkeypatch.setattr("aq_gym.service.loop.RETRY_SECONDS", 0.05)
    services = make_services(slot=0)
    loop = ControlLoop(services)
    with sqlite3.connect(tmp_path / "s.sqlite3", isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN EXCLUSIVE")
        loop.start()
        wait(lambda: services.metrics.errors._value.get() >= 2)
        assert services.store.last_plan() is None
        other.execute("COMMIT")
    other.close()
    wait(lambda: services.store.last_plan() is not None)
    loop.stop()


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(services: Services, make_room: Callable[[], None]) -> None:
    """Send until the disk is full, make room, send on; all that was acknowledged must be there."""
    client = create_app(services).test_client()
    sent = 0
    while (answer := send(client, sent, 999)).status_code == 201:
        sent += 999
        assert sent < LAST
    check_refusal(answer, "the disk is full")
    assert sent and stored(services) == [float(k % 1000) for k in range(sent)]
    make_room()
    assert send(client, sent, 999).json["stored"] == 999
    assert stored(services) == [float(k % 1000) for k in range(sent + 999)]


def test_a_full_disk(make_services: Make, small_disk: Path) -> None:
    services = make_services(slot=LAST, database=f"sqlite:///{small_disk}/s.sqlite3")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    fill(services, ballast.unlink)
    services.store.engine.dispose()


def test_a_database_that_may_not_grow(make_services: Make) -> None:
    """The same without root: SQLite's own limit on pages."""
    services = make_services(slot=LAST)
    pages = [60]
    services.store.engine.dispose()

    def limit(connection: sqlite3.Connection, record: object, proxy: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages[0]}")

    event.listen(services.store.engine, "checkout", limit)
    fill(services, lambda: pages.append(pages.pop() * 10))
