"""The fitted parameters of a sensor network: what the environments, the equations and the baselines all read.

Checks, files and synthetic networks are in `network_checks`, `network_files` and `synthetic`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.files import write_atomically
from aq_gym.inference import joint_error
from aq_gym.network_checks import as_integer
from aq_gym.network_files import (
    INSTANCES,
    SIGNIFICANT_DIGITS,
    bundled_names,
    known_names,
    read_fields,
    round_significant,
    write_network,
)
from aq_gym.parameters import NetworkParameters
from aq_gym.synthetic import synthetic_fields

__all__ = [
    "INSTANCES",
    "SIGNIFICANT_DIGITS",
    "SensorNetwork",
    "bundled_names",
    "round_significant",
    "write_atomically",
]

_SYNTHETIC_NAME = re.compile(r"synthetic-([0-9]{1,40})-([0-9]{1,40})")


class SensorNetwork(NetworkParameters):  # noqa: D101 - see the next line
    __doc__ = NetworkParameters.__doc__

    def _fields(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def __eq__(self, other: object) -> bool:
        """Equal when every field is equal in value, the name included."""
        if not isinstance(other, SensorNetwork):
            return NotImplemented
        return all(np.array_equal(value, getattr(other, name)) for name, value in self._fields().items())

    def __hash__(self) -> int:
        """Hash of the scalars, the sizes and the name: equal networks have equal hashes."""
        return hash((self.measurement_variance, self.temporal_variance, self.n_locations, self.n_levels, self.name))

    def __reduce__(self) -> tuple[type[SensorNetwork], tuple[Any, ...]]:
        """Pickle by value, so that an unpickled or copied network is checked and read-only again."""
        return SensorNetwork, tuple(self._fields().values())

    def __repr__(self) -> str:
        """Short: the name and the sizes, not the matrices."""
        return (
            f"SensorNetwork(name={self.name!r}, n_locations={self.n_locations}, n_levels={self.n_levels}, "
            f"levels={self.levels[0]:g}..{self.levels[-1]:g} µg/m³, slot_minutes={self.slot_minutes:g}, "
            f"measurement_variance={self.measurement_variance:.6g}, temporal_variance={self.temporal_variance:.6g})"
        )

    def describe(self) -> str:
        """What the network is, in a few lines with units."""
        xy = self.coordinates
        extent = "unknown" if xy is None else "{:.0f} m by {:.0f} m".format(*np.ptp(xy, axis=0))
        return "\n".join(
            [
                f"network {self.name}: {self.n_locations} locations, extent {extent}",
                f"slot: {self.slot_minutes:g} minutes",
                f"levels: {self.n_levels}, from {self.levels[0]:g} to {self.levels[-1]:g} µg/m³, "
                f"{float(self.start @ self.levels):.1f} µg/m³ on average",
                f"a reading errs by {100 * self.measurement_variance**0.5:.1f} % of the level, "
                f"the air changes by {self.temporal_variance**0.5:.1f} µg/m³ a slot",
                f"level model: {'yes' if self.level_model is not None else 'none'}",
            ]
        )

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> SensorNetwork:
        """Read a network: a bundled name ("pku2018", ...; `bundled_names` lists them) or a path to an .npz file.

        "synthetic-1000-0" stands for `synthetic(1000, seed=0)`: the name under which such a network appears in specs.

        Raises:
            ValueError: an unknown name (the known ones are listed), or a file that holds no valid network.
            FileNotFoundError: a path ending in .npz where no file is.
        """
        if not isinstance(name_or_path, str | os.PathLike):
            raise ValueError(f"network must be a name or a path, got {name_or_path!r}; known names: {known_names()}")
        path = Path(name_or_path)
        if isinstance(name_or_path, str):
            match = _SYNTHETIC_NAME.fullmatch(name_or_path)
            if match:
                return _cached_synthetic(int(match[1]), int(match[2]))
            if name_or_path in bundled_names():
                return _cached_bundled(name_or_path)
            if path.suffix != ".npz" and not (name_or_path and os.path.exists(path)):
                raise ValueError(
                    f"unknown network {name_or_path!r}: known names are {known_names()}; "
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
        return write_network(Path(path), self._fields(), card or {})

    @classmethod
    def synthetic(cls, n_locations: int, seed: int) -> SensorNetwork:
        """Make a network of any size whose fields have the statistics of the PKU network.

        Locations lie evenly at random in a square, as densely as PKU's. A location's mean deviation m and the hidden
        factors behind b are smooth random fields (sums of random waves whose correlation falls as
        exp(-distance / 350 m)) plus a part of the location's own: a_ij = m_j - m_i and
        b_ij = g_i + g_j + sum over factors of (f_i - f_j)², so b is a variogram, positive off the diagonal.
        Everything else is that of "pku2018". The same arguments give the same network everywhere.

        Args:
            n_locations: number of locations, from 2 to 10,000.
            seed: integer from 0 to 2**128 - 1.

        Returns:
            The network, named "synthetic-<n_locations>-<seed>", which `load` understands as a name.

        Raises:
            ValueError: a wrong `n_locations` or `seed`.
        """
        return dataclasses.replace(cls.load("pku2018"), **synthetic_fields(n_locations, seed))

    def coarsen(self, n_levels: int) -> SensorNetwork:
        """The same network on `n_levels` levels: contiguous groups of about equal probability under `start`.

        Level i goes to group min(n - 1, floor(n (mass of the levels below i + half its own))); a group's value,
        transitions and start mass are weighted by `start`. The name becomes "<name>/<n_levels>".

        Raises:
            ValueError: `n_levels` is no integer from 1 to the number of levels, or a group would be empty.
        """
        n = as_integer("n_levels", n_levels)
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
        return dataclasses.replace(
            self,
            levels=weight.T @ self.levels,
            transition=weight.T @ self.transition @ member,
            start=mass,
            name=f"{self.name}/{n}",
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
        """Joint error (9) of every location, (..., N) [µg/m³].

        Args:
            devices: (M,) locations of the devices.
            delay: (..., M) slots since each device last sensed; 0 = sensed in this slot [slots].
            record: (..., M) the level when each device last sensed [µg/m³].
            level: (...) the level now [µg/m³].
            fuse_measured: fuse a location's own fresh reading with the others instead of keeping it alone.
            inference, level_noise: as in `aq_gym.inference.infer`.
        """
        options: dict[str, Any] = {"fuse_measured": fuse_measured, "inference": inference, "level_noise": level_noise}
        return joint_error(self, devices, delay, record, level, **options)


@lru_cache(maxsize=16)
def _cached_bundled(name: str) -> SensorNetwork:
    return _read(INSTANCES / f"{name}.npz")


@lru_cache(maxsize=4)
def _cached_synthetic(n_locations: int, seed: int) -> SensorNetwork:
    return SensorNetwork.synthetic(n_locations, seed)


def _read(path: Path) -> SensorNetwork:
    try:
        return SensorNetwork(**read_fields(path))
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{str(path)!r}: {error}") from error
