"""Loaders of readings, calibrations and locations, as `aq_gym.datasets` gives them out."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.files import decode, read_bytes, read_rows
from aq_gym.ingestion.sheet import read_sheet
from aq_gym.ingestion.stations import FURTHEST, metres_from_median, on_a_plane, read_stations
from aq_gym.network_checks import SLOT_MINUTES, as_number
from aq_gym.tables import LARGEST_READING, plain_table


def load_readings(
    paths: Sequence[str | os.PathLike[str]],
    *,
    largest: float = LARGEST_READING,
    slot_minutes: float | None = None,
    parameter: str = "pm25",
) -> list[Any]:
    """Read tables of readings as cities publish them; docs/your-own-data.md shows examples.

    Read are separated text (commas, semicolons, tabs or bars; decimal points or commas; plain, gzipped, a pipe) and
    Parquet, wide (one row per slot, one column per station) or long (`station,time,value`). An empty cell, a word
    such as NA and a code such as -999 stand for a missing reading; none is filled in.

    Args:
        paths: the files.
        largest: a reading that is negative or above it is not plausible, and refused [µg/m³].
        slot_minutes: length of a slot; None: the commonest step between two times. If given, the readings of each slot
            are averaged.
        parameter: which rows of long files are used, where a column says what was measured; else the name of the column
            that is used, where several may be meant, such as ``pm2.5_atm`` beside ``pm2.5_cf_1``.

    Returns:
        Tables (slots, devices) [µg/m³], NaN where nothing was read. Files of numbers alone: a NumPy array each, the
        rows are slots without a pause. Files with a header: a pandas frame each, one column per station. Files with
        times: one frame of all files; its index is every slot from the first to the last, with the files' time zone if
        any.

    Raises:
        ValueError: a malformed file, an implausible reading, fewer than 2 rows or devices, irregular times, or files
            that do not fit together; the message names file, row and column.
        FileNotFoundError: a missing file.
        ImportError: pandas is needed and missing.
    """
    if as_number("largest", largest) <= 0.0:
        raise ValueError(f"largest must be positive [µg/m³], got {largest!r}")
    tables = raw_readings(paths, largest=largest, slot_minutes=slot_minutes, parameter=parameter)
    slots, devices = min(tables[0].shape[0], *(len(x) for x in tables)), tables[0].shape[1]
    if min(slots, devices) < 2:
        raise ValueError(
            f"{next(iter(paths))}: {slots} slot(s) of {devices} device(s); at least 2 slots and 2 devices are needed"
        )
    return tables


def raw_readings(
    paths: Sequence[str | os.PathLike[str]],
    *,
    largest: float | None = None,
    slot_minutes: float | None = None,
    parameter: str = "pm25",
    plausible: float = LARGEST_READING,
) -> list[Any]:
    """As `load_readings`, also of one device; with `largest` None every number is taken, however implausible.

    With `slot_minutes` what is negative or above `plausible` [µg/m³] stays out of the average of a slot in which
    something plausible was read; see `readings.frames`.
    """
    if isinstance(paths, str | os.PathLike):
        raise ValueError(f"paths must be a list of files, got the single path {str(paths)!r}: put it into a list")
    listed = list(paths) if isinstance(paths, Iterable) else [paths]
    if not all(isinstance(path, str | os.PathLike) for path in listed):
        raise ValueError(f"paths must be a list of files, got {paths!r}")
    if not listed:
        raise ValueError("paths is empty: give at least one file of readings")
    if slot_minutes is not None and not SLOT_MINUTES[0] <= as_number("slot_minutes", slot_minutes) <= SLOT_MINUTES[1]:
        raise ValueError("slot_minutes must be from {:g} to {:g}, got {}".format(*SLOT_MINUTES, slot_minutes))
    sheets = [read_sheet(Path(path)) for path in listed]
    if all(sheet.is_plain for sheet in sheets):
        tables: list[Any] = [plain_table(x.path, x.rows, "slots", "devices", largest, gaps=True) for x in sheets]
    else:
        try:
            from aq_gym.ingestion.readings import frames  # the part that needs pandas
        except ImportError as error:
            raise ImportError(
                f"{sheets[0].path} has a header or times, which is read with pandas: pip install 'aq-gym[train]', or "
                "leave the readings alone in the file"
            ) from error
        tables = frames(sheets, largest=largest, slot_minutes=slot_minutes, parameter=parameter, plausible=plausible)
    for sheet, table in zip(sheets, tables, strict=False):
        if table.shape[1] != tables[0].shape[1]:
            raise ValueError(
                f"{sheet.path}, row 1: {table.shape[1]} columns, but {sheets[0].path} has {tables[0].shape[1]}; "
                "every file must have the same devices in the same order"
            )
    return tables


def load_calibration(path: str | os.PathLike[str], *, largest: float = LARGEST_READING) -> NDArray[np.float64]:
    """Read readings of sensors side by side: comma-separated numbers, rows sensors, columns samples, no header.

    Returns:
        (n_sensors, n_samples) [µg/m³].

    Raises:
        ValueError: a malformed file, or fewer than 2 sensors or samples.
        FileNotFoundError: a missing file.
    """
    rows = read_rows(Path(path), decode(Path(path), read_bytes(Path(path))))
    return plain_table(Path(path), rows, "sensors", "samples", largest)


def load_locations(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Read positions: a table with a header, of which the columns longitude... and latitude... are used [degrees].

    With `names`, those of the stations of these names, where a column of the table names its stations.

    The degrees become metres by the equirectangular projection about the mean: east = R cos(mean latitude) dlon,
    north = R dlat. Over a city the error is far below a metre per kilometre. The PKU positions are BD-09 coordinates,
    whose offset from WGS 84 is nearly constant over a campus and cancels about the mean.

    Returns:
        (N, 2) metres east and north of the mean, in the order of the rows or of the names.

    Raises:
        ValueError: a missing column, a cell that is no angle, fewer than 2 rows, or a location that is further than
            500 km from the median one.
        FileNotFoundError: a missing file.
    """
    stations = read_stations(Path(path))
    rows = np.arange(len(stations.degrees)) if names is None else stations.rows_of(names)
    degrees = stations.degrees[rows]
    away = metres_from_median(degrees)
    if away.max() > FURTHEST:
        k = int(away.argmax())
        raise ValueError(
            f"{stations.places[rows[k]]}: {away[k] / 1000:,.0f} km from the median location, at most "
            f"{FURTHEST / 1000:g} km are right (without a fix a sensor stands at 0, 0); correct it or delete the row"
        )
    return on_a_plane(degrees)
