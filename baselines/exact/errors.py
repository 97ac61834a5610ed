"""The cost of a slot as a table: the average joint error by the devices' cells and the level.

A cell says when a device last sensed and what it found: (d - 1) E + u for delay d in 1..D and record u, or D E where it
sensed in this slot. Several devices' cells are the digits of a row, the first device's the most significant.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.problem import Problem
from baselines.exact.compiled import compiled, in_threads
from baselines.exact.states import FloatArray, IntArray, digits

_CHUNK_BYTES = 4 << 20  # of one array of a chunk


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
