"""One device: the backward induction (30)(31), Algorithm 1, compiled.

The value of sensing, W(t, p, e), depends on neither the delay nor the record, so it alone is stored:

    V(t, p, d, u, e) = max( W(t, p, e),  -J(d, u, e) + sum_e' P[e, e'] V(t + 1, p, d + 1, u, e') ),  d < D,
    V(t, p, D, u, e) = W(t, p, e)  (forced),
    W(t, p, e) = -J(0, e, e) + sum_e' P[e, e'] V(t + 1, p - 1, 1, e, e').

The tables of errors are all that the induction knows of how maps are inferred.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from baselines.exact.chain import Chain, clear, columns, copy_all, new_room, sleep, sleep_all, wake_all
from baselines.exact.compiled import compiled
from baselines.exact.states import FloatArray


class Tables(NamedTuple):
    """What the induction reads and fills."""

    chain: Chain
    errors: FloatArray  # (D, E, E) by delay - 1, record, level [µg/m³]
    fresh: FloatArray  # (E,) the error of a slot in which the device senses [µg/m³]
    sensing: FloatArray  # (B + 1, E, T + 2) W by energy, level, slot; -inf without energy, 0 after T [µg/m³]


@compiled
def _exhausted(tables, u, origin, begin, end, out):  # type: ignore[no-untyped-def]
    """Values without energy at the longest delay, which lasts to the end."""
    n_delays, horizon = tables.errors.shape[0], tables.sensing.shape[2] - 2
    zero, one = np.int64(0), np.int64(1)  # plain numbers would compile what they are passed to once more
    now = new_room(out.shape[0], one)
    clear(now)
    for t in range(horizon, 0, -1):
        sleep_all(tables.chain, now[(t + 1) % 2], tables.errors[n_delays - 1, u], zero, one, now[t % 2])
        i = t - origin - n_delays
        if begin <= i < end:
            out[:, i] = now[t % 2, : out.shape[0], 0]


@compiled
def _between(tables, p, u, origin, width, room, asleep):  # type: ignore[no-untyped-def]
    """Row 1 of room: values at delay 1 of a device with energy p and record u that last sensed in slot origin + column.

    room: as by `new_room`. asleep (D, E, columns), or empty: receives the value of sleeping by delay - 1.
    """
    n_delays, n_levels, horizon = tables.errors.shape[0], tables.sensing.shape[1], tables.sensing.shape[2] - 2
    clear(room)
    begin, end = columns(origin, width, n_delays, horizon)
    if p > 0:  # sensing is forced
        copy_all(tables.sensing[p], origin + n_delays, begin, end, room[n_delays % 2, :n_levels])
    else:
        _exhausted(tables, u, origin, begin, end, room[n_delays % 2, :n_levels])
    if asleep.size:
        copy_all(room[n_delays % 2], 0, begin, end, asleep[n_delays - 1])
    for d in range(n_delays - 1, 0, -1):
        begin, end = columns(origin, width, d, horizon)
        near, far = room[d % 2], room[(d + 1) % 2]
        sleep_all(tables.chain, far, tables.errors[d - 1, u], begin, end, near)
        if asleep.size:
            copy_all(near, 0, begin, end, asleep[d - 1])
        wake_all(tables.sensing[p], origin + d, begin, end, near)


@compiled
def fill(tables, p, begin, end):  # type: ignore[no-untyped-def]
    """W of energy p at levels begin..end - 1."""
    n_levels, horizon = tables.sensing.shape[1], tables.sensing.shape[2] - 2
    room, nothing, origin = new_room(n_levels, horizon), np.empty((0, 0, 0)), np.int64(1)
    for u in range(begin, end):
        _between(tables, p - 1, u, origin, horizon, room, nothing)
        sleep(tables.chain, room[1], tables.fresh[u], u, origin - 1, horizon, room[0])
        for t in range(1, horizon + 1):
            tables.sensing[p, u, t] = room[0, u, t - 1]


@compiled
def answer(tables, states, out, begin, end):  # type: ignore[no-untyped-def]
    """out[k] = value of sleeping in state k of begin..end - 1; states (n, 5) by slot, energy, delay, record, level.

    States of equal energy and record lie together: one induction serves them.
    """
    n_delays, n_levels, horizon = tables.errors.shape[0], tables.sensing.shape[1], tables.sensing.shape[2] - 2
    room, asleep = new_room(n_levels, horizon + n_delays), np.empty((n_delays, n_levels, horizon + n_delays))
    while begin < end:
        p, u = states[begin, 1], states[begin, 3]
        after, low, high = begin, horizon, -n_delays
        while after < end and states[after, 1] == p and states[after, 3] == u:
            sensed = states[after, 0] - states[after, 2]
            low, high = min(low, sensed), max(high, sensed)
            after += 1
        _between(tables, p, u, low, high - low + 1, room, asleep)
        for k in range(begin, after):
            t, d, e = states[k, 0], states[k, 2], states[k, 4]
            out[k] = asleep[d - 1, e, t - d - low]
        begin = after


@compiled
def decide(tables, p, better, begin, end):  # type: ignore[no-untyped-def]
    """better[u, d - 1, e, t]: whether sensing is worth strictly more than sleeping, d < D, begin <= u < end."""
    n_delays, n_levels, horizon = tables.errors.shape[0], tables.sensing.shape[1], tables.sensing.shape[2] - 2
    origin, width = 1 - n_delays, horizon + n_delays - 1
    room, asleep = new_room(n_levels, width), np.empty((n_delays, n_levels, width))
    for u in range(begin, end):
        _between(tables, p, u, origin, width, room, asleep)
        for d in range(1, n_delays):
            for e in range(n_levels):
                _compare(tables.sensing[p, e], asleep[d - 1, e], d + origin, better[u, d - 1, e])


@compiled
def _compare(awake, asleep, shift, better):  # type: ignore[no-untyped-def]
    for t in range(1, better.shape[0]):
        better[t] = awake[t] > asleep[t - shift]
