"""What a set of locations is worth under a fixed power control matrix: the fitness of Algorithm 3, compiled.

The kernel uses the units of `aq_gym.kernels`: with c = (δ²u² + dσ²)/e² and s = u/e - 1 a source says s + a_ij with
precision 1/(c + b_ij), and J = e sqrt(S0 + S1²)/S0 with S0 = Σ 1/(c + b) and S1 = Σ (s + a)/(c + b). A term belongs
to a row of the schedule and a location, so that in small problems it is computed once for many sets. Slots in which
every row has the same c and s count as one, with the sum of their levels.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.network import SensorNetwork

_LANES = 8  # doubles in the widest vector register
_SOURCES = 640  # rows times locations up to which sets share their terms: 320 KiB, a part of a core's cache
_FEWEST, _MOST = 64, 4096  # sets that one thread evaluates at a time


def level_path(network: SensorNetwork, n_slots: int, seed: int) -> NDArray[np.float64]:
    """(T + 1,) a path of the network's Markov chain, slot 0 first [µg/m³].

    Raises:
        ValueError: `n_slots` is not positive.
    """
    if n_slots < 1:
        raise ValueError(f"n_slots: expected at least 1, got {n_slots}")
    uniform = np.random.default_rng(seed).random(n_slots + 1)
    cumulated = np.cumsum(network.transition, axis=1)
    state = int(np.searchsorted(np.cumsum(network.start), uniform[0], side="right"))
    path = np.empty(n_slots + 1)
    for t in range(n_slots + 1):
        if t:
            state = int(np.searchsorted(cumulated[state], uniform[t], side="right"))
        state = min(state, network.n_levels - 1)  # sums a rounding below 1
        path[t] = network.levels[state]
    return path


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
                f"the schedule, got shape {path.shape}"
            )
        if matrix.shape[0] > network.n_locations:
            raise ValueError(
                f"schedule: {matrix.shape[0]} devices, but {network.name!r} has {network.n_locations} locations"
            )
        self.network, self.n_devices, self.n_slots = network, *matrix.shape
        self.threads = threads or min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
        state = _sources(network, matrix.astype(np.bool_), path)
        if fuse_measured:
            state[..., 2] = 0.0
        self._state, self._weight = _merged(state, path[1:] / (self.n_slots * network.n_locations))
        self._together = self.n_devices * network.n_locations <= _SOURCES  # for good: the last bits differ
        self._relation = _in_blocks(network) if self._together else _in_rows(network)
        self._fresh_error = np.sqrt(network.measurement_variance)
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
        found = np.empty(len(rows))
        evaluate = self._evaluate_together if self._together else self._evaluate
        size = min(max(-(-len(rows) // self.threads), _FEWEST), _MOST) if self._together else _FEWEST
        parts = [slice(i, i + size) for i in range(0, len(rows), size)]
        if len(parts) == 1 or self.threads == 1:
            for part in parts:
                evaluate(rows[part], found[part])
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(lambda part: evaluate(rows[part], found[part]), parts))
        self.evaluations += len(rows)
        return found

    def _evaluate(self, rows: NDArray[np.int64], found: NDArray[np.float64]) -> None:
        from aq_gym.kernels import aligned
        from aq_gym.placement._kernel import average_errors

        room = aligned((4, self._relation.shape[2]))
        average_errors(
            rows, self._state, self._weight, self._relation, self.network.n_locations, self._fresh_error, room, found
        )

    def _evaluate_together(self, rows: NDArray[np.int64], found: NDArray[np.float64]) -> None:
        from aq_gym.kernels import LANES, aligned
        from aq_gym.placement._kernel import ROW, TAIL, average_errors_together

        n, (n_sets, m) = self.network.n_locations, rows.shape
        there = rows >= 0
        keys = rows + n * np.arange(m)
        used = np.zeros(m * n, np.bool_)
        used[keys[there]] = True
        pairs = np.stack(np.divmod(np.flatnonzero(used), n), axis=1)
        places = (1 + np.cumsum(used)) * ROW
        sources = np.zeros((n_sets, 1 + TAIL * max(1, -(-(m - 1) // TAIL))), np.uint64)
        sources[:, :m] = np.where(there, places[keys], 0)
        measured, table = np.zeros(self.n_devices + 1), aligned(((2 + len(pairs)) * ROW,))
        average_errors_together(
            LANES, n, there.sum(axis=1), sources, pairs, self._state, self._weight, self._relation, self._fresh_error,
            measured, table, found,
        )  # fmt: skip

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


def all_sets(n_locations: int, n_devices: int, chunk: int = 4096) -> Iterator[NDArray[np.int64]]:
    """All N choose M location sets in lexicographic order, (up to ``chunk``, M) at a time."""
    sets = itertools.combinations(range(n_locations), n_devices)
    left = comb(n_locations, n_devices)
    while left:
        size = min(chunk, left)
        flat = itertools.chain.from_iterable(itertools.islice(sets, size))
        yield np.fromiter(flat, np.int64, size * n_devices).reshape(size, n_devices)
        left -= size


def _sources(network: SensorNetwork, schedule: NDArray[np.bool_], path: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, M, 3) of each device in each slot: c, s, and 1 where it sensed in that slot."""
    m, n_slots = schedule.shape
    slots = np.arange(1, n_slots + 1)
    last = np.maximum.accumulate(np.where(schedule, slots, 0), axis=1)  # (M, T)
    record, level = path[last], path[1:]
    delay = slots - last
    spread = network.measurement_variance * np.square(record) + network.temporal_variance * delay
    source = np.empty((n_slots, m, 3))
    source[..., 0] = (spread / np.square(level)).T
    source[..., 1] = (record / level - 1.0).T
    source[..., 2] = (delay == 0).T
    return source


def _merged(state: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The different ones of T states, in the order in which they first occur, and the sums of their weights."""
    index: dict[bytes, int] = {}
    number = np.array([index.setdefault(one.tobytes(), len(index)) for one in state])
    summed = np.zeros(len(index))
    np.add.at(summed, number, weight)
    return state[np.unique(number, return_index=True)[1]], summed


def _in_rows(network: SensorNetwork) -> NDArray[np.float64]:
    """(2, N, P) a and b, the rows padded to whole vector registers."""
    from aq_gym.kernels import aligned

    n = network.n_locations
    relation = aligned((2, n, -(-n // _LANES) * _LANES))
    relation[0, :, :n], relation[1, :, :n] = network.mean_relation, network.variance_relation
    return relation


def _in_blocks(network: SensorNetwork) -> NDArray[np.float64]:
    """(blocks N ROW,) a and then b from every location to a block of LANES others, block after block."""
    from aq_gym.kernels import LANES, aligned

    n = network.n_locations
    relation = np.zeros((2, n, -(-n // LANES) * LANES))
    relation[0, :, :n], relation[1, :, :n] = network.mean_relation, network.variance_relation
    blocks = aligned((relation.size,))
    blocks[:] = relation.reshape(2, n, -1, LANES).transpose(2, 1, 0, 3).ravel()
    return blocks
