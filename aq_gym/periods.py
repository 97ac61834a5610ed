"""Tables of readings as `calibration.fit` takes them, one for each uninterrupted period; and their slots' levels."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.parameters import DEFAULT_SLOT_MINUTES
from aq_gym.tables import as_table

LEAST_SHARE = 0.5  # of the devices must be read in a slot, or its level is not known
_ROUNDS = 20  # shares and levels settle within 1e-6 after a few


def checked_periods(
    readings: Sequence[ArrayLike], slot_minutes: float | None, largest: float
) -> tuple[list[NDArray[np.float64]], float]:
    """The tables as arrays (T, N) [µg/m³], NaN where nothing was read, and the minutes of a slot.

    `slot_minutes` None: taken from a frame's index of times, or ten minutes where there is none.

    Raises:
        ValueError: something else than tables of plausible readings, of the same devices, in slots of one length.
    """
    if getattr(readings, "ndim", None) == 2:
        raise ValueError("readings must be a list of tables, one for each uninterrupted period: put it into a list")
    if not isinstance(readings, Iterable) or isinstance(readings, str | bytes | Mapping):
        raise ValueError(f"readings must be a list of (T, N) tables, got {type(readings).__name__}")
    listed = list(readings)
    if not listed:
        raise ValueError("readings is empty: give at least one (T, N) table")
    tables = [as_table(f"readings[{k}]", given, largest, gaps=True) for k, given in enumerate(listed)]
    for k, table in enumerate(tables):
        if table.shape[1] != tables[0].shape[1]:
            raise ValueError(
                f"readings[{k}] has {table.shape[1]} columns, readings[0] has {tables[0].shape[1]}: "
                "every table must have the same devices in the same order"
            )
        if table.shape[0] < 2:
            raise ValueError(f"readings[{k}] has {table.shape[0]} row(s): at least 2 slots are needed")
    if tables[0].shape[1] < 2:
        raise ValueError(f"readings[0] has {tables[0].shape[1]} column(s): at least 2 devices are needed")
    _check_labels(listed)
    never = np.flatnonzero(np.all([np.isnan(table).all(axis=0) for table in tables], axis=0))
    if never.size:
        raise ValueError(
            f"readings: nothing was read in column {column_called(listed, int(never[0]))}: leave the device out"
        )
    steps = [minutes_between(given) for given in listed]
    if slot_minutes is None:
        slot_minutes = next((float(x[0]) for x in steps if x is not None), DEFAULT_SLOT_MINUTES)
    for k, between in enumerate(steps):
        if between is not None:
            _check_times(f"readings[{k}]", between, slot_minutes)
    return tables, slot_minutes


def column_called(readings: Any, column: int) -> str:
    """A column of some tables for messages: its number from 0, and the name that a frame gives it."""
    labels = getattr(readings[0], "columns", None) if isinstance(readings, Sequence) else None
    return str(column) if labels is None or labels[column] == column else f"{column} ({labels[column]!r})"


def _check_labels(tables: list[Any]) -> None:
    """Frames with named columns must have the same names in the same order."""
    named = [(k, list(x.columns)) for k, x in enumerate(tables) if hasattr(x, "columns")]
    named = [(k, labels) for k, labels in named if labels != list(range(len(labels)))]
    for k, labels in named:
        first, expected = named[0]
        twice = {label for label in labels if labels.count(label) > 1}
        if twice:
            raise ValueError(f"readings[{k}] has several columns named {min(map(str, twice))!r}: name each device once")
        if labels != expected:
            column = next(c for c, pair in enumerate(zip(labels, expected, strict=True)) if pair[0] != pair[1])
            raise ValueError(
                f"readings[{k}] column {column} is {labels[column]!r}, in readings[{first}] it is "
                f"{expected[column]!r}: every table must have the same devices in the same order"
            )


def minutes_between(table: Any) -> NDArray[np.float64] | None:
    """(T - 1,) minutes from row to row, where a frame's index holds times or durations."""
    index = getattr(table, "index", None)
    kind = getattr(index, "inferred_type", None)
    if kind not in ("datetime64", "timedelta64"):
        return None
    values = np.asarray(index, dtype=f"{kind}[ns]")
    return np.asarray(np.diff(values) / np.timedelta64(1, "m"), dtype=np.float64)


def _check_times(where: str, steps: NDArray[np.float64], slot_minutes: float) -> None:
    """Each row must be a slot after the row before."""
    wrong = np.flatnonzero(steps != slot_minutes)
    if wrong.size:
        row, every = int(wrong[0]) + 1, len(wrong) == len(steps) and (steps == steps[0]).all()
        remedy = f"give slot_minutes={steps[0]:g}" if every else "split the table at its gaps, one for each period"
        raise ValueError(
            f"{where} row {row} is {steps[row - 1]:g} minutes after the row before, slot_minutes is {slot_minutes:g}: "
            f"{remedy}"
        )


def slot_levels(tables: Sequence[NDArray[np.float64]], min_level: float = 30.0) -> list[NDArray[np.float64]]:
    """(T,) levels [µg/m³] of (T, N) tables [µg/m³]: the mean over the devices where all were read.

    Where some were not, their absence must not look like a change of the air: the level is then the sum of what was
    read, over the sum of these devices' usual shares of the level. A device's share is the mean of reading / level over
    the slots in which it was read, of at least `min_level`; the shares have mean 1. A slot in which fewer than half of
    the devices were read has no level: NaN.
    """
    read = [~np.isnan(table) for table in tables]
    gaps = not all(part.all() for part in read)
    share = _usual_shares(np.concatenate(tables), np.concatenate(read), min_level) if gaps else None
    return [_levels(table, there, share) for table, there in zip(tables, read, strict=True)]


def _levels(
    table: NDArray[np.float64], read: NDArray[np.bool_], share: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if share is None:
        return np.asarray(table.mean(axis=1))
    enough, complete = read.mean(axis=1) >= LEAST_SHARE, read.all(axis=1)
    levels = np.full(len(table), np.nan)
    levels[enough] = np.where(read, table, 0.0)[enough].sum(axis=1) / (read[enough] @ share)
    levels[complete] = table[complete].mean(axis=1)
    return levels


def _usual_shares(table: NDArray[np.float64], read: NDArray[np.bool_], min_level: float) -> NDArray[np.float64]:
    """(N,) mean of reading / level of each device, found in turn with the levels; 1 where nothing is known."""
    enough = read.mean(axis=1) >= LEAST_SHARE
    table, read = np.where(read, table, 0.0)[enough], read[enough]
    share = np.ones(table.shape[1])
    for _ in range(_ROUNDS):
        level = table.sum(axis=1) / (read @ share)
        used = level >= max(min_level, 1e-9)
        count = read[used].sum(axis=0)
        total = (table[used] / level[used, None]).sum(axis=0)
        share = np.divide(total, count, out=np.ones_like(share), where=(count > 0) & (total > 0))
        share /= share.mean()
    return share
