"""Tables of numbers: from text files, and from arrays or frames; a cell that is no number is named with a remedy."""

import math
import numbers
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.network_checks import as_number

LARGEST_READING = 2000.0  # [µg/m³] a larger one is a wrong unit, a code or a slip, unless the user says otherwise

EPOCHS = ((1e8, 1.9e9), (1e12, 1.9e12))  # seconds since 1970, 1973 to 2030; milliseconds, 2001 to 2030

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_TIME = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{1,2}:[0-9]{2}|[0-9]{8}T[0-9]{4}")
_MISSING = {"na", "n/a", "#n/a", "nat", "null", "nil", "none", "<na>", "missing", "-", "--", "---", "?", "."}
_CODE = re.compile(r"-99+(\.[09]*)?")  # -99, -999, -9999.0, -999.9: what loggers write for no reading
_COUNTED_ROWS = 24  # so many rows that count up in equal steps are no readings


def is_missing(cell: Any) -> bool:
    """Whether a cell says that nothing was read: it is empty, NaN, a word such as NA, or a code such as -999."""
    text = str(cell).strip().lower()
    return text in _MISSING or text in {"", "nan"} or _CODE.fullmatch(text) is not None


def is_number(cell: str) -> bool:
    """Whether a cell is a plain decimal number."""
    return _NUMBER.fullmatch(cell.strip()) is not None


def is_time(cell: str) -> bool:
    """Whether a cell holds a date or a time of day."""
    return _TIME.search(cell) is not None


def is_epoch(cell: str) -> bool:
    """Whether a cell may be seconds or milliseconds since 1970: a number that no reading reaches."""
    return is_number(cell) and any(low < float(cell) < high for low, high in EPOCHS)


def number(cell: Any, low: float, high: float, what: str, *, header: bool = False) -> float:
    """The cell as a finite number in [low, high]; `header`: it stands where a header might.

    Raises:
        ValueError: why it is none, and what to do about it; the caller adds where it stands.
    """
    value = _value(cell)
    if value is None:
        raise ValueError(_why_not(cell, header))
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not finite; fill in a number or delete the row")
    if not low <= value <= high:
        code = " (where it marks a missing reading, fill it in)" if value <= -9 else ""
        raise ValueError(f"{cell!r} is not {what}, from {low:g} to {high:g}; correct it or delete the row{code}")
    return value


def _value(cell: Any) -> float | None:
    """A plain decimal number or a real one; None for others, among them 1_0, 12,5 and ١٢."""
    if isinstance(cell, str):
        return float(cell) if _NUMBER.fullmatch(cell.strip()) else None
    if type(cell) is not bool and isinstance(cell, numbers.Real):
        try:
            return float(cell)
        except OverflowError:
            return math.inf
    return None


def _why_not(cell: Any, header: bool) -> str:
    """Why a cell is no number, and a remedy."""
    text = str(cell).strip()
    if not text:
        return "the cell is empty; fill it in or delete the row"
    if text.lower() in _MISSING:
        return f"{cell!r} is not a number, it marks a missing reading; fill in a number or delete the row"
    if ";" in text:
        remedy = "the file is separated by semicolons: separate the cells by commas, and write decimal points"
    elif _TIME.search(text):
        remedy = "times are no readings: delete the column"
    elif not text.isascii() and any(c.isnumeric() for c in text):
        remedy = "write it with the digits 0-9, a plain minus sign and a decimal point"
    elif len(text.split()) > 1 and all(_NUMBER.fullmatch(part) for part in text.split()):
        remedy = "separate the cells by commas; a number holds no spaces"
    elif re.fullmatch(r"[+-]?[0-9.,']+", text):
        remedy = "write it without separators of thousands, and with a decimal point"
    elif header and (text[0].isalpha() or text[0] in "#_"):
        remedy = "delete a header line"
    else:
        remedy = "correct it or delete the row"
    return f"{cell!r} is not a number; {remedy}"


def check_readings(
    table: NDArray[np.float64],
    cell: Callable[[int, int], Any],
    place: Callable[[int, int], str],
    largest: float | None,
    *,
    header: bool = False,
    gaps: bool = False,
) -> None:
    """Read every cell again that is no plausible concentration so far, and refuse the first that is none at all.

    Args:
        table: (T, N) [µg/m³]; a cell that is no number yet is NaN.
        cell, place: what stands in a row and a column, counted from 0, and how to name that place.
        largest: above it a reading is not plausible [µg/m³]; None: any finite number may stay.
        header: the first row stands where a header might.
        gaps: a missing reading becomes NaN; without, it is refused.
    """
    low, high = (-math.inf, math.inf) if largest is None else (0.0, largest)
    with np.errstate(invalid="ignore"):
        # below -9 a number may be a code for no reading
        suspects = np.argwhere(~(np.isfinite(table) & (table >= max(low, -9.0)) & (table <= high)))
    for row, column in suspects.tolist():
        given = cell(row, column)
        if gaps and is_missing(given):
            table[row, column] = math.nan
            continue
        try:
            value = number(given, low, math.inf, "a concentration in µg/m³", header=header and row == 0)
            table[row, column] = value
            if value > high:
                rest = table[np.isfinite(table[:, column]), column]
                whole = len(rest) > 1 and (rest > high).all()
                remedy = "so is the whole column: where it holds times or codes, delete the column" if whole else ""
                raise ValueError(
                    f"{value:g} is above {high:g} µg/m³, the largest plausible reading; "
                    f"{remedy or 'correct it or delete the row'}, or raise `largest`"
                )
        except ValueError as error:
            raise ValueError(f"{place(row, column)}: {error}") from None


def plain_table(
    path: Path,
    rows: list[tuple[int, list[str]]],
    row_word: str,
    column_word: str,
    largest: float | None,
    *,
    gaps: bool = False,
) -> NDArray[np.float64]:
    """(T, N) concentrations [µg/m³] of rows without a header; for `largest` and `gaps` see `check_readings`."""
    if largest is not None and as_number("largest", largest) <= 0.0:
        raise ValueError(f"largest must be positive [µg/m³], got {largest!r}")
    if len(rows) < 2:
        raise ValueError(f"{path}: {len(rows)} row(s); at least 2 {row_word} are needed, add rows")
    width = len(rows[0][1])
    if width < 2:
        raise ValueError(
            f"{path}, row 1: {width} column; at least 2 {column_word} are needed, separated by commas, add columns "
            f"(the row is {rows[0][1][0][:30]!r})"
        )
    for line, row in rows:
        if len(row) != width:
            raise ValueError(ragged(path, line, len(row), width))
    for column in range(width):
        if not any(row[column].strip() for _, row in rows):
            raise ValueError(
                f"{path}, column {column + 1}: the column is empty; delete it (a comma too many in each row)"
            )
    table = np.array([floats(row) for _, row in rows])
    check_readings(
        table,
        lambda row, column: rows[row][1][column],
        lambda row, column: f"{path}, row {rows[row][0]}, column {column + 1}",
        largest,
        header=True,
        gaps=gaps,
    )
    refuse_counter(path, table)
    return table


def refuse_counter(path: Path, table: NDArray[np.float64], columns: Sequence[int] | None = None) -> None:
    """Refuse row numbers from 0 or 1 on; and a first column of times, or one that counts up in any equal steps.

    `columns`: where each column stands in the file, from 0, if it has a column of times; None: all, without times.
    """
    if columns is None and any(((low < table[:, 0]) & (table[:, 0] < high)).all() for low, high in EPOCHS):
        raise ValueError(
            f"{path}, column 1: its numbers look like times since 1970; write a line of names with `time` above them, "
            "or delete the column"
        )
    if len(table) < _COUNTED_ROWS:
        return
    steps = np.diff(table, axis=0)
    even = (steps[0] > 0) & (steps == steps[0]).all(axis=0)
    numbers = even & (steps[0] == 1) & np.isin(table[0], (0, 1))
    if columns is None:
        numbers[0] = even[0]
    if numbers.any() and np.delete(steps, numbers.argmax(), axis=1).any():
        k = int(numbers.argmax())
        raise ValueError(
            f"{path}, column {(k if columns is None else columns[k]) + 1}: every row is {steps[0, k]:g} more than the "
            "row before: a row number or a time is no reading; delete the column"
        )


def floats(row: list[str]) -> list[float]:
    """The cells as floats; all NaN where one is none, or where Python reads more than plain numbers (1_0, ١٢)."""
    text = "".join(row)
    try:
        if text.isascii() and "_" not in text:
            return [float(cell) for cell in row]
    except ValueError:
        pass
    return [math.nan] * len(row)


def ragged(path: Path, line: int, found: int, width: int) -> str:
    """The message about a row of another width."""
    return (
        f"{path}, row {line}: {found} columns, row 1 has {width}, so column {min(found, width) + 1} is "
        f"{'missing' if found < width else 'too many'}; give every row the same columns"
    )


def as_table(where: str, table: Any, largest: float, *, gaps: bool = False) -> NDArray[np.float64]:
    """A C-ordered (rows, columns) copy of an array, a frame or nested lists of concentrations [µg/m³].

    Args:
        where: what the table is called in messages.
        table: the readings.
        largest: above it a reading is not plausible [µg/m³].
        gaps: a missing or masked reading becomes NaN; without, it is refused.

    Raises:
        ValueError: no table, or a cell that is missing, masked or no plausible concentration, by row and column from 0.
    """
    try:
        array = np.asarray(table)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} is not a rectangular table of numbers ({error})") from None
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{where} must be a non-empty table with 2 dimensions, got shape {array.shape}")
    if np.ma.is_masked(table) and gaps:
        array = np.ma.filled(np.ma.asarray(table).astype(np.float64), np.nan)
    elif np.ma.is_masked(table):
        row, column = np.argwhere(np.ma.getmaskarray(table))[0]
        raise ValueError(f"{where} row {row}, column {column} is masked: fill it in or delete the row")
    if array.dtype.kind not in "iufOU":
        raise ValueError(f"{where} is not a rectangular table of numbers: it holds {array.dtype} values")
    if array.dtype.kind in "iuf":
        with np.errstate(over="ignore"):
            values = np.array(array, dtype=np.float64, order="C")
    else:
        values = np.full(array.shape, np.nan)
    check_readings(
        values,
        lambda row, column: array[row, column : column + 1].tolist()[0],
        lambda row, column: f"{where} row {row}, column {column}",
        largest,
        gaps=gaps,
    )
    return values
