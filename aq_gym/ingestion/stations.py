"""Where stations stand: tables of degrees, and the plane of one city."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aq_gym.ingestion.sheet import STATION_WORDS, Sheet, read_sheet
from aq_gym.tables import is_number, number

FURTHEST = 500e3  # metres from the median location; the projection serves no larger area
_AXES = (("longitude", ("lon", "lng", "long"), 180.0), ("latitude", ("lat",), 90.0))
_METRES_PER_DEGREE = 6_371_008.8 * math.pi / 180.0  # on a sphere of the Earth's mean radius


@dataclass(frozen=True)
class Stations:
    """The rows of one or several tables of stations."""

    path: Path  # the first file
    places: list[str]  # (rows,) file and line, for messages
    names: list[str] | None  # (rows,) or None: no column is called as one of names
    degrees: NDArray[np.float64]  # (rows, 2) longitude and latitude
    others: tuple[list[str], ...] = ()  # (rows,) each: columns that may also name the stations, such as codes

    def in_order(self, names: Sequence[str]) -> Stations:
        """The same rows under these names.

        Raises:
            ValueError: another number of names than rows.
        """
        if len(self.degrees) != len(names):
            raise ValueError(
                f"{self.path} has {len(self.degrees)} locations, the readings {len(names)} columns, which cannot be "
                "matched by name; give a row for each column in its order, or both names"
            )
        return dataclasses.replace(self, names=list(names), others=())

    def named(self, names: Sequence[str]) -> Stations:
        """The same rows under the names of the column that has the most of these.

        In their order where the table has no column of names and none of these, or where these only count the columns
        of readings without a header (0, 1, ...) and some of them are not there.

        Raises:
            ValueError: the rows are to be taken in order, and there is another number of names than rows.
        """
        columns = [column for column in (self.names, *self.others) if column is not None]
        best = max(columns, key=lambda column: len(set(names) & set(column)), default=[])
        known = len(set(names) & set(best))
        counted = list(names) == [str(k) for k in range(len(names))]
        if self.names is None and (known == 0 or (counted and known < len(names))):
            return self.in_order(names)
        return dataclasses.replace(self, names=best, others=())

    def rows_of(self, names: Sequence[str]) -> NDArray[np.int64]:
        """(N,) rows of the stations of these names; all rows in their order where the table names none of them.

        Raises:
            ValueError: a station is not there, or at two places.
        """
        if self.names is None or self.others:
            return self.named(names).rows_of(names)
        first: dict[str, int] = {}
        for k, name in enumerate(self.names):
            other = first.setdefault(name, k)
            if (self.degrees[other] != self.degrees[k]).any():
                raise ValueError(
                    f"{self.places[k]}: {name!r} stands elsewhere than in {self.places[other]}; give each station one "
                    "place"
                )
        lost = [name for name in names if name not in first]
        if lost:
            raise ValueError(
                f"{self.path}: {len(lost)} of the {len(names)} stations that were read are not in the table, the first "
                f"is {lost[0]!r}; add it, or leave it out of the readings (the table begins with "
                f"{', '.join(map(repr, list(first)[:3]))})"
            )
        return np.array([first[name] for name in names], dtype=np.int64)


def read_stations(*paths: Path) -> Stations:
    """Read tables with a header, of which the columns longitude..., latitude... and, if there, a name are used.

    Raises:
        ValueError: a missing column, a cell that is no angle, or fewer than 2 rows.
        FileNotFoundError: a missing file.
    """
    sheets = [read_sheet(path) for path in paths]
    degrees = np.concatenate([_degrees(sheet) for sheet in sheets])
    if len(degrees) < 2:
        raise ValueError(f"{paths[0]}: {len(degrees)} location(s) below the header; at least 2 are needed, add rows")
    places = [f"{sheet.path}, row {line}" for sheet in sheets for line, _ in sheet.rows]
    own = [sheet.column_of((*STATION_WORDS, "id")) for sheet in sheets]
    names = None if None in own else _cells(sheets, [k or 0 for k in own])
    angles = {sheets[0].header[_axis_column(sheets[0], word, short)] for word, short, _ in _AXES}
    shared = set[str].intersection(*(set(sheet.header) for sheet in sheets)) - angles
    heads = [name for name in sheets[0].header if name in shared]
    others = [_cells(sheets, [sheet.header.index(head) for sheet in sheets]) for head in heads]
    return Stations(paths[0], places, names, degrees, tuple(column for column in others if column != names))


def _cells(sheets: Sequence[Sheet], columns: Sequence[int]) -> list[str]:
    """A column of all sheets, given by its place in each."""
    return [row[k].strip() for sheet, k in zip(sheets, columns, strict=True) for _, row in sheet.rows]


def _degrees(sheet: Sheet) -> NDArray[np.float64]:
    """(rows, 2) longitude and latitude."""
    columns = [_axis_column(sheet, word, short) for word, short, _ in _AXES]
    degrees = np.empty((len(sheet.rows), 2))
    for k, (_, row) in enumerate(sheet.rows):
        for axis, (column, (_, _, limit)) in enumerate(zip(columns, _AXES, strict=True)):
            try:
                degrees[k, axis] = number(row[column], -limit, limit, "an angle in degrees")
            except ValueError as error:
                swapped = " (are latitude and longitude swapped?)" if axis == 1 and is_number(row[column]) else ""
                raise ValueError(f"{sheet.place(k, column)}: {error}{swapped}") from None
    return degrees


def _axis_column(sheet: Sheet, word: str, short: tuple[str, ...]) -> int:
    names = [name.strip().lower() for name in sheet.header]
    found = [k for k, name in enumerate(names) if name.startswith(word) or name in short]
    if len(found) != 1:
        raise ValueError(
            f"{sheet.path}, row 1: {len(found)} columns start with {word!r}, one is needed, separated by commas; "
            "mend the header line"
        )
    return found[0]


def metres_from_median(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) distances to the median location [m]."""
    turned, scale = _turned(degrees)
    return np.asarray(np.hypot(*((turned - np.median(turned, axis=0)) * scale).T))


def on_a_plane(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) metres east and north of the mean: east = R cos(mean latitude) dlon, north = R dlat."""
    turned, scale = _turned(degrees)
    return np.asarray((turned - turned.mean(axis=0)) * scale)


def plane_origin(degrees: NDArray[np.float64]) -> tuple[float, float]:
    """Longitude and latitude of the point (0, 0) of `on_a_plane` [degrees]."""
    longitude, latitude = _turned(degrees)[0].mean(axis=0).tolist()
    return (longitude + 180.0) % 360.0 - 180.0, latitude


def off_the_plane(metres: NDArray[np.float64], origin: tuple[float, float]) -> NDArray[np.float64]:
    """(..., 2) longitudes and latitudes of metres east and north of an origin: `on_a_plane` backwards."""
    parallel = math.cos(math.radians(origin[1]))
    degrees = np.asarray(metres) / (_METRES_PER_DEGREE * np.array([parallel, 1.0])) + np.array(origin)
    degrees[..., 0] = (degrees[..., 0] + 180.0) % 360.0 - 180.0
    return np.asarray(degrees)


def _turned(degrees: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The degrees without a jump at the date line, and metres per degree east and north."""
    turned = degrees.copy()
    if np.ptp(turned[:, 0]) > 180.0:  # the shorter way round: across the date line
        turned[:, 0] %= 360.0
    parallel = math.cos(math.radians(float(turned[:, 1].mean())))
    return turned, np.array([_METRES_PER_DEGREE * parallel, _METRES_PER_DEGREE])
