"""Group commit: requests that wait for the disk share a transaction, and each learns what became of its own."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from aq_gym.service.intake import Received, Report
from aq_gym.service.services import Services
from aq_gym.service.store import Store


@pytest.fixture
def store(make_services: Callable[..., Services]) -> Store:
    return make_services().store


def together(
    store: Store, batches: list[list[Report]], at_commit: Callable[[], None] = lambda: None
) -> list[Received | BaseException]:
    """Send batches at the same time: the first is held up until all others wait."""
    intake, all_wait = store._intake, threading.Event()

    def hold(*_: object) -> None:
        all_wait.wait(10.0)
        at_commit()

    event.listen(store.engine, "commit", hold)
    with ThreadPoolExecutor(len(batches)) as pool:
        results = [pool.submit(store.add_readings, batches[0])]
        wait(lambda: intake._writing.locked() and not intake._waiting)
        results += [pool.submit(store.add_readings, batch) for batch in batches[1:]]
        wait(lambda: len(intake._waiting) == len(batches) - 1)
        all_wait.set()
        found = [x.exception() or x.result() for x in results]
    event.remove(store.engine, "commit", hold)
    return found


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_waiting_requests_share_one_transaction(store: Store) -> None:
    commits: list[int] = []
    event.listen(store.engine, "commit", lambda _: commits.append(1))
    a, b, c = Report("device_0", 5, 1.0), Report("device_0", 5, 2.0), Report("device_1", 5, 3.0)
    found = together(store, [[a], [a], [b, c], [c], [c, Report("device_0", 4, 4.0)]])
    assert len(commits) == 2, "the first one's, and one for all others"
    stored, repeated = (sum(getattr(x, name) for x in found) for name in ("stored", "repeated"))
    assert (stored, repeated) == (3, 3) and found[0] == Received(1, 0, ())
    assert [x.conflicting for x in found] == [(), (), (b,), (), ()]
    assert {name: (x.slot, x.value) for name, x in store.latest().items()} == {
        "device_0": (5, 1.0),
        "device_1": (5, 3.0),
    }


def test_a_failure_reaches_all_that_shared_the_transaction(store: Store) -> None:
    def fail() -> None:
        raise OperationalError("insert", {}, Exception("disk is full"))

    reports = [Report("device_0", slot, 1.0) for slot in range(3)]
    failed = together(store, [[x] for x in reports], fail)
    assert [type(x) for x in failed] == [OperationalError] * 3
    assert store.add_readings(reports).stored == 3, "something of the failed ones was stored"
