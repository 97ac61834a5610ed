"""The chain of the levels, and one slot of optimal stopping, backwards in time.

Between two sensings nothing moves but the delays and the level. So the slots between them form a problem of optimal
stopping, "sense now or sleep one slot more":

    V_d(t, e) = max( W(t, e),  sum_e' P[e, e'] V_{d+1}(t + 1, e') - J_d(e) ).

`sleep_or_sense` does it at all levels e and for many slots at once. Arrays have the levels as rows and the times of the
last sensing as columns: at delay d column i stands for slot t = origin + i + d, so that no column moves from one delay
to the next. Tables of values of sensing, by slot, hold 0 in `table_width` - T - 1 slots after T. So V stays 0 there,
and loops run over all columns.
"""

from typing import NamedTuple

import numpy as np

from baselines.exact.compiled import compiled
from baselines.exact.states import FloatArray, IntArray

WIDTH = 6  # levels in a block: a constant, so that compilers can keep a block's weights in registers
LANES = 8  # columns come in multiples of it: compilers work on several at once and leave no rest


class Chain(NamedTuple):
    """The transition matrix without its zeros: row e as blocks first[e]..first[e + 1] - 1 of neighbouring levels."""

    first: IntArray  # (E + 1,)
    level: IntArray  # (n,) the first level of a block
    probability: FloatArray  # (n, WIDTH) P[e, e'] of its levels


def in_blocks(transition: FloatArray) -> Chain:
    """The (E, E) transition matrix in blocks."""
    n_rows = max(transition.shape[0], WIDTH)
    first, level, probability = [0], [], []
    for row in np.pad(transition, ((0, 0), (0, n_rows - transition.shape[0]))):
        left = row.copy()
        while left.any():
            begin = min(int(np.flatnonzero(left)[0]), n_rows - WIDTH)
            level.append(begin)
            probability.append(left[begin : begin + WIDTH].copy())
            left[begin : begin + WIDTH] = 0.0
        first.append(len(level))
    return Chain(np.array(first), np.array(level), np.array(probability))


def table_width(horizon: int, max_sleep: int) -> int:
    """The slots of a table, from slot 0 on: so many as the columns of all last sensings reach at all delays."""
    return 1 + -(-horizon // LANES) * LANES + max_sleep


@compiled
def sleep(chain, ahead, error, e, out):  # type: ignore[no-untyped-def]
    """out[i] = sum_e' P[e, e'] ahead[e', i] - error: the value of sleeping at level e."""
    probability = chain.probability
    for k in range(chain.first[e], chain.first[e + 1]):
        level, first = chain.level[k], k == chain.first[e]
        for i in range(out.shape[0]):
            total = -error if first else out[i]
            for j in range(WIDTH):
                total += probability[k, j] * ahead[level + j, i]
            out[i] = total


@compiled
def sense(one, other, shift, out):  # type: ignore[no-untyped-def]
    """out[e, i] = the better of one[e, shift + i] and other[e, shift + i], where shift + i >= 0."""
    begin, shift = max(-shift, 0), max(shift, 0)
    for e in range(one.shape[0]):
        for i in range(out.shape[1] - begin):
            first, second = one[e, shift + i], other[e, shift + i]
            out[e, begin + i] = first if first > second else second  # numba's max is not vectorised


@compiled
def sleep_or_sense(chain, ahead, errors, one, other, shift, out):  # type: ignore[no-untyped-def]
    """The best of sleeping, as by `sleep`, and of two ways to sense, as by `sense`; errors: (E,)."""
    probability, begin, shift = chain.probability, max(-shift, 0), max(shift, 0)
    for e in range(errors.shape[0]):
        for k in range(chain.first[e], chain.first[e + 1]):
            level, first, last = chain.level[k], k == chain.first[e], k + 1 == chain.first[e + 1]
            for i in range(out.shape[1] - begin):
                total = -errors[e] if first else out[e, begin + i]
                for j in range(WIDTH):
                    total += probability[k, j] * ahead[level + j, begin + i]
                best = one[e, shift + i] if one[e, shift + i] > other[e, shift + i] else other[e, shift + i]
                out[e, begin + i] = best if last and best > total else total


@compiled
def new_room(n_levels, width):  # type: ignore[no-untyped-def]
    """Values of two delays and of sensing, (3, rows, width): rows for the levels, and as many as a block has."""
    return np.zeros((3, max(n_levels, WIDTH), width))
