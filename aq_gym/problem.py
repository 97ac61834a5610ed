"""One problem: which network, which devices, how long, how much energy. Checked once, then read by every view.

Environments, kernels, exact solvers and policies all use this object, so that they raise
the same errors for the same bad arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aq_gym.estimation import LevelAware
from aq_gym.hidden_level import HiddenLevel
from aq_gym.inference import Map, check_inference, check_sums, infer, infer_hidden
from aq_gym.network import SensorNetwork
from aq_gym.network_checks import as_count, is_number


def resolve_network(network: SensorNetwork | str | os.PathLike[str], n_levels: int | None = None) -> SensorNetwork:
    """The network meant by a name, a path or a `SensorNetwork`, coarsened if asked.

    Raises:
        ValueError: unknown name (the message lists the known ones), unreadable file, impossible ``n_levels``.
        FileNotFoundError: a path where no file is.
    """
    resolved = network if isinstance(network, SensorNetwork) else SensorNetwork.load(network)
    return resolved if n_levels is None else resolved.coarsen(as_count("n_levels", n_levels, 1))


_LARGEST = 10_000_000  # slots, sensings


@dataclass(frozen=True, eq=False)
class Problem:
    """A battery-limited sensing problem.

    Attributes:
        network: the fitted parameters.
        devices: the M locations that hold a device, in the order in which they decide.
        horizon: T, slots per episode.
        energy_budget: B, sensings per device.
        max_sleep: D, longest sleep in slots.
        fuse_measured: whether a fresh own reading is fused with the others (docs/model.md: errors, step 5).
        inference: "paper", or "level-aware": the server uses the known level as a source and what was learned of how
            deviations from it last (`aq_gym.estimation.LevelAware`); every reading is fused then. Or "hidden": the
            server knows of the level only what devices report (`aq_gym.hidden_level.HiddenLevel`).
        level_noise: of level-aware inference: standard deviation of what the server knows of the level, as a share of
            it. The levels of an episode are what the server knows.
        belief: of the hidden level, "grown" or "chain" (`aq_gym.belief`).
        loss: of the hidden level: probability that a report is lost; the energy is spent, and the server notices.
        energy_budgets: (M,) sensings of each device where they differ, B on average; else None.
        harvest: probability that a device gains a sensing at the end of a slot, and the energy up to which it does.
    """

    network: SensorNetwork
    devices: tuple[int, ...]
    horizon: int
    energy_budget: int
    max_sleep: int
    fuse_measured: bool = False
    inference: str = "paper"
    level_noise: float = 0.0
    belief: str = "grown"
    loss: float = 0.0
    energy_budgets: tuple[int, ...] | None = None
    harvest: tuple[float, int] = (0.0, 0)

    @property
    def options(self) -> dict[str, Any]:
        """How maps are inferred and what else is special, as keyword arguments of `create` and the environments."""
        fuse = self.fuse_measured and self.inference == "paper"  # the others fuse every reading
        options = {"fuse_measured": fuse, "inference": self.inference, "level_noise": self.level_noise}
        if self.inference == "hidden":
            options |= {"belief": self.belief, "loss": self.loss}
        if self.energy_budgets is not None:
            options["energy_budgets"] = self.energy_budgets
        if self.harvest[0] > 0.0:
            options["harvest"] = self.harvest
        return options

    @property
    def arguments(self) -> dict[str, Any]:
        """All of it, as keyword arguments of `create` and the environments."""
        names = ("network", "devices", "horizon", "energy_budget", "max_sleep")
        return {name: getattr(self, name) for name in names} | self.options

    @property
    def energies(self) -> tuple[int, ...]:
        """(M,) sensings of each device at the beginning."""
        return self.energy_budgets or (self.energy_budget,) * self.n_devices

    @property
    def most_energy(self) -> int:
        """The most sensings that a device can hold."""
        return max(*self.energies, self.harvest[1])

    @property
    def longest_delay(self) -> int:
        """The longest delay of a state: D, or T + 1 with a hidden level, whose reports grow older without end."""
        return self.horizon + 1 if self.inference == "hidden" else self.max_sleep

    @property
    def n_devices(self) -> int:
        """M."""
        return len(self.devices)

    @property
    def n_locations(self) -> int:
        """N."""
        return self.network.n_locations

    @classmethod
    def create(
        cls,
        network: SensorNetwork | str | os.PathLike[str],
        devices: Sequence[int] | int,
        horizon: int,
        energy_budget: int,
        max_sleep: int,
        *,
        n_levels: int | None = None,
        fuse_measured: bool = False,
        inference: str = "paper",
        level_noise: float = 0.0,
        belief: str = "grown",
        loss: float = 0.0,
        energy_budgets: Sequence[int] | None = None,
        harvest: Sequence[float] | None = None,
    ) -> Problem:
        """Check every argument and build the problem; ``devices`` may be a single location.

        Raises:
            ValueError: an argument is of the wrong type or out of range, the budget cannot cover the horizon
                (B·D < T), or an inference is asked for that the network lacks the numbers for; the message names the
                argument and what would be right.
        """
        resolved = resolve_network(network, n_levels)
        horizon = as_count("horizon", horizon, 1, _LARGEST)
        energy_budget = as_count("energy_budget", energy_budget, 1, _LARGEST)
        max_sleep = as_count("max_sleep", max_sleep, 1, _LARGEST)
        if not isinstance(fuse_measured, bool):
            raise ValueError(f"fuse_measured: expected True or False, got {fuse_measured!r}")
        check_inference(resolved, inference, level_noise, belief)
        name = "device" if isinstance(devices, Integral) else "devices"
        locations = _locations(name, devices, resolved.n_locations)
        budgets = _budgets(energy_budgets, len(locations), energy_budget)
        least = min(budgets or [energy_budget])
        if least * max_sleep < horizon:
            name = "energy_budget" if budgets is None else "the least of energy_budgets"
            raise ValueError(
                f"{name} x max_sleep must be at least horizon, or a device cannot keep its longest sleep: "
                f"{least} x {max_sleep} = {least * max_sleep} < {horizon}. Raise {name} to "
                f"{-(-horizon // max_sleep)} or max_sleep to {-(-horizon // least)}, or shorten horizon"
            )
        if inference == "paper":
            check_sums(resolved, max_sleep)
        else:
            _check_variogram(resolved, locations)
        numbers = horizon, energy_budget, max_sleep, fuse_measured, inference, float(level_noise), belief
        return cls(resolved, locations, *numbers, _loss(loss, inference), budgets, _harvest(harvest))

    def infer(self, delay: ArrayLike, record: ArrayLike, level: ArrayLike) -> Map:
        """The map of (..., M) delays [slots] and records [µg/m³] at (...) levels [µg/m³]; see `inference.infer`.

        A hidden level is not read.
        """
        if self.inference == "hidden":
            return infer_hidden(self.hidden_level, self.devices, delay, record)
        how = {"fuse_measured": self.options["fuse_measured"], "level_noise": self.level_noise}
        return infer(self.network, self.devices, delay, record, level, inference=self.inference, **how)

    @cached_property
    def hidden_level(self) -> HiddenLevel:
        """The maps from reports alone, of a problem with a hidden level."""
        return HiddenLevel.of(self.network, self.belief, self.longest_delay)

    @cached_property
    def most_believed(self) -> tuple[float, float]:
        """The largest mean and variance of the beliefs that reports lead to; of a known level its largest, and 0."""
        if self.inference != "hidden":
            return float(self.network.levels[-1]), 0.0
        delay = np.arange(self.longest_delay + 1)[:, None]
        mean, variance = self.hidden_level.belief.moments(delay, self.network.levels)
        return float(mean.max()), float(variance.max())


def _budgets(budgets: Any, n_devices: int, mean: int) -> tuple[int, ...] | None:
    if budgets is None:
        return None
    listed = _listed("energy_budgets", budgets, f"a list of {n_devices} integers, one a device")
    found = tuple(as_count(f"energy_budgets[{m}]", x, 1, _LARGEST) for m, x in enumerate(listed))
    if len(found) != n_devices or sum(found) != n_devices * mean:
        has_mean = len(found) == n_devices and sum(found) % n_devices == 0
        fits = f" (energy_budget={sum(found) // n_devices} would fit)" if has_mean else ""
        raise ValueError(
            f"energy_budgets: expected {n_devices} integers, one a device, that add up to {n_devices * mean}, "
            f"energy_budget for each; got {len(found)} that add up to {sum(found)}{fits}"
        )
    return found


def _loss(loss: float, inference: str) -> float:
    if not is_number(loss) or not 0.0 <= loss < 1.0:
        raise ValueError(f"loss: expected a probability from 0 to below 1, got {loss!r}")
    if loss and inference != "hidden":
        raise ValueError(f"loss: reports get lost with inference='hidden' alone, got {loss!r} with {inference!r}")
    return float(loss)


def _harvest(harvest: Any) -> tuple[float, int]:
    if harvest is None:
        return 0.0, 0
    expected = "a probability that a device gains a sensing in a slot, and the energy up to which it does"
    listed = _listed("harvest", harvest, expected)
    if len(listed) != 2 or not is_number(listed[0]) or not 0.0 <= listed[0] <= 1.0:
        raise ValueError(f"harvest: expected {expected}, got {harvest!r}")
    most = as_count("harvest[1]", listed[1], 1 if listed[0] else 0, _LARGEST)
    return (float(listed[0]), most) if listed[0] else (0.0, 0)


def _listed(name: str, values: Any, expected: str) -> list[Any]:
    try:
        if not isinstance(values, str | bytes | Mapping | set | frozenset):  # which have no order
            return list(values)
    except TypeError:
        pass
    raise ValueError(f"{name}: expected {expected}, got {values!r}")


def _check_variogram(network: SensorNetwork, devices: Sequence[int]) -> None:
    b, own = network.variance_relation, np.ix_(devices, devices)
    least = float(np.linalg.eigvalsh(LevelAware.of(network).covariance()[own]).min())
    if not np.allclose(b, b.T) or least < -1e-9:
        raise ValueError(
            f"variance_relation of {network.name!r} is no variogram, which this inference needs: expected a "
            "symmetric b_ij that is the variance of the difference between two locations' deviations from the level"
        )


def _locations(name: str, devices: Any, n_locations: int) -> tuple[int, ...]:
    expected = f"a list of distinct locations in 0..{n_locations - 1}"
    listed = [devices] if isinstance(devices, Integral) else _listed(name, devices, expected)
    if not listed:
        raise ValueError(f"{name}: expected at least one location in 0..{n_locations - 1}, got an empty list")
    seen: set[int] = set()
    for place, location in enumerate(listed):
        where = name if name == "device" else f"{name}[{place}]"
        if isinstance(location, bool) or not isinstance(location, Integral):
            raise ValueError(
                f"{where}: expected an integer location in 0..{n_locations - 1}, "
                f"got {type(location).__name__} {location!r}"
            )
        if not 0 <= int(location) < n_locations:
            raise ValueError(
                f"{where}: location {int(location)} is outside 0..{n_locations - 1} of this network; "
                f"{name}= names where the devices stand"
            )
        if location in seen:
            raise ValueError(f"{where}: location {int(location)} holds two devices; the locations must be distinct")
        seen.add(int(location))
    return tuple(int(x) for x in listed)
