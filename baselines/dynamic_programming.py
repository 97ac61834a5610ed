"""Exact dynamic programming: optimal policies, and the exact error of any policy, where the instance allows it.

`solve` is the backward induction (30)(31) for one device. The value of sensing, W(t, p, e), depends on neither the
delay nor the record, so it alone is stored. Between two sensings nothing but the delay and the level moves, so for
every energy p and record u the slots form chains of optimal stopping,

    V(t, p, d, u, e) = max( W(t, p, e),  -J(d, u, e) + sum_e' P[e, e'] V(t + 1, p, d + 1, u, e') ),  d < D,
    V(t, p, D, u, e) = W(t, p, e)  (forced),
    W(t, p, e) = -J(0, e, e) + sum_e' P[e, e'] V(t + 1, p - 1, 1, e, e'),

which run in the processor's cache, all slots side by side. Values between sensings are computed anew when asked for.

`solve_joint` treats a few devices in the same way: what it stores are the values of slots in which one device at least
senses, which depend on the delays and records of the others only. `evaluate_exactly` follows the distribution of the
states that a policy reaches. Values are undiscounted sums of rewards [µg/m³], hence minus slots times the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.episodes import Episodes
from aq_gym.kernels import aligned
from aq_gym.problem import Problem

if TYPE_CHECKING:
    from aq_gym.network import SensorNetwork
    from aq_gym.policy import Policy

__all__ = ["JointSolution", "Solution", "evaluate_exactly", "solve", "solve_joint"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Info = Mapping[str, Any]

MAX_BYTES = 2 << 30  # what a joint solution or an exact evaluation may take unless told otherwise
MAX_DECISION_BYTES = 128 << 20  # a larger table of decisions is not kept: act then runs the chains it needs
_LANES = 80  # slots that one chain carries side by side; a constant, so that compilers see that rows do not overlap
_COLUMNS = 6  # of the transition matrix that pass through registers together
_FASTMATH = {"contract", "reassoc", "nsz", "arcp"}  # not "nnan"/"ninf": -inf marks forbidden actions
_LEVEL_TOLERANCE = 1e-6  # relative: float32 observations of a level still match


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` without the interpreter's lock, cached on disk where a directory can be written."""
    try:
        return numba.njit(cache=True, nogil=True, fastmath=_FASTMATH)(function)
    except RuntimeError:  # no writable cache directory
        return numba.njit(nogil=True, fastmath=_FASTMATH)(function)


def scratch(function: Callable[..., Any]) -> Any:
    """The same for what makes no array: then views of rows are not counted, which took most of the time."""
    options: dict[str, Any] = {"nogil": True, "fastmath": _FASTMATH, "error_model": "numpy", "_nrt": False}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


def _in_threads(work: Callable[[int, int], Any], count: int, least: int = 1) -> None:
    """Call `work(begin, end)` on parts of range(count), on as many threads as numba may use."""
    threads = int(vars(numba.config)["NUMBA_NUM_THREADS"])
    parts = 1 if threads == 1 else min(4 * threads, -(-count // least))
    if parts <= 1:
        work(0, count)
        return
    edges = np.linspace(0, count, parts + 1).astype(np.int64).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))  # list: raises what a thread raised


# ------------------------------------------------------------------------------------------------ errors and levels


def _digits(index: IntArray, base: int, count: int) -> IntArray:
    """(n,) -> (n, count): `index` written in `base`, the most significant digit first."""
    powers = base ** np.arange(count - 1, -1, -1, dtype=np.int64)
    return np.asarray(index[:, None] // powers % base)


@scratch
def _fill_errors(digits, levels, sleep, delta2, sigma2, fuse, a, b, places, sums, out):  # type: ignore[no-untyped-def]
    """Average joint error by the paper's inference: out (n, E) of cells digits (n, M), in units of the level inside.

    a, b: (M, N). sums: (3, N) room. The sums over all devices but the last stay from row to row. The last device's
    variance q and mean g turn z + 1 / q and f + g / q into an error without dividing by q.
    """
    n_devices, n_locations, n_levels = a.shape[0], a.shape[1], levels.shape[0]
    zeroth, first, error = sums[0], sums[1], sums[2]
    for level in range(n_levels):
        e = levels[level]
        for row in range(digits.shape[0]):
            same = row > 0
            for m in range(n_devices - 1):
                same = same and digits[row, m] == digits[row - 1, m]
            if not same:
                for j in range(n_locations):
                    zeroth[j] = 0.0
                    first[j] = 0.0
            total = 0.0
            for m in range(n_devices - 1 if same else 0, n_devices):
                age, u = digits[row, m] // n_levels, levels[digits[row, m] % n_levels]
                c, deviation = delta2, 0.0
                if age < sleep:
                    c, deviation = (delta2 * u * u + sigma2 * (age + 1)) / (e * e), u / e - 1.0
                if m < n_devices - 1:
                    for j in range(n_locations):
                        weight = 1.0 / (c + b[m, j])
                        zeroth[j] += weight
                        first[j] += weight * (deviation + a[m, j])
                    continue
                for j in range(n_locations):
                    q = c + b[m, j]
                    y, x = zeroth[j] * q + 1.0, first[j] * q + (deviation + a[m, j])
                    error[j] = np.sqrt(y * q + x * x) / y
                    total += error[j]
            if not fuse:
                for m in range(n_devices):
                    if digits[row, m] // n_levels == sleep:  # fresh, and kept as measured
                        total += np.sqrt(delta2) - error[places[m]]
            out[row, level] = e * total / n_locations


def _cell_errors(problem: Problem) -> FloatArray:
    """Average joint error (9) of every cell, (C^M, E) [µg/m³], C = D E + 1.

    A device's cell is (d - 1) E + u for delay d and record u, or D E where it sensed in this slot. Devices are digits
    of the row, the first the most significant; the column is the level.
    """
    levels = problem.network.levels
    n_cells = problem.max_sleep * levels.size + 1
    table = np.empty((n_cells**problem.n_devices, levels.size))
    step = max(1, (4 << 20) // (8 * levels.size * problem.n_devices * problem.n_locations))

    network = problem.network
    rows = np.asarray(problem.devices)
    parameters = problem.max_sleep, network.measurement_variance, network.temporal_variance, problem.fuse_measured
    relations = network.mean_relation[rows], network.variance_relation[rows]

    def fill(begin: int, end: int) -> None:
        for low in range(begin, end, step):
            high = min(low + step, end)
            digits = _digits(np.arange(low, high), n_cells, problem.n_devices)
            if problem.inference == "paper":
                sums = np.empty((3, problem.n_locations))
                _fill_errors(digits, levels, *parameters, *relations, rows, sums, table[low:high])
                continue
            cell = digits[:, None, :]  # (n, 1, M)
            fresh = cell == n_cells - 1
            delay = np.where(fresh, 0, cell // levels.size + 1)
            record = np.where(fresh, levels[:, None], levels[cell % levels.size])  # (n, E, M)
            table[low:high] = problem.infer(delay, record, levels).joint_error.mean(axis=-1)

    _in_threads(fill, table.shape[0], step)
    return table


def _sparse_rows(transition: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Rows of the transition matrix without their zeros: first (E + 1,), column and probability (nnz,).

    Every row is padded with zeros to an even number of entries, six at least.
    """
    first = [0]
    column: list[int] = []
    probability: list[float] = []
    for row in transition:
        (used,) = np.nonzero(row)
        padding = max(6 - used.size, used.size % 2)
        column += used.tolist() + [int(used[-1])] * padding
        probability += row[used].tolist() + [0.0] * padding
        first.append(len(column))
    return np.array(first), np.array(column), np.array(probability)


def _level_index(levels: FloatArray, values: ArrayLike, name: str) -> IntArray:
    """Indices of `values` [µg/m³] among the network's levels, any shape; refuses what is no level."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected levels in µg/m³, got {array.dtype} {values!r}")
    index = np.searchsorted((levels[1:] + levels[:-1]) / 2, array)
    off = ~(np.abs(levels[index] - array) <= _LEVEL_TOLERANCE * levels[index])
    if off.any():
        value, nearest = array[off].flat[0], levels[index][off].flat[0]
        raise ValueError(
            f"{name}: {value} µg/m³ is not one of the network's {levels.size} levels "
            f"({levels[0]:g} to {levels[-1]:g}); the nearest is {nearest!r}"
        )
    return np.asarray(index, dtype=np.int64)


def _whole(name: str, values: ArrayLike, low: int, high: int) -> IntArray:
    """`values` as integers within low..high, any shape."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or (array.dtype.kind == "f" and (array != np.floor(array)).any()):
        raise ValueError(f"{name}: expected integers in {low}..{high}, got {values!r}")
    if ((array < low) | (array > high)).any():
        wrong = array[(array < low) | (array > high)].flat[0]
        raise ValueError(f"{name}: {wrong} is outside {low}..{high}")
    return array.astype(np.int64)


def _raw(info: Info, *names: str) -> list[NDArray[Any]]:
    missing = [name for name in names if name not in info]
    if missing:
        raise ValueError(
            f"info: {', '.join(missing)} missing; expected the info of an aq_gym environment's reset or step"
        )
    return [np.asarray(info[name]) for name in names]


# ------------------------------------------------------------------------------------------------- one device: kernels


@scratch
def _expect(first, column, probability, e, values, shift, count, out):  # type: ignore[no-untyped-def]
    """out[i] = sum_e' P[e, e'] values[e', shift + i], i < count."""
    begin, end = first[e], first[e + 1]
    va, vb = values[column[begin]], values[column[begin + 1]]
    pa, pb = probability[begin], probability[begin + 1]
    for i in range(count):
        out[i] = pa * va[shift + i] + pb * vb[shift + i]
    k = begin + 2
    while k + 4 <= end:
        va, vb, vc, vd = values[column[k]], values[column[k + 1]], values[column[k + 2]], values[column[k + 3]]
        pa, pb, pc, pd = probability[k], probability[k + 1], probability[k + 2], probability[k + 3]
        for i in range(count):
            out[i] += pa * va[shift + i] + pb * vb[shift + i] + pc * vc[shift + i] + pd * vd[shift + i]
        k += 4
    if k < end:
        va, vb = values[column[k]], values[column[k + 1]]
        pa, pb = probability[k], probability[k + 1]
        for i in range(count):
            out[i] += pa * va[shift + i] + pb * vb[shift + i]


@scratch
def _products(weight, values, at, i):  # type: ignore[no-untyped-def]
    """Six products of a row of the transition matrix and the values of six levels in lane i."""
    n = np.uint64(_LANES)
    i += np.uint64(at)
    low = weight[0] * values[i] + weight[1] * values[i + n] + weight[2] * values[i + n + n]
    i += n + n + n
    return low + weight[3] * values[i] + weight[4] * values[i + n] + weight[5] * values[i + n + n]


@scratch
def _stop(one, other, e, i):  # type: ignore[no-untyped-def]
    if other is None:
        return one[e, i]
    return max(one[e, i], other[e, i])


@scratch
def _best(first, column, weight, far, error, one, other, shift, count, near):  # type: ignore[no-untyped-def]
    """near[e, i] = best of one[e, shift + i], other[e, shift + i] and sum_e' P[e, e'] far[e', i] - error[e], i < count.

    other: or None.
    first, column, weight: as by `_pairs`. The rows of far and near lie _LANES apart.
    """
    n, s, k = np.uint64(_LANES), np.uint64(shift), np.uint64(0)
    for e in range(np.uint64(0), np.uint64(error.shape[0]), np.uint64(2)):
        f = min(e + np.uint64(1), np.uint64(error.shape[0] - 1))
        r = e * n
        end, error_e, error_f = np.uint64(first[e // np.uint64(2) + np.uint64(1)]), error[e], error[f]
        more = k + np.uint64(1) < end
        if more:
            at, weight_e, weight_f = column[k] * _LANES, weight[k, 0], weight[k, 1]
            for i in range(np.uint64(count)):
                near[r + i] = _products(weight_e, far, at, i)
                near[r + n + i] = _products(weight_f, far, at, i)
            k += np.uint64(1)
        while k + np.uint64(1) < end:
            at, weight_e, weight_f = column[k] * _LANES, weight[k, 0], weight[k, 1]
            for i in range(np.uint64(count)):
                near[r + i] += _products(weight_e, far, at, i)
                near[r + n + i] += _products(weight_f, far, at, i)
            k += np.uint64(1)
        at, weight_e, weight_f = column[k] * _LANES, weight[k, 0], weight[k, 1]
        if more:
            for i in range(np.uint64(count)):
                asleep_e = near[r + i] + _products(weight_e, far, at, i) - error_e
                asleep_f = near[r + n + i] + _products(weight_f, far, at, i) - error_f
                near[r + i] = max(_stop(one, other, e, s + i), asleep_e)
                near[r + n + i] = max(_stop(one, other, f, s + i), asleep_f)
        else:
            for i in range(np.uint64(count)):
                asleep_e = _products(weight_e, far, at, i) - error_e
                asleep_f = _products(weight_f, far, at, i) - error_f
                near[r + i] = max(_stop(one, other, e, s + i), asleep_e)
                near[r + n + i] = max(_stop(one, other, f, s + i), asleep_f)
        k += np.uint64(1)


@scratch
def _foresee(first, column, weight, far, e, count, future):  # type: ignore[no-untyped-def]
    """future[i] = sum_e' P[e, e'] far[e', i], i < count; arguments as `_best`'s."""
    for k in range(first[e // 2], first[e // 2 + 1]):
        at, row = column[k] * _LANES, weight[k, e % 2]
        if k == first[e // 2]:
            for i in range(np.uint64(count)):
                future[i] = _products(row, far, at, i)
        else:
            for i in range(np.uint64(count)):
                future[i] += _products(row, far, at, i)


@scratch
def _expect_one(first, column, probability, e, values):  # type: ignore[no-untyped-def]
    """sum_e' P[e, e'] values[e']."""
    total = 0.0
    for k in range(first[e], first[e + 1]):
        total += probability[k] * values[column[k]]
    return total


@scratch
def _capped(first, column, probability, errors, u, out, ahead):  # type: ignore[no-untyped-def]
    """out[e, t] = V(t, p=0, D, u, e): the delay stays at D to the end. out: (E, T + 2), out[:, T + 1] = 0.

    ahead: (E,) room.
    """
    n_levels, width = out.shape
    for e in range(n_levels):
        ahead[e] = 0.0
        out[e, width - 1] = 0.0
    for t in range(width - 2, -1, -1):
        for e in range(n_levels):
            out[e, t] = _expect_one(first, column, probability, e, ahead) - errors[errors.shape[0] - 1, u, e]
        for e in range(n_levels):
            ahead[e] = out[e, t]


@scratch
def _chains(  # type: ignore[no-untyped-def]
    first, column, probability, pair, block, weight, errors, stop, last, ahead, empty, begin, end, out, u_begin, u_end,
    near, far, future
):  # fmt: skip
    """Run the chains of one energy p for records u_begin..u_end - 1 that were made in slots begin..end - 1 < T.

    pair, block, weight: as by `_pairs`. errors: (D, E, E) by delay - 1, record, level. stop: (E, T + 1 + room),
    W(t, p, e), -inf where p = 0 (`empty`), and 0 after T: so all lanes may run on, since what they hold there stays 0.
    last (E, T + 2), ahead (E,), near, far (levels _LANES,) and future (_LANES,) are room.
    out[u, s] = sum_e' P[u, e'] V(s + 1, p, 1, u, e').
    """
    sleep, n_levels, horizon = errors.shape[0], errors.shape[1], last.shape[1] - 2
    blocks = max(1, (end - begin + _LANES - 1) // _LANES)
    step = max(1, (end - begin + blocks - 1) // blocks)  # so that the blocks are alike
    for u in range(u_begin, u_end):
        if empty:
            _capped(first, column, probability, errors, u, last, ahead)
        for s in range(begin, end, step):
            width = min(step, end - s)
            known = max(0, min(width, horizon - sleep - s + 1))  # slots after T are worth nothing
            for e in range(n_levels):
                for i in range(known):
                    far[e * _LANES + i] = last[e, s + sleep + i] if empty else stop[e, s + sleep + i]
                for i in range(known, _LANES):
                    far[e * _LANES + i] = 0.0
                    near[e * _LANES + i] = 0.0
            for d in range(sleep - 1, 0, -1):
                count = min(width, horizon - d - s + 1)
                if count > 0:
                    padded = (count + 7) // 8 * 8  # whole vectors: the loops need no remainders
                    _best(pair, block, weight, far, errors[d - 1, u], stop, None, s + d, padded, near)
                    near, far = far, near
            _foresee(pair, block, weight, far, u, width, future)
            for i in range(width):
                out[u, s + i] = future[i]


def _run_chains(
    chain: tuple[IntArray, IntArray, FloatArray],
    pairs: tuple[IntArray, IntArray, FloatArray],
    errors: FloatArray,
    sensing: FloatArray,
    empty: bool,
    slots: tuple[int, int],
    out: FloatArray,
) -> None:
    """`_chains` over all records, in threads with room of their own. sensing: (E, T + 2)."""
    n_levels, horizon = errors.shape[1], sensing.shape[1] - 2
    stop = np.zeros((n_levels, horizon + 1 + _LANES))
    stop[:, : horizon + 1] = sensing[:, : horizon + 1]

    def run(begin: int, end: int) -> None:
        size = max(n_levels + n_levels % 2, _COLUMNS) * _LANES
        room = aligned((size,)), aligned((size,)), aligned((_LANES,))
        last = np.empty((n_levels, horizon + 2))
        _chains(*chain, *pairs, errors, stop, last, np.empty(n_levels), empty, *slots, out, begin, end, *room)

    _in_threads(run, n_levels)


@compiled
def _pack_decisions(first, column, probability, errors, sensing, packed, begin, end):  # type: ignore[no-untyped-def]
    """Set bit t of packed[p - 1, u, d - 1, e] where sensing is worth strictly more than sleeping, d < D.

    Works on the pairs (p - 1) E + u in begin..end - 1. sensing: (B + 1, E, T + 2).
    """
    sleep, n_levels = errors.shape[0], errors.shape[1]
    horizon = sensing.shape[2] - 2
    near, far = np.zeros((n_levels, horizon + 2)), np.zeros((n_levels, horizon + 2))
    future = np.empty(horizon)
    for pair in range(begin, end):
        p, u = pair // n_levels + 1, pair % n_levels
        far[:, : horizon + 1] = sensing[p, :, : horizon + 1]
        for d in range(sleep - 1, 0, -1):
            for e in range(n_levels):
                _expect(first, column, probability, e, far, 2, horizon, future)
                row = packed[p - 1, u, d - 1, e]
                for t in range(1, horizon + 1):
                    asleep = future[t - 1] - errors[d - 1, u, e]
                    awake = sensing[p, e, t]
                    if awake > asleep:
                        row[t >> 3] |= np.uint8(1 << (t & 7))
                    near[e, t] = max(awake, asleep)
            near, far = far, near


@compiled
def _answer(  # type: ignore[no-untyped-def]
    first, column, probability, errors, sensing, slot, energy, delay, record, level, order, out, begin, end
):
    """out[k] = values of (off, on) in state k, for k in order[begin:end]; -inf where forbidden.

    `order` sorts by record, energy, slot - delay, and falling delay, so that one chain serves all states on it.
    """
    sleep, n_levels = errors.shape[0], errors.shape[1]
    horizon = sensing.shape[2] - 2
    ahead, now = np.empty(n_levels), np.empty(n_levels)
    last = np.empty((n_levels, horizon + 2))
    capped_u, chain_p, chain_u, chain_s, chain_d = -1, -1, -1, 0, 0
    for position in range(begin, end):
        k = order[position]
        t, p, d, u, e = slot[k], energy[k], delay[k], record[k], level[k]
        if p == 0 and capped_u != u:
            _capped(first, column, probability, errors, u, last, now)
            capped_u = u
        out[k, 1] = sensing[p, e, t]
        if d == sleep:
            out[k, 0] = last[e, t] if p == 0 else -np.inf
            continue
        s = t - d
        if chain_u != u or chain_p != p or chain_s != s:
            chain_u, chain_p, chain_s, chain_d = u, p, s, min(sleep, horizon - s + 1)
            if s + sleep > horizon:
                ahead[:] = 0.0
            elif p == 0:
                ahead[:] = last[:, s + sleep]
            else:
                ahead[:] = sensing[p, :, s + sleep]
        while chain_d > d + 1:
            chain_d -= 1
            for f in range(n_levels):
                asleep = _expect_one(first, column, probability, f, ahead) - errors[chain_d - 1, u, f]
                now[f] = max(asleep, sensing[p, f, s + chain_d])
            ahead, now = now, ahead
        out[k, 0] = _expect_one(first, column, probability, e, ahead) - errors[d - 1, u, e]


# ------------------------------------------------------------------------------------------------ one device: solution


@dataclass(frozen=True, eq=False)
class Solution:
    """The exact optimum of one device, and a Policy that earns it.

    Kept are W(t, p, e) and the table of errors: 8 (B E T + D E²) bytes. The first call of `act` adds a table of
    decisions, one bit a state, where that takes at most 128 MiB; otherwise `act` computes the values that it compares.

    Attributes:
        problem: the instance.
        expected_error: the least expected average joint error of an episode [µg/m³].
        sensing: (B + 1, E, T + 2) value of sensing by energy, level, slot; -inf where the energy is 0 [µg/m³].
    """

    problem: Problem
    expected_error: float
    sensing: FloatArray
    _errors: FloatArray  # (D, E, E) by delay - 1, record, level
    _chain: tuple[IntArray, IntArray, FloatArray]
    _decisions: dict[str, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def value(
        self, slot: ArrayLike, energy: ArrayLike, delay: ArrayLike, record: ArrayLike, level: ArrayLike
    ) -> FloatArray:
        """Expected sum of the rewards from this slot on under optimal decisions [µg/m³], arguments broadcast.

        Args:
            slot: t, 1..T.
            energy: p, sensings left, 0..B.
            delay: d, slots since the device last sensed, 1..D.
            record: u, the level when it last sensed, one of the network's levels [µg/m³].
            level: e, the level now, one of the network's levels [µg/m³].

        Raises:
            ValueError: an argument out of range, no integer, or no level of the network.
        """
        return np.asarray(self.action_values(slot, energy, delay, record, level).max(axis=-1))

    def action_values(
        self, slot: ArrayLike, energy: ArrayLike, delay: ArrayLike, record: ArrayLike, level: ArrayLike
    ) -> FloatArray:
        """As `value`, of each action, (..., 2): off, on; -inf where the action is forbidden."""
        problem, levels = self.problem, self.problem.network.levels
        state = np.broadcast_arrays(
            _whole("slot", slot, 1, problem.horizon),
            _whole("energy", energy, 0, problem.energy_budget),
            _whole("delay", delay, 1, problem.max_sleep),
            _level_index(levels, record, "record"),
            _level_index(levels, level, "level"),
        )
        return self._values(*(x.flatten() for x in state)).reshape(*state[0].shape, 2)

    def _values(
        self, slot: IntArray, energy: IntArray, delay: IntArray, record: IntArray, level: IntArray
    ) -> FloatArray:
        sleep, budget = self.problem.max_sleep, self.problem.energy_budget
        key = (record * (budget + 1) + energy) * (self.problem.horizon + sleep) + slot - delay + sleep
        order = np.argsort(key * (sleep + 1) + sleep - delay)
        out = np.empty((slot.size, 2))
        state = (slot, energy, delay, record, level, order)
        _in_threads(partial(_answer, *self._chain, self._errors, self.sensing, *state, out), slot.size, 256)
        return out

    needs_observation = False

    def act(self, observation: Any, info: Info) -> Any:
        """The optimal action from `info` alone: an int for one episode, (K,) for a batch. A tie is resolved as off."""
        del observation
        slot, energy, delay, record, level = _raw(info, "slot", "energy", "delay", "record", "level")
        if level.ndim:
            energy, delay, record = energy[..., 0], delay[..., 0], record[..., 0]
        else:
            energy, delay, record = energy.reshape(()), delay.reshape(()), record.reshape(())
        slot, energy, delay = (np.atleast_1d(x.astype(np.int64)) for x in np.broadcast_arrays(slot, energy, delay))
        action = np.where(energy > 0, delay >= self.problem.max_sleep, False)
        free = np.flatnonzero((energy > 0) & ~action & (slot <= self.problem.horizon))  # after the end: off
        if free.size:
            levels = self.problem.network.levels
            u = _level_index(levels, np.atleast_1d(record)[free], "record")
            e = _level_index(levels, np.atleast_1d(level)[free], "level")
            action[free] = self._prefers_sensing(slot[free], energy[free], delay[free], u, e)
        action &= slot <= self.problem.horizon
        return action.astype(np.int64) if level.ndim else int(action[0])

    def _prefers_sensing(self, t: IntArray, p: IntArray, d: IntArray, u: IntArray, e: IntArray) -> NDArray[np.bool_]:
        n_levels = self.problem.network.n_levels
        budget, sleep, horizon = self.problem.energy_budget, self.problem.max_sleep, self.problem.horizon
        shape = (budget, n_levels, sleep - 1, n_levels, horizon // 8 + 1)
        if math.prod(shape) > MAX_DECISION_BYTES:
            values = self._values(t, p, d, u, e)
            return np.asarray(values[:, 1] > values[:, 0])
        if "packed" not in self._decisions:
            table = np.zeros(shape, dtype=np.uint8)
            run = partial(_pack_decisions, *self._chain, self._errors, self.sensing, table)
            _in_threads(run, budget * n_levels)
            self._decisions["packed"] = table
        packed = self._decisions["packed"]
        return np.asarray(packed[p - 1, u, d - 1, e, t >> 3] >> (t & 7).astype(np.uint8) & 1 == 1)


def solve(
    network: SensorNetwork | str | Path,
    device: int,
    horizon: int,
    energy_budget: int,
    max_sleep: int,
    *,
    fuse_measured: bool = False,
    inference: str = "paper",
    level_noise: float = 0.0,
) -> Solution:
    """The exact optimum of one device by backward induction (30)(31), Algorithm 1.

    Args:
        network: the fitted parameters, or a name or path of them.
        device: location of the device.
        horizon: T, slots.
        energy_budget: B, sensings.
        max_sleep: D, slots.
        fuse_measured: as in the environments (a single device's errors are the same either way).
        inference, level_noise: as in the environments.

    Raises:
        ValueError: an argument of the wrong type or out of range, or B D < T.
    """
    if not isinstance(device, int | np.integer) or isinstance(device, bool):
        raise ValueError(f"device: expected one integer location, got {device!r}; solve_joint takes several")
    options: dict[str, Any] = {"fuse_measured": fuse_measured, "inference": inference, "level_noise": level_noise}
    problem = Problem.create(network, int(device), horizon, energy_budget, max_sleep, **options)
    network = problem.network
    n_levels = network.n_levels
    cells = _cell_errors(problem)
    errors, fresh = cells[:-1].reshape(problem.max_sleep, n_levels, n_levels), cells[-1]
    chain, pairs = _sparse_rows(network.transition), _pairs(network.transition)
    sensing = np.zeros((problem.energy_budget + 1, n_levels, problem.horizon + 2))
    sensing[0] = -np.inf
    for p in range(problem.energy_budget):
        above = sensing[p + 1]
        _run_chains(chain, pairs, errors, sensing[p], p == 0, (1, problem.horizon), above)
        above[:, 1:-1] -= fresh[:, None]
    first = np.empty((n_levels, 1))  # all sensed in slot 0
    _run_chains(chain, pairs, errors, sensing[problem.energy_budget], False, (0, 1), first)
    expected_error = -float(network.start @ first[:, 0]) / problem.horizon
    sensing.flags.writeable = False
    return Solution(problem, expected_error, sensing, errors, chain)


# -------------------------------------------------------------------------------------------- several devices: kernels
#
# As for one device, values of sensing alone are stored, and the slots in which all devices sleep form chains of optimal
# stopping with all slots side by side. `sensing` (rows, E, T) is the value of slot t at column t - 1, its error
# included, once all devices have decided and one at least has sensed. The rows fall into M parts by the first device m
# that has sensed: in part m a row is that of the energies left, times the cells of the other devices: D E for each
# device before m, D E + 1 for each after it. `place` (M + 1, M) is what a device's cell counts in each part and, last,
# in the table of errors; `part` (M, 2) the first row of a part and its rows per choice of energies.


@scratch
def _spread(index, base, digits):  # type: ignore[no-untyped-def]
    """Write `index` in `base` into digits (M,), the most significant first."""
    for m in range(digits.shape[0] - 1, -1, -1):
        digits[m] = index % base
        index //= base


@scratch
def _allowed(on, turn, energy, cell, sleep, n_levels):  # type: ignore[no-untyped-def]
    """Whether the devices from `turn` on may sense as the bits of `on` say."""
    for m in range(turn, energy.shape[0]):
        if on >> m & 1:
            if energy[m] == 0:
                return False
        elif energy[m] > 0 and cell[m] // n_levels == sleep - 1:
            return False
    return True


@scratch
def _sensed(on, energy, cell, base, fresh, place, part):  # type: ignore[no-untyped-def]
    """Row of `sensing` once the devices in the bits of `on` and those in a fresh cell have sensed; -1 if none has."""
    first, rank = -1, 0
    for m in range(energy.shape[0]):
        rank = rank * base + energy[m] - (on >> m & 1)
        if first < 0 and (on >> m & 1 == 1 or cell[m] == fresh):
            first = m
    if first < 0:
        return -1
    row = part[first, 0] + rank * part[first, 1]
    for m in range(energy.shape[0]):
        row += place[first, m] * (fresh if on >> m & 1 else cell[m])
    return row


@scratch
def _error_row(cell, place):  # type: ignore[no-untyped-def]
    """Row of the table of errors."""
    row = 0
    for m in range(cell.shape[0]):
        row += place[cell.shape[0], m] * cell[m]
    return row


@scratch
def _stops(base, sleep, place, part, sensing, energy, cell, out):  # type: ignore[no-untyped-def]
    """out[m, row] (E, T + room): best value of sensing if device m is the first to, by the cells of the others.

    -inf where it may not, and 0 after T: so all lanes may run on, since what they hold there stays 0. cell: (M,) room.
    """
    n_devices, n_rows, n_levels, width = out.shape
    horizon, fresh = sensing.shape[2], sleep * n_levels
    for m in range(n_devices):
        for row in range(n_rows):
            rest = row
            for j in range(n_devices - 1, -1, -1):
                cell[j] = 0
                if j != m:
                    cell[j] = rest % fresh
                    rest //= fresh
            best = out[m, row]
            for e in range(n_levels):
                for i in range(np.uint64(horizon)):
                    best[e, i] = -np.inf
                for i in range(np.uint64(horizon), np.uint64(width)):
                    best[e, i] = 0.0
            for later in range(1 << (n_devices - 1 - m)):
                on = (2 * later + 1) << m
                if _allowed(on, 0, energy, cell, sleep, n_levels):
                    value = sensing[_sensed(on, energy, cell, base, fresh, place, part)]
                    for e in range(n_levels):
                        for i in range(np.uint64(horizon)):
                            best[e, i] = max(best[e, i], value[e, i])


@scratch
def _level_sensed(offset, record, energy, base, sleep):  # type: ignore[no-untyped-def]
    """The level of a slot in which the devices of offset 0 have sensed and the others slept; -1 if none can be."""
    e = -1
    for m in range(offset.shape[0]):
        if offset[m] == 0:
            if energy[m] == base - 1 or (e >= 0 and e != record[m]):
                return -1
            e = record[m]
        elif offset[m] == sleep and energy[m] > 0:
            return -1
    return e


@scratch
def _chains_together(  # type: ignore[no-untyped-def]
    first, column, weight, base, sleep, place, part, errors, capped, sensing, offsets, grows, ranks, begin, end,
    energy, cell, record, stops, both, near, far, kept, future
):  # fmt: skip
    """Fill `sensing` for the choices of energies ranks[0]..ranks[1] - 1 and the choices of records begin..end - 1.

    first, column, weight: as by `_pairs`. capped (E^M, E, T + room): value of slot t at t - 1, by the records, without
    energy and at the longest delays; 0 after T. offsets (n, M): delays in a slot in which one device at least has
    sensed; its chain goes through these delays plus d. grows (n,): the device whose offset alone is one more in the
    next row, or -1: if it has no energy, the two chains are one from its longest delay on.
    energy, cell, record (M,), stops (as by `_stops`), both (E, T + room), near, far, kept (levels _LANES,) and future
    (_LANES,) are room.
    """
    n_devices, n_levels, horizon = energy.shape[0], sensing.shape[1], sensing.shape[2]
    fresh = sleep * n_levels
    for rank in range(ranks[0], ranks[1]):
        _spread(rank, base, energy)
        _stops(base, sleep, place, part, sensing, energy, cell, stops)
        for u in range(begin, end):
            _spread(u, n_levels, record)
            for s in range(1, max(2, horizon), _LANES):  # lane i: sensed in slot s + i
                count, known = (min(_LANES, horizon - s) + 3) // 4 * 4, 0
                for k in range(offsets.shape[0]):
                    offset = offsets[k]
                    e = _level_sensed(offset, record, energy, base, sleep)
                    if e < 0:
                        known = 0
                        continue
                    length, empty = sleep, True  # until a device must sense
                    for m in range(n_devices):
                        if energy[m] > 0:
                            length, empty = min(length, sleep - offset[m]), False
                    if known > 0:
                        far, kept, length = kept, far, known
                    keep = 0
                    if grows[k] >= 0 and energy[grows[k]] == 0 and sleep - offset[grows[k]] <= length:
                        keep = max(1, sleep - offset[grows[k]])
                    for d in range(length - (known > 0), 0, -1):
                        error_row, shift = 0, np.uint64(s + d - 1)
                        for m in range(n_devices):
                            cell[m] = (min(d + offset[m], sleep) - 1) * n_levels + record[m]
                            error_row += place[n_devices, m] * cell[m]
                        one, other = both, both
                        for m in range(n_devices):
                            if m > 1:
                                for f in range(n_levels):
                                    for i in range(shift, shift + np.uint64(count)):
                                        both[f, i] = max(one[f, i], other[f, i])
                                one = both
                            row = 0
                            for j in range(n_devices):
                                if j != m:
                                    row = row * fresh + cell[j]
                            other = stops[m, row]
                            if m == 0:
                                one = other
                        if d < length:
                            _best(first, column, weight, far, errors[error_row], one, other, shift, count, near)
                            near, far = far, near
                        else:
                            if empty:
                                one, other = capped[u], capped[u]
                            for f in range(n_levels):
                                one_f, other_f, at = one[f], other[f], np.uint64(f * _LANES)
                                for i in range(np.uint64(count)):
                                    far[at + i] = max(one_f[shift + i], other_f[shift + i])
                        if d == keep:
                            for f in range(n_levels):
                                at = np.uint64(f * _LANES)
                                for i in range(np.uint64(count)):
                                    kept[at + i] = far[at + i]
                    known = keep
                    _foresee(first, column, weight, far, e, count, future)
                    for m in range(n_devices):
                        cell[m] = (offset[m] - 1) * n_levels + record[m] if offset[m] else fresh
                    error = errors[_error_row(cell, place), e]
                    value = sensing[_sensed(0, energy, cell, base, fresh, place, part), e]
                    for i in range(np.uint64(min(count, horizon - s))):
                        value[np.uint64(s - 1) + i] = future[i] - error
                    value[horizon - 1] = -error


@scratch
def _expected(row, values):  # type: ignore[no-untyped-def]
    """sum_e' row[e'] values[e']."""
    total = 0.0
    for e in range(row.shape[0]):
        total += row[e] * values[e]
    return total


@scratch
def _ahead(  # type: ignore[no-untyped-def]
    transition, base, sleep, place, part, errors, capped, sensing, t, energy, cell, later, now, ahead
):
    """ahead[e] = value of slot t + 1 at level e, from the energies and cells that slot t leaves.

    A device that sensed at level u in slot t is in cell u - E here, as if its delay were 0. later (M,) and now (E,) are
    room.
    """
    n_devices, n_levels, horizon = energy.shape[0], now.shape[0], sensing.shape[2]
    fresh = sleep * n_levels
    length, longest, empty, records = sleep, 1, True, 0
    for m in range(n_devices):
        left = sleep - 1 - cell[m] // n_levels
        longest, records = max(longest, left), records * n_levels + cell[m] % n_levels
        if energy[m] > 0:
            length, empty = min(length, max(1, left)), False
    length = min(longest if empty else length, horizon - t + 1)
    for d in range(length, 0, -1):
        if t + d > horizon:
            for e in range(n_levels):
                ahead[e] = 0.0
            continue
        for m in range(n_devices):
            later[m] = min(cell[m] + d * n_levels, fresh - n_levels + cell[m] % n_levels)
        row = _error_row(later, place)
        for e in range(n_levels):
            now[e] = -np.inf
            if d < length:
                now[e] = _expected(transition[e], ahead) - errors[row, e]
            elif empty:
                now[e] = capped[records, e, t + d - 1]
        for on in range(1, 1 << n_devices):
            if _allowed(on, 0, energy, later, sleep, n_levels):
                row = _sensed(on, energy, later, base, fresh, place, part)
                for e in range(n_levels):
                    now[e] = max(now[e], sensing[row, e, t + d - 1])
        for e in range(n_levels):
            ahead[e] = now[e]


@scratch
def _answer_joint(  # type: ignore[no-untyped-def]
    transition, base, sleep, place, part, errors, capped, sensing, slot, turn, energy, cell, level, out, begin, end,
    left, older, then, known, later, now, ahead
):  # fmt: skip
    """out[k] = values of (off, on) of the device whose turn it is in state k, begin <= k < end; -inf where forbidden.

    energy, cell: (n, M). A chain serves all states in a row that differ in their levels only. left, older, then, later
    (M,), known (2 M + 1,), now and ahead (E,) are room.
    """
    n_devices, n_levels = energy.shape[1], now.shape[0]
    fresh = sleep * n_levels
    known[0] = 0
    for k in range(begin, end):
        e, t = level[k], slot[k]
        out[k, 0] = -np.inf
        out[k, 1] = -np.inf
        for choice in range(1 << (n_devices - turn[k])):
            on = choice << turn[k]
            if not _allowed(on, turn[k], energy[k], cell[k], sleep, n_levels):
                continue
            stored, same = False, known[0] == t
            for m in range(n_devices):
                senses = on >> m & 1
                left[m] = energy[k, m] - senses
                then[m] = fresh if senses else cell[k, m]
                older[m] = e - n_levels if then[m] == fresh else cell[k, m]
                same = same and known[1 + m] == left[m] and known[1 + n_devices + m] == older[m]
                stored = stored or then[m] == fresh
            for m in range(n_devices):  # what can not have happened is not stored, but may be asked for
                if then[m] == fresh:
                    stored = stored and left[m] < base - 1
                else:
                    stored = stored and (left[m] == 0 or then[m] // n_levels < sleep - 1)
            if stored:
                value = sensing[_sensed(0, left, then, base, fresh, place, part), e, t - 1]
            else:
                if not same:
                    _ahead(
                        transition, base, sleep, place, part, errors, capped, sensing, t, left, older, later, now, ahead
                    )
                    known[0] = t
                    for m in range(n_devices):
                        known[1 + m], known[1 + n_devices + m] = left[m], older[m]
                value = _expected(transition[e], ahead) - errors[_error_row(then, place), e]
            out[k, choice & 1] = max(out[k, choice & 1], value)
        if turn[k] > 0:
            error = errors[_error_row(cell[k], place), e]
            out[k, 0] += error
            out[k, 1] += error


# ------------------------------------------------------------------------------------------- several devices: solution


def _sizes(problem: Problem) -> tuple[int, int, int]:
    """C, the cells of a device; B C + C, its states; rows of the table of all devices' states."""
    n_cells = problem.max_sleep * problem.network.n_levels + 1
    base = (problem.energy_budget + 1) * n_cells
    return n_cells, base, base**problem.n_devices


def _pairs(transition: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """The transition matrix, two rows at a time, in blocks of six columns, as a rule one, without those of zeros.

    Of pair e // 2 the blocks first[pair] (pairs + 1,) on, each with its first column (n,) and weights (n, 2, 6).
    """
    n_levels = transition.shape[0]
    padded = np.zeros((n_levels + n_levels % 2, max(n_levels + n_levels % 2, _COLUMNS)))
    padded[:n_levels, :n_levels] = transition
    first, column, weight = [0], [], []
    for rows in padded.reshape(-1, 2, padded.shape[1]):
        (used,) = np.nonzero(rows.any(axis=0))
        while used.size:
            begin = min(int(used[0]), padded.shape[1] - _COLUMNS)
            column.append(begin)
            weight.append(
                np.where(np.arange(begin, begin + _COLUMNS) < used[0], 0.0, rows[:, begin : begin + _COLUMNS])
            )
            used = used[used >= begin + _COLUMNS]
        first.append(len(column))
    return np.array(first), np.array(column), np.array(weight)


def _layout(problem: Problem) -> tuple[int, int, IntArray, IntArray]:
    """B + 1, D, and the arrays `place` and `part` that say where `sensing` holds a row."""
    base, count = problem.energy_budget + 1, problem.n_devices
    waiting = problem.max_sleep * problem.network.n_levels
    place, part = np.zeros((count + 1, count), dtype=np.int64), np.zeros((count, 2), dtype=np.int64)
    start = 0
    for m in range(count):
        radix = [waiting] * m + [1] + [waiting + 1] * (count - 1 - m)
        place[m] = [math.prod(radix[j + 1 :]) * (j != m) for j in range(count)]
        part[m] = start, math.prod(radix)
        start += base**count * math.prod(radix)
    place[count] = (waiting + 1) ** np.arange(count - 1, -1, -1)
    return base, problem.max_sleep, place, part


def _check_bytes(problem: Problem, numbers: int, max_bytes: int, what: str) -> None:
    """Refuse an instance whose table of errors and so many other `numbers` would take more than `max_bytes`."""
    n_cells, _, rows = _sizes(problem)
    n_levels = problem.network.n_levels
    needed = 8 * (numbers + n_levels * n_cells**problem.n_devices)
    if needed > max_bytes:
        raise ValueError(
            f"{what}: {rows * n_levels:,} states a slot ({problem.n_devices} devices with {problem.energy_budget + 1} "
            f"energies, {problem.max_sleep} delays and {n_levels} levels) would take {needed:,} bytes of memory, more "
            f"than max_bytes={max_bytes:,}. Take fewer devices or levels (network.coarsen), a smaller energy_budget or "
            f"max_sleep, or raise max_bytes"
        )


@dataclass(frozen=True, eq=False)
class JointSolution:
    """The exact joint optimum of a few devices, and a Policy that earns it.

    Kept are the values of sensing and the table of errors: 8 E (T (B + 1)^M ((K + 1)^M - K^M) + (K + 1)^M) bytes with
    K = D E, and a little for devices without energy. Values of slots in which all devices sleep are computed anew when
    asked for.

    Attributes:
        problem: the instance.
        expected_error: the least expected average joint error of an episode [µg/m³].
        view: "sequential" or "joint": what `act` returns, the decision of the device whose turn it is or all decisions.
    """

    problem: Problem
    expected_error: float
    view: Literal["sequential", "joint"]
    _layout: tuple[int, int, IntArray, IntArray]
    _errors: FloatArray  # (C^M, E), C = D E + 1
    _capped: FloatArray  # (E^M, E, T + room) value of slot t at t - 1, without energy and at the longest delays
    _sensing: FloatArray  # (rows, E, T) the same once all have decided and one at least has sensed

    def value(
        self,
        slot: ArrayLike,
        energy: ArrayLike,
        delay: ArrayLike,
        record: ArrayLike,
        level: ArrayLike,
        turn: ArrayLike = 0,
    ) -> FloatArray:
        """Expected sum of the rewards from this decision on under optimal decisions [µg/m³].

        Args:
            slot: t, 1..T, shape (...).
            energy: sensings left, 0..B, shape (..., M).
            delay: slots since each device last sensed, shape (..., M): 1..D; 0 for a device that sensed in this slot,
                which only those before `turn` can have done.
            record: the level when each last sensed, shape (..., M) [µg/m³].
            level: the level now, shape (...) [µg/m³].
            turn: the device that decides, 0..M-1, shape (...); the value of the joint view is that of turn 0.

        Raises:
            ValueError: an argument out of range, of a wrong shape, or no level of the network.
        """
        return np.asarray(self.action_values(slot, energy, delay, record, level, turn).max(axis=-1))

    def action_values(
        self,
        slot: ArrayLike,
        energy: ArrayLike,
        delay: ArrayLike,
        record: ArrayLike,
        level: ArrayLike,
        turn: ArrayLike = 0,
    ) -> FloatArray:
        """As `value`, of each action of the device whose turn it is, (..., 2): off, on; -inf where forbidden."""
        problem, levels = self.problem, self.problem.network.levels
        n_devices, n_levels = problem.n_devices, levels.size
        p, d = _whole("energy", energy, 0, problem.energy_budget), _whole("delay", delay, 0, problem.max_sleep)
        u = _level_index(levels, record, "record")
        for name, x in (("energy", p), ("delay", d), ("record", u)):
            if x.ndim == 0 or x.shape[-1] != n_devices:
                raise ValueError(f"{name}: expected shape (..., {n_devices}), one number a device, got {x.shape}")
        t = _whole("slot", slot, 1, problem.horizon)
        m, e = _whole("turn", turn, 0, n_devices - 1), _level_index(levels, level, "level")
        p, d, u, t, m, e = np.broadcast_arrays(p, d, u, t[..., None], m[..., None], e[..., None])
        shape = p.shape[:-1]
        p, d, u, t, m, e = (x.reshape(-1, n_devices).copy() for x in (p, d, u, t, m, e))
        fresh = d == 0
        if (fresh & (np.arange(n_devices) >= m)).any():
            raise ValueError(
                "delay: 0 for a device that has not decided yet; only those before `turn` can have sensed now"
            )
        if (fresh & (u != e)).any():
            raise ValueError("record: a device with delay 0 sensed in this slot, so its record must equal the level")
        cell = np.where(fresh, problem.max_sleep * n_levels, (d - 1) * n_levels + u)
        state, out = (t[:, 0].copy(), m[:, 0].copy(), p, cell, e[:, 0].copy()), np.empty((p.shape[0], 2))
        tables = problem.network.transition, *self._layout, self._errors, self._capped, self._sensing

        def answer(begin: int, end: int) -> None:
            digits = [np.empty(size, dtype=np.int64) for size in [n_devices] * 3 + [2 * n_devices + 1, n_devices]]
            room = np.empty(n_levels), np.empty(n_levels)
            _answer_joint(*tables, *state, out, begin, end, *digits, *room)

        _in_threads(answer, p.shape[0], 256)
        return out.reshape(*shape, 2)

    needs_observation = False

    def act(self, observation: Any, info: Info) -> Any:
        """Optimal action(s) from `info` alone; a tie is resolved as off.

        Sequential view: of the device whose turn it is, an int or (K,). Joint view: as `joint_actions`.
        """
        del observation
        if self.view == "joint":
            return self.joint_actions(info)
        slot, turn, energy, delay, record, level = _raw(info, "slot", "turn", "energy", "delay", "record", "level")
        actions = self._actions(slot, energy, delay, record, level, turn)
        return actions if level.ndim else int(actions)

    def joint_actions(self, info: Info) -> IntArray:
        """Optimal decisions of all devices at the beginning of a slot, (M,) or (K, M) in {0, 1}."""
        slot, energy, delay, record, level = _raw(info, "slot", "energy", "delay", "record", "level")
        energy, delay, record = energy.copy(), delay.copy(), record.copy()
        chosen = np.zeros(energy.shape, dtype=np.int64)
        for m in range(self.problem.n_devices):
            on = self._actions(slot, energy, delay, record, level, np.asarray(m))
            chosen[..., m] = on
            energy[..., m] -= on
            delay[..., m] = np.where(on, 0, delay[..., m])
            record[..., m] = np.where(on, level, record[..., m])
        return chosen

    def _actions(
        self,
        slot: NDArray[Any],
        energy: NDArray[Any],
        delay: NDArray[Any],
        record: NDArray[Any],
        level: NDArray[Any],
        turn: NDArray[Any],
    ) -> IntArray:
        over = slot > self.problem.horizon  # the observation after the end: off
        slot, delay = np.where(over, 1, slot), np.where(over[..., None], 1, delay)
        values = self.action_values(slot, energy, delay, record, level, turn)
        return np.asarray((values[..., 1] > values[..., 0]) & ~over, dtype=np.int64)


def solve_joint(
    network: SensorNetwork | str | Path,
    devices: Sequence[int],
    horizon: int,
    energy_budget: int,
    max_sleep: int,
    *,
    view: Literal["sequential", "joint"] = "sequential",
    fuse_measured: bool = False,
    inference: str = "paper",
    level_noise: float = 0.0,
    max_bytes: int = MAX_BYTES,
) -> JointSolution:
    """The exact joint optimum of a few devices by backward induction over all their states.

    One chain serves the slots between two sensings of any device, all slots side by side. Memory and answers: see
    `JointSolution`.

    Args:
        network: the fitted parameters, or a name or path of them.
        devices: locations of the devices, in the order in which they decide.
        horizon: T, slots.
        energy_budget: B, sensings per device.
        max_sleep: D, slots.
        view: "sequential" for a policy that decides turn by turn (V-B), "joint" for simultaneous actions; both have the
            same optimum (Proposition 3) and are solved in the same way.
        fuse_measured, inference, level_noise: how maps are inferred, as in the environments.
        max_bytes: refuse instances that need more memory [bytes].

    Raises:
        ValueError: an argument of the wrong type or out of range, B D < T, or an instance that is too large (the
            message tells its states and bytes).
    """
    if view not in ("sequential", "joint"):
        raise ValueError(f"view: expected 'sequential' or 'joint', got {view!r}")
    options: dict[str, Any] = {"fuse_measured": fuse_measured, "inference": inference, "level_noise": level_noise}
    problem = Problem.create(network, devices, horizon, energy_budget, max_sleep, **options)
    network, n_devices = problem.network, problem.n_devices
    sleep, n_levels, n_records = problem.max_sleep, network.n_levels, network.n_levels**n_devices
    waiting, lanes = sleep * n_levels, (problem.horizon + 3) // 4 * 4
    choices = (problem.energy_budget + 1) ** n_devices  # of the devices' energies
    rows = choices * ((waiting + 1) ** n_devices - waiting**n_devices)
    shape = n_devices, waiting ** (n_devices - 1), n_levels, lanes + sleep
    numbers = rows * n_levels * problem.horizon + n_records * n_levels * shape[3]
    numbers += math.prod(shape) * min(n_records, int(vars(numba.config)["NUMBA_NUM_THREADS"]))
    _check_bytes(problem, numbers, max_bytes, "solve_joint")
    errors, layout = _cell_errors(problem), _layout(problem)
    last = errors[(_digits(np.arange(n_records), n_levels, n_devices) + waiting - n_levels) @ layout[2][-1]]
    capped, now = np.zeros((n_records, n_levels, lanes + sleep)), np.zeros((n_records, n_levels))
    for t in range(problem.horizon - 1, -1, -1):
        now = now @ network.transition.T - last
        capped[:, :, t] = now
    sensing = np.empty((rows, n_levels, problem.horizon))
    offsets = _digits(np.arange((sleep + 1) ** n_devices), sleep + 1, n_devices)
    offsets = offsets[offsets.min(axis=1) == 0]
    step, grows = np.diff(offsets, axis=0), np.full(offsets.shape[0], -1)
    grows[:-1] = np.where(np.abs(step).sum(axis=1) == 1, step.argmax(axis=1), -1)
    tables = *layout, errors, capped, sensing
    fixed = *_pairs(network.transition), *tables, offsets, grows
    size = _LANES * max(n_levels + n_levels % 2, _COLUMNS)

    def run(low: int, high: int, begin: int, end: int) -> None:
        digits = [np.empty(n_devices, dtype=np.int64) for _ in range(3)]
        room = np.empty(shape), np.empty(shape[2:]), *[aligned((count,)) for count in (size, size, size, _LANES)]
        _chains_together(*fixed, (low, high), begin, end, *digits, *room)

    least = -(-(1 << 20) // (offsets.shape[0] * sleep * n_levels * lanes))  # choices of records worth a thread
    alone = n_records <= least or vars(numba.config)["NUMBA_NUM_THREADS"] == 1
    known = choices - 1  # who sensed has less than all the energy
    for low in range(1 if alone else known):  # the least energies first
        _in_threads(partial(run, low, known if alone else low + 1), n_records, least)
    sensing.flags.writeable = False
    full = np.full(n_devices, problem.energy_budget)
    expected, room = 0.0, [np.empty(n_devices, np.int64), np.empty(n_levels), np.empty(n_levels)]
    for u in range(n_levels):  # all sense in slot 0
        _ahead(network.transition, *tables, 0, full, np.full(n_devices, u - n_levels), *room)
        expected += network.start[u] * float(network.transition[u] @ room[-1])
    return JointSolution(problem, -expected / problem.horizon, view, layout, errors, capped, sensing)


# ----------------------------------------------------------------------------------------------- exact evaluation


def evaluate_exactly(
    policy: Policy,
    network: SensorNetwork | str | Path,
    devices: Sequence[int] | int,
    horizon: int,
    energy_budget: int,
    max_sleep: int,
    *,
    observation: str = "full",
    fuse_measured: bool = False,
    inference: str = "paper",
    level_noise: float = 0.0,
    batch: int = 32_768,
    negligible: float = 0.0,
    max_bytes: int = MAX_BYTES,
) -> float:
    """A policy's exact expected average joint error [µg/m³], in the sequential view.

    Follows the distribution of the states that the policy reaches, decision by decision. The policy must be
    deterministic and without memory: `act` is called once for every reached state, in batches with an info as the
    vector environment gives it, and its answer stands for all visits. Illegal actions are replaced by the forced ones.

    Args:
        policy: what to evaluate.
        network: the fitted parameters, or a name or path of them.
        devices: location(s) of the devices, in the order in which they decide.
        horizon: T, slots.
        energy_budget: B, sensings per device.
        max_sleep: D, slots.
        observation: what a policy reads that does not say so by an attribute ``observation``. One with a false
            attribute ``needs_observation`` is shown None, which is faster.
        fuse_measured, inference, level_noise: how maps are inferred, as in the environments.
        batch: states per call of `act`.
        negligible: states of at most this probability are dropped and the rest scaled up; the result is off by at most
            the dropped probability times the largest error. 0 keeps all.
        max_bytes: refuse instances that need more memory [bytes].

    Raises:
        ValueError: an argument of the wrong type or out of range, an instance that is too large, or an answer of `act`
            that is no batch of actions.
    """
    options: dict[str, Any] = {"fuse_measured": fuse_measured, "inference": inference, "level_noise": level_noise}
    problem = Problem.create(network, devices, horizon, energy_budget, max_sleep, **options)
    observe = None
    if getattr(policy, "needs_observation", True):
        observe = _Observer(problem, getattr(policy, "observation", None) or observation)
    n_cells, base, rows = _sizes(problem)
    _check_bytes(problem, 6 * rows * problem.network.n_levels, max_bytes, "evaluate_exactly")
    n_devices, n_levels = problem.n_devices, problem.network.n_levels
    transition, levels, sleep = problem.network.transition, problem.network.levels, problem.max_sleep
    errors = _cell_errors(problem)
    place = base ** np.arange(n_devices - 1, -1, -1)
    start = place.sum() * (problem.energy_budget * n_cells + np.arange(n_levels))
    probability = np.zeros((rows, n_levels))
    probability[start] = problem.network.start[:, None] * transition
    total = 0.0
    for t in range(1, problem.horizon + 1):
        for m in range(n_devices):
            state = np.flatnonzero(probability > negligible)
            weight = probability.ravel()[state] * (probability.sum() / probability.ravel()[state].sum())
            e, digit = state % n_levels, _digits(state // n_levels, base, n_devices)
            energy, cell = digit // n_cells, digit % n_cells
            fresh = cell == n_cells - 1
            delay = np.where(fresh, 0, cell // n_levels + 1)
            record = np.where(fresh, levels[e][:, None], levels[cell % n_levels])
            may_sense, must_sense = energy[:, m] > 0, (energy[:, m] > 0) & (delay[:, m] == sleep)
            info = {
                "slot": np.full(state.size, t),
                "turn": np.full(state.size, m),
                "energy": energy,
                "delay": delay,
                "record": record,
                "level": levels[e],
                "action_mask": np.stack([~must_sense, may_sense], axis=1).astype(np.int8),
            }
            action = _ask(policy, info, observe, batch)
            on = np.where(must_sense, 1, action * may_sense)
            row = state // n_levels + on * (n_cells - 1 - cell[:, m] - n_cells) * place[m]
            moved = np.bincount(row * n_levels + e, weights=weight, minlength=rows * n_levels)
            probability = np.asarray(moved.reshape(rows, n_levels), dtype=np.float64)
        state = np.flatnonzero(probability)
        weight, e = probability.ravel()[state], state % n_levels
        digit = _digits(state // n_levels, base, n_devices)
        energy, cell = digit // n_cells, digit % n_cells
        cells = (cell * n_cells ** np.arange(n_devices - 1, -1, -1)).sum(axis=1)
        total += float(weight @ errors[cells, e])
        older = np.where(cell + n_levels < n_cells - 1, cell + n_levels, cell)
        after = np.where(cell == n_cells - 1, e[:, None], older)  # sensed now: delay 1, record e
        row = ((energy * n_cells + after) * place).sum(axis=1)
        moved = np.bincount(row * n_levels + e, weights=weight, minlength=rows * n_levels)
        probability = np.asarray(moved.reshape(rows, n_levels) @ transition)
    return total / problem.horizon


class _Observer:
    """Observations of any states, from the environments' own kernels."""

    def __init__(self, problem: Problem, kind: str, side_by_side: int = 2048) -> None:
        self._episodes = Episodes(problem, side_by_side, observation=kind)

    def __call__(self, info: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        n, parts = len(self._episodes), []
        for begin in range(0, info["slot"].size, n):
            rows = np.minimum(np.arange(begin, begin + n), info["slot"].size - 1)  # the last batch is filled up
            state = [info[name][rows] for name in ("slot", "turn", "energy", "delay", "record", "level")]
            parts.append(self._episodes.place(*state))
        return np.concatenate(parts)[: info["slot"].size]


def _ask(policy: Policy, info: dict[str, NDArray[Any]], observe: _Observer | None, batch: int) -> IntArray:
    """Actions of the policy in all states of `info`, (K,) in {0, 1}."""
    n_states = info["slot"].size
    actions = np.empty(n_states, dtype=np.int64)
    for begin in range(0, n_states, batch):
        part = {name: x[begin : begin + batch] for name, x in info.items()}
        size = part["slot"].size
        seen: Any = None if observe is None else observe(part)
        answer = np.asarray(policy.act(seen, part))
        if answer.shape != (size,) or not np.isin(answer, (0, 1)).all():
            raise ValueError(f"policy: act must return ({size},) actions in {{0, 1}}, got {answer.shape}: {answer!r}")
        actions[begin : begin + batch] = answer
    return actions
