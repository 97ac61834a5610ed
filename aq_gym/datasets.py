"""Readings from files: the Peking University data set, and tables of one's own.

Everything is checked before it is used: a file that is missing, altered or malformed is refused with the file, the row
and the column (both counted from 1, as an editor shows them) and what to do about it.

The environment variable AQ_GYM_DATA names a folder that contains `pku2018/` with the raw files: an offline mirror, used
instead of the network.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from aq_gym.network import INSTANCES, write_atomically

__all__ = [
    "FILES",
    "PERIODS",
    "data_folder",
    "download",
    "load_calibration",
    "load_locations",
    "load_pku2018",
    "load_readings",
    "pku2018_locations",
    "sha256_of",
    "verify",
]

SPRING = "DataSet_1(20180301-20180515).csv"
SUMMER = "DataSet_2(20180605-20180825).csv"
CALIBRATION = "Sensor_Error_Calibration.csv"
FILES = {  # file -> SHA-256
    SPRING: "4682a60ecda2ec9b0e8832a2c836303ac2f7da2e4d776a5e39e479869741b5a1",
    SUMMER: "50aa7cc1944f9e3a0c82bd71cf60db49b01a4fbda111a94905a8a1c667c6ee7c",
    CALIBRATION: "3a735b83cfc893bcb868809710eb945c7f8f8937adf50c9b530418c6027d2c61",
}
PERIODS = {"pku2018": (SPRING, SUMMER), "pku2018-spring": (SPRING,), "pku2018-summer": (SUMMER,)}
SOURCE = "https://raw.githubusercontent.com/pku-hzw/PKU-Air-IoTJournal-2018/HEAD"
DEFAULT_FOLDER = Path("data/raw/pku2018")
MIRROR_VARIABLE = "AQ_GYM_DATA"

_METRES_PER_DEGREE = 6_371_008.8 * math.pi / 180.0  # on a sphere of the Earth's mean radius


# -------------------------------------------------------------------------------------- the PKU data set


def data_folder() -> Path:
    """Where the raw PKU files are looked for: $AQ_GYM_DATA/pku2018, or data/raw/pku2018 where that is unset."""
    return _mirror() or DEFAULT_FOLDER


def download(
    folder: str | os.PathLike[str] | None = None, *, base_url: str = SOURCE, retries: int = 2, progress: bool = False
) -> Path:
    """Make sure that the three raw PKU files are in a folder, intact, and return the folder.

    Files that are there with the right hash stay. With AQ_GYM_DATA set the files come from that mirror and nothing is
    downloaded. A file is renamed to its name only after its SHA-256 was found right.

    Args:
        folder: where to put the files; None: `data_folder()`.
        base_url: where the files come from; the default is the repository of the data's authors.
        retries: further attempts after a failed transfer.
        progress: show a progress bar.

    Raises:
        ValueError: a file has a wrong hash.
        FileNotFoundError: the mirror lacks a file.
        ConnectionError: a transfer failed.
        ImportError: pooch is needed and missing.
    """
    mirror = _mirror()
    target = data_folder() if folder is None else Path(folder)
    for name, known_hash in FILES.items():
        path = target / name
        if path.exists() or (mirror and mirror == target):
            verify(path, known_hash)
        elif mirror:
            verify(mirror / name, known_hash)
            write_atomically(path, (mirror / name).read_bytes())
        else:
            _fetch(path, known_hash, f"{base_url.rstrip('/')}/{quote(name)}", retries, progress)
    return target


def load_pku2018(
    name: str = "pku2018", folder: str | os.PathLike[str] | None = None
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Readings and calibration of the PKU data set, as `calibration.fit` takes them.

    Args:
        name: which period: "pku2018" (both), "pku2018-spring" (DataSet_1) or "pku2018-summer" (DataSet_2).
        folder: where the raw files are; None: `data_folder()`.

    Returns:
        The (T, 30) tables of the period [ug/m3], and the (70, 488) calibration [ug/m3].

    Raises:
        ValueError: an unknown period, or a file with a wrong hash.
        FileNotFoundError: a file is missing; the message says how to get it.
    """
    if name not in PERIODS:
        raise ValueError(f"unknown period {name!r}: known ones are {', '.join(PERIODS)}")
    source = data_folder() if folder is None else Path(folder)
    for file in (*PERIODS[name], CALIBRATION):
        verify(source / file, FILES[file])
    return load_readings([source / file for file in PERIODS[name]]), load_calibration(source / CALIBRATION)


def pku2018_locations() -> NDArray[np.float64]:
    """Positions of the 30 PKU devices in column order, (30, 2) metres east and north of their mean."""
    return load_locations(INSTANCES / "pku2018-locations.csv")


# ------------------------------------------------------------------------------------------ any files


def load_readings(paths: Sequence[str | os.PathLike[str]]) -> list[NDArray[np.float64]]:
    """Read one file for each uninterrupted period: comma-separated numbers, a row a slot, a column a device, no header.

    Returns:
        A (T, N) table for each file [ug/m3].

    Raises:
        ValueError: a malformed file, fewer than 2 rows or devices, or different numbers of columns between files.
        FileNotFoundError: a missing file.
    """
    if isinstance(paths, str | os.PathLike):
        raise ValueError(f"paths must be a list of files, got the single path {str(paths)!r}: put it into a list")
    files = [Path(path) for path in paths]
    if not files:
        raise ValueError("paths is empty: give at least one file of readings")
    tables = [_read_table(path, "slots", "devices") for path in files]
    for path, table in zip(files, tables, strict=True):
        if table.shape[1] != tables[0].shape[1]:
            raise ValueError(
                f"{path}, row 1: {table.shape[1]} columns, but {files[0]} has {tables[0].shape[1]}; "
                "every file must have the same devices in the same order"
            )
    return tables


def load_calibration(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Read readings of sensors side by side: comma-separated numbers, a row a sensor, a column a sample, no header.

    Returns:
        (n_sensors, n_samples) [ug/m3].

    Raises:
        ValueError: a malformed file, or fewer than 2 sensors or samples.
        FileNotFoundError: a missing file.
    """
    return _read_table(Path(path), "sensors", "samples")


def load_locations(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Read positions: a table with a header, of which the columns longitude... and latitude... are used [degrees].

    The degrees become metres by the equirectangular projection about the mean: east = R cos(mean latitude) dlon,
    north = R dlat. Over a city the error is far below a metre per kilometre. The PKU positions are BD-09 coordinates,
    whose offset from WGS 84 is nearly constant over a campus and cancels about the mean.

    Returns:
        (N, 2) metres east and north of the mean, in the order of the rows.

    Raises:
        ValueError: a missing column, a cell that is no angle, or fewer than 2 rows.
        FileNotFoundError: a missing file.
    """
    path = Path(path)
    rows = _rows(path)
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    columns = []
    for word in ("longitude", "latitude"):
        found = [k for k, cell in enumerate(header) if cell.startswith(word)]
        if len(found) != 1:
            raise ValueError(
                f"{path}, row 1: {len(found)} columns start with {word!r}, one is needed; mend the header line"
            )
        columns.append(found[0])
    degrees = np.empty((len(rows) - 1, 2))
    for k, (number, row) in enumerate(rows[1:]):
        if len(row) != len(header):
            raise ValueError(_ragged(path, number, len(row), len(header)))
        for axis, (column, limit) in enumerate(zip(columns, (180.0, 90.0), strict=True)):
            degrees[k, axis] = _number(path, number, column, row[column], -limit, limit, "an angle in degrees")
    if len(degrees) < 2:
        raise ValueError(f"{path}: {len(degrees)} location(s) below the header; at least 2 are needed, add rows")
    offset = degrees - degrees.mean(axis=0)
    parallel = math.cos(math.radians(float(degrees[:, 1].mean())))
    metres: NDArray[np.float64] = offset * np.array([_METRES_PER_DEGREE * parallel, _METRES_PER_DEGREE])
    return metres


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ------------------------------------------------------------------------------------------- helpers


def _mirror() -> Path | None:
    mirror = os.environ.get(MIRROR_VARIABLE)
    return Path(mirror) / "pku2018" if mirror else None


def verify(path: Path, known_hash: str) -> None:
    """Raise unless the file is there (FileNotFoundError) and has this SHA-256 (ValueError)."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: fetch it by `python -m scripts.download_data` (or aq_gym.datasets.download()), "
            f"or let {MIRROR_VARIABLE} name the folder that contains pku2018/ with it"
        )
    found = sha256_of(path)
    if found != known_hash:
        raise ValueError(
            f"{path} has SHA-256 {found}, but the original has {known_hash}: it was altered or cut off; "
            "delete it and download it again"
        )


def _fetch(path: Path, known_hash: str, url: str, retries: int, progress: bool) -> None:
    pooch = _pooch()
    progress = progress and importlib.util.find_spec("tqdm") is not None
    store = pooch.create(
        path=path.parent,
        base_url="",
        registry={path.name: known_hash},
        urls={path.name: url},
        retry_if_failed=retries,
        allow_updates=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        store.fetch(path.name, downloader=pooch.HTTPDownloader(progressbar=progress, timeout=30))
    except OSError as error:
        raise ConnectionError(
            f"cannot download {url} ({error}): check the connection and try again, or let {MIRROR_VARIABLE} name a "
            "folder that contains pku2018/ with the files"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path.name} from {url} does not have the SHA-256 {known_hash} of the original, so nothing was written: "
            "try again, or get the file elsewhere"
        ) from error


def _pooch() -> ModuleType:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "downloading needs pooch, which is not installed: pip install 'aq-gym[train]', "
            f"or let {MIRROR_VARIABLE} name a folder that contains pku2018/ with the files"
        ) from error
    module: ModuleType = pooch
    return module


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number (from 1) and cells of every row; empty lines at the end are passed over, others refused."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: check the name, or fetch the PKU files by scripts.download_data")
    rows: list[tuple[int, list[str]]] = []
    empty = 0
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            for row in reader:
                if not row:
                    empty = empty or reader.line_num
                elif empty:
                    raise ValueError(f"{path}, row {empty}: the row is empty; delete it or fill it in")
                else:
                    rows.append((reader.line_num, row))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}, row {len(rows) + 1} or later: byte {error.object[error.start]:#04x} is no UTF-8 text; "
            "save it as plain comma-separated UTF-8"
        ) from error
    except csv.Error as error:
        raise ValueError(f"{path}, row {len(rows) + 1}: {error}; save it as plain comma-separated text") from error
    return rows


def _read_table(path: Path, row_word: str, column_word: str) -> NDArray[np.float64]:
    rows = _rows(path)
    if len(rows) < 2:
        raise ValueError(f"{path}: {len(rows)} row(s); at least 2 {row_word} are needed, add rows")
    width = len(rows[0][1])
    if width < 2:
        raise ValueError(
            f"{path}, row 1: {width} column; at least 2 {column_word} are needed, separated by commas, add columns"
        )
    table = np.empty((len(rows), width))
    for k, (number, row) in enumerate(rows):
        if len(row) != width:
            raise ValueError(_ragged(path, number, len(row), width))
        try:
            table[k] = [float(cell) for cell in row]
        except ValueError:
            table[k] = np.nan  # found again below, cell by cell
    for k, column in np.argwhere(~(np.isfinite(table) & (table >= 0.0))):
        number, row = rows[k]
        for c in range(column, width):
            table[k, c] = _number(path, number, c, row[c], 0.0, math.inf, "a concentration in ug/m3")
    return table


def _ragged(path: Path, number: int, found: int, width: int) -> str:
    return (
        f"{path}, row {number}: {found} columns, row 1 has {width}, so column {min(found, width) + 1} is "
        f"{'missing' if found < width else 'too many'}; give every row the same columns"
    )


def _number(path: Path, number: int, column: int, cell: str, low: float, high: float, what: str) -> float:
    """The cell as a finite number in [low, high], or an error that says where it stands."""
    where = f"{path}, row {number}, column {column + 1}"
    if not cell.strip():
        raise ValueError(f"{where}: the cell is empty; fill it in or delete the row")
    try:
        value = float(cell)
    except ValueError:
        remedy = "delete a header line" if number == 1 else "correct it or delete the row"
        raise ValueError(f"{where}: {cell!r} is not a number; {remedy}") from None
    if not math.isfinite(value):
        raise ValueError(f"{where}: {cell!r} is not finite; fill in a number or delete the row")
    if not low <= value <= high:
        raise ValueError(f"{where}: {cell!r} is not {what}, from {low:g} to {high:g}; correct it or delete the row")
    return value
