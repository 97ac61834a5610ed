"""The measured figures beside what must hold, and the page with them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from timeit import repeat

import numpy as np

from baselines.studies.service.kills import kill_often
from baselines.studies.service.load import FLEET, growth, large_fleet, memory_over, pages, send, tokens_of, until_shown
from baselines.studies.service.server import Client, Server
from baselines.studies.tables import markdown

MOST_GROWTH = 3.0  # MiB
OFFERED = 160.0  # single readings a second, a little more than must be managed


@dataclass(frozen=True)
class Figure:
    """One figure, and whether it is within its limit."""

    what: str
    found: str
    limit: str
    held: bool = True

    @property
    def row(self) -> list[str]:
        """Of a table."""
        return [self.what, self.found, self.limit if self.held else f"{self.limit}: MISSED"]


def load_figures(folder: Path, seconds: float, n_pages: int) -> Iterator[Figure]:
    """Readings a second in batches and one by one, while pages are open."""
    arguments = large_fleet(folder, 60_000, 6)
    with Server(folder, arguments) as server:
        tokens = tokens_of(server.port, 6)
        watched = tokens.popitem()  # its readings are waited for on a page
        rate, _ = send(server.port, tokens, 100, seconds, 20_000)
        yield Figure("batches of 100, 5 devices", f"{rate:.0f} readings/s", "500", rate >= 500)
        with pages(server.port, n_pages) as refreshes, ThreadPoolExecutor(1) as pool:
            _wait_for(refreshes)
            before = sum(refreshes[:])
            shown = pool.submit(until_shown, server.port, *watched, seconds, 500_000)
            rate, took = send(server.port, tokens, 1, seconds, 500_000, len(tokens) / OFFERED)
            refreshed = (sum(refreshes[:]) - before) / seconds
        middle, p99 = 1000.0 * np.quantile(took, [0.5, 0.99])
        what = f"single readings, {OFFERED:.0f}/s offered, {n_pages} pages open"
        yield Figure(what, f"{rate:.0f} readings/s", "150", rate >= 150)
        yield Figure("their latency, median and p99", f"{middle:.0f} and {p99:.0f} ms", "p99 100 ms", p99 < 100)
        yield Figure("refreshes of the pages meanwhile", f"{refreshed:.0f}/s", "", refreshed > 0)
        middle, worst = 1000.0 * np.quantile(shown.result(), [0.5, 1.0])
        what = "from sending a reading until a page has it, median and worst"
        yield Figure(what, f"{middle:.0f} and {worst:.0f} ms", "worst 1,000 ms", worst <= 1000)


def _wait_for(refreshes: list[int]) -> None:
    end = time.monotonic() + 30.0
    while min(refreshes[:]) < 1:
        if time.monotonic() > end:
            raise RuntimeError("not every page was sent an event")
        time.sleep(0.1)


def fleet_figures(folder: Path, n_readings: int) -> Iterator[Figure]:
    """The newest reading of each of many devices, out of many readings."""
    arguments = large_fleet(folder, n_readings)
    with Server(folder, arguments) as server:
        client = Client(server.port)
        found = client.ask("/api/v1/devices")["devices"]
        if len(found) != FLEET or any(x["last_report"] is None for x in found):
            raise RuntimeError(f"/api/v1/devices: expected the newest readings of {FLEET} devices, got {len(found)}")
        took = repeat(lambda: client.ask("/api/v1/devices"), number=1, repeat=100)
        middle, p99 = 1000.0 * np.quantile(took, [0.5, 0.99])
        what = f"newest readings of {FLEET:,} devices out of {n_readings:,}, median and p99"
        yield Figure(what, f"{middle:.0f} and {p99:.0f} ms", "median 50 ms", middle <= 50)
        took = repeat(lambda: client.ask("/api/v1/history?since=1&limit=1000"), number=1, repeat=30)
        middle = 1000.0 * float(np.median(took))
        yield Figure("a page of 1,000 readings of the history", f"{middle:.0f} ms", "")
        client.close()


def memory_figures(folder: Path, slots: int, slot_seconds: float) -> Iterator[Figure]:
    """Whether the process grows while a simulated fleet is served."""
    early, late = growth(memory_over(folder, 2 * slots, slot_seconds))
    found = f"{early:.1f} to {late:.1f} MiB"
    what = f"memory over {slots:,} slots, after as many of warm-up"
    yield Figure(what, found, f"+{MOST_GROWTH:g} MiB", late - early <= MOST_GROWTH)


def kill_figures(folder: Path, rounds: int, seed: int) -> Iterator[Figure]:
    """SIGKILL at random moments."""
    found = kill_often(folder, rounds, seed)
    what = f"SIGKILL {rounds} times: acknowledged readings, of these lost, stored twice"
    numbers = f"{len(found.acknowledged):,}, {found.lost}, {found.twice}"
    yield Figure(what, numbers, "0, 0", bool(found.acknowledged) and not found.lost and not found.twice)
    numbers = f"{len(found.plans):,}, {found.changed}, {found.gaps}"
    yield Figure("plans, of these changed, missing", numbers, "0, 0", not found.changed and not found.gaps)


def page(figures: list[Figure], signature: str) -> str:
    """The page in Markdown."""
    table = markdown(["", "measured", "limit"], [figure.row for figure in figures])
    text = (
        "A real server process and its clients on one machine, over loopback, with SQLite. Every reading that is sent "
        "is new and is stored with `synchronous=FULL`, so a commit waits for the disk. An open page reads the stream "
        "of events and asks for `/api/v1/now` when one says that something is new, at most every 0.3 seconds. A "
        "latency counts from when the request was to be sent."
    )
    return f"# The service under load\n\n{text}\n\n{table}\n{signature}\n"
