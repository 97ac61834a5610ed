"""Times as files write them, and the length of the slots between them."""

import datetime
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.ingestion.sheet import normalised
from aq_gym.tables import EPOCHS, is_number

MINUTE = 60_000_000  # microseconds
COUNTERS = {  # a column that counts from some beginning and knows no date
    **{"hour": 60 * MINUTE, "hours": 60 * MINUTE, "minute": MINUTE, "minutes": MINUTE},
    **{"day": 1440 * MINUTE, "days": 1440 * MINUTE},
}
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H", "")
_OTHER_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d-%m-%Y")
_OFFSET = re.compile(r"\s*(?<=[0-9\s])(?:(Z|UTC|GMT)|([+-])([0-9]{2})(?::?([0-9]{2}))?)\s*$", re.IGNORECASE)
_ABBREVIATION = re.compile(r"[0-9]\s*(?!UTC|GMT)[A-Z]{3,5}\s*$")  # such as CEST, which means several zones
_MIDNIGHT = re.compile(r"(?<=[ T])24(?=(:00){0,2}$)")  # 24:00 of a day is 00:00 of the next
_DAY = 1440 * MINUTE
_SLOTS_PER_TIME, _FEW_SLOTS = 20, 10_000  # more slots than that for each time that was read: a wrong year


@dataclass(frozen=True)
class Times:
    """When the rows of a file were read."""

    local: NDArray[np.int64]  # (rows,) microseconds since 1970 on the file's own clock
    offset: int | None = None  # of that clock to UTC [microseconds]; None: not known
    counted: bool = False  # no clock: counted from some beginning

    @property
    def kind(self) -> str:
        """What times must have in common to be put together."""
        return "counted" if self.counted else "without a zone" if self.offset is None else "with a zone"

    def index(self) -> pd.Index:
        """As an index: times with their zone, times without one, or durations."""
        if self.counted:
            return pd.TimedeltaIndex(self.local.astype("timedelta64[us]"), name="time")
        index = pd.DatetimeIndex(self.local.astype("datetime64[us]"), name="time")
        if self.offset is None:
            return index
        return index.tz_localize(datetime.timezone(datetime.timedelta(microseconds=self.offset)))


def parse_times(name: str, cells: Sequence[str], place: Callable[[int], str]) -> Times:
    """Read a column of times.

    Args:
        name: the column's; `hour` and the like count from some beginning.
        cells: what stands there.
        place: names the place of a cell, for messages.

    Raises:
        ValueError: a cell that is no time, dates whose day and month cannot be told apart, or zones in some cells only.
    """
    word = normalised(name)
    if all(map(is_number, cells)):
        numbers = np.array([float(cell) for cell in cells])
        wrong = ~(np.abs(numbers) < 1e14)  # NaN too
        if wrong.any():
            raise ValueError(f"{place(int(wrong.argmax()))}: {cells[int(wrong.argmax())]!r} is no time; correct it")
        if word in COUNTERS and np.abs(numbers).max() < 1e7:
            return Times(np.rint(numbers * COUNTERS[word]).astype(np.int64), counted=True)
        for (low, high), unit in zip(EPOCHS, (1e6, 1e3), strict=True):
            if low < numbers.min() and numbers.max() < high:
                return Times(np.rint(numbers * unit).astype(np.int64), offset=0)
    zones = [_zone(cell) for cell in cells]
    known = np.array([zone is not None for zone in zones])
    if known.any() and not known.all():
        row = int(np.argmin(known))
        raise ValueError(f"{place(row)}: {cells[row]!r} has no time zone, other times have one; give every time a zone")
    local = _parse([cell[: z.start()] if z else cell for cell, z in zip(cells, zones, strict=True)], place)
    if not known.any():
        return Times(local)
    minutes = np.array([_minutes(z) for z in zones if z], dtype=np.int64)
    if np.abs(minutes).max() >= 1440:
        row = int(np.abs(minutes).argmax())
        raise ValueError(f"{place(row)}: {cells[row]!r} is a day or more from UTC; correct its zone")
    offsets = minutes * MINUTE
    if (offsets == offsets[0]).all():
        return Times(local, int(offsets[0]))
    return Times(local - offsets, 0)  # summer and winter time in one file: UTC serves both


def _zone(cell: str) -> re.Match[str] | None:
    """The zone at the end of a time; the year of 01-03-2016 is none, it follows no clock."""
    found = _OFFSET.search(cell)
    return found if found and (found[1] or re.search("[:T]", cell[: found.start()])) else None


def _minutes(zone: re.Match[str]) -> int:
    """Minutes ahead of UTC."""
    if zone[1]:
        return 0
    return (60 * int(zone[3]) + int(zone[4] or 0)) * (1 if zone[2] == "+" else -1)


def _parse(cells: Sequence[str], place: Callable[[int], str]) -> NDArray[np.int64]:
    """Microseconds of times without a zone, by the first format that fits all of them."""
    late = np.array([_MIDNIGHT.search(cell.strip()) is not None for cell in cells])
    texts = pd.Series([_MIDNIGHT.sub("00", x.strip()) if re.search(r"[0-9]", x) else "" for x in cells], dtype=object)
    lengths = {len(text) if text.isdigit() else 0 for text in texts}
    digits = _DIGITS.get(lengths.pop()) if len(lengths) == 1 else None
    found = _fits(texts, (digits,) if digits else ("ISO8601", *_formats(_OTHER_DATES)))
    if found is None or (found == _NONE).any():
        days, months = _fits(texts, _formats(["%d/%m/%Y"])), _fits(texts, _formats(["%m/%d/%Y"]))
        both = [x for x in (days, months) if x is not None and not (x == _NONE).any()]
        if len(both) == 2 and (both[0] != both[1]).any():
            row = int(np.argmax(both[0] != both[1]))
            raise ValueError(f"{place(row)}: {cells[row]!r} may be day/month or month/day; write dates like 2016-03-01")
        found = both[0] if both else next((x for x in (found, days, months) if x is not None), None)
    row = 0 if found is None else int(np.argmax(found == _NONE))
    if found is None or found[row] == _NONE:
        zone = "+08:00, the zone as hours ahead of UTC" if _ABBREVIATION.search(cells[row]) else ""
        raise ValueError(f"{place(row)}: {cells[row]!r} is no date and time; write it like 2016-03-01 13:00{zone}")
    return np.asarray(found + _DAY * late)


_DIGITS = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # number of digits -> format
_NONE = np.iinfo(np.int64).min  # what NaT is as an integer


def _formats(dates: Iterable[str]) -> list[str]:
    return [f"{date} {clock}".strip() for date in dates for clock in _CLOCKS]


def _fits(texts: pd.Series, formats: Iterable[str]) -> NDArray[np.int64] | None:
    """Microseconds by the format that fits most cells, of those that fit the first; None if none does."""
    best = None
    for form in formats:
        first = pd.to_datetime(texts[:1], format=form, errors="coerce")[0]
        if pd.isna(first) or first.tzinfo is not None:  # zones in other forms than `_OFFSET`'s are not understood
            continue
        parsed = pd.to_datetime(texts, format=form, errors="coerce", utc=True).dt.tz_localize(None)
        values = parsed.to_numpy().astype("datetime64[us]").astype(np.int64)
        if best is None or (values == _NONE).sum() < (best == _NONE).sum():
            best = values
    return best


def slot_length(times: NDArray[np.int64], place: Callable[[int], str]) -> int:
    """Microseconds between two slots: the commonest step; all others must be multiples of it.

    Args:
        times: (n,) distinct, increasing [microseconds].
        place: names the place of a time, for messages.

    Raises:
        ValueError: fewer than two times, or steps that are no multiples.
    """
    if len(times) < 2:
        raise ValueError(f"{place(0)}: there is no other time; at least 2 slots are needed, add rows")
    steps = np.diff(times)
    values, counts = np.unique(steps, return_counts=True)
    slot = int(values[counts.argmax()])
    odd = steps % slot != 0
    if odd.any():
        row = int(odd.argmax())
        raise ValueError(
            f"{place(row + 1)}: {steps[row] / MINUTE:g} minutes after the time before, where the commonest step is "
            f"{slot / MINUTE:g}; correct it, or give slot_minutes (such as 60) to average what was read in each slot"
        )
    return slot


def check_slots_are_filled(times: NDArray[np.int64], slot: int, place: Callable[[int], str]) -> None:
    """Refuse slots of a length that is asked for, most of which would be empty; arguments as in `slot_length`.

    Raises:
        ValueError: between most times lie more than one and a half slots.
    """
    step = np.median(np.diff(times)) if len(times) > 1 else 0
    if step > 1.5 * slot:
        raise ValueError(
            f"{place(0)}: from here a row every {step / MINUTE:g} minutes, but slots of {slot / MINUTE:g} are asked "
            "for, most of which would be empty; take longer slots, or a network with such"
        )


def check_span(times: NDArray[np.int64], slot: int, place: Callable[[int], str]) -> None:
    """Refuse times that lie so far apart that one of them must be wrong; arguments as in `slot_length`.

    Raises:
        ValueError: naming the time after the longest pause.
    """
    if (times[-1] - times[0]) // slot > max(_SLOTS_PER_TIME * len(times), _FEW_SLOTS):
        row = int(np.diff(times).argmax())
        pause = datetime.timedelta(microseconds=int(times[row + 1] - times[row]))
        raise ValueError(
            f"{place(row + 1)}: {pause} after the time before; "
            "correct it, or read the files of each period by themselves"
        )
