"""The backward induction (30)(31), Algorithm 1, of one or several devices, compiled.

The slots in which all devices sleep form problems of optimal stopping: someone senses, or nobody. Of one device, with
energy p, delay d and record u at level e of slot t,

    V(t, p, d, u, e) = max( W(t, p, e),  -J(d, u, e) + sum_e' P[e, e'] V(t + 1, p, d + 1, u, e') ),  d < D,
    V(t, p, D, u, e) = W(t, p, e)  (forced),
    W(t, p, e) = -J(0, e, e) + sum_e' P[e, e'] V(t + 1, p - 1, 1, e, e').

The value of sensing, W, depends on neither the delay nor the record, so it alone is stored. The tables of errors are
all that the induction knows of how maps are inferred.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from aq_gym.problem import Problem
from baselines.exact.cells import Layout, allowed, cell_errors, error_row, layout_of, sensed_row
from baselines.exact.chain import Chain, in_blocks, new_room, sense, sleep, sleep_or_sense, table_width
from baselines.exact.compiled import compiled, in_threads
from baselines.exact.states import FloatArray, IntArray, digits


class Tables(NamedTuple):
    """What the induction reads and fills; C = D E + 1 cells, values in µg/m³."""

    layout: Layout
    chain: Chain
    errors: FloatArray  # (C^M, E)
    exhausted: FloatArray  # (E^M, E, table_width) by records: nobody has energy, all delays are the longest
    sensing: FloatArray  # (rows, E, T + 1) all have decided and one at least has sensed, the slot's error included


@compiled
def _best_choice(tables, energy, cell, choices, shift, out):  # type: ignore[no-untyped-def]
    """out[e, i] = the best value of slot shift + i over some choices of who senses; 0 after T, -inf if there is none.

    choices: the first, whose bits say who senses, and the step to the next.
    """
    horizon, shift = tables.sensing.shape[2] - 1, max(shift, 0)
    for e in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[e, i] = -np.inf if shift + i <= horizon else 0.0
    for on in range(choices[0], 1 << energy.shape[0], choices[1]):
        if allowed(tables.layout, on, energy, cell):
            values = tables.sensing[sensed_row(tables.layout, on, energy, cell)]
            for e in range(out.shape[0]):
                for i in range(min(out.shape[1], horizon + 1 - shift)):
                    value = values[e, shift + i]
                    out[e, i] = value if value > out[e, i] else out[e, i]  # numba's max is not vectorised


@compiled
def _first_to_sense(tables, energy, out):  # type: ignore[no-untyped-def]
    """out[m, c] (E, table_width): the best choices in which m is the first to sense and the other device in cell c.

    Of one device out has the shape (1, 1, E, table_width).
    """
    cell = np.zeros_like(energy)
    for m in range(cell.size):
        for c in range(out.shape[1]):
            cell[cell.size - 1 - m] = c
            _best_choice(tables, energy, cell, (1 << m, 2 << m), 0, out[m, c])


@compiled
def _between(tables, energy, delay, record, origin, room, first, asleep):  # type: ignore[no-untyped-def]
    """The devices had the delays `delay` in slot origin + i; room[1, e, i] receives the next slot's value at level e.

    energy, delay (0 for a device that has just sensed), record: (M,). room: as by `new_room`. first: as by
    `_first_to_sense`, or empty. asleep (slots, E, columns), or empty: asleep[d - 1, e, i] receives the value of
    sleeping in slot origin + i + d; in its last row that of sensing.
    """
    layout = tables.layout
    cell, length = np.empty_like(energy), layout.max_sleep  # length: slots until a device must sense
    for m in range(energy.shape[0]):
        if energy[m] > 0:
            length = min(length, max(1, layout.max_sleep - delay[m]))
    for d in range(length, 0, -1):
        records, shift, near, far = 0, origin + d, room[d % 2], room[(d + 1) % 2]
        for m in range(energy.shape[0]):
            cell[m] = (min(delay[m] + d, layout.max_sleep) - 1) * layout.n_levels + record[m]
            records = records * layout.n_levels + record[m]
        # Best values of sensing. Two devices: one if device 0 senses, other if only device 1 does; else both of all
        if d == length and energy.sum() == 0:  # nothing changes any more
            one = other = tables.exhausted[records]
        elif first.shape[0] == 1:  # one device
            one = other = first[0, 0]
        elif first.size:  # two devices, known in advance
            one, other = first[0, cell[1]], first[1, cell[0]]
        else:  # more devices, found here
            one = other = room[2, : layout.n_levels]
            _best_choice(tables, energy, cell, (1, 1), shift, one)
            shift = 0
        if d == length:
            sense(one, other, shift, near)
            if asleep.size:
                asleep[d - 1] = near[: layout.n_levels]
            continue
        errors = tables.errors[error_row(layout, cell)]
        sleep_or_sense(tables.chain, far, errors, one, other, shift, near)
        if asleep.size:
            for e in range(layout.n_levels):
                sleep(tables.chain, far, errors[e], e, asleep[d - 1, e])


@compiled
def _common_level(layout, energy, delay, record):  # type: ignore[no-untyped-def]
    """The level of a slot in which the devices of delay 0 have sensed and the others slept; -1 if there is none."""
    e = -1
    for m in range(delay.shape[0]):
        if delay[m] == 0:
            if energy[m] == layout.energies - 1 or (e >= 0 and e != record[m]):
                return -1
            e = record[m]
        elif delay[m] == layout.max_sleep and energy[m] > 0:
            return -1
    return e


@compiled
def _fill(tables, delays, energy, records, first, begin, end):  # type: ignore[no-untyped-def]
    """`sensing` for the energies left, (M,), and rows begin..end - 1 of records, (E^M, M).

    delays (n, M): in slots in which one device at least has sensed, which has delay 0. first: as by `_first_to_sense`.
    """
    layout, horizon = tables.layout, tables.sensing.shape[2] - 1
    fresh, cell = layout.max_sleep * layout.n_levels, np.empty_like(energy)
    room = new_room(layout.n_levels, tables.exhausted.shape[2] - 1 - layout.max_sleep)
    nothing = np.empty((0, 0, 0))
    for record in records[begin:end]:
        for k in range(delays.shape[0]):
            e = _common_level(layout, energy, delays[k], record)
            if e < 0:
                continue
            _between(tables, energy, delays[k], record, 1, room, first, nothing)
            for m in range(cell.size):
                cell[m] = (delays[k, m] - 1) * layout.n_levels + record[m] if delays[k, m] else fresh
            row = sensed_row(layout, 0, energy, cell)
            sleep(tables.chain, room[1], tables.errors[error_row(layout, cell), e], e, room[0, e])
            for t in range(1, horizon + 1):
                tables.sensing[row, e, t] = room[0, e, t - 1]


@compiled
def _look_ahead(tables, states, out, begin, end):  # type: ignore[no-untyped-def]
    """out[k] (E,): values of the next slot, by its level, after state k of begin..end - 1.

    states (n, 1 + 3 M): the slot, and each device's energy, delay (0 if it has sensed) and record.
    """
    n_levels, n_devices = tables.layout.n_levels, tables.layout.part.shape[0]
    room, no_first, nothing = new_room(n_levels, 1), np.empty((0, 0, 0, 0)), np.empty((0, 0, 0))
    for k in range(begin, end):
        rest = states[k, 1:]
        energy, delay = rest[:n_devices], rest[n_devices : 2 * n_devices]
        _between(tables, energy, delay, rest[2 * n_devices :], states[k, 0], room, no_first, nothing)
        for e in range(n_levels):
            out[k, e] = room[1, e, 0]


def n_numbers(problem: Problem) -> int:
    """How many numbers the tables hold, those of the errors apart."""
    n_levels, horizon = problem.network.n_levels, problem.horizon
    width, n_rows = table_width(horizon, problem.max_sleep), layout_of(problem)[1]
    return n_rows * n_levels * (horizon + 1) + n_levels ** (problem.n_devices + 1) * width


def induce(problem: Problem) -> Tables:
    """The tables of a problem, filled."""
    (layout, rows), network, count = layout_of(problem), problem.network, problem.n_devices
    n_levels, n_records, horizon = network.n_levels, network.n_levels**count, problem.horizon
    errors, width = cell_errors(problem), table_width(horizon, problem.max_sleep)
    records = digits(np.arange(n_records), n_levels, count)
    oldest = records + (problem.max_sleep - 1) * n_levels
    exhausted = np.zeros((n_records, n_levels, width))
    for t in range(horizon, 0, -1):
        exhausted[:, :, t] = exhausted[:, :, t + 1] @ network.transition.T - errors[oldest @ layout.place[count]]
    tables = Tables(layout, in_blocks(network.transition), errors, exhausted, np.empty((rows, n_levels, horizon + 1)))
    delays = digits(np.arange((problem.max_sleep + 1) ** count), problem.max_sleep + 1, count)
    delays = delays[delays.min(axis=1) == 0]
    shapes = {1: (1, 1, n_levels, width), 2: (2, layout.max_sleep * n_levels, n_levels, width)}
    first = np.empty(shapes.get(count, (0, 0, 0, 0)))
    work = len(delays) * problem.max_sleep * n_levels * horizon  # values of one record, at most
    least = 1 if count == 1 else -(-(1 << 20) // work)  # records worth a thread: about a million values
    # The least energies first, since the others read them. One device has just sensed, so not all have all of theirs
    for energy in digits(np.arange(layout.energies**count - 1), layout.energies, count):
        if first.size:
            _first_to_sense(tables, energy, first)
        in_threads(partial(_fill, tables, delays, energy, records, first), n_records, least)
    return tables


@compiled
def decide(tables, p, better, begin, end):  # type: ignore[no-untyped-def]
    """One device of energy p: better[u, d - 1, e, t]: whether sensing beats sleeping, d < D, begin <= u < end."""
    n_delays, n_levels, horizon = tables.layout.max_sleep, tables.layout.n_levels, tables.sensing.shape[2] - 1
    first, just_now = np.empty((1, 1, n_levels, tables.exhausted.shape[2])), np.zeros(1, np.int64)
    # In slot 1 the device last sensed in slot 1 - d, so columns begin before slot 1; what is below it is never read
    origin, width = 1 - n_delays, horizon + n_delays - 1
    room, asleep = new_room(n_levels, width), np.empty((n_delays, n_levels, width))
    energy = np.full(1, p)
    _first_to_sense(tables, energy, first)
    for u in range(begin, end):
        _between(tables, energy, just_now, np.full(1, u), origin, room, first, asleep)
        for d in range(1, n_delays):
            for e in range(n_levels):
                for t in range(1, horizon + 1):
                    better[u, d - 1, e, t] = first[0, 0, e, t] > asleep[d - 1, e, t - d - origin]


def look_ahead(tables: Tables, states: IntArray) -> FloatArray:
    """(n, E) values of the next slot, by its level, after each state; see `_look_ahead`."""
    out = np.empty((len(states), tables.layout.n_levels))
    in_threads(partial(_look_ahead, tables, states, out), len(states), 256)
    return out
