"""One file as rows of cells below a header: separated text, plain or gzipped, or Parquet."""

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aq_gym.files import alike, decode, read_bytes, read_rows
from aq_gym.tables import is_epoch, is_missing, is_number, is_time, ragged

TIME_WORDS = {
    *("time", "date", "datetime", "timestamp", "epoch", "unixtime", "utc", "localtime", "datum", "zeit"),
    *("hour", "hours", "minute", "minutes", "day", "days"),
    *("datetimeutc", "datetimelocal", "dateutc", "datelocal", "timeutc", "timelocal"),
}
STATION_WORDS = (
    *("station", "stationid", "stationname", "stationcode", "locationid", "siteid", "sitename", "site", "deviceid"),
    *("device", "sensorid", "sensorsid", "sensorindex", "sensor", "location", "name"),
)  # columns that name a station; of several the first here
_WORD = re.compile(r"\s*([^\W\d]|[#_(\[])")
_UNIT = re.compile(r"[uµμ]g|/m|m3|m³|°|\butc\b", re.IGNORECASE)
_PARQUET = b"PAR1"
Rows = list[tuple[int, list[str]]]  # line numbers from 1, and cells


@dataclass(frozen=True)
class Sheet:
    """The cells of a file."""

    path: Path
    header: tuple[str, ...]  # empty: none
    rows: Rows  # below the header
    units: tuple[str, ...] = ()  # the row of units below the header, if there is one

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.header) if self.header else len(self.rows[0][1]) if self.rows else 0

    @property
    def names(self) -> list[str]:
        """The header's names, normalised."""
        return [normalised(name) for name in self.header]

    def column_of(self, words: Sequence[str]) -> int | None:
        """The column of the first of these normalised names that is there."""
        names = self.names
        return next((names.index(word) for word in words if word in names), None)

    def place(self, row: int, column: int) -> str:
        """Where a cell stands, for messages; `row` and `column` count from 0."""
        return f"{self.path}, row {self.rows[row][0]}, column {column + 1}"

    @property
    def is_plain(self) -> bool:
        """Whether the file is a table of readings alone, without a header and without times."""
        return not self.header and not (self.rows and any(map(is_time, self.rows[0][1][:2])))


def read_sheet(path: Path) -> Sheet:
    """Read a file; rows of one width, decimal points in every number.

    Raises:
        ValueError: no readable table; the message names the file, and where it can the row.
        FileNotFoundError: no file.
    """
    content = read_bytes(path)
    if content.startswith(_PARQUET):
        return _parquet(path, content)
    text = decode(path, content)
    delimiter = _delimiter(text)
    rows = _without_preamble(read_rows(path, text, delimiter))
    header, units, rows = _split_header(rows)
    sheet = Sheet(path, header, rows if delimiter == "," else _decimal_points(rows), units)
    width = sheet.width
    for line, row in sheet.rows:
        if len(row) != width:
            raise ValueError(ragged(path, line, len(row), width))
    return sheet


def normalised(name: str) -> str:
    """A column's name in small letters and plain digits alone: `Date (UTC)` is `dateutc`, `PM₂.₅` is `pm25`."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name).lower())


def _delimiter(text: str) -> str:
    """The delimiter of the lines: a semicolon, a tab or a bar where most have one, else a comma."""
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:200]
    for mark in ";\t|":
        if 2 * sum(mark in line for line in lines) > len(lines):
            return mark
    return ","


def _without_preamble(rows: Rows) -> Rows:
    """The rows from the header on: titles above it have another number of cells."""
    if not rows:
        return rows
    width = Counter(len(row) for _, row in rows).most_common(1)[0][0]
    first = 0
    while first < len(rows) and len(rows[first][1]) != width and _WORD.match(rows[first][1][0]):
        first += 1
    return rows[first:] if _split_header(rows[first:])[0] else rows


def _split_header(rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...], Rows]:
    """The names in the first row, if there are any; the units in a row of such below them; the rows below."""
    if not rows:
        return (), (), rows
    first = [cell.strip() for cell in rows[0][1]]
    words = [not is_number(cell) and not is_missing(cell) and _WORD.match(cell) is not None for cell in first]
    rest = rows[1:]
    below = rest[0][1][0] if rest else ""  # times below a name, which may be empty
    index = (first[0] == "" or words[0]) and not is_time(first[0]) and (is_time(below) or is_epoch(below))
    timed = index or any(normalised(cell) in TIME_WORDS for cell in first)
    if not timed and not (any(words) and all(word or not cell for word, cell in zip(words, first, strict=True))):
        return (), (), rows
    if rest and any(map(_UNIT.search, rest[0][1])) and not any(is_number(x) or is_time(x) for x in rest[0][1]):
        return tuple(first), tuple(rest[0][1]), rest[1:]
    return tuple(first), (), rest


def _decimal_points(rows: Rows) -> Rows:
    """Numbers written with a decimal comma get a point, unless the file has numbers with a point too."""
    comma = re.compile(r"\s*[+-]?[0-9]*,[0-9]+\s*")
    point = re.compile(r"\s*[+-]?[0-9]*\.[0-9]+\s*")
    if any(point.fullmatch(cell) for _, row in rows for cell in row):
        return rows
    return [(line, [c.replace(",", ".") if comma.fullmatch(c) else c for c in row]) for line, row in rows]


def _parquet(path: Path, content: bytes) -> Sheet:
    """A Parquet file: its columns, and before them an index that has a name or holds times; rows count from 1."""
    try:
        import pandas as pd
        import pyarrow as pa
    except ImportError as error:
        raise ImportError(f"{path}: Parquet needs pandas and pyarrow: pip install 'aq-gym[train,service]'") from error
    try:
        frame = pd.read_parquet(io.BytesIO(content))
        if frame.index.names != [None] or isinstance(frame.index, pd.DatetimeIndex):
            frame = frame.reset_index(names=[str(x or "time") for x in frame.index.names])
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"{path}: the Parquet file is damaged or holds no table ({error}); write it again") from error
    columns = [[alike(str(cell)) for cell in frame.iloc[:, k].tolist()] for k in range(frame.shape[1])]
    rows = [(k + 1, list(row)) for k, row in enumerate(zip(*columns, strict=True))]
    return Sheet(path, tuple(alike(str(name)) for name in frame.columns), rows)
