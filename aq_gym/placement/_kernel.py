"""The compiled loops of `aq_gym.placement.fitness`, in the units of `aq_gym.kernels`.

Both take the schedule's U different slots as ``state`` (U, M, 3): c, s, and 1 where the device's own location is not
inferred; and their ``weight`` (U,): the levels of the slots that are alike, summed, over T N [µg/m³].
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from aq_gym.kernels import LANES, WIDE, _pointer, _reciprocal, compiled, inner, leaf

_Floats = NDArray[np.float64]

ROW = 2 * LANES  # numbers of a source: 1/(c + b), then (s + a)/(c + b), for one block of locations
TAIL = 4  # rows beside the first that are added while the error is computed
_SURE = 1e60  # weight of what is known: its error comes to 1e-30


@inner
def _root_over(square: float, divisor: float) -> float:
    """sqrt(q)/d as q/sqrt(q d²), without the double precision's slow root and division.

    The root's reciprocal is guessed to 3 % from the bits of the number, at any size of it; the first step leaves 1e-5
    of relative error and the second 1e-15.
    """
    x = square * (divisor * divisor)
    bits = np.uint64(0x5FE6EB50C7B537A9) - (np.float64(x).view(np.uint64) >> np.uint64(1))
    near = float(np.uint64(bits).view(np.float64))
    off = 1.0 - x * near * near
    near += near * off * (0.5 + off * (0.375 + off * 0.3125))
    off = 1.0 - x * near * near
    ratio = square * near
    return ratio + ratio * off * (0.5 + off * 0.375)


@leaf
def _weigh(
    lanes: int, c: float, deviation: float, relation: _Floats, location: np.uint64, table: _Floats, source: np.uint64
) -> None:
    """Write a source's row."""
    for i in range(lanes):
        j = np.uint64(i)
        weight = _reciprocal(c + relation[location + j + np.uint64(LANES)])
        table[source + j] = weight
        table[source + j + np.uint64(LANES)] = weight * (deviation + relation[location + j])


@leaf
def _add(
    lanes: int,
    table: _Floats,
    one: np.uint64,
    two: np.uint64,
    three: np.uint64,
    four: np.uint64,
    five: np.uint64,
    target: np.uint64,
) -> None:
    """Write the sum of five rows."""
    for i in range(2 * lanes):
        j = np.uint64(i)
        rest = (table[two + j] + table[three + j]) + (table[four + j] + table[five + j])
        table[target + j] = table[one + j] + rest


@leaf
def _sum_of_errors(
    lanes: int, table: _Floats, one: np.uint64, two: np.uint64, three: np.uint64, four: np.uint64, five: np.uint64
) -> float:
    """Of J / e over a block of locations, from five rows."""
    total = 0.0
    for i in range(lanes):
        j, k = np.uint64(i), np.uint64(i) + np.uint64(LANES)
        zeroth = (table[two + j] + table[three + j]) + (table[four + j] + table[five + j])
        first = (table[two + k] + table[three + k]) + (table[four + k] + table[five + k])
        zeroth, first = table[one + j] + zeroth, table[one + k] + first
        total += _root_over(zeroth + first * first, zeroth)
    return total


@cast(Any, intrinsic)
def _sum_of_guessed(context: Any, table: Any, one: Any, two: Any, three: Any, four: Any, five: Any) -> Any:
    """`_sum_of_errors` on a core that guesses roots itself, to 6e-5 of relative error: one step leaves 1e-16."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        eight, word = ir.VectorType(ir.DoubleType(), 8), ir.IntType(64)
        table, *rows = arguments
        guess_type = ir.FunctionType(eight, [eight, eight, ir.IntType(8)])
        guess = builder.module.declare_intrinsic("llvm.x86.avx512.rsqrt14.pd.512", (), guess_type)
        fma = builder.module.declare_intrinsic("llvm.fma.v8f64", (), ir.FunctionType(eight, [eight] * 3))

        def all_of(number: float) -> Any:
            return ir.Constant(eight, [ir.Constant(ir.DoubleType(), number)] * 8)

        def sum_at(offset: int) -> Any:
            ends = [builder.gep(table, [builder.add(row, ir.Constant(word, offset))]) for row in rows]
            x = [builder.load(builder.bitcast(end, eight.as_pointer()), align=8) for end in ends]
            rest = builder.fadd(builder.fadd(x[1], x[2]), builder.fadd(x[3], x[4]))
            return builder.fadd(x[0], rest)

        total = all_of(0.0)
        for begin in range(0, LANES, 8):
            zeroth, first = sum_at(begin), sum_at(begin + LANES)
            square = builder.call(fma, [first, first, zeroth])
            x = builder.fmul(square, builder.fmul(zeroth, zeroth))
            near = builder.call(guess, [x, all_of(0.0), ir.Constant(ir.IntType(8), 255)])
            off = builder.call(fma, [builder.fneg(builder.fmul(x, near)), near, all_of(1.0)])
            ratio = builder.fmul(square, near)
            series = builder.call(fma, [off, all_of(0.3125), all_of(0.375)])
            series = builder.call(fma, [off, series, all_of(0.5)])
            total = builder.fadd(total, builder.call(fma, [builder.fmul(ratio, off), series, ratio]))
        kind = ir.FunctionType(ir.DoubleType(), [ir.DoubleType(), eight])
        added = builder.module.declare_intrinsic("llvm.vector.reduce.fadd.v8f64", (), kind)
        return builder.call(added, [ir.Constant(ir.DoubleType(), -0.0), total], fastmath=("reassoc",))

    return types.float64(table, one, two, three, four, five), build


if WIDE:

    @inner
    def _errors(
        lanes: int, table: _Floats, one: np.uint64, two: np.uint64, three: np.uint64, four: np.uint64, five: np.uint64
    ) -> float:
        # Always LANES, as they are.
        return float(_sum_of_guessed(_pointer(table, 0), one, two, three, four, five))

else:
    _errors = _sum_of_errors


@compiled
def average_errors(
    sets: NDArray[np.int64],
    state: _Floats,
    weight: _Floats,
    relation: _Floats,
    n_locations: int,
    fresh_error: float,
    room: _Floats,
    found: _Floats,
) -> None:
    """Write the average joint errors of K location sets [µg/m³], each set for itself.

    The fractions are summed over a common denominator, so that many devices cost few divisions.

    Args:
        sets: (K, m) ascending, filled up with -1.
        state: (U, M, 3).
        weight: (U,).
        relation: (2, N, P) a and b; P = N padded to whole vector registers.
        n_locations: N.
        fresh_error: J / e of a location that is not inferred.
        room: (4, P) scratch.
        found: (K,).
    """
    width = room.shape[1]
    top, bottom, first, error = room[0], room[1], room[2], room[3]
    for k in range(len(sets)):
        size = 0
        while size < sets.shape[1] and sets[k, size] >= 0:
            size += 1
        found[k] = 0.0
        for t in range(len(weight)):
            for m in range(size):
                mean, variance = relation[0, sets[k, m]], relation[1, sets[k, m]]
                c, s = state[t, m, 0], state[t, m, 1]
                if m == 0:
                    for j in range(width):
                        bottom[j] = c + variance[j]
                        top[j] = 1.0
                        first[j] = s + mean[j]
                else:
                    for j in range(width):
                        own = c + variance[j]
                        top[j] = top[j] * own + bottom[j]
                        first[j] = first[j] * own + (s + mean[j]) * bottom[j]
                        bottom[j] = bottom[j] * own
                if m % 4 == 3:  # before the products leave the range of numbers
                    for j in range(width):
                        scale = 1.0 / bottom[j]
                        top[j] *= scale
                        first[j] *= scale
                        bottom[j] = 1.0
            for j in range(width):
                error[j] = _root_over(top[j] * bottom[j] + first[j] * first[j], top[j])
            for m in range(size):
                if state[t, m, 2] > 0.0:
                    error[sets[k, m]] = fresh_error
            total = 0.0
            for j in range(n_locations):
                total += error[j]
            found[k] += weight[t] * total


@compiled
def average_errors_together(
    lanes: int,
    n_locations: int,
    sizes: NDArray[np.int64],
    sources: NDArray[np.uint64],
    pairs: NDArray[np.int64],
    state: _Floats,
    weight: _Floats,
    relation: _Floats,
    fresh_error: float,
    measured: _Floats,
    table: _Floats,
    found: _Floats,
) -> None:
    """Write the average joint errors of K location sets [µg/m³] that share sources.

    Slots are the outer loop: what the device of row m at location i says in a slot is computed once for all sets.

    Args:
        lanes: LANES, but unknown to the compiler.
        n_locations: N.
        sizes: (K,) locations of each set.
        sources: (K, 1 + a multiple of TAIL) where the rows of a set's sources begin in ``table``, then zeros.
        pairs: (P, 2) device and location of each source that a set has.
        state: (U, M, 3).
        weight: (U,).
        relation: (blocks N ROW,) a and b from each location to a block of LANES.
        fresh_error: J / e of a location that is not inferred.
        measured: (M + 1,) scratch.
        table: ((P + 2) ROW,) scratch: zeros, a sum, and the sources' rows.
        found: (K,).
    """
    row, partial = np.uint64(ROW), np.uint64(ROW)
    n_blocks = (n_locations + LANES - 1) // LANES
    for j in range(ROW):
        table[j] = 0.0
    found[:] = 0.0
    for block in range(n_blocks):
        begin, end = block * LANES, min(n_locations - block * LANES, LANES)
        for t in range(len(weight)):
            for m in range(state.shape[1]):
                measured[m + 1] = measured[m] + state[t, m, 2] * fresh_error if block == 0 else 0.0
            for p in range(len(pairs)):
                m, i = pairs[p, 0], pairs[p, 1]
                source = np.uint64(p + 2) * row
                _weigh(
                    lanes, state[t, m, 0], state[t, m, 1], relation, np.uint64(block * n_locations + i) * row, table,
                    source,
                )  # fmt: skip
                if state[t, m, 2] > 0.0 and begin <= i < begin + LANES:
                    table[source + np.uint64(i - begin)] = _SURE
                if m == 0:
                    for j in range(end, LANES):
                        table[source + np.uint64(j)] = _SURE
            for k in range(len(found)):
                first, i = sources[k, 0], 1
                while i + TAIL < sizes[k]:
                    _add(
                        lanes, table, first, sources[k, i], sources[k, i + 1], sources[k, i + 2], sources[k, i + 3],
                        partial,
                    )  # fmt: skip
                    first, i = partial, i + TAIL
                total = _errors(
                    lanes, table, first, sources[k, i], sources[k, i + 1], sources[k, i + 2], sources[k, i + 3]
                )
                found[k] += weight[t] * (measured[sizes[k]] + total)
