"""The chain of the levels, and one slot of optimal stopping, backwards in time.

Between two sensings nothing moves but the delays and the level. So the slots between them form a problem of optimal
stopping, "sense now or sleep one slot more":

    V_d(t, e) = max( W(t, e),  sum_e' P[e, e'] V_{d+1}(t + 1, e') - J_d(e) ).

`sleep_all` is the second term and `wake_all` the maximum, at all levels e and for many slots at once. Arrays have the
levels as rows and the times of the last sensing as columns: at delay d column i stands for slot t = origin + i + d, so
that no column moves from one delay to the next. A slot after the last one is worth 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from baselines.exact.compiled import compiled
from baselines.exact.states import FloatArray, IntArray

WIDTH = 6  # levels in a block: a constant, so that compilers can keep a block's weights in registers


class Chain(NamedTuple):
    """The transition matrix without its zeros: row e as blocks first[e]..first[e + 1] - 1 of neighbouring levels."""

    first: IntArray  # (E + 1,)
    level: IntArray  # (n,) the first level of a block
    probability: FloatArray  # (n, WIDTH) P[e, e'] of its levels


def in_blocks(transition: FloatArray) -> Chain:
    """The (E, E) transition matrix in blocks."""
    n_rows = room_rows(transition.shape[0])
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


def room_rows(n_levels: int) -> int:
    """How many rows an array of values needs: one a level, and as many as a block has."""
    return max(n_levels, WIDTH)


@compiled
def sleep(chain, ahead, error, e, begin, end, out):  # type: ignore[no-untyped-def]
    """out[e, i] = sum_e' P[e, e'] ahead[e', i] - error for begin <= i < end: the value of sleeping."""
    begin = max(begin, 0)  # it is never less: compilers that know it vectorise the loops
    for i in range(end - begin):
        out[e, begin + i] = -error
    for k in range(chain.first[e], chain.first[e + 1]):
        level, probability = chain.level[k], chain.probability[k]
        for i in range(end - begin):
            total = out[e, begin + i]
            for j in range(WIDTH):
                total += probability[j] * ahead[level + j, begin + i]
            out[e, begin + i] = total


@compiled
def sleep_all(chain, ahead, errors, begin, end, out):  # type: ignore[no-untyped-def]
    """`sleep` at all levels; errors: (E,)."""
    for e in range(errors.shape[0]):
        sleep(chain, ahead, errors[e], e, begin, end, out)


@compiled
def wake_all(sensing, shift, begin, end, out):  # type: ignore[no-untyped-def]
    """out[e, i] = max(out[e, i], sensing[e, shift + i]) for begin <= i < end, at all levels."""
    begin, shift = max(begin, 0), max(shift + begin, 0)  # never less, as in `sleep`
    for e in range(sensing.shape[0]):
        for i in range(end - begin):
            awake, asleep = sensing[e, shift + i], out[e, begin + i]
            out[e, begin + i] = awake if awake > asleep else asleep  # numba's max is not vectorised


@compiled
def copy_all(values, shift, begin, end, out):  # type: ignore[no-untyped-def]
    """out[e, i] = values[e, shift + i] for begin <= i < end, at all levels."""
    for e in range(out.shape[0]):
        for i in range(begin, end):
            out[e, i] = values[e, shift + i]


@compiled
def columns(origin, width, d, horizon):  # type: ignore[no-untyped-def]
    """The columns below `width` whose slots origin + i + d are 1..T: the first, and the one after the last."""
    begin = max(0, 1 - origin - d)
    return begin, max(begin, min(width, horizon + 1 - origin - d))


@compiled
def clear(room):  # type: ignore[no-untyped-def]
    """Set the values of both delays to 0, that of a slot after the last."""
    for array in room:
        for e in range(array.shape[0]):
            for i in range(array.shape[1]):
                array[e, i] = 0.0


@compiled
def new_room(n_levels, width):  # type: ignore[no-untyped-def]
    """Values of two delays, (2, rows, width): rows for the levels, and as many as a block has."""
    return np.empty((2, max(n_levels, WIDTH), width))
