"""Published readings as one frame: one row per slot, one column per station, NaN where nothing was read."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.ingestion.columns import (
    MASS,
    PARAMETERS,
    PM25,
    UNITS,
    check_unit,
    reading_columns,
    time_columns,
    value_columns,
)
from aq_gym.ingestion.sheet import STATION_WORDS, TIME_WORDS, Sheet, normalised
from aq_gym.ingestion.times import MINUTE, Times, check_slots_are_filled, check_span, parse_times, slot_length
from aq_gym.tables import LARGEST_READING, check_readings, floats, is_missing, refuse_counter


class _Entries(NamedTuple):
    """What was read, an entry a reading, of one file."""

    sheet: Sheet
    times: Times  # (entries,)
    station: NDArray[np.object_]  # (entries,) names
    value: NDArray[np.float64]  # (entries,) [µg/m³]
    row: NDArray[np.int64]  # (entries,) of the sheet, from 0


def frames(
    sheets: Sequence[Sheet],
    *,
    largest: float | None,
    slot_minutes: float | None = None,
    parameter: str = "pm25",
    plausible: float = LARGEST_READING,
) -> list[pd.DataFrame]:
    """Frames of published files: one for all files with times; one a file where no file has times.

    The arguments are those of `loading.raw_readings`. `attrs["not_averaged"]` of the one frame is how many implausible
    readings stayed out of the averages of slots with plausible ones.

    Raises:
        ValueError: unreadable or contradictory cells, irregular times; the message names file, row and column.
    """
    found = [time_columns(sheet) for sheet in sheets]
    for sheet, columns in zip(sheets, found, strict=True):
        if bool(columns) != bool(found[0]):
            timed, bare = (sheets[0], sheet) if found[0] else (sheet, sheets[0])
            raise ValueError(f"{bare.path}, row 1: no column of times, but {timed.path} has one; give it one too")
        if not sheet.rows:
            raise ValueError(f"{sheet.path}: 0 row(s) below the header; at least 2 slots are needed, add rows")
    if found[0]:
        parts = [_entries(s, columns, largest, parameter) for s, columns in zip(sheets, found, strict=True)]
        return [_on_one_axis(parts, slot_minutes, plausible if largest is None else largest)]
    tables = [_untimed(sheet, largest, parameter) for sheet in sheets]
    for sheet, table in zip(sheets, tables, strict=True):
        if list(table.columns) != list(tables[0].columns):
            raise ValueError(
                f"{sheet.path}, row 1: other columns than {sheets[0].path}; every file must have the same devices in "
                "the same order"
            )
    return tables


def _times(sheet: Sheet, columns: list[int], rows: NDArray[np.int64]) -> Times:
    """(rows,) times; each different one is parsed once."""
    cells = np.empty(len(rows), dtype=object)
    cells[:] = [tuple(sheet.rows[row][1][k].strip() for k in columns) for row in rows.tolist()]
    codes, different = pd.factorize(cells)
    first = np.unique(codes, return_index=True)[1]

    def place(k: int) -> str:
        return sheet.place(int(rows[first[k]]), columns[0])

    for k, parts in enumerate(different):
        if any(map(is_missing, parts)):
            raise ValueError(f"{place(k)}: the time is missing; fill it in or delete the row")
    texts = [" ".join(parts) for parts in different]
    if len(columns) > 2:  # year, month, day and perhaps a clock
        texts = [_date(*parts) for parts in different]
    times = parse_times(sheet.header[columns[0]] if sheet.header else "time", texts, place)
    return Times(times.local[codes], times.offset, times.counted)


def _date(year: str, month: str, day: str, hour: str = "0", minute: str = "00", second: str = "00") -> str:
    return f"{year}-{month.zfill(2)}-{day.zfill(2)} {hour}:{minute}:{second}"


def _used_rows(sheet: Sheet, parameter: str) -> NDArray[np.int64]:
    """The rows of the parameter that is asked for, in µg/m³."""
    rows = np.arange(len(sheet.rows))
    what, unit = sheet.column_of(PARAMETERS), sheet.column_of(UNITS)
    if what is not None:
        wanted = {normalised(parameter), *(PM25 if normalised(parameter) in PM25 else ())}
        rows = np.array([k for k in rows if normalised(sheet.rows[k][1][what]) in wanted], dtype=np.int64)
        if not len(rows):
            there = sorted({row[what] for _, row in sheet.rows})[:9]
            raise ValueError(
                f"{sheet.path}, column {what + 1}: no row of {parameter!r}; there are {', '.join(there)}; "
                "choose one of them, or rename the column if it says something else"
            )
    if unit is not None:
        for k in rows.tolist():
            if normalised(sheet.rows[k][1][unit]).removesuffix("lc") not in MASS:
                raise ValueError(
                    f"{sheet.place(k, unit)}: {sheet.rows[k][1][unit]!r} is another unit than µg/m³; convert the values"
                )
    return rows


def _values(sheet: Sheet, rows: NDArray[np.int64], columns: list[int], largest: float | None) -> NDArray[np.float64]:
    """(rows, columns) readings, NaN where nothing was read."""
    for column in columns:
        check_unit(sheet, column)
    cells = [[sheet.rows[row][1][k] for k in columns] for row in rows.tolist()]
    table = np.array([floats(row) for row in cells]).reshape(len(rows), len(columns))
    check_readings(
        table,
        lambda row, column: cells[row][column],
        lambda row, column: sheet.place(int(rows[row]), columns[column]),
        largest,
        gaps=True,
    )
    return table


def _entries(sheet: Sheet, times: list[int], largest: float | None, parameter: str) -> _Entries:
    """The readings of a file with times, in wide or in long format."""
    rows = _used_rows(sheet, parameter)
    when = _times(sheet, times, rows)
    station, value = sheet.column_of(STATION_WORDS), value_columns(sheet, parameter)
    if station is not None and value:
        if len(value) > 1:
            raise ValueError(
                f"{sheet.path}, row 1: which of {', '.join(repr(sheet.header[k]) for k in value)} holds the readings "
                f"cannot be told; call it `value`, or name it as the parameter (--parameter {sheet.header[value[0]]!r})"
            )
        named = np.array([_station(sheet, row, station) for row in rows.tolist()], dtype=object)
        return _Entries(sheet, when, named, _values(sheet, rows, value, largest)[:, 0], rows)
    aside = {*times, sheet.column_of(PARAMETERS), sheet.column_of(UNITS)}
    aside |= {k for k, name in enumerate(sheet.names) if name in TIME_WORDS}  # other times, such as local beside UTC
    columns, names = reading_columns(sheet, aside, parameter)
    table = _values(sheet, rows, columns, largest)
    refuse_counter(sheet.path, table, columns)
    each = np.repeat(np.arange(len(rows)), len(columns))
    entry_times = Times(when.local[each], when.offset, when.counted)
    named = np.tile(np.array(names, dtype=object), len(rows))
    return _Entries(sheet, entry_times, named, table.ravel(), rows[each])


def _station(sheet: Sheet, row: int, column: int) -> str:
    name = sheet.rows[row][1][column].strip()
    if not name:
        raise ValueError(f"{sheet.place(row, column)}: the station has no name; fill it in or delete the row")
    return name


def _untimed(sheet: Sheet, largest: float | None, parameter: str) -> pd.DataFrame:
    """A table below a header of names: the rows are slots, one after another."""
    columns, names = reading_columns(sheet, set(), parameter)
    table = _values(sheet, np.arange(len(sheet.rows)), columns, largest)
    refuse_counter(sheet.path, table)
    return pd.DataFrame(table, columns=names)


def _on_one_axis(parts: list[_Entries], slot_minutes: float | None, plausible: float) -> pd.DataFrame:
    """All files on one regular axis of slots; what was not read is NaN."""
    for part in parts:
        if part.times.kind != parts[0].times.kind:
            raise ValueError(
                f"{part.sheet.path}, row 1: its times are {part.times.kind}, those of {parts[0].sheet.path} "
                f"{parts[0].times.kind}; write all alike"
            )
    same = len({part.times.offset for part in parts}) == 1
    offset = parts[0].times.offset if same else 0
    local = np.concatenate([p.times.local - (0 if same else p.times.offset or 0) for p in parts])
    station, names = pd.factorize(np.concatenate([p.station for p in parts]))
    value, row = np.concatenate([p.value for p in parts]), np.concatenate([p.row for p in parts])
    file = np.repeat(np.arange(len(parts)), [len(p.value) for p in parts])

    def place(entry: int) -> str:
        sheet = parts[file[entry]].sheet
        return f"{sheet.path}, row {sheet.rows[row[entry]][0]}"

    times, first, at = np.unique(local, return_index=True, return_inverse=True)
    used = _used_entries(at * len(names) + station, value, place)
    if slot_minutes is None:
        length = slot_length(times, lambda k: place(int(first[k])))
    else:
        length = max(1, round(slot_minutes * MINUTE))
        check_slots_are_filled(times[np.unique(at[used])], length, lambda k: place(int(first[k])))
    check_span(times, length, lambda k: place(int(first[k])))
    slots = times // length if slot_minutes else (times - times[0]) // length
    begin = int(slots[0]) * length if slot_minutes else int(times[0])
    count = int(slots[-1] - slots[0]) + 1
    cell = ((slots[at] - slots[0]) * len(names) + station)[used]
    table, lost = _averages(cell, value[used], count * len(names), plausible)
    axis = Times(begin + length * np.arange(count), offset, parts[0].times.counted)
    frame = pd.DataFrame(table.reshape(count, len(names)), index=axis.index(), columns=list(names))
    frame.attrs["not_averaged"] = lost
    return frame


def _averages(
    cell: NDArray[np.int64], value: NDArray[np.float64], count: int, plausible: float
) -> tuple[NDArray[np.float64], int]:
    """(count,) mean of the readings of each cell, NaN without any, and how many implausible ones stayed out.

    An implausible reading, which may be a code such as 9999, is left out beside plausible ones; alone it stays, so that
    whoever screens the table sees it.
    """
    good = (value >= 0.0) & (value <= plausible)
    read, total = (np.bincount(cell[good], x, minlength=count) for x in (None, value[good]))
    table = np.divide(total, read, out=np.full(count, np.nan), where=read > 0)
    alone = ~good & (read[cell] == 0)
    table[cell[alone]] = value[alone]
    return table, int((~good & ~alone).sum())


def _used_entries(key: NDArray[np.int64], value: NDArray[np.float64], place: Callable[[int], str]) -> NDArray[np.int64]:
    """What was read, each time and station once; `key` numbers them.

    Raises:
        ValueError: two different readings of one station at one time.
    """
    read = np.flatnonzero(~np.isnan(value))
    order = read[np.argsort(key[read], kind="stable")]
    again = key[order][1:] == key[order][:-1]
    clash = np.flatnonzero(again & (value[order][1:] != value[order][:-1]))
    if clash.size:
        one, other = order[clash[0]], order[clash[0] + 1]
        raise ValueError(
            f"{place(other)}: {value[other]:g} was read where {place(one)} has {value[one]:g} for the same station and "
            "time; delete one of them (where clocks were set back, give the times a zone; where a column names the "
            "stations, call it `station`)"
        )
    return order[np.concatenate([[True], ~again])] if len(order) else order
