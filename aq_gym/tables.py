"""Tables of numbers: from text files, and from arrays or frames; a cell that is no number is named with a remedy."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import math
import numbers
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.network_checks import as_number

LARGEST_READING = 2000.0  # [µg/m³] a larger one is a wrong unit, a code or a slip, unless the user says otherwise

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TIME = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{1,2}:[0-9]{2}")
_MISSING = {"na", "n/a", "#n/a", "nan", "nat", "null", "nil", "none", "<na>", "missing", "-", "--", "---", "?", "."}
_COUNTED_ROWS = 24  # so many rows that count up in equal steps are no readings


def number(cell: Any, low: float, high: float, what: str, *, first_row: bool = False) -> float:
    """The cell as a finite number in [low, high]; `first_row`: it stands where a header might.

    Raises:
        ValueError: why it is none, and what to do about it; the caller adds where it stands.
    """
    text = cell.strip() if isinstance(cell, str) else ""
    if isinstance(cell, str) and _NUMBER.fullmatch(text):
        value = float(text)
    elif isinstance(cell, numbers.Real | np.number) and not isinstance(cell, bool | np.bool_ | np.complexfloating):
        try:
            value = float(cell)
        except OverflowError:
            value = math.inf
    elif isinstance(cell, str) and not text:
        raise ValueError("the cell is empty; fill it in or delete the row")
    elif isinstance(cell, str) and text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise ValueError(f"{cell!r} is not finite; fill in a number or delete the row")
    elif str(cell).strip().lower() in _MISSING:
        raise ValueError(f"{cell!r} is not a number, it marks a missing reading; fill in a number or delete the row")
    else:
        raise ValueError(f"{cell!r} is not a number; {_remedy(text, first_row)}")
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not finite; fill in a number or delete the row")
    if value < low:
        code = " (where it marks a missing reading, fill it in)" if value <= -9 else ""
        raise ValueError(f"{cell!r} is not {what}, from {low:g} to {high:g}; correct it or delete the row{code}")
    if value > high:
        raise ValueError(f"{cell!r} is not {what}, from {low:g} to {high:g}; correct it or delete the row")
    return value


def _remedy(text: str, first_row: bool) -> str:
    if ";" in text:
        return "the file is separated by semicolons: separate the cells by commas, and write decimal points"
    if re.search(r"\S[\t ]+[+-]?[0-9.]", text) and all(_NUMBER.fullmatch(part) for part in text.split()):
        return "separate the cells by commas; a number holds no spaces"
    if _TIME.search(text):
        return "times are no readings: delete the column"
    if re.fullmatch(r"[+-]?[0-9.,' ]+", text):
        return "write it without separators of thousands, and with a decimal point"
    if not text.isascii() and any(c.isnumeric() for c in text):
        return "write it with the digits 0-9, a plain minus sign and a decimal point"
    if first_row and text[:1] and (text[0].isalpha() or text[0] in "#_"):
        return "delete a header line"
    return "correct it or delete the row"


# ------------------------------------------------------------------------------------------------- text files


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number (from 1) and cells of every row of a comma-separated file, plain or gzipped, or of a pipe.

    Empty lines at the end are passed over, others refused.
    """
    rows: list[tuple[int, list[str]]] = []
    empty = 0
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for row in reader:
            if not row:
                empty = empty or reader.line_num
            elif empty:
                raise ValueError(f"{path}, row {empty}: the row is empty; delete it or fill it in")
            else:
                rows.append((reader.line_num, row))
    except csv.Error as error:
        raise ValueError(f"{path}, row {len(rows) + 1}: {error}; save it as plain comma-separated text") from error
    return rows


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing: check the name, or fetch the PKU files by scripts.download_data"
        ) from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder: give the files in it") from None
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: the gzip file is damaged ({error}); copy or download it again") from error
    if content.startswith(b"PK\x03\x04"):
        raise ValueError(f"{path} is a zip archive or a workbook; save its table as comma-separated text")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
        at, byte = text.find("\0"), 0
        before = text[:at]
    except UnicodeDecodeError as error:
        at, byte = error.start, content[error.start]
        before = content[:at].decode("latin-1")
    if at >= 0:
        raise ValueError(
            f"{path}, row {before.count(chr(10)) + 1}: byte {byte:#04x} is no {'UTF-16' if wide else 'UTF-8'} text; "
            "save it as plain comma-separated UTF-8"
        )
    return text


def read_table(path: Path, row_word: str, column_word: str, largest: float) -> NDArray[np.float64]:
    """A table without a header: at least two rows and columns of concentrations [µg/m³] up to `largest`."""
    if as_number("largest", largest) <= 0.0:
        raise ValueError(f"largest must be positive [µg/m³], got {largest!r}")
    rows = read_rows(path)
    if len(rows) < 2:
        raise ValueError(f"{path}: {len(rows)} row(s); at least 2 {row_word} are needed, add rows")
    width = len(rows[0][1])
    if width < 2:
        raise ValueError(
            f"{path}, row 1: {width} column; at least 2 {column_word} are needed, separated by commas, add columns "
            f"(the row is {rows[0][1][0][:30]!r})"
        )
    table = np.empty((len(rows), width))
    for k, (line, row) in enumerate(rows):
        if len(row) != width:
            raise ValueError(ragged(path, line, len(row), width))
        table[k] = _floats(row)
    with np.errstate(invalid="ignore"):
        suspects = np.argwhere(~((table >= 0.0) & (table <= largest)))
    for k, c in suspects:
        line, row = rows[k]
        try:
            table[k, c] = number(row[c], 0.0, math.inf, "a concentration in µg/m³", first_row=line == 1)
            check_largest(table[:, c], k, largest)
        except ValueError as error:
            raise ValueError(f"{path}, row {line}, column {c + 1}: {error}") from None
    steps = np.diff(table, axis=0)
    if len(table) >= _COUNTED_ROWS and steps[0, 0] > 0 and (steps[:, 0] == steps[0, 0]).all() and steps[:, 1:].any():
        raise ValueError(
            f"{path}, column 1: every row is {steps[0, 0]:g} more than the row before: a row number or a time is no "
            "reading; delete the column"
        )
    return table


def _floats(row: list[str]) -> list[float]:
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


def check_largest(column: NDArray[np.float64], row: int, largest: float) -> None:
    """Refuse a reading that is not plausible, and say so where the whole column is not."""
    if column[row] > largest:
        rest = column[np.isfinite(column)]
        remedy = (
            "so is the whole column: where it holds times or codes, delete the column"
            if len(rest) > 1 and (rest > largest).all()
            else "correct it or delete the row"
        )
        raise ValueError(
            f"{column[row]:g} is above {largest:g} µg/m³, the largest plausible reading; {remedy}, or raise `largest`"
        )


# ------------------------------------------------------------------------------------------ arrays and frames


def as_table(where: str, table: Any, largest: float) -> NDArray[np.float64]:
    """A C-ordered (rows, columns) copy of an array, a frame or nested lists of concentrations [µg/m³].

    Raises:
        ValueError: no table, or a cell that is missing, masked or no plausible concentration, by row and column from 0.
    """
    try:
        array = np.asarray(table)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} is not a rectangular table of numbers ({error})") from None
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{where} must be a non-empty table with 2 dimensions, got shape {array.shape}")
    masked = np.ma.getmaskarray(table) if isinstance(table, np.ma.MaskedArray) else np.zeros(array.shape, np.bool_)
    if masked.any():
        row, column = np.argwhere(masked)[0]
        raise ValueError(f"{where} row {row}, column {column} is masked: fill it in or drop the row")
    if array.dtype.kind in "iuf":
        with np.errstate(over="ignore"):
            values = np.array(array, dtype=np.float64, order="C")
    elif array.dtype.kind in "OU":
        values = np.empty(array.shape)
        for (row, column), cell in np.ndenumerate(array.astype(object)):
            try:
                values[row, column] = number(cell, -math.inf, math.inf, "a concentration in µg/m³")
            except ValueError as error:
                raise ValueError(f"{where} row {row}, column {column}: {error}") from None
    else:
        raise ValueError(f"{where} is not a rectangular table of numbers: it holds {array.dtype} values")
    bad = ~(np.isfinite(values) & (values >= 0.0))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{where} row {row}, column {column} is {values[row, column]}: "
            "concentrations must be finite and not negative; fill or drop the row"
        )
    for row, column in np.argwhere(values > largest)[:1]:
        try:
            check_largest(values[:, column], int(row), largest)
        except ValueError as error:
            raise ValueError(f"{where} row {row}, column {column}: {error}") from None
    return values
