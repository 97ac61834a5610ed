"""The one dynamics: the equations of `inference` as compiled loops over a batch of episodes.

Every view (single, sequential, joint, vector, PettingZoo, SB3) holds one `episodes.Episodes` batch, which calls them.

Errors are computed in units of the level e, which makes a fresh reading's weights constants of the problem: with
c = (δ²u² + dσ²)/e² and s = u/e - 1, device m says of location j a value that is off the level by e(s + a_mj) with
precision 1/(e²(c + b_mj)); a fresh one has c = δ², s = 0. With S0 = Σ 1/(c + b) and S1 = Σ (s + a)/(c + b) equations
(9), (19) and (20) read J = e sqrt(S0 + S1²)/S0. The sums are begun anew in every slot, so that updates cannot drift.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},  # without nnan and ninf, which silence the checks for NaN
    "error_model": "numpy",  # a division is not checked for zero, which would keep loops from being vectorised
}


def compiled(function: _Function) -> _Function:
    """`numba.njit`, cached on disk where a directory can be written; for what Python calls.

    All arrays belong to the caller, so references are not counted: counting them took most of the time.
    """
    return _jit(function, _nrt=False)


def allocating(function: _Function) -> _Function:
    """The same for an entry point that makes arrays of its own."""
    return _jit(function)


def inner(function: _Function) -> _Function:
    """The same as `compiled` for what only compiled code calls: without the wrappers for Python."""
    return _jit(function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def merged(function: _Function) -> _Function:
    """For a function that each entry point calls once: its code is compiled with the entry point's, not before it."""
    return cast(_Function, numba.njit(function, inline="always", **_OPTIONS))


def _jit(function: _Function, **options: Any) -> _Function:
    try:
        return cast(_Function, numba.njit(function, cache=True, **_OPTIONS, **options))
    except RuntimeError:
        return cast(_Function, numba.njit(function, **_OPTIONS, **options))


class Constants(NamedTuple):
    """What a problem's kernels read."""

    locations: NDArray[np.int64]  # (M,)
    relation: NDArray[np.float64]  # (4, M, P): a, b, 1/(δ² + b), a/(δ² + b); P = N padded
    numbers: NDArray[np.float64]  # (5,) see the indices below
    sizes: NDArray[np.int64]  # (7,) see the indices below


class State(NamedTuple):
    """The state of K episodes."""

    clock: NDArray[np.int64]  # (K, 3) slot (T + 1 = over), turn, device-slots in which the delay was capped
    battery: NDArray[np.int64]  # (K, 2, M) energy, delay
    record: NDArray[np.float64]  # (K, M) [µg/m³]
    path: NDArray[np.float64]  # (K, T + 1) levels [µg/m³]
    field: NDArray[np.float64]  # (K, 9, P) sums and errors, see the indices below
    score: NDArray[np.float64]  # (K, 4) average error now, if the device senses, of the last slot that ended; their sum


A, B, FRESH, FRESH_A = range(4)  # relation
DELTA2, SIGMA2, DELTA, ERROR_SCALE, TOP_LEVEL = range(5)  # numbers
M, N, T, BUDGET, SLEEP, FUSE, JOINT = range(7)  # sizes
SLOT, TURN, CAPPED = range(3)  # clock
ENERGY, DELAY = range(2)  # battery
S0, S1, J = 0, 1, 2  # field: now
S0_ON, S1_ON, J_ON = 3, 4, 5  # if the device senses
S0_REST, S1_REST, J_REST = 6, 7, 8  # if it sleeps and the later devices sense; in the joint view: if all sense
NOW, ON, LAST, TOTAL = range(4)  # score
BEGIN, WAIT, PLACE = 2, 3, 4  # beside 0 off and 1 on: what an episode may be told


@inner
def _source(p, s, k, m):
    """Device m's variance over e² without the spatial part, and its record's relative deviation from the level."""
    e = s.path[k, s.clock[k, SLOT]]
    u = s.record[k, m]
    variance = p.numbers[DELTA2] * u * u + p.numbers[SIGMA2] * s.battery[k, DELAY, m]
    return variance / (e * e), u / e - 1.0


@inner
def _errors(zeroth, first, out, e):
    for j in range(out.shape[0]):
        out[j] = e * np.sqrt(zeroth[j] + first[j] * first[j]) / zeroth[j]


@inner
def _average(errors, n):
    total = 0.0
    for j in range(n):
        total += errors[j]
    return total / n


@inner
def _open_slot(p, s, k):
    e = s.path[k, s.clock[k, SLOT]]
    field = s.field[k]
    for j in range(field.shape[1]):
        field[S0, j] = 0.0
        field[S1, j] = 0.0
        field[S0_REST, j] = 0.0
        field[S1_REST, j] = 0.0
    first_of_rest = 0 if p.sizes[JOINT] else max(1, s.clock[k, TURN])
    for m in range(p.sizes[M]):
        c, deviation = _source(p, s, k, m)
        a, b, fresh, fresh_a = p.relation[A, m], p.relation[B, m], p.relation[FRESH, m], p.relation[FRESH_A, m]
        if m >= first_of_rest and s.battery[k, ENERGY, m] > 0:
            for j in range(a.shape[0]):
                weight = 1.0 / (c + b[j])
                field[S0, j] += weight
                field[S1, j] += weight * (deviation + a[j])
                field[S0_REST, j] += fresh[j]
                field[S1_REST, j] += fresh_a[j]
        else:
            for j in range(a.shape[0]):
                weight = 1.0 / (c + b[j])
                weighted = weight * (deviation + a[j])
                field[S0, j] += weight
                field[S1, j] += weighted
                field[S0_REST, j] += weight
                field[S1_REST, j] += weighted
    _errors(field[S0], field[S1], field[J], e)


@inner
def _keep_measured(p, s, k, errors, e):
    """A location measured in this slot is not inferred: J = δe (III-B, rule of inference)."""
    if p.sizes[FUSE] == 0:
        for i in range(p.sizes[M]):
            if s.battery[k, DELAY, i] == 0:
                errors[p.locations[i]] = p.numbers[DELTA] * e


@inner
def _consider(p, s, k):
    """What the map becomes if the device whose turn it is senses."""
    m = s.clock[k, TURN]
    e = s.path[k, s.clock[k, SLOT]]
    field = s.field[k]
    c, deviation = _source(p, s, k, m)
    a, b, fresh, fresh_a = p.relation[A, m], p.relation[B, m], p.relation[FRESH, m], p.relation[FRESH_A, m]
    for j in range(a.shape[0]):
        weight = 1.0 / (c + b[j])
        zeroth = field[S0, j] + (fresh[j] - weight)
        first = field[S1, j] + (fresh_a[j] - weight * (deviation + a[j]))
        field[S0_ON, j] = zeroth
        field[S1_ON, j] = first
        field[J_ON, j] = e * np.sqrt(zeroth + first * first) / zeroth
    if m > 0 and s.battery[k, ENERGY, m] > 0:  # until now it was among the later devices
        for j in range(a.shape[0]):
            field[S0_REST, j] -= field[S0_ON, j] - field[S0, j]
            field[S1_REST, j] -= field[S1_ON, j] - field[S1, j]
    _keep_measured(p, s, k, field[J_ON], e)
    if p.sizes[FUSE] == 0:
        field[J_ON, p.locations[m]] = p.numbers[DELTA] * e
    s.score[k, ON] = _average(field[J_ON], p.sizes[N])


@inner
def _close_slot(p, s, k):
    """The slot's error counts (10), every delay grows by one up to D, and the next slot begins."""
    s.score[k, LAST] = s.score[k, NOW]
    s.score[k, TOTAL] += s.score[k, NOW]
    for i in range(p.sizes[M]):
        if s.battery[k, DELAY, i] < p.sizes[SLEEP]:
            s.battery[k, DELAY, i] += 1
        else:
            s.clock[k, CAPPED] += 1
    s.clock[k, TURN] = 0
    s.clock[k, SLOT] += 1


@inner
def _executed(p, s, k, m, action):
    if s.battery[k, ENERGY, m] == 0:
        return 0
    if s.battery[k, DELAY, m] == p.sizes[SLEEP]:
        return 1
    return action


@inner
def _sense(p, s, k, m):
    s.battery[k, ENERGY, m] -= 1
    s.battery[k, DELAY, m] = 0
    s.record[k, m] = s.path[k, s.clock[k, SLOT]]


@inner
def _decide(p, s, k, action):
    """The device whose turn it is decides (V-B); returns the reward and the executed action."""
    m = s.clock[k, TURN]
    field = s.field[k]
    on = _executed(p, s, k, m, action)
    before = s.score[k, NOW]
    if on:
        _sense(p, s, k, m)
        for j in range(field.shape[1]):
            field[S0_REST, j] += field[S0_ON, j] - field[S0, j]
            field[S1_REST, j] += field[S1_ON, j] - field[S1, j]
            field[S0, j] = field[S0_ON, j]
            field[S1, j] = field[S1_ON, j]
            field[J, j] = field[J_ON, j]
        s.score[k, NOW] = s.score[k, ON]
    after = s.score[k, NOW]
    if m + 1 < p.sizes[M]:
        s.clock[k, TURN] = m + 1
    else:
        _close_slot(p, s, k)
    return (-after if m == 0 else before - after), on


@merged
def _look_ahead(p, s, k, anew):
    """Prepare the next decision: the map's sums and errors, ``anew`` from the raw state, and what sensing would do."""
    if s.clock[k, SLOT] <= p.sizes[T]:
        if anew:
            _open_slot(p, s, k)
            _keep_measured(p, s, k, s.field[k, J], s.path[k, s.clock[k, SLOT]])
            s.score[k, NOW] = _average(s.field[k, J], p.sizes[N])
        if p.sizes[JOINT] == 0:
            _consider(p, s, k)


@inner
def _decide_together(p, s, k, actions, forced):
    """All devices decide at once: the simultaneous-action view of the same MDP. Returns the reward."""
    e = s.path[k, s.clock[k, SLOT]]
    field = s.field[k]
    for m in range(p.sizes[M]):
        on = _executed(p, s, k, m, actions[m])
        forced[m] = on != actions[m]
        if on:
            c, deviation = _source(p, s, k, m)
            a, b, fresh, fresh_a = p.relation[A, m], p.relation[B, m], p.relation[FRESH, m], p.relation[FRESH_A, m]
            for j in range(a.shape[0]):
                weight = 1.0 / (c + b[j])
                field[S0, j] += fresh[j] - weight
                field[S1, j] += fresh_a[j] - weight * (deviation + a[j])
            _sense(p, s, k, m)
    _errors(field[S0], field[S1], field[J], e)
    _keep_measured(p, s, k, field[J], e)
    s.score[k, NOW] = _average(field[J], p.sizes[N])
    reward = -s.score[k, NOW]
    _close_slot(p, s, k)
    return reward


@inner
def _suppose_rest(p, s, k):
    """Errors if the device sleeps and the later ones with energy sense; in the joint view, if all with energy do."""
    turn = s.clock[k, TURN]
    e = s.path[k, s.clock[k, SLOT]]
    field = s.field[k]
    if p.sizes[JOINT] == 0 and turn == p.sizes[M] - 1:
        for j in range(field.shape[1]):
            field[J_REST, j] = field[J, j]
        return
    _errors(field[S0_REST], field[S1_REST], field[J_REST], e)
    if p.sizes[FUSE] == 0:
        for i in range(p.sizes[M]):
            senses = s.battery[k, ENERGY, i] > 0 and (p.sizes[JOINT] == 1 or i > turn)
            if senses or s.battery[k, DELAY, i] == 0:
                field[J_REST, p.locations[i]] = p.numbers[DELTA] * e


@inner
def _power_deficiency(p, s, k, i):
    """PD (37): slots left per sensing left, over T/B; B when no energy is left."""
    energy = s.battery[k, ENERGY, i]
    if energy == 0:
        return float(p.sizes[BUDGET])
    return (p.sizes[T] - s.clock[k, SLOT] + 1) / energy * p.sizes[BUDGET] / p.sizes[T]


@inner
def _write_decreases(p, s, k, row, at, out):
    field = s.field[k]
    n, n_devices = p.sizes[N], p.sizes[M]
    scale = p.numbers[ERROR_SCALE]
    for j in range(n):
        out[at + j] = (field[J, j] - field[row, j]) * scale
    for i in range(n_devices):
        own = field[J, p.locations[i]] - field[row, p.locations[i]]
        out[at + n + i] = _power_deficiency(p, s, k, i) * own * scale / p.sizes[BUDGET]
    out[at + n + n_devices] = 1.0


@merged
def _observe_full(p, s, k, out):
    n, n_devices = p.sizes[N], p.sizes[M]
    slot, turn = s.clock[k, SLOT], s.clock[k, TURN]
    over = slot > p.sizes[T]
    level = s.path[k, min(slot, p.sizes[T])]
    on, off = 2 * n_devices, 3 * n_devices + n + 1
    tail = off + n + n_devices + 1
    for i in range(tail):
        out[i] = 0.0
    if not over:
        _suppose_rest(p, s, k)
        for row, at in ((J_ON, on), (J_REST, off)):
            if p.sizes[JOINT] == 0 or row == J_REST:
                _write_decreases(p, s, k, row, on if p.sizes[JOINT] else at, out)
    if p.sizes[JOINT] == 0:
        out[turn] = 1.0
    out[tail] = (p.sizes[T] - slot + 1) / p.sizes[T]
    for i in range(n_devices):
        out[n_devices + i] = s.battery[k, ENERGY, i] / p.sizes[BUDGET]
        out[tail + 1 + i] = s.battery[k, DELAY, i] / p.sizes[SLEEP]
        out[tail + 1 + n_devices + i] = s.record[k, i] / p.numbers[TOP_LEVEL]
    out[tail + 1 + 2 * n_devices] = level / p.numbers[TOP_LEVEL]


@inner
def _clip(x):
    return min(1.0, max(-1.0, x))


@inner
def _log(x):
    return _clip(log(max(x, 1e-12)) / 8.0)


@inner
def _signed_log(x):
    return _log(1.0 + x) if x >= 0.0 else -_log(1.0 - x)


@inner
def _observe_compact(p, s, k, out):
    """The numbers of `observation.COMPACT_FEATURES`, in that order."""
    n, n_devices = p.sizes[N], p.sizes[M]
    horizon, budget, sleep = p.sizes[T], p.sizes[BUDGET], p.sizes[SLEEP]
    slot, turn = s.clock[k, SLOT], s.clock[k, TURN]
    field = s.field[k]
    over = slot > horizon
    e = s.path[k, min(slot, horizon)]
    left = horizon - slot + 1

    energy_all, alive, alive_later, energy_later, sensed = 0, 0, 0, 0, 0
    freshest, ratios, delays, freshness = 0, 0.0, 0.0, 0.0
    for i in range(n_devices):
        energy, delay = s.battery[k, ENERGY, i], s.battery[k, DELAY, i]
        energy_all += energy
        if energy > 0:
            alive += 1
        if i > turn:
            energy_later += energy
            if energy > 0:
                alive_later += 1
        if delay == 0:
            sensed += 1
        if delay < s.battery[k, DELAY, freshest]:
            freshest = i
        delays += delay
        freshness += 1.0 / (1.0 + delay)
        ratios += log(s.record[k, i] / e)

    energy, delay, u = s.battery[k, ENERGY, turn], s.battery[k, DELAY, turn], s.record[k, turn]
    error, gain, gain_own, gain_rest = s.score[k, NOW], 0.0, 0.0, 0.0
    if not over:
        gain = error - s.score[k, ON]
        gain_own = field[J, p.locations[turn]] - field[J_ON, p.locations[turn]]
        _suppose_rest(p, s, k)
        gain_rest = error - _average(field[J_REST], n)
    share = budget / horizon
    forced = max(0, (left - 1 + delay) // sleep)
    out[0] = left / horizon
    out[1] = turn / n_devices
    out[2] = energy / budget
    out[3] = 1.0 / (1.0 + energy)
    out[4] = _log(left * share / max(energy, 0.5))
    out[5] = _log(left * share * n_devices / max(energy_all, 0.5))
    out[6] = _log(left * share * (n_devices - 1 - turn) / max(energy_later, 0.5)) if turn < n_devices - 1 else 0.0
    out[7] = delay / sleep
    out[8] = _log(1.0 + delay)
    out[9] = _log(1.0 + sleep - delay)
    out[10] = _clip((energy - forced) / budget)
    out[11] = _clip(gain / error)
    out[12] = _clip(1.0 + log(max(gain / e, 1e-4)) / 8.0)
    out[13] = _signed_log(gain)
    out[14] = _clip(gain_own / error)
    out[15] = _clip(gain_rest / error)
    out[16] = _signed_log(gain_rest)
    out[17] = min(1.0, error / e)
    out[18] = _log(error)
    out[19] = e / p.numbers[TOP_LEVEL]
    out[20] = _log(e)
    out[21] = _clip(4.0 * _log(u / e))
    out[22] = _log(1.0 + abs(u - e))
    out[23] = _log(1.0 + s.battery[k, DELAY, freshest])
    out[24] = _log(1.0 + abs(s.record[k, freshest] - e))
    out[25] = freshness / n_devices
    out[26] = delays / n_devices / sleep
    out[27] = _clip(ratios / n_devices / 2.0)
    out[28] = alive / n_devices
    out[29] = alive_later / n_devices
    out[30] = sensed / n_devices
    out[31] = _log(1.0 + sensed)


@inner
def _begin(p, s, k):
    """Start an episode: every device has sensed in slot 0."""
    s.clock[k, SLOT] = 1
    s.clock[k, TURN] = 0
    s.clock[k, CAPPED] = 0
    s.score[k, TOTAL] = 0.0
    for m in range(p.sizes[M]):
        s.battery[k, ENERGY, m] = p.sizes[BUDGET]
        s.battery[k, DELAY, m] = 1
        s.record[k, m] = s.path[k, 0]


@merged
def _obey(p, s, k, action, rewards, forced):
    """Do what an episode is told: decide, BEGIN, or PLACE (go on from a state that was written from outside)."""
    if action == BEGIN:
        _begin(p, s, k)
    elif action != PLACE:
        rewards[k], on = _decide(p, s, k, action)
        forced[k] = on != action
    _look_ahead(p, s, k, s.clock[k, TURN] == 0 or action == PLACE)


# The entry points take the arrays of Constants and State one by one, since passing a tuple of arrays into compiled code
# costs 2 µs more a call. There is one a kind of observation, so that only what is used is compiled.


@compiled
def observe_full(observation, *arrays):
    """Write the observation of every episode."""
    p, s = Constants(*arrays[:4]), State(*arrays[4:])
    for k in range(s.clock.shape[0]):
        _observe_full(p, s, k, observation[k])


@compiled
def observe_compact(observation, *arrays):
    """Write the observation of every episode."""
    p, s = Constants(*arrays[:4]), State(*arrays[4:])
    for k in range(s.clock.shape[0]):
        _observe_compact(p, s, k, observation[k])


@compiled
def advance_full(actions, rewards, forced, observation, *arrays):
    """One decision, or what else it is told, in every episode that is not over; then its observation."""
    p, s = Constants(*arrays[:4]), State(*arrays[4:])
    for k in range(s.clock.shape[0]):
        if (actions[k] >= BEGIN or s.clock[k, SLOT] <= p.sizes[T]) and actions[k] != WAIT:
            _obey(p, s, k, actions[k], rewards, forced)
            _observe_full(p, s, k, observation[k])


@compiled
def advance_compact(actions, rewards, forced, observation, *arrays):
    """One decision, or what else it is told, in every episode that is not over; then its observation."""
    p, s = Constants(*arrays[:4]), State(*arrays[4:])
    for k in range(s.clock.shape[0]):
        if (actions[k] >= BEGIN or s.clock[k, SLOT] <= p.sizes[T]) and actions[k] != WAIT:
            _obey(p, s, k, actions[k], rewards, forced)
            _observe_compact(p, s, k, observation[k])


@compiled
def advance_together(actions, rewards, forced, observation, *arrays):
    """The joint view's: actions and forced are (K, M); BEGIN, WAIT and PLACE stand in the first place."""
    p, s = Constants(*arrays[:4]), State(*arrays[4:])
    for k in range(s.clock.shape[0]):
        told = actions[k, 0]
        if (told >= BEGIN or s.clock[k, SLOT] <= p.sizes[T]) and told != WAIT:
            if told == BEGIN:
                _begin(p, s, k)
            elif told != PLACE:
                rewards[k] = _decide_together(p, s, k, actions[k], forced[k])
            _look_ahead(p, s, k, True)
            _observe_full(p, s, k, observation[k])


@inner
def _advantage(x, widths, weights, layers):
    """The output of a small ReLU network on features x; positive means on. ``layers`` (2, widest) is scratch."""
    at = 0
    for i in range(widths[0]):
        layers[0, i] = x[i]
    for n in range(widths.shape[0] - 1):
        source, target = layers[n % 2], layers[(n + 1) % 2]
        n_in, n_out = widths[n], widths[n + 1]
        bias = weights[at + n_in * n_out : at + (n_in + 1) * n_out]
        for o in range(n_out):
            target[o] = bias[o]
        for i in range(n_in):
            value = source[i]
            if value != 0.0:
                row = weights[at + i * n_out : at + (i + 1) * n_out]
                for o in range(n_out):
                    target[o] += value * row[o]
        if n + 2 < widths.shape[0]:
            for o in range(n_out):
                target[o] = max(target[o], np.float32(0.0))
        at += (n_in + 1) * n_out
    return layers[(widths.shape[0] - 1) % 2, 0]


@inner
def _copy_episode(source, i, target, k):
    for n in range(source.clock.shape[1]):
        target.clock[k, n] = source.clock[i, n]
    for m in range(source.record.shape[1]):
        target.battery[k, 0, m] = source.battery[i, 0, m]
        target.battery[k, 1, m] = source.battery[i, 1, m]
        target.record[k, m] = source.record[i, m]
    for t in range(source.path.shape[1]):
        target.path[k, t] = source.path[i, t]
    for r in range(source.field.shape[1]):
        for j in range(source.field.shape[2]):
            target.field[k, r, j] = source.field[i, r, j]
    for n in range(source.score.shape[1]):
        target.score[k, n] = source.score[i, n]


@inner
def _step(p, s, k, action):
    _decide(p, s, k, action)
    _look_ahead(p, s, k, s.clock[k, TURN] == 0)


@inner
def _play_on(p, s, k, widths, weights, layers, x):
    """Play episode k to its end with the network's policy."""
    while s.clock[k, SLOT] <= p.sizes[T]:
        _observe_compact(p, s, k, x)
        _step(p, s, k, 1 if _advantage(x, widths, weights, layers) > 0.0 else 0)


@allocating
def play(widths, weights, *arrays):
    """Play every episode from where it stands to its end with a network's policy."""
    p, s = Constants(*arrays[:4]), State(*arrays[4:])
    layers = np.empty((2, widths.max()), np.float32)
    x = np.empty(widths[0], np.float32)
    for k in range(s.clock.shape[0]):
        _play_on(p, s, k, widths, weights, layers, x)


@inner
def _rejoins(p, s, k, batteries, records):
    """Whether episode k stands, at the opening of a slot, where the recorded play of the same levels stood."""
    slot = s.clock[k, SLOT]
    for m in range(p.sizes[M]):
        if (
            s.battery[k, ENERGY, m] != batteries[slot, ENERGY, m]
            or s.battery[k, DELAY, m] != batteries[slot, DELAY, m]
            or s.record[k, m] != records[slot, m]
        ):
            return False
    return True


@allocating
def branch(widths, weights, points, features, gains, *arrays):
    """Counterfactual pairs: at chosen decisions play on with either action, under the same levels.

    points (K, n) are the numbers of the chosen decisions, increasing; features (K, n, 32) receives what was seen there
    and gains (K, n) the total error with off minus the total error with on, or NaN where the action was forced. A
    branch that rejoins the play that it left is not played further: the rest is the same.
    """
    p, s = Constants(*arrays[:4]), State(*arrays[4:])
    n_points, n_devices, horizon = points.shape[1], p.sizes[M], p.sizes[T]
    aside = State(
        np.empty((n_points, s.clock.shape[1]), np.int64),
        np.empty((n_points, 2, n_devices), np.int64),
        np.empty((n_points, n_devices)),
        np.empty((n_points, s.path.shape[1])),
        np.empty((n_points, s.field.shape[1], s.field.shape[2])),
        np.empty((n_points, s.score.shape[1])),
    )
    batteries = np.empty((horizon + 2, 2, n_devices), np.int64)
    records = np.empty((horizon + 2, n_devices))
    totals = np.empty(horizon + 2)
    layers = np.empty((2, widths.max()), np.float32)
    x = np.empty(widths[0], np.float32)
    chosen = np.empty(n_points, np.int64)
    for k in range(s.clock.shape[0]):
        at, decision = 0, 0
        while s.clock[k, SLOT] <= horizon:
            slot = s.clock[k, SLOT]
            if s.clock[k, TURN] == 0:
                totals[slot] = s.score[k, TOTAL]
                for m in range(n_devices):
                    batteries[slot, ENERGY, m] = s.battery[k, ENERGY, m]
                    batteries[slot, DELAY, m] = s.battery[k, DELAY, m]
                    records[slot, m] = s.record[k, m]
            _observe_compact(p, s, k, x)
            action = 1 if _advantage(x, widths, weights, layers) > 0.0 else 0
            while at < n_points and points[k, at] == decision:
                m = s.clock[k, TURN]
                for i in range(x.shape[0]):
                    features[k, at, i] = x[i]
                free = _executed(p, s, k, m, 0) != _executed(p, s, k, m, 1)
                chosen[at] = action if free else -1
                if free:
                    _copy_episode(s, k, aside, at)
                at += 1
            _step(p, s, k, action)
            decision += 1
        for i in range(n_points):
            if i >= at or chosen[i] < 0:
                gains[k, i] = np.nan
                continue
            _step(p, aside, i, 1 - chosen[i])
            other = np.nan
            while aside.clock[i, SLOT] <= horizon:
                if aside.clock[i, TURN] == 0 and _rejoins(p, aside, i, batteries, records):
                    other = aside.score[i, TOTAL] - totals[aside.clock[i, SLOT]]
                    break
                _observe_compact(p, aside, i, x)
                _step(p, aside, i, 1 if _advantage(x, widths, weights, layers) > 0.0 else 0)
            if aside.clock[i, SLOT] > horizon:
                other = aside.score[i, TOTAL] - s.score[k, TOTAL]
            gains[k, i] = other if chosen[i] == 1 else -other


@inner
def _draw(cumulative, uniform):
    """The first index whose cumulative probability exceeds the uniform number."""
    i = 0
    while cumulative[i] <= uniform:
        i += 1
    return i


@compiled
def walk(uniforms, start, transition, path):
    """Level paths (7)(8) from uniforms (R, T + 1) and cumulative probabilities; ``path`` receives level indices."""
    for r in range(uniforms.shape[0]):
        i = _draw(start, uniforms[r, 0])
        path[r, 0] = i
        for t in range(1, uniforms.shape[1]):
            i = _draw(transition[i], uniforms[r, t])
            path[r, t] = i
