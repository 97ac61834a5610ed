"""Cells of devices: where the values of several devices are stored, and the cost of a slot as a table.

A cell says when a device last sensed and what it found: (d - 1) E + u for delay d in 1..D and record u, or D E where it
sensed in this slot. Several devices' cells are the digits of a row, the first device's the most significant.

Stored are the values of slots in which all devices have decided and one at least has sensed; the others follow from
them. The rows fall into M parts by the first device m that has sensed. In part m a row is that of the energies left,
times the cells of the other devices: D E for each device before m, D E + 1 for each after it. The cost is the average
joint error by the devices' cells and the level.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.problem import Problem
from baselines.exact.compiled import compiled, in_threads
from baselines.exact.states import FloatArray, IntArray, digits

_CHUNK_BYTES = 4 << 20  # of one array of a chunk


class Layout(NamedTuple):
    """What the energies, cells and rows count."""

    energies: int  # B + 1
    max_sleep: int  # D
    n_levels: int  # E
    place: IntArray  # (M + 1, M) what a device's cell counts in each part and, last, in the table of errors
    part: IntArray  # (M, 2) the first row of a part, and its rows per choice of energies


def layout_of(problem: Problem) -> tuple[Layout, int]:
    """The layout of a problem and its number of rows."""
    energies, count = problem.energy_budget + 1, problem.n_devices
    waiting = problem.max_sleep * problem.network.n_levels
    place, part = np.zeros((count + 1, count), dtype=np.int64), np.zeros((count, 2), dtype=np.int64)
    rows = 0
    for m in range(count):
        radix = [waiting] * m + [1] + [waiting + 1] * (count - 1 - m)
        place[m] = [math.prod(radix[j + 1 :]) * (j != m) for j in range(count)]
        part[m] = rows, math.prod(radix)
        rows += energies**count * math.prod(radix)
    place[count] = (waiting + 1) ** np.arange(count - 1, -1, -1)
    return Layout(energies, problem.max_sleep, problem.network.n_levels, place, part), rows


@compiled
def allowed(layout, on, energy, cell):  # type: ignore[no-untyped-def]
    """Whether the devices may sense and sleep as the bits of `on` say."""
    for m in range(energy.shape[0]):
        if on >> m & 1:
            if energy[m] == 0:
                return False
        elif energy[m] > 0 and cell[m] // layout.n_levels == layout.max_sleep - 1:
            return False
    return True


@compiled
def sensed_row(layout, on, energy, cell):  # type: ignore[no-untyped-def]
    """The row once the devices in the bits of `on` and those in a fresh cell have sensed: one at least."""
    fresh = layout.max_sleep * layout.n_levels
    first, rank = energy.shape[0], 0
    for m in range(energy.shape[0]):
        rank = rank * layout.energies + energy[m] - (on >> m & 1)
        if on >> m & 1 or cell[m] == fresh:
            first = min(first, m)
    row = layout.part[first, 0] + rank * layout.part[first, 1]
    for m in range(energy.shape[0]):
        row += layout.place[first, m] * (fresh if on >> m & 1 else cell[m])
    return row


@compiled
def error_row(layout, cell):  # type: ignore[no-untyped-def]
    """The row of the table of errors."""
    row = 0
    for m in range(cell.shape[0]):
        row += layout.place[cell.shape[0], m] * cell[m]
    return row


class Paper(NamedTuple):
    """What the paper's inference reads."""

    levels: FloatArray  # (E,) [µg/m³]
    max_sleep: int  # D [slots]
    measurement_variance: float  # delta^2 [1]
    temporal_variance: float  # sigma^2 [(µg/m³)² per slot]
    fuse_measured: bool
    devices: IntArray  # (M,) locations
    mean_relation: FloatArray  # (M, N) a_ij of the devices' locations [1]
    variance_relation: FloatArray  # (M, N) b_ij [1]


@compiled
def _average_error(paper, cell, e, precision, deviation):  # type: ignore[no-untyped-def]
    """Average joint error [µg/m³] of cells (M,) at level e [µg/m³]; (3)-(6), (9).

    precision, deviation: (N,) scratch arrays.
    """
    n_levels, fresh = paper.levels.shape[0], paper.max_sleep * paper.levels.shape[0]
    for j in range(precision.shape[0]):
        precision[j] = 0.0
        deviation[j] = 0.0
    for m in range(cell.shape[0]):
        delay, record = 0, e
        if cell[m] < fresh:
            delay, record = cell[m] // n_levels + 1, paper.levels[cell[m] % n_levels]
        own = paper.measurement_variance * record * record + delay * paper.temporal_variance
        for j in range(precision.shape[0]):
            weight = 1.0 / (own + paper.variance_relation[m, j] * e * e)
            precision[j] += weight
            deviation[j] += weight * (record + paper.mean_relation[m, j] * e - e)
    total = 0.0
    for j in range(precision.shape[0]):
        total += np.sqrt(precision[j] + deviation[j] * deviation[j]) / precision[j]
    if not paper.fuse_measured:
        for m in range(cell.shape[0]):
            if cell[m] == fresh:  # sensed in this slot: the reading stays as it was measured
                j = paper.devices[m]
                total -= np.sqrt(precision[j] + deviation[j] * deviation[j]) / precision[j]
                total += np.sqrt(paper.measurement_variance) * e
    return total / precision.shape[0]


@compiled
def _fill(paper, cells, out):  # type: ignore[no-untyped-def]
    """Fill out (n, E): average joint errors of cells (n, M)."""
    precision, deviation = np.empty(paper.mean_relation.shape[1]), np.empty(paper.mean_relation.shape[1])
    for row in range(cells.shape[0]):
        for level in range(paper.levels.shape[0]):
            out[row, level] = _average_error(paper, cells[row], paper.levels[level], precision, deviation)


def n_cells(problem: Problem) -> int:
    """C, the cells of one device."""
    return problem.max_sleep * problem.network.n_levels + 1


def cell_of(problem: Problem, delay: IntArray, record: IntArray) -> IntArray:
    """Cells of delays 0..D and records (indices of levels), any shape."""
    n_levels = problem.network.n_levels
    return np.where(delay == 0, problem.max_sleep * n_levels, (delay - 1) * n_levels + record)


def delay_and_record(problem: Problem, cell: IntArray, level: FloatArray) -> tuple[IntArray, NDArray[np.float64]]:
    """Delays [slots] and records [µg/m³] of cells (..., M) at levels (...) [µg/m³]."""
    levels, fresh = problem.network.levels, cell == n_cells(problem) - 1
    delay = np.where(fresh, 0, cell // levels.size + 1)
    return delay, np.where(fresh, level[..., None], levels[cell % levels.size])


def cell_errors(problem: Problem) -> FloatArray:
    """Average joint error (9) of every row of cells and every level, (C^M, E) [µg/m³]."""
    network, rows = problem.network, np.asarray(problem.devices)
    levels, count = network.levels, n_cells(problem)
    table = np.empty((count**problem.n_devices, levels.size))
    chunk = max(1, _CHUNK_BYTES // (8 * levels.size * problem.n_devices * problem.n_locations))
    variances = network.measurement_variance, network.temporal_variance
    relations = network.mean_relation[rows], network.variance_relation[rows]
    paper = Paper(levels, problem.max_sleep, *variances, problem.fuse_measured, rows, *relations)

    def fill(begin: int, end: int) -> None:
        for low in range(begin, end, chunk):
            high = min(low + chunk, end)
            cells = digits(np.arange(low, high), count, problem.n_devices)
            if problem.inference == "paper":
                _fill(paper, cells, table[low:high])
            else:
                delay, record = delay_and_record(problem, cells[:, None, :], levels[None, :])
                table[low:high] = problem.infer(delay, record, levels).joint_error.mean(axis=-1)

    in_threads(fill, table.shape[0], chunk)
    return table
