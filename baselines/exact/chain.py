"""The chain of the levels, and one slot of optimal stopping, backwards in time.

Between two sensings nothing moves but the delays and the level. So the slots between them form a problem of optimal
stopping, "sense now or sleep one slot more":

    V_d(t, e) = max( W(t, e),  sum_e' P[e, e'] V_{d+1}(t + 1, e') - J_d(e) ).

`sleep_all` is the second term and `wake_all` the maximum, for all levels e and slots t at once: arrays have the levels as
rows and the slots as columns, and a slot after the last one is worth 0.
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
    """out[e, t] = sum_e' P[e, e'] ahead[e', t + 1] - error for begin <= t < end: the value of sleeping."""
    now = out[e, begin:end]
    next_slot = max(begin, 0) + 1  # not negative: what compilers must know to vectorise the loop over the slots
    for i in range(now.size):
        now[i] = -error
    for k in range(chain.first[e], chain.first[e + 1]):
        level, probability = chain.level[k], chain.probability[k]
        for i in range(now.size):
            total = now[i]
            for j in range(WIDTH):
                total += probability[j] * ahead[level + j, next_slot + i]
            now[i] = total


@compiled
def sleep_all(chain, ahead, errors, begin, end, out):  # type: ignore[no-untyped-def]
    """`sleep` at all levels; errors: (E,)."""
    for e in range(errors.shape[0]):
        sleep(chain, ahead, errors[e], e, begin, end, out)


@compiled
def wake_all(sensing, begin, end, out):  # type: ignore[no-untyped-def]
    """out[e, t] = max(out[e, t], sensing[e, t]) for begin <= t < end, at all levels."""
    for e in range(sensing.shape[0]):
        now, awake = out[e, begin:end], sensing[e, begin:end]
        for i in range(now.size):
            asleep = now[i]
            now[i] = awake[i] if awake[i] > asleep else asleep  # numba's max is not vectorised


@compiled
def copy_all(values, begin, end, out):  # type: ignore[no-untyped-def]
    """out[e, t] = values[e, t] for begin <= t < end and all rows of out."""
    for e in range(out.shape[0]):
        for t in range(begin, end):
            out[e, t] = values[e, t]
