"""Level paths of the real air: what the devices read, slot by slot, on a network's levels."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.network import SensorNetwork
from aq_gym.periods import slot_levels


class Trace(NamedTuple):
    """One uninterrupted period on a network's levels."""

    levels: NDArray[np.int64]  # (T,) indices into the network's levels
    outside: int  # slots whose average lies outside the levels' range and was clipped to its end


def level_trace(network: SensorNetwork, readings: ArrayLike) -> Trace:
    """The level of every slot: the average over the devices, as the nearest of the network's levels (7).

    Args:
        network: whose levels.
        readings: (T, N) table of one period [µg/m³], without gaps; `level_traces` takes those with gaps.

    Raises:
        ValueError: no table of as many devices as the network has locations, or numbers that aren't finite.
    """
    return _trace(network, _table(network, readings, np.isfinite).mean(axis=1))


def level_traces(network: SensorNetwork, readings: ArrayLike, horizon: int = 0) -> list[Trace]:
    """The uninterrupted stretches of readings with gaps: slots in a row whose level is known; see `slot_levels`.

    Args:
        network: whose levels.
        readings: (T, N) table of one period [µg/m³], NaN where nothing was read.
        horizon: stretches of fewer than `horizon` + 1 slots are passed over, unless all are that short.

    Raises:
        ValueError: no table of as many devices as the network has locations, or the level is never known.
    """
    (level,) = slot_levels([_table(network, readings, lambda x: ~np.isinf(x))])
    if np.isnan(level).all():
        raise ValueError("readings: in no slot were half of the devices read, so no level is known")
    parts = [part[~np.isnan(part)] for part in np.split(level, np.flatnonzero(np.isnan(level)))]
    parts = [part for part in parts if len(part)]
    return [_trace(network, part) for part in [x for x in parts if len(x) > horizon] or parts]


def _table(
    network: SensorNetwork, readings: ArrayLike, right: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """The (T, N) readings, each of which must be `right`."""
    table = np.asarray(readings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != network.n_locations or not len(table):
        raise ValueError(
            f"readings: expected (T, {network.n_locations}), a column for each location of {network.name!r}, "
            f"got shape {table.shape}"
        )
    wrong = np.argwhere(~right(table))
    if len(wrong):
        slot, device = wrong[0]
        raise ValueError(f"readings: row {slot}, column {device} is {table[slot, device]}, expected a finite number")
    return table


def _trace(network: SensorNetwork, mean: NDArray[np.float64]) -> Trace:
    """Levels (T,) [µg/m³] as indices."""
    levels = network.levels
    between = (levels[1:] + levels[:-1]) / 2.0
    first, last = (between[0] - levels[0], levels[-1] - between[-1]) if len(levels) > 1 else (np.inf, np.inf)
    outside = (mean < levels[0] - first) | (mean > levels[-1] + last)
    return Trace(np.searchsorted(between, mean, side="right"), int(outside.sum()))


def windows(n_slots: int, horizon: int, stride: int | None = None) -> NDArray[np.int64]:
    """(K,) first slots of windows of T + 1 slots, ``stride`` apart (default: T + 1, so that none overlap).

    Raises:
        ValueError: not even one window fits, or a stride below 1.
    """
    step = horizon + 1 if stride is None else stride
    if step < 1:
        raise ValueError(f"stride: expected at least 1 slot, got {stride}")
    if n_slots < horizon + 1:
        raise ValueError(f"horizon: a window of {horizon} + 1 slots is longer than the period of {n_slots} slots")
    return np.arange(0, n_slots - horizon, step)


def level_windows(
    network: SensorNetwork, tables: Sequence[ArrayLike], horizon: int, stride: int | None = None
) -> NDArray[np.int64]:
    """(K, T + 1) level paths of the windows of some periods, never across a gap, for `reset`'s options.

    Raises:
        ValueError: as `level_traces` and `windows`.
    """
    paths = []
    for table in tables:
        for levels, _ in level_traces(network, table, horizon):
            paths.append(levels[windows(len(levels), horizon, stride)[:, None] + np.arange(horizon + 1)])
    return np.concatenate(paths)
