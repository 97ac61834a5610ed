"""Forecasters by name, and as zip files of numbers: nothing that is loaded is executed."""

import hashlib
import json
import zipfile
from inspect import signature
from io import BytesIO
from pathlib import Path
from typing import Any

from aq_gym.forecasting.combined import Calibrated, Ensemble
from aq_gym.forecasting.features import Features
from aq_gym.forecasting.forecaster import Chain, Drift, Forecaster, Persistence
from aq_gym.forecasting.networks import DeepNetwork, RecurrentNetwork, SmallNetwork
from aq_gym.forecasting.regression import BoostingDefaults, BoostingForecaster, RidgeForecaster
from aq_gym.network import write_atomically

VERSION = 1
MANIFEST = "forecaster.json"
MOST_BYTES = 2**28  # of a file, unpacked

_ALL: tuple[type[Any], ...] = (
    *(Persistence, Drift, Chain, RidgeForecaster, BoostingDefaults, BoostingForecaster),
    *(SmallNetwork, DeepNetwork, RecurrentNetwork, Ensemble, Calibrated),
)
_KINDS: dict[str, type[Any]] = {kind.name: kind for kind in _ALL}
NAMES = tuple(name for name in _KINDS if name != Calibrated.name)


def make_forecaster(name: str, features: Features | None = None, seed: int = 0, **options: Any) -> Forecaster:
    """An untrained forecaster by its name.

    Args:
        name: one of `NAMES`.
        features: what it reads, if it reads features.
        seed: of its training.
        options: ``horizons``, ``quantiles`` and what else its class takes.

    Raises:
        ValueError: another name.
    """
    if name not in NAMES:
        raise ValueError(f"forecaster: expected one of {', '.join(NAMES)}, got {name!r}")
    if name == Ensemble.name:
        members = RidgeForecaster.name, BoostingForecaster.name, DeepNetwork.name
        return Ensemble([make_forecaster(member, features, seed, **options) for member in members])
    kind = _KINDS[name]
    given = {"features": features, "seed": seed}
    return kind(**{k: x for k, x in given.items() if k in signature(kind).parameters}, **options)  # type: ignore[no-any-return]


def save(path: str | Path, forecaster: Forecaster, card: dict[str, Any] | None = None) -> Path:
    """Store a fitted forecaster; ``card``: what to note about it, as JSON has it."""
    files = forecaster.to_files()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {"version": VERSION, "forecaster": forecaster, "card": card or {}, "sha256": hashes}
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in {MANIFEST: json.dumps(manifest, indent=1, default=_description).encode(), **files}.items():
            out.writestr(zipfile.ZipInfo(name), content)  # without the time of day: same forecaster, same bytes
    path = Path(path)
    write_atomically(path, packed.getvalue())
    return path


def load(path: str | Path) -> Forecaster:
    """Read what `save` stored.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no forecaster, or a damaged one.
    """
    return _read(path)[0]


def card(path: str | Path) -> dict[str, Any]:
    """What was noted about a stored forecaster; raises as `load`."""
    return _read(path)[1]


def _read(path: str | Path) -> tuple[Forecaster, dict[str, Any]]:
    try:
        files = _unpack(Path(path))
        manifest = json.loads(files.pop(MANIFEST))
        if manifest["version"] != VERSION:
            raise ValueError(f"written by another version, {manifest['version']!r}; this one reads {VERSION}")
        for name, digest in manifest["sha256"].items():
            if hashlib.sha256(files[name]).hexdigest() != digest:
                raise ValueError(f"{name} was changed since it was saved")
        return _from_description(manifest["forecaster"]).from_files(files), dict(manifest["card"])
    except OSError:
        raise
    except Exception as error:  # whatever a foreign or damaged file makes a reader say
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: expected a forecaster of aq_gym.forecasting.storage.save; {reason}") from error


def _unpack(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > MOST_BYTES:
            raise ValueError(f"holds more than {MOST_BYTES} bytes")
        return {entry.filename: packed.read(entry) for entry in packed.infolist()}


def _description(value: Any) -> dict[str, Any]:
    """A forecaster or its features, where the manifest names them."""
    return {"name": value.name, "settings": value.settings()} if isinstance(value, Forecaster) else vars(value)


def _from_description(about: dict[str, Any]) -> Forecaster:
    settings = dict(about["settings"])
    if "features" in settings:
        given = settings["features"]
        settings["features"] = Features(tuple(given["lags"]), tuple(given["windows"]), bool(given["clock"]))
    if "base" in settings:
        settings["base"] = _from_description(settings["base"])
    if "members" in settings:
        settings["members"] = [_from_description(x) for x in settings["members"]]
    return _KINDS[about["name"]](**settings)  # type: ignore[no-any-return]
