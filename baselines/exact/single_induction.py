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

from baselines.exact.chain import Chain, new_room, sense, sleep, sleep_or_sense
from baselines.exact.compiled import compiled
from baselines.exact.states import FloatArray


class Tables(NamedTuple):
    """What the induction reads and fills."""

    chain: Chain
    errors: FloatArray  # (D, E, E) by delay - 1, record, level [µg/m³]
    fresh: FloatArray  # (E,) the error of a slot in which the device senses [µg/m³]
    sensing: FloatArray  # (B + 1, E, table_width) W by energy, level, slot; -inf without energy, 0 after T [µg/m³]
    horizon: int  # T


@compiled
def _exhausted(tables, u, origin, out):  # type: ignore[no-untyped-def]
    """Values without energy at the longest delay, which lasts to the end."""
    n_delays, n_levels, horizon = tables.errors.shape[0], tables.sensing.shape[1], tables.horizon
    now = new_room(n_levels, 1)
    out[:] = 0.0
    for t in range(horizon, 0, -1):
        i = t - origin - n_delays
        for e in range(n_levels):
            sleep(tables.chain, now[(t + 1) % 2], tables.errors[n_delays - 1, u, e], e, now[t % 2, e])
            if 0 <= i < out.shape[1]:
                out[e, i] = now[t % 2, e, 0]


@compiled
def _between(tables, p, u, origin, room, asleep):  # type: ignore[no-untyped-def]
    """Row 1 of room: values at delay 1 of a device with energy p and record u that last sensed in slot origin + column.

    room: as by `new_room`. asleep (D, E, columns), or empty: receives the value of sleeping by delay - 1.
    """
    n_delays, sensing = tables.errors.shape[0], tables.sensing[p]
    if p > 0:  # sensing is forced
        sense(sensing, sensing, origin + n_delays, room[n_delays % 2])
    else:
        _exhausted(tables, u, origin, room[n_delays % 2])
    if asleep.size:
        asleep[n_delays - 1] = room[n_delays % 2, : sensing.shape[0]]
    for d in range(n_delays - 1, 0, -1):
        near, far, errors = room[d % 2], room[(d + 1) % 2], tables.errors[d - 1, u]
        sleep_or_sense(tables.chain, far, errors, sensing, sensing, origin + d, near)
        if asleep.size:
            for e in range(errors.shape[0]):
                sleep(tables.chain, far, errors[e], e, asleep[d - 1, e])


@compiled
def fill(tables, p, begin, end):  # type: ignore[no-untyped-def]
    """W of energy p at levels begin..end - 1."""
    n_levels, n_slots = tables.sensing.shape[1], tables.sensing.shape[2] - 1 - tables.errors.shape[0]
    room, nothing = new_room(n_levels, n_slots), np.empty((0, 0, 0))
    for u in range(begin, end):
        _between(tables, p - 1, u, 1, room, nothing)
        sleep(tables.chain, room[1], tables.fresh[u], u, room[0, u])
        for t in range(1, tables.horizon + 1):
            tables.sensing[p, u, t] = room[0, u, t - 1]


@compiled
def answer(tables, states, out, begin, end):  # type: ignore[no-untyped-def]
    """out[k] = value of sleeping in state k of begin..end - 1; states (n, 5) by slot, energy, delay, record, level.

    States of equal energy and record lie together: one induction serves them.
    """
    n_delays, n_levels = tables.errors.shape[0], tables.sensing.shape[1]
    while begin < end:
        p, u = states[begin, 1], states[begin, 3]
        after, low, high = begin, tables.horizon, -n_delays
        while after < end and states[after, 1] == p and states[after, 3] == u:
            sensed = states[after, 0] - states[after, 2]
            low, high = min(low, sensed), max(high, sensed)
            after += 1
        width = high - low + 1
        asleep = np.empty((n_delays, n_levels, width))
        _between(tables, p, u, low, new_room(n_levels, width), asleep)
        for k in range(begin, after):
            t, d, e = states[k, 0], states[k, 2], states[k, 4]
            out[k] = asleep[d - 1, e, t - d - low]
        begin = after


@compiled
def decide(tables, p, better, begin, end):  # type: ignore[no-untyped-def]
    """better[u, d - 1, e, t]: whether sensing is worth strictly more than sleeping, d < D, begin <= u < end."""
    n_delays, n_levels = tables.errors.shape[0], tables.sensing.shape[1]
    origin, width = 1 - n_delays, tables.horizon + n_delays - 1
    room, asleep = new_room(n_levels, width), np.empty((n_delays, n_levels, width))
    for u in range(begin, end):
        _between(tables, p, u, origin, room, asleep)
        for d in range(1, n_delays):
            for e in range(n_levels):
                for t in range(1, tables.horizon + 1):
                    better[u, d - 1, e, t] = tables.sensing[p, e, t] > asleep[d - 1, e, t - d - origin]
