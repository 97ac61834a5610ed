"""The Peking University data set, and the loaders of any files, which `aq_gym.ingestion` reads.

Everything is checked before it is used: a file that is missing, altered or malformed is refused with the file, the row
and the column (both counted from 1, as an editor shows them) and what to do about it.

The environment variable AQ_GYM_DATA names a folder that contains `pku2018/` with the raw files: an offline mirror, used
instead of the network.
"""

import errno
import hashlib
import importlib.util
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from aq_gym.files import write_atomically
from aq_gym.ingestion.loading import load_calibration, load_locations, load_readings

__all__ = [
    "FILES",
    "PERIODS",
    "data_folder",
    "download",
    "load_calibration",
    "load_locations",
    "load_pku2018",
    "load_readings",
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
        The (T, 30) tables of the period [µg/m³], and the (70, 488) calibration [µg/m³].

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


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _mirror() -> Path | None:
    mirror = os.environ.get(MIRROR_VARIABLE)
    return Path(mirror) / "pku2018" if mirror else None


def verify(path: Path, known_hash: str) -> None:
    """Raise unless the file is there (FileNotFoundError) and has this SHA-256 (ValueError)."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected the file of that name; move it away and download the file")
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
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "downloading needs pooch, which is not installed: pip install 'aq-gym[train]', "
            f"or let {MIRROR_VARIABLE} name a folder that contains pku2018/ with the files"
        ) from error
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
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR):
            raise OSError(error.errno, f"cannot write the download: {error.strerror}", str(path)) from error
        raise ConnectionError(
            f"cannot download {url} ({error}): check the connection and try again, or let {MIRROR_VARIABLE} name a "
            "folder that contains pku2018/ with the files"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path.name} from {url} does not have the SHA-256 {known_hash} of the original, so nothing was written: "
            "try again, or get the file elsewhere"
        ) from error
