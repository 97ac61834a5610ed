"""What a set of locations is worth under a fixed power control matrix: the fitness of Algorithm 3, compiled.

In units of the level e: with c = (δ²u² + dσ²)/e² and s = u/e - 1 a source says s + a_ij with precision 1/(c + b_ij),
and J = e sqrt(S0 + S1²)/S0 with S0 = Σ 1/(c + b) and S1 = Σ (s + a)/(c + b). A term belongs to a row of the schedule
and a location, so that it is computed once for many sets. Slots in which every row has the same c and s count as one,
with the sum of their levels.
"""

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.kernels.chain import cumulative, draw_paths
from aq_gym.network import SensorNetwork
from aq_gym.network_checks import as_count
from aq_gym.placement._kernel import GROUP, Sets, Slots, average_errors

_FEWEST, _MOST = 64, 1024  # sets that one thread evaluates at a time


def level_path(network: SensorNetwork, n_slots: int, seed: int) -> NDArray[np.float64]:
    """(T + 1,) a path of the network's Markov chain, slot 0 first [µg/m³].

    Raises:
        ValueError: `n_slots` is no positive integer, or the seed no integer of at least 0.
    """
    n_slots, seed = as_count("n_slots", n_slots, 1), as_count("seed", seed, 0)
    path = np.empty((1, n_slots + 1), np.int64)
    chain = cumulative(np.vstack([network.transition, network.start]))
    draw_paths(np.random.default_rng(seed).random((1, n_slots + 1)), network.n_levels, chain, path)
    return np.asarray(network.levels[path[0]])


class Fitness:
    """The average joint error of location sets under a power control matrix S, on one level path.

    Row m of S belongs to the m-th location of a set in ascending order. In slot 0 every device senses. Delays are not
    capped.

    Args:
        network: N locations.
        schedule: (M, T) bool, S: device m senses in slot t + 1.
        levels: (T + 1,) the level in slots 0..T, any positive numbers [µg/m³].
        fuse_measured: as for the environments.
        threads: None: as many as there are cores, at most eight.

    Raises:
        ValueError: wrong shapes or values; the message names the argument.
    """

    def __init__(
        self,
        network: SensorNetwork,
        schedule: ArrayLike,
        levels: ArrayLike,
        *,
        fuse_measured: bool = False,
        threads: int | None = None,
    ) -> None:
        matrix, path = np.asarray(schedule), np.asarray(levels, dtype=np.float64)
        if matrix.ndim != 2 or not matrix.size or not np.isin(matrix, (0, 1)).all():
            raise ValueError(f"schedule: expected (M, T) of 0 and 1, got shape {matrix.shape}, dtype {matrix.dtype}")
        if path.shape != (matrix.shape[1] + 1,) or not (np.isfinite(path) & (path > 0)).all():
            raise ValueError(
                f"levels: expected {matrix.shape[1] + 1} positive numbers, one for slot 0 and one for each column of "
                f"the schedule, got shape {path.shape}, the smallest is {path.min(initial=np.inf):g}"
            )
        if not isinstance(fuse_measured, bool):
            raise ValueError(f"fuse_measured: expected True or False, got {fuse_measured!r}")
        if matrix.shape[0] > network.n_locations:
            raise ValueError(
                f"schedule: {matrix.shape[0]} devices, but {network.name!r} has {network.n_locations} locations"
            )
        self.network, self.n_devices, self.n_slots = network, *matrix.shape
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self.threads = min(8, cores) if threads is None else as_count("threads", threads, 1)
        self._slots = _different_slots(network, matrix.astype(np.bool_), path, fuse_measured)
        self.evaluations = 0

    def __call__(self, sets: ArrayLike) -> NDArray[np.float64]:
        """(K,) average joint errors [µg/m³] of location sets.

        Args:
            sets: (K, m) different locations each, at most M; a set of fewer fills its row up with -1 and uses the first
                rows of the schedule.

        Raises:
            ValueError: a set that is empty, too large, or names a location twice or one that does not exist.
        """
        rows = self._checked(sets)
        size = min(max(-(-len(rows) // self.threads), _FEWEST), _MOST)
        parts = [rows[i : i + size] for i in range(0, len(rows), size)]
        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(self._evaluate, parts))
        self.evaluations += len(rows)
        return np.concatenate([np.zeros(0), *found])

    def _evaluate(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        network, m = self.network, rows.shape[1]
        there = rows >= 0
        keys = rows + network.n_locations * np.arange(m)  # of a source: its device and location in one number
        used, numbers = np.unique(keys[there], return_inverse=True)
        members = np.zeros((len(rows), 1 + GROUP * max(1, -(-(m - 1) // GROUP))), np.int64)
        members[:, :m][there] = 1 + numbers
        sets = Sets(np.stack(np.divmod(used, network.n_locations), axis=1), members, there.sum(axis=1))
        fresh_error = float(np.sqrt(network.measurement_variance))
        return average_errors(sets, self._slots, network.mean_relation, network.variance_relation, fresh_error)

    def _checked(self, sets: ArrayLike) -> NDArray[np.int64]:
        given = np.asarray(sets)
        if given.ndim != 2 or not np.issubdtype(given.dtype, np.integer):
            raise ValueError(f"sets: expected integers of shape (K, m), got {given.dtype} of shape {given.shape}")
        n, m = self.network.n_locations, self.n_devices
        rows = given.astype(np.int64)
        rows = np.sort(np.where(rows < 0, n, rows), axis=1)
        size = (rows < n).sum(axis=1)
        wrong = (given >= n).any(axis=1) | (size < 1) | (size > m)
        wrong |= ((rows[:, 1:] == rows[:, :-1]) & (rows[:, 1:] < n)).any(axis=1)
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"sets: row {first} is {given[first].tolist()}; expected 1 to {m} different locations of 0..{n - 1} "
                "(and -1 to fill up)"
            )
        return np.where(rows == n, -1, rows)[:, :m].copy()


def all_sets(n_locations: int, n_devices: int) -> Iterator[NDArray[np.int64]]:
    """All N choose M location sets in lexicographic order, some thousand at a time."""
    sets = itertools.combinations(range(n_locations), n_devices)
    while some := list(itertools.islice(sets, 4096)):
        yield np.array(some, np.int64)


def _different_slots(
    network: SensorNetwork, schedule: NDArray[np.bool_], path: NDArray[np.float64], fuse_measured: bool
) -> Slots:
    """What the devices know in the slots of a schedule, (M, T), and path; slots that are alike count as one."""
    n_slots = schedule.shape[1]
    slots = np.arange(1, n_slots + 1)
    last = np.maximum.accumulate(np.where(schedule, slots, 0), axis=1)  # (M, T)
    record, level, delay = path[last], path[1:], slots - last
    spread = network.measurement_variance * np.square(record) + network.temporal_variance * delay
    known = np.stack([spread / np.square(level), record / level - 1.0, delay == 0], axis=2)  # (M, T, 3)
    different, number = np.unique(known.swapaxes(0, 1).reshape(n_slots, -1), axis=0, return_inverse=True)
    weight = np.bincount(number.ravel(), weights=level / (n_slots * network.n_locations)).astype(np.float64)
    c, s, fresh = np.moveaxis(different.reshape(len(weight), -1, 3), 2, 0)
    return Slots(c.copy(), s.copy(), (fresh > 0) & (not fuse_measured), weight)
