"""Readings into the database. Requests that arrive while a transaction is written share the next one (group commit)."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from aq_gym.service.database import Latest, Reading

Key = tuple[str, int]  # device and slot


@dataclass(frozen=True)
class Report:
    """One reading as a device sent it."""

    device: str
    slot: int
    value: float  # µg/m³


@dataclass(frozen=True)
class Received:
    """What became of a batch of readings: each is in exactly one of the three."""

    stored: int
    repeated: int  # the same device, slot and value was stored before
    conflicting: tuple[Report, ...]  # another value was stored before, and stays


class Intake:
    """Stores readings; a device and slot that are known already stay as they are.

    A commit waits for the disk, some milliseconds. So one thread at a time writes, and writes what all others wait for.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        self._insert = insert(Reading).on_conflict_do_nothing().returning(Reading.device, Reading.slot)
        latest = insert(Latest)
        self._update = latest.on_conflict_do_update(
            index_elements=[Latest.device],
            set_={name: latest.excluded[name] for name in ("slot", "value", "received")},
            where=Latest.slot < latest.excluded.slot,
        )
        self._writing, self._queueing = Lock(), Lock()
        self._waiting: list[tuple[Sequence[Report], Future[Received]]] = []

    def add(self, reports: Sequence[Report]) -> Received:
        """Returns once the readings are in the database for good; raises what the database does, and stores nothing."""
        result: Future[Received] = Future()
        with self._queueing:
            self._waiting.append((reports, result))
        with self._writing:
            if not result.done():  # else another thread wrote it while this one waited
                self._write_all()
        return result.result()

    def _write_all(self) -> None:
        with self._queueing:
            batches, self._waiting = self._waiting, []
        try:
            found = self._write([reports for reports, _ in batches])
        except BaseException as error:
            for _, result in batches:
                result.set_exception(error)
            return
        for (_, result), received in zip(batches, found, strict=True):
            result.set_result(received)

    def _write(self, batches: list[Sequence[Report]]) -> list[Received]:
        """In one transaction; of a device and slot that is there several times the first counts."""
        now, together = time.time(), [report for reports in batches for report in reports]
        rows = {(r.device, r.slot): {**vars(r), "received": now} for r in reversed(together)}
        with self._engine.begin() as connection:
            new = {(device, slot) for device, slot in connection.execute(self._insert, list(rows.values()))}
            newest: dict[str, dict[str, Any]] = {}
            for device, slot in sorted(new):
                newest[device] = rows[device, slot]
            if newest:
                connection.execute(self._update, list(newest.values()))
            values = _values(connection, set(rows) - new)
        values |= {key: rows[key]["value"] for key in new}
        return [_received(reports, new, values) for reports in batches]


def _values(connection: Connection, keys: set[Key]) -> dict[Key, float]:
    """What is stored for some devices and slots [µg/m³]."""
    if not keys:
        return {}
    devices, slots = {device for device, _ in keys}, {slot for _, slot in keys}
    query = select(Reading.device, Reading.slot, Reading.value)
    found = connection.execute(query.where(Reading.device.in_(devices), Reading.slot.in_(slots)))
    return {(device, slot): value for device, slot, value in found}


def _received(reports: Sequence[Report], new: set[Key], values: dict[Key, float]) -> Received:
    """Sort a batch; the first report of a new device and slot is the one that was stored, and leaves ``new``."""
    stored, repeated, conflicting = 0, 0, []
    for report in reports:
        key = report.device, report.slot
        if key in new:
            new.remove(key)
            stored += 1
        elif values[key] == report.value:
            repeated += 1
        else:
            conflicting.append(report)
    return Received(stored, repeated, tuple(conflicting))
