"""Where the values of several devices are stored.

Stored are the values of slots in which all devices have decided and one at least has sensed; the others follow from
them. The rows fall into M parts by the first device m that has sensed. In part m a row is that of the energies left,
times the cells of the other devices: D E for each device before m, D E + 1 for each after it (cells: see `errors`).
"""

import math
from typing import NamedTuple

import numpy as np

from aq_gym.problem import Problem
from baselines.exact.compiled import compiled
from baselines.exact.states import IntArray


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
