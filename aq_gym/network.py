"""The fitted parameters of a sensor network: what the environments, the equations and the baselines all read.

A `SensorNetwork` is one frozen object. Concentrations are in ug/m3, time in slots of 10 minutes, coordinates in
metres. Equation numbers are those of the model that `docs` and the docstrings of `inference` spell out.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import operator
import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SIGNIFICANT_DIGITS", "SensorNetwork", "bundled_names", "round_significant", "write_atomically"]

INSTANCES = Path(__file__).resolve().parent / "instances"
FORMAT_VERSION = 2  # 1: without a level model, and still written so
LEVEL_MODEL = ("lasting", "short", "memory", "long", "floor", "drift")  # see `aq_gym.estimation.LevelAware`
SIGNIFICANT_DIGITS = 12  # stored parameters: enough for every use, few enough that all processors agree
_PROBABILITY_TOLERANCE = 1e-9
_SYNTHETIC_NAME = re.compile(r"synthetic-(\d+)-(\d+)")

# Field statistics of the PKU network, for `synthetic`. `python -m scripts.fit_network --field-statistics` prints them.
LOCATIONS_PER_KM2 = 32.9  # 30 in the box that holds them all, 0.82 km by 1.11 km
MEAN_DEVIATION = 0.0321  # standard deviation of the locations' mean deviations m, a_ij = m_j - m_i [1]
NUGGET_LOG_MEAN = -6.61  # a location's own part of b, b_ij = g_i + g_j + spatial part: mean of log g
NUGGET_LOG_DEVIATION = 0.35  # and the standard deviation of log g
SPATIAL_VARIANCE = 3.37e-4  # spatial part of b: SPATIAL_VARIANCE (1 - exp(-distance / SPATIAL_RANGE)) on average [1]
SPATIAL_RANGE = 350.0  # [m]
SPATIAL_FACTORS = 2  # hidden fields in the spatial part: 2 give it the spread that PKU's has about its average
MEAN_SPATIAL_SHARE = 0.25  # part of m's variance that is a smooth field: as much as PKU allows (-0.19 + 2 x 0.24)
_WAVES = 64  # random waves in each field


def bundled_names() -> list[str]:
    """Names of the networks that come with the package, sorted."""
    return sorted(path.stem for path in INSTANCES.glob("*.npz"))


def round_significant(values: ArrayLike, digits: int = SIGNIFICANT_DIGITS) -> NDArray[np.float64]:
    """Each value rounded to `digits` significant decimal digits (at most 22 decimals), any shape, sign kept."""
    array = np.asarray(values, dtype=np.float64)
    powers = np.array([float(f"1e{k}") for k in range(-22, 23)])
    exponent = np.searchsorted(powers, np.abs(array), side="right") - 23  # floor(log10), without a logarithm's last bit
    decimals = np.clip(digits - 1 - exponent, -22, 22)
    scale = powers[22 + np.abs(decimals)]
    rounded = np.where(decimals >= 0, np.rint(array * scale) / scale, np.rint(array / scale) * scale)
    return np.asarray(rounded + 0.0, dtype=np.float64)  # + 0.0: no negative zeros


@dataclass(frozen=True, eq=False)
class SensorNetwork:
    """Parameters of an air-quality sensor network with N candidate locations and E levels of the area's air quality.

    Every array is stored as a read-only float64 copy, and everything is checked on construction.

    Attributes:
        measurement_variance: normalised measurement variance, delta^2 (1), > 0 [1]. A reading of x at level e is
            N(x, delta^2 e^2).
        temporal_variance: temporal deviation variance, sigma^2 (2)(3), >= 0 [(ug/m3)^2 per slot].
        mean_relation: (N, N), `a[i, j]`: normalised mean deviation from location i to j (4), zero diagonal [1].
        variance_relation: (N, N), `b[i, j]`: normalised added variance from i to j (5), >= 0, zero diagonal [1].
        levels: (E,) values of the area's level, strictly increasing, > 0 [ug/m3].
        transition: (E, E) Markov matrix, `transition[e, f]` = P(next level f | level e), rows sum to 1 (8).
        start: (E,) distribution of the level of slot 0, sums to 1 (7).
        coordinates: (N, 2) metres east and north of the locations' mean, or None where unknown.
        level_model: (6,) what level-aware inference needs (`aq_gym.estimation.LevelAware`): lasting [1], short [1],
            memory [slots], long [1], floor [(ug/m3)^2], drift [(ug/m3)^2]; or None where it was not learned.
        name: what the network is called in messages and cards.

    Raises:
        ValueError: a field has a wrong shape, sign, sum or type; the message names the field and what is right.
    """

    measurement_variance: float
    temporal_variance: float
    mean_relation: NDArray[np.float64]
    variance_relation: NDArray[np.float64]
    levels: NDArray[np.float64]
    transition: NDArray[np.float64]
    start: NDArray[np.float64]
    coordinates: NDArray[np.float64] | None = None
    name: str = "custom"
    level_model: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for field in ("measurement_variance", "temporal_variance"):
            object.__setattr__(self, field, _as_number(field, getattr(self, field)))
        for field, ndim in _ARRAY_NDIM.items():
            value = getattr(self, field)
            if field not in _OPTIONAL or value is not None:
                object.__setattr__(self, field, _as_array(field, value, ndim))
        _check_variances(self)
        _check_relations(self)
        _check_chain(self)
        _check_coordinates(self)
        _check_level_model(self)
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be a non-empty string, got {self.name!r}")

    @property
    def n_locations(self) -> int:
        """Number of candidate locations, N."""
        return int(self.mean_relation.shape[0])

    @property
    def n_levels(self) -> int:
        """Number of levels of the area's air quality, E."""
        return int(self.levels.shape[0])

    # ------------------------------------------------------------------------------------------------ comparing

    def __eq__(self, other: object) -> bool:
        """Equal when every field is equal in value, the name included."""
        if not isinstance(other, SensorNetwork):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        """Hash of the scalars, the sizes and the name: equal networks have equal hashes."""
        return hash((self.measurement_variance, self.temporal_variance, self.n_locations, self.n_levels, self.name))

    def __reduce__(self) -> tuple[type[SensorNetwork], tuple[Any, ...]]:
        """Pickle by value, so that an unpickled or copied network is checked and read-only again."""
        return SensorNetwork, tuple(getattr(self, f.name) for f in fields(self))

    def __repr__(self) -> str:
        """Short: the name and the sizes, not the matrices."""
        return (
            f"SensorNetwork(name={self.name!r}, n_locations={self.n_locations}, n_levels={self.n_levels}, "
            f"levels={self.levels[0]:g}..{self.levels[-1]:g} ug/m3, "
            f"measurement_variance={self.measurement_variance:.6g}, temporal_variance={self.temporal_variance:.6g})"
        )

    # ---------------------------------------------------------------------------------------- loading and saving

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> SensorNetwork:
        """Read a network: a bundled name ("pku2018", "pku2018-spring", "pku2018-summer") or a path to an .npz file.

        "synthetic-1000-0" stands for `synthetic(1000, seed=0)`: the name under which such a network appears in specs.

        Raises:
            ValueError: an unknown name (the known ones are listed), or a file that holds no valid network.
            FileNotFoundError: a path ending in .npz where no file is.
        """
        if not isinstance(name_or_path, str | os.PathLike):
            raise ValueError(f"network must be a name or a path, got {name_or_path!r}; known names: {_known()}")
        path = Path(name_or_path)
        if isinstance(name_or_path, str):
            match = _SYNTHETIC_NAME.fullmatch(name_or_path)
            if match:
                return _cached_synthetic(int(match[1]), int(match[2]))
            if name_or_path in bundled_names():
                return _cached_bundled(name_or_path)
            if path.suffix != ".npz" and not path.is_file():
                raise ValueError(
                    f"unknown network {name_or_path!r}: known names are {_known()}; "
                    "a file is given by its path, ending in .npz"
                )
        return _read(path)

    def save(self, path: str | os.PathLike[str], card: Mapping[str, Any] | None = None) -> Path:
        """Write the network to `path` (.npz) and a JSON card beside it; the same network gives the same bytes anywhere.

        Args:
            path: file ending in .npz; existing files are replaced, each in one step.
            card: further entries of the card (data, options, commit ...); sizes and the file's SHA-256 are added.

        Returns:
            The path of the .npz file.

        Raises:
            ValueError: `path` does not end in .npz.
        """
        target = Path(path)
        if target.suffix != ".npz":
            raise ValueError(f"path must end in .npz, got {str(target)!r}")
        content = self._to_bytes()
        summary = {
            "name": self.name,
            "format_version": self._format_version,
            "n_locations": self.n_locations,
            "n_levels": self.n_levels,
            "measurement_variance": self.measurement_variance,
            "temporal_variance": self.temporal_variance,
            "sha256": hashlib.sha256(content).hexdigest(),
            **(card or {}),
        }
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        write_atomically(target, content)
        write_atomically(target.with_suffix(".json"), text.encode())
        return target

    @property
    def _format_version(self) -> int:
        return 1 if self.level_model is None else FORMAT_VERSION

    def _to_bytes(self) -> bytes:
        """An .npz archive: members sorted, stored uncompressed, timestamps fixed."""
        members: dict[str, NDArray[Any]] = {"format_version": np.array(self._format_version, dtype="<i8")}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                members[field.name] = np.array(value, dtype=f"<U{len(value)}")
            elif value is not None:
                members[field.name] = np.ascontiguousarray(value, dtype="<f8").reshape(np.shape(value))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for member in sorted(members):
                entry = zipfile.ZipInfo(f"{member}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                data = io.BytesIO()
                np.lib.format.write_array(data, members[member], version=(1, 0), allow_pickle=False)
                archive.writestr(entry, data.getvalue())
        return buffer.getvalue()

    # ------------------------------------------------------------------------------------------------- deriving

    @classmethod
    def synthetic(cls, n_locations: int, seed: int) -> SensorNetwork:
        """Make a network of any size whose fields have the statistics of the PKU network.

        Locations lie evenly at random in a square, as densely as PKU's. A location's mean deviation m and the hidden
        factors behind b are smooth random fields (sums of random waves whose correlation falls as
        exp(-distance / 350 m)) plus a part of the location's own: a_ij = m_j - m_i and
        b_ij = g_i + g_j + sum over factors of (f_i - f_j)^2, so b is a variogram, positive off the diagonal.
        Level chain, level model and the two variances are those of "pku2018". The same arguments give the same network
        everywhere.

        Args:
            n_locations: number of locations, at least 2.
            seed: integer >= 0.

        Returns:
            The network, named "synthetic-<n_locations>-<seed>", which `load` understands as a name.

        Raises:
            ValueError: a wrong `n_locations` or `seed`.
        """
        n, seed = _as_integer("n_locations", n_locations), _as_integer("seed", seed)
        if n < 2:
            raise ValueError(f"n_locations must be at least 2, got {n}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        rng = np.random.default_rng(seed)
        side = 1000.0 * math.sqrt(n / LOCATIONS_PER_KM2)  # [m]
        xy = rng.uniform(0.0, side, (n, 2))
        xy = np.round(xy - xy.mean(axis=0), 8)
        field = _random_fields(xy, 1 + SPATIAL_FACTORS, rng)  # (1 + SPATIAL_FACTORS, N), unit variance
        own = rng.standard_normal((2, n))
        # Rounded far above a cosine's last bit: the plain sums and products after it are then the same everywhere.
        m = math.sqrt(MEAN_SPATIAL_SHARE) * field[0] + math.sqrt(1.0 - MEAN_SPATIAL_SHARE) * own[0]
        m = np.round(MEAN_DEVIATION * m, 10)
        g = np.round(np.exp(NUGGET_LOG_MEAN + NUGGET_LOG_DEVIATION * own[1]), 10)
        factors = np.round(math.sqrt(SPATIAL_VARIANCE / (2.0 * SPATIAL_FACTORS)) * field[1:], 10)
        b = g[:, None] + g
        for f in factors:
            b += np.square(f[:, None] - f)
        np.fill_diagonal(b, 0.0)
        base = cls.load("pku2018")
        return cls(
            measurement_variance=base.measurement_variance,
            temporal_variance=base.temporal_variance,
            mean_relation=m - m[:, None],
            variance_relation=b,
            levels=base.levels,
            transition=base.transition,
            start=base.start,
            coordinates=xy,
            name=f"synthetic-{n}-{seed}",
            level_model=base.level_model,
        )

    def coarsen(self, n_levels: int) -> SensorNetwork:
        """The same network on `n_levels` levels: contiguous groups of about equal probability under `start`.

        Level i goes to group min(n - 1, floor(n (mass of the levels below i + half its own))); a group's value,
        transitions and start mass are weighted by `start`. The name becomes "<name>/<n_levels>".

        Raises:
            ValueError: `n_levels` is no integer from 1 to the number of levels, or a group would be empty.
        """
        n = _as_integer("n_levels", n_levels)
        if not 1 <= n <= self.n_levels:
            raise ValueError(f"n_levels must be from 1 to {self.n_levels}, as many as {self.name!r} has; got {n}")
        below = np.concatenate([[0.0], np.cumsum(self.start)[:-1]])
        group = np.minimum(n - 1, np.floor(n * (below + 0.5 * self.start)).astype(np.int64))  # (E,)
        member = (group[:, None] == np.arange(n)).astype(np.float64)  # (E, n)
        weight = member * self.start[:, None]  # (E, n)
        mass = weight.sum(axis=0)  # (n,)
        empty = np.flatnonzero(mass <= 0.0)
        if empty.size:
            raise ValueError(
                f"n_levels={n} leaves group {int(empty[0])} of {self.name!r} without probability: "
                f"single levels are likelier than 1/{n}; choose fewer levels"
            )
        weight = weight / mass
        return SensorNetwork(
            measurement_variance=self.measurement_variance,
            temporal_variance=self.temporal_variance,
            mean_relation=self.mean_relation,
            variance_relation=self.variance_relation,
            levels=weight.T @ self.levels,
            transition=weight.T @ self.transition @ member,
            start=mass,
            coordinates=self.coordinates,
            name=f"{self.name}/{n}",
            level_model=self.level_model,
        )

    def joint_error(
        self,
        devices: ArrayLike,
        delay: ArrayLike,
        record: ArrayLike,
        level: ArrayLike,
        fuse_measured: bool = False,
        inference: str = "paper",
        level_noise: float = 0.0,
    ) -> NDArray[np.float64]:
        """Joint error (9) of every location, (..., N) [ug/m3].

        Args:
            devices: (M,) locations of the devices.
            delay: (..., M) slots since each device last sensed; 0 = sensed in this slot [slots].
            record: (..., M) the level when each device last sensed [ug/m3].
            level: (...) the level now [ug/m3].
            fuse_measured: fuse a location's own fresh reading with the others instead of keeping it alone.
            inference, level_noise: as in `aq_gym.inference.infer`.
        """
        from aq_gym import inference as equations

        options: dict[str, Any] = {"fuse_measured": fuse_measured, "inference": inference, "level_noise": level_noise}
        return equations.joint_error(self, devices, delay, record, level, **options)


# ---------------------------------------------------------------------------------------------------- checks

_ARRAY_NDIM = {"mean_relation": 2, "variance_relation": 2, "levels": 1, "transition": 2, "start": 1} | {
    "coordinates": 2,
    "level_model": 1,
}
_OPTIONAL = ("coordinates", "level_model")


def _as_number(field: str, value: Any) -> float:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or array.ndim:
            raise TypeError
        number = float(array)
    except (TypeError, ValueError):
        raise ValueError(f"{field} must be one real number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{field} must be finite, got {number}")
    return number


def _as_integer(field: str, value: Any) -> int:
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{field} must be an integer, got {value!r}") from None


def _as_array(field: str, value: Any, ndim: int) -> NDArray[np.float64]:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        raise ValueError(f"{field} must be an array of real numbers with {ndim} dimension(s), got {value!r}") from None
    if array.ndim != ndim:
        raise ValueError(f"{field} must have {ndim} dimension(s), got shape {array.shape}")
    array = np.array(array, dtype=np.float64, order="C")
    finite = np.isfinite(array)
    if not finite.all():
        where = _first(~finite)
        raise ValueError(f"{field}{where} is {array[tuple(where)]}: every entry must be finite")
    array.flags.writeable = False
    return array


def _first(mask: NDArray[np.bool_]) -> list[int]:
    """Index of the first true entry."""
    return [int(k) for k in np.argwhere(mask)[0]]


def _check_variances(network: SensorNetwork) -> None:
    if network.measurement_variance <= 0.0:
        raise ValueError(f"measurement_variance must be positive, got {network.measurement_variance}")
    if network.temporal_variance < 0.0:
        raise ValueError(f"temporal_variance must not be negative, got {network.temporal_variance}")


def _check_relations(network: SensorNetwork) -> None:
    a, b = network.mean_relation, network.variance_relation
    for field, matrix in (("mean_relation", a), ("variance_relation", b)):
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"{field} must be square, (n_locations, n_locations), got shape {matrix.shape}")
        nonzero = np.flatnonzero(np.diagonal(matrix))
        if nonzero.size:
            i = int(nonzero[0])
            raise ValueError(f"{field}[{i}, {i}] is {matrix[i, i]}: the diagonal must be zero")
    if a.shape[0] < 2:
        raise ValueError(f"mean_relation has {a.shape[0]} location(s): a network needs at least 2")
    if a.shape != b.shape:
        raise ValueError(f"variance_relation has shape {b.shape}, mean_relation {a.shape}: they must be the same")
    if (b < 0.0).any():
        i, j = _first(b < 0.0)
        raise ValueError(f"variance_relation[{i}, {j}] is {b[i, j]}: a variance must not be negative")


def _check_chain(network: SensorNetwork) -> None:
    levels, transition, start = network.levels, network.transition, network.start
    n = levels.shape[0]
    if n < 1:
        raise ValueError("levels is empty: a network needs at least one level")
    if levels[0] <= 0.0:
        raise ValueError(f"levels[0] is {levels[0]}: levels must be positive [ug/m3]")
    if (np.diff(levels) <= 0.0).any():
        k = _first(np.diff(levels) <= 0.0)[0]
        raise ValueError(f"levels[{k + 1}] is {levels[k + 1]} after {levels[k]}: levels must strictly increase")
    if transition.shape[0] != transition.shape[1]:
        raise ValueError(f"transition must be square, (n_levels, n_levels), got shape {transition.shape}")
    if transition.shape != (n, n):
        raise ValueError(f"transition has shape {transition.shape}: with {n} levels it must be ({n}, {n})")
    if start.shape != (n,):
        raise ValueError(f"start has shape {start.shape}: with {n} levels it must be ({n},)")
    for field, array in (("transition", transition), ("start", start)):
        if (array < 0.0).any():
            where = _first(array < 0.0)
            raise ValueError(f"{field}{where} is {array[tuple(where)]}: a probability must not be negative")
    sums = transition.sum(axis=1)
    wrong = np.abs(sums - 1.0) > _PROBABILITY_TOLERANCE
    if wrong.any():
        row = _first(wrong)[0]
        raise ValueError(f"transition row {row} sums to {sums[row]:.12g}: every row must sum to 1")
    if abs(start.sum() - 1.0) > _PROBABILITY_TOLERANCE:
        raise ValueError(f"start sums to {start.sum():.12g}: it must sum to 1")


def _check_coordinates(network: SensorNetwork) -> None:
    xy, n = network.coordinates, network.n_locations
    if xy is not None and xy.shape != (n, 2):
        raise ValueError(f"coordinates has shape {xy.shape}: it must be ({n}, 2), metres east and north")


def _check_level_model(network: SensorNetwork) -> None:
    model = network.level_model
    if model is None:
        return
    if model.shape != (len(LEVEL_MODEL),):
        raise ValueError(f"level_model has shape {model.shape}: it must hold the {len(LEVEL_MODEL)} of {LEVEL_MODEL}")
    lasting, short, memory, long, floor, drift = model
    for name, value, right in (
        ("lasting", lasting, 0.0 <= lasting <= 1.0),
        ("short", short, short >= 0.0),
        ("long", long, long >= 0.0 and short + long <= 1.0 + 1e-5),
        ("memory", memory, memory > 0.0),
        ("floor", floor, floor > 0.0),
        ("drift", drift, drift >= 0.0),
    ):
        if not right:
            raise ValueError(
                f"level_model: {name} is {value}; right are lasting in 0..1, short and long of at least 0 that add up "
                "to at most 1, memory and floor above 0, drift of at least 0"
            )


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return bool(np.array_equal(left, right))
    return type(left) is type(right) and bool(left == right)


def _random_fields(xy: NDArray[np.float64], n_fields: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random fields of unit variance at `xy` (N, 2) [m], correlation exp(-distance / SPATIAL_RANGE): (n_fields, N).

    Waves whose numbers follow a bivariate Cauchy distribution have just that correlation.
    """
    fields_ = np.zeros((n_fields, len(xy)))
    for field in fields_:
        wave = rng.standard_normal((_WAVES, 2)) / np.abs(rng.standard_normal((_WAVES, 1))) / SPATIAL_RANGE  # [1/m]
        phase = rng.uniform(0.0, 2.0 * math.pi, _WAVES)
        for k in range(_WAVES):
            field += np.cos(wave[k, 0] * xy[:, 0] + wave[k, 1] * xy[:, 1] + phase[k])
    return fields_ * math.sqrt(2.0 / _WAVES)


# ----------------------------------------------------------------------------------------------------- files


def _known() -> str:
    return ", ".join([*bundled_names(), "synthetic-<n_locations>-<seed>"])


@lru_cache(maxsize=16)
def _cached_bundled(name: str) -> SensorNetwork:
    return _read(INSTANCES / f"{name}.npz")


@lru_cache(maxsize=4)
def _cached_synthetic(n_locations: int, seed: int) -> SensorNetwork:
    return SensorNetwork.synthetic(n_locations, seed)


def _read(path: Path) -> SensorNetwork:
    """Read an .npz file written by `save`; nothing in it is ever executed."""
    if not path.is_file():
        raise FileNotFoundError(f"no network file at {str(path)!r}; bundled networks: {_known()}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{str(path)!r} is no .npz archive, or a truncated one; make it anew with SensorNetwork.save")
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {member: archive[member] for member in archive.files}
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{str(path)!r} cannot be read as a network ({error}): write it again with SensorNetwork.save"
        ) from error
    known = {"format_version"} | {f.name for f in fields(SensorNetwork)}
    missing = sorted(known - set(_OPTIONAL) - set(found))
    if missing:
        raise ValueError(f"{str(path)!r} is not a SensorNetwork file: it lacks {', '.join(missing)}")
    unknown = sorted(set(found) - known)
    if unknown:
        raise ValueError(f"{str(path)!r} is not a SensorNetwork file: unknown members {', '.join(unknown)}")
    version = found.pop("format_version")
    if version.ndim or version.dtype.kind not in "iu" or not 1 <= int(version) <= FORMAT_VERSION:
        raise ValueError(f"{str(path)!r} has format version {version}: this aq_gym reads 1 to {FORMAT_VERSION}")
    name = found.pop("name")
    if name.ndim or name.dtype.kind != "U":
        raise ValueError(f"{str(path)!r}: name must be a string, got {name!r}")
    try:
        return SensorNetwork(name=str(name), **found)
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file beside `path`, then rename it: a reader sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
