"""Network files: an .npz archive of a network's fields, and what comes with the package.

A file lacks the members that are None or at their default, so that older files stay as they are. `FORMAT` says which
version knows a member; the lowest version that knows all members of a file is written.
"""

import dataclasses
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.files import write_atomically
from aq_gym.parameters import DEFAULT_SLOT_MINUTES, NetworkParameters

INSTANCES = Path(__file__).resolve().parent / "instances"
FORMAT = {
    "level_model": 2,
    "slot_minutes": 3,
    "level_belief": 4,
}  # member -> first version that knows it; all others: 1
FORMAT_VERSION = 4
SIGNIFICANT_DIGITS = 12  # stored parameters: enough for every use, few enough that all processors agree
_KNOWN = {field.name for field in dataclasses.fields(NetworkParameters)}
_NEEDED = _KNOWN - {"coordinates", *FORMAT}


def bundled_names() -> list[str]:
    """Names of the networks that come with the package, sorted."""
    return sorted(path.stem for path in INSTANCES.glob("*.npz"))


def known_names() -> str:
    """What `SensorNetwork.load` takes beside paths, for messages."""
    return ", ".join([*bundled_names(), "synthetic-<n_locations>-<seed>"])


def round_significant(values: ArrayLike, digits: int = SIGNIFICANT_DIGITS) -> NDArray[np.float64]:
    """Each value rounded to `digits` significant decimal digits (at most 22 decimals), any shape, with its sign."""
    array = np.asarray(values, dtype=np.float64)
    powers = np.array([float(f"1e{k}") for k in range(-22, 23)])
    exponent = np.searchsorted(powers, np.abs(array), side="right") - 23  # floor(log10), without a logarithm's last bit
    decimals = np.clip(digits - 1 - exponent, -22, 22)
    scale = powers[22 + np.abs(decimals)]
    rounded = np.where(decimals >= 0, np.rint(array * scale) / scale, np.rint(array / scale) * scale)
    return np.asarray(rounded + 0.0, dtype=np.float64)  # + 0.0: no negative zeros


def write_network(path: Path, fields: Mapping[str, Any], card: Mapping[str, Any]) -> Path:
    """Write the fields to `path` and a JSON card beside it; see `SensorNetwork.save`."""
    if path.suffix != ".npz":
        raise ValueError(f"path must end in .npz, got {str(path)!r}")
    members = _members(fields)
    content = _archive(members)
    summary = {
        "name": fields["name"],
        "format_version": int(members["format_version"]),
        "n_locations": len(fields["mean_relation"]),
        "n_levels": len(fields["levels"]),
        **{field: fields[field] for field in ("slot_minutes", "measurement_variance", "temporal_variance")},
        "sha256": hashlib.sha256(content).hexdigest(),
        **card,
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), text.encode())
    return path


def read_card(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON card of a bundled network, or the one beside a file; {} where there is none.

    Raises:
        ValueError: a card that is no JSON object.
    """
    bundled = str(name_or_path) in bundled_names()
    path = INSTANCES / f"{name_or_path}.json" if bundled else Path(name_or_path).with_suffix(".json")
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected the card of a network, a JSON object; {error}") from None
    if not isinstance(card, dict):
        raise ValueError(f"{path}: expected the card of a network, a JSON object, got {type(card).__name__}")
    return card


def location_names(card: Mapping[str, Any], n_locations: int) -> tuple[str, ...]:
    """(N,) the stations that a card names in the order of the locations; empty where it names none, or others."""
    about = card.get("data")
    stations = card.get("stations") or (about.get("stations") if isinstance(about, Mapping) else None) or ()
    names = tuple(str(name) for name in stations)
    numbered = names == tuple(map(str, range(n_locations)))  # columns without a header
    return names if len(names) == n_locations and not numbered else ()


def _members(fields: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """What a file holds: no field that is None, no slots of the default length."""
    used = {name: value for name, value in fields.items() if value is not None}
    if used["slot_minutes"] == DEFAULT_SLOT_MINUTES:
        del used["slot_minutes"]
    version = max([1, *(FORMAT[name] for name in used if name in FORMAT)])
    members: dict[str, NDArray[Any]] = {"format_version": np.array(version, dtype="<i8")}
    for name, value in used.items():
        if isinstance(value, str):
            members[name] = np.array(value, dtype=f"<U{len(value)}")
        else:
            members[name] = np.ascontiguousarray(value, dtype="<f8").reshape(np.shape(value))
    return members


def _archive(members: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz archive: members sorted, stored uncompressed, timestamps fixed; the same members give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for member in sorted(members):
            entry = zipfile.ZipInfo(f"{member}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            data = io.BytesIO()
            np.lib.format.write_array(data, members[member], version=(1, 0), allow_pickle=False)
            archive.writestr(entry, data.getvalue())
    return buffer.getvalue()


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a file that `write_network` wrote, each by name; nothing in the file is ever executed.

    Raises:
        ValueError: no such archive, a damaged one, or members that no network has; the message names the file.
        FileNotFoundError: no file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"no network file at {str(path)!r}; bundled networks: {known_names()}") from None
    except IsADirectoryError:
        raise ValueError(f"{str(path)!r} is a folder: give the path of an .npz file in it") from None
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ValueError(f"{str(path)!r} is no .npz archive, or a truncated one; make it anew with SensorNetwork.save")
    try:
        found = _read_members(content)
    except Exception as error:  # zipfile and NumPy raise a dozen kinds at damaged files
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{str(path)!r} cannot be read as a network ({reason}): write it again with SensorNetwork.save"
        ) from error
    version = found.pop("format_version", None)
    missing = sorted(_NEEDED - set(found)) if version is not None else ["format_version"]
    if missing or version is None:
        raise ValueError(
            f"{str(path)!r} is not a SensorNetwork file: it lacks {', '.join(missing)}; SensorNetwork.save writes one"
        )
    if version.ndim or version.dtype.kind not in "iu" or not 1 <= int(version) <= FORMAT_VERSION:
        raise ValueError(f"{str(path)!r} has format version {version}: this aq_gym reads 1 to {FORMAT_VERSION}")
    unknown = sorted(set(found) - _KNOWN)
    if unknown:
        raise ValueError(f"{str(path)!r} is not a SensorNetwork file: unknown members {', '.join(unknown)}")
    name = found.pop("name")
    if name.ndim or name.dtype.kind != "U":
        raise ValueError(f"{str(path)!r}: name must be a string, got {name!r}")
    return {"name": str(name), **found}


def _read_members(content: bytes) -> dict[str, NDArray[Any]]:
    """Every .npy member of an archive by its stem."""
    members: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            stem, suffix = os.path.splitext(entry.filename)
            if suffix != ".npy" or stem in members:
                raise ValueError(f"member {entry.filename!r} is no .npy file, or is there twice")
            with archive.open(entry) as stream:
                members[stem] = np.lib.format.read_array(stream, allow_pickle=False)
                if stream.read(1):
                    raise ValueError(f"member {entry.filename!r} is longer than its header says")
    if "name" in members:
        str(members["name"])  # refuses characters that do not exist
    return members
