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
    "nogil": True,  # so that Python threads play side by side
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},  # without nnan and ninf, which silence the checks for NaN
    "error_model": "numpy",  # a division is not checked for zero, which would keep loops from being vectorised
}


def compiled(function: _Function) -> _Function:
    """`numba.njit`, cached on disk where a directory can be written; for what Python calls.

    All arrays belong to the caller and none is made here, so references are not counted, which took most of the time.
    """
    return _jit(function, _nrt=False)


def inner(function: _Function) -> _Function:
    """The same for what only compiled code calls: without the wrappers for Python."""
    return _jit(function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def merged(function: _Function) -> _Function:
    """For what few functions call, once each: its code is compiled with theirs, not before them."""
    return cast(_Function, numba.njit(function, inline="always", **_OPTIONS))


def _jit(function: _Function, **options: Any) -> _Function:
    try:
        return cast(_Function, numba.njit(function, cache=True, **_OPTIONS, **options))
    except RuntimeError:
        return cast(_Function, numba.njit(function, **_OPTIONS, **options))


class Constants(NamedTuple):
    """What a problem's kernels are given."""

    locations: NDArray[np.int64]  # (M,)
    relation: NDArray[np.float64]  # (4, M, P): a, b, 1/(δ² + b), a/(δ² + b); P = N padded
    numbers: NDArray[np.float64]  # (5 + 5 + M,) delta2 ... top_level, traits and quality of Setting
    sizes: NDArray[np.int64]  # (7,) n_devices ... joint of Setting


class State(NamedTuple):
    """The state of K episodes."""

    clock: NDArray[np.int64]  # (K, 3) slot (T + 1 = over), turn, device-slots in which the delay was capped
    battery: NDArray[np.int64]  # (K, 2, M) energy, delay
    record: NDArray[np.float64]  # (K, M) [µg/m³]
    path: NDArray[np.float64]  # (K, T + 1) levels [µg/m³]
    field: NDArray[np.float64]  # (K, 9, P) sums and errors, see the indices below
    score: NDArray[np.float64]  # (K, 4) average error now, if the device senses, of the last slot that ended; their sum


class SmallNetwork(NamedTuple):
    """A ReLU network on the compact observation, and room for its layers.

    With an encoder it reads the ``per_device`` observation: every device's row is encoded by the same layers, and the
    mean of the codes joins the compact numbers at the entrance of the network.
    """

    widths: NDArray[np.int64]  # of the layers, inputs first, 1 last
    weights: NDArray[np.float32]  # layer after layer, (inputs, outputs) row by row and then the biases
    encoder_widths: NDArray[np.int64]  # the same of the encoder; empty without one
    encoder_weights: NDArray[np.float32]
    inputs: NDArray[np.float32]  # (observation,) scratch
    mixed: NDArray[np.float32]  # (widths[0],) scratch
    layers: NDArray[np.float32]  # (2, widest) scratch


class Branches(NamedTuple):
    """Room for what `branch` remembers of one episode and its n branches."""

    states: tuple[NDArray[Any], ...]  # a State of n episodes
    batteries: NDArray[np.int64]  # (T + 2, 2, M) at the opening of each slot
    records: NDArray[np.float64]  # (T + 2, M)
    totals: NDArray[np.float64]  # (T + 2,)
    chosen: NDArray[np.int64]  # (n,)
    watched: NDArray[np.bool_]  # (decisions left,) at which a cut falls
    seen: NDArray[np.float32]  # (decisions left, size) what the play observed there


class Setting(NamedTuple):
    """The constants as the equations read them."""

    locations: NDArray[np.int64]
    relation: NDArray[np.float64]
    delta2: float
    sigma2: float
    delta: float
    error_scale: float
    top_level: float
    traits: NDArray[np.float64]  # (5,) what tells this problem from others, see `observation.traits`
    quality: NDArray[np.float64]  # (M,) the same of each device
    n_devices: int
    n_locations: int
    horizon: int
    budget: int
    max_sleep: int
    fuse: int
    joint: int


class Episode(NamedTuple):
    """Views of one episode of a State."""

    clock: NDArray[np.int64]
    energy: NDArray[np.int64]
    delay: NDArray[np.int64]
    record: NDArray[np.float64]
    path: NDArray[np.float64]
    field: NDArray[np.float64]
    score: NDArray[np.float64]


A, B, FRESH, FRESH_A = range(4)  # relation
SLOT, TURN, CAPPED = range(3)  # clock
ENERGY, DELAY = range(2)  # battery
S0, S1, J = 0, 1, 2  # field: now
S0_ON, S1_ON, J_ON = 3, 4, 5  # if the device senses
S0_REST, S1_REST, J_REST = 6, 7, 8  # if it sleeps and the later devices sense; in the joint view: if all sense
NOW, ON, LAST, TOTAL = range(4)  # score
N_COMPACT, N_DEVICE, N_TRAITS = 32, 18, 5  # numbers of the compact observation, of each device's row, of the problem
BEGIN, WAIT, PLACE = 2, 3, 4  # beside 0 off and 1 on: what an episode may be told


@inner
def _setting(locations, relation, x, n):
    traits, quality = x[5 : 5 + N_TRAITS], x[5 + N_TRAITS :]
    return Setting(
        locations, relation, x[0], x[1], x[2], x[3], x[4], traits, quality, n[0], n[1], n[2], n[3], n[4], n[5], n[6]
    )


@inner
def _episode(k, clock, battery, record, path, field, score):
    return Episode(clock[k], battery[k, ENERGY], battery[k, DELAY], record[k], path[k], field[k], score[k])


@inner
def _source(p, s, m):
    """Device m's variance over e² without the spatial part, and its record's relative deviation from the level."""
    e = s.path[s.clock[SLOT]]
    u = s.record[m]
    variance = p.delta2 * u * u + p.sigma2 * s.delay[m]
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
def _open_slot(p, s):
    e = s.path[s.clock[SLOT]]
    field = s.field
    for j in range(field.shape[1]):
        field[S0, j] = 0.0
        field[S1, j] = 0.0
        field[S0_REST, j] = 0.0
        field[S1_REST, j] = 0.0
    first_of_rest = 0 if p.joint else max(1, s.clock[TURN])
    for m in range(p.n_devices):
        c, deviation = _source(p, s, m)
        a, b, fresh, fresh_a = p.relation[A, m], p.relation[B, m], p.relation[FRESH, m], p.relation[FRESH_A, m]
        rest = 1.0 if m >= first_of_rest and s.energy[m] > 0 else 0.0
        for j in range(a.shape[0]):
            weight = 1.0 / (c + b[j])
            weighted = weight * (deviation + a[j])
            field[S0, j] += weight
            field[S1, j] += weighted
            field[S0_REST, j] += weight + rest * (fresh[j] - weight)
            field[S1_REST, j] += weighted + rest * (fresh_a[j] - weighted)
    _errors(field[S0], field[S1], field[J], e)


@inner
def _keep_measured(p, s, errors, e):
    """A location measured in this slot is not inferred: J = δe (III-B, rule of inference)."""
    if p.fuse == 0:
        for i in range(p.n_devices):
            if s.delay[i] == 0:
                errors[p.locations[i]] = p.delta * e


@inner
def _consider(p, s):
    """What the map becomes if the device whose turn it is senses."""
    m = s.clock[TURN]
    e = s.path[s.clock[SLOT]]
    field = s.field
    c, deviation = _source(p, s, m)
    a, b, fresh, fresh_a = p.relation[A, m], p.relation[B, m], p.relation[FRESH, m], p.relation[FRESH_A, m]
    rest = 1.0 if m > 0 and s.energy[m] > 0 else 0.0  # until now it was among the later devices
    for j in range(a.shape[0]):
        weight = 1.0 / (c + b[j])
        more = fresh[j] - weight
        more_a = fresh_a[j] - weight * (deviation + a[j])
        zeroth = field[S0, j] + more
        first = field[S1, j] + more_a
        field[S0_ON, j] = zeroth
        field[S1_ON, j] = first
        field[J_ON, j] = e * np.sqrt(zeroth + first * first) / zeroth
        field[S0_REST, j] -= rest * more
        field[S1_REST, j] -= rest * more_a
    _keep_measured(p, s, field[J_ON], e)
    if p.fuse == 0:
        field[J_ON, p.locations[m]] = p.delta * e
    s.score[ON] = _average(field[J_ON], p.n_locations)


@inner
def _close_slot(p, s):
    """The slot's error counts (10), every delay grows by one up to D, and the next slot begins."""
    s.score[LAST] = s.score[NOW]
    s.score[TOTAL] += s.score[NOW]
    for i in range(p.n_devices):
        if s.delay[i] < p.max_sleep:
            s.delay[i] += 1
        else:
            s.clock[CAPPED] += 1
    s.clock[TURN] = 0
    s.clock[SLOT] += 1


@inner
def _executed(energy, delay, max_sleep, action):
    if energy == 0:
        return 0
    if delay == max_sleep:
        return 1
    return action


@inner
def _sense(p, s, m):
    s.energy[m] -= 1
    s.delay[m] = 0
    s.record[m] = s.path[s.clock[SLOT]]


@inner
def _decide(p, s, action):
    """The device whose turn it is decides (V-B); returns the reward and the executed action."""
    m = s.clock[TURN]
    field = s.field
    on = _executed(s.energy[m], s.delay[m], p.max_sleep, action)
    before = s.score[NOW]
    if on:
        _sense(p, s, m)
        for j in range(field.shape[1]):
            field[S0_REST, j] += field[S0_ON, j] - field[S0, j]
            field[S1_REST, j] += field[S1_ON, j] - field[S1, j]
            field[S0, j] = field[S0_ON, j]
            field[S1, j] = field[S1_ON, j]
            field[J, j] = field[J_ON, j]
        s.score[NOW] = s.score[ON]
    after = s.score[NOW]
    if m + 1 < p.n_devices:
        s.clock[TURN] = m + 1
    else:
        _close_slot(p, s)
    return (-after if m == 0 else before - after), on


@merged
def _look_ahead(p, s, anew, unseen):
    """Prepare the next decision: the map's sums and errors, ``anew`` from the raw state, and what sensing would do.

    An ``unseen`` state is not observed where the battery is empty, so nobody asks what sensing would do there.
    """
    if s.clock[SLOT] <= p.horizon:
        if anew:
            _open_slot(p, s)
            _keep_measured(p, s, s.field[J], s.path[s.clock[SLOT]])
            s.score[NOW] = _average(s.field[J], p.n_locations)
        if p.joint == 0 and not (unseen and s.energy[s.clock[TURN]] == 0):
            _consider(p, s)


@inner
def _decide_together(p, s, actions, forced):
    """All devices decide at once: the simultaneous-action view of the same MDP. Returns the reward."""
    e = s.path[s.clock[SLOT]]
    field = s.field
    for m in range(p.n_devices):
        on = _executed(s.energy[m], s.delay[m], p.max_sleep, actions[m])
        forced[m] = on != actions[m]
        if on:
            c, deviation = _source(p, s, m)
            a, b, fresh, fresh_a = p.relation[A, m], p.relation[B, m], p.relation[FRESH, m], p.relation[FRESH_A, m]
            for j in range(a.shape[0]):
                weight = 1.0 / (c + b[j])
                field[S0, j] += fresh[j] - weight
                field[S1, j] += fresh_a[j] - weight * (deviation + a[j])
            _sense(p, s, m)
    _errors(field[S0], field[S1], field[J], e)
    _keep_measured(p, s, field[J], e)
    s.score[NOW] = _average(field[J], p.n_locations)
    reward = -s.score[NOW]
    _close_slot(p, s)
    return reward


@inner
def _suppose_rest(p, s):
    """Errors if the device sleeps and the later ones with energy sense; in the joint view, if all with energy do."""
    turn = s.clock[TURN]
    e = s.path[s.clock[SLOT]]
    field = s.field
    if p.joint == 0 and turn == p.n_devices - 1:
        for j in range(field.shape[1]):
            field[J_REST, j] = field[J, j]
        return
    _errors(field[S0_REST], field[S1_REST], field[J_REST], e)
    if p.fuse == 0:
        for i in range(p.n_devices):
            senses = s.energy[i] > 0 and (p.joint == 1 or i > turn)
            if senses or s.delay[i] == 0:
                field[J_REST, p.locations[i]] = p.delta * e


@inner
def _write_decreases(p, s, errors, out):
    """Segments 3 and 4: what each location's error falls by, and each device's, weighed by its PD (37) over B."""
    now = s.field[J]
    n, left = p.n_locations, p.horizon - s.clock[SLOT] + 1
    for j in range(n):
        out[j] = (now[j] - errors[j]) * p.error_scale
    for i in range(p.n_devices):
        location = p.locations[i]
        deficiency = left / (s.energy[i] * p.horizon) if s.energy[i] > 0 else 1.0
        out[n + i] = deficiency * (now[location] - errors[location]) * p.error_scale
    out[n + p.n_devices] = 1.0


@merged
def _observe_full(p, s, out):
    """The 2N + 6M + 4 numbers of `observation`, in that order."""
    n, n_devices = p.n_locations, p.n_devices
    slot, turn = s.clock[SLOT], s.clock[TURN]
    on, off = 2 * n_devices, 3 * n_devices + n + 1
    tail = off + n + n_devices + 1
    for i in range(tail):
        out[i] = 0.0
    if slot <= p.horizon:
        _suppose_rest(p, s)
        if p.joint == 0:
            _write_decreases(p, s, s.field[J_ON], out[on:])
        _write_decreases(p, s, s.field[J_REST], out[on if p.joint else off :])
    if p.joint == 0:
        out[turn] = 1.0
    out[tail] = (p.horizon - slot + 1) / p.horizon
    for i in range(n_devices):
        out[n_devices + i] = s.energy[i] / p.budget
        out[tail + 1 + i] = s.delay[i] / p.max_sleep
        out[tail + 1 + n_devices + i] = s.record[i] / p.top_level
    out[tail + 1 + 2 * n_devices] = s.path[min(slot, p.horizon)] / p.top_level


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
def _observe_compact(p, s, out):
    """The numbers of `observation.COMPACT_FEATURES`, in that order."""
    n, n_devices = p.n_locations, p.n_devices
    horizon, budget, sleep = p.horizon, p.budget, p.max_sleep
    slot, turn = s.clock[SLOT], s.clock[TURN]
    field = s.field
    over = slot > horizon
    e = s.path[min(slot, horizon)]
    left = horizon - slot + 1

    energy_all, alive, alive_later, energy_later, sensed = 0, 0, 0, 0, 0
    freshest, ratios, delays, freshness = 0, 0.0, 0.0, 0.0
    for i in range(n_devices):
        energy, delay = s.energy[i], s.delay[i]
        energy_all += energy
        if energy > 0:
            alive += 1
        if i > turn:
            energy_later += energy
            if energy > 0:
                alive_later += 1
        if delay == 0:
            sensed += 1
        if delay < s.delay[freshest]:
            freshest = i
        delays += delay
        freshness += 1.0 / (1.0 + delay)
        ratios += log(s.record[i] / e)

    energy, delay, u = s.energy[turn], s.delay[turn], s.record[turn]
    error, gain, gain_own, gain_rest = s.score[NOW], 0.0, 0.0, 0.0
    if not over:
        gain = error - s.score[ON]
        gain_own = field[J, p.locations[turn]] - field[J_ON, p.locations[turn]]
        _suppose_rest(p, s)
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
    out[19] = e / p.top_level
    out[20] = _log(e)
    out[21] = _clip(4.0 * _log(u / e))
    out[22] = _log(1.0 + abs(u - e))
    out[23] = _log(1.0 + s.delay[freshest])
    out[24] = _log(1.0 + abs(s.record[freshest] - e))
    out[25] = freshness / n_devices
    out[26] = delays / n_devices / sleep
    out[27] = _clip(ratios / n_devices / 2.0)
    out[28] = alive / n_devices
    out[29] = alive_later / n_devices
    out[30] = sensed / n_devices
    out[31] = _log(1.0 + sensed)


@inner
def _observe_per_device(p, s, out):
    """The compact numbers, then those of `observation.DEVICE_FEATURES` of one device after another."""
    _observe_compact(p, s, out)
    slot, turn = s.clock[SLOT], s.clock[TURN]
    over = slot > p.horizon
    field, e, at = s.field, s.path[min(slot, p.horizon)], N_COMPACT
    need, error = (p.horizon - slot + 1) * p.budget / p.horizon, s.score[NOW]
    for i in range(p.n_devices):
        energy, delay, u, location = s.energy[i], s.delay[i], s.record[i], p.locations[i]
        now = field[J, location]
        gain = 0.0 if over else now - field[J_ON, location]
        out[at] = 1.0
        out[at + 1] = 1.0 if i == turn and not over else 0.0
        out[at + 2] = 1.0 if i > turn and not over else 0.0
        out[at + 3] = energy / p.budget
        out[at + 4] = 1.0 / (1.0 + energy)
        out[at + 5] = _log(need / max(energy, 0.5))
        out[at + 6] = delay / p.max_sleep
        out[at + 7] = _log(1.0 + delay)
        out[at + 8] = _clip(4.0 * _log(u / e))
        out[at + 9] = _log(1.0 + abs(u - e))
        out[at + 10] = min(1.0, now / e)
        out[at + 11] = _clip(gain / error)
        out[at + 12] = p.quality[i]
        for n in range(N_TRAITS):
            out[at + 13 + n] = p.traits[n]
        at += N_DEVICE


@inner
def _begin(p, s):
    """Start an episode: every device has sensed in slot 0."""
    s.clock[SLOT] = 1
    s.clock[TURN] = 0
    s.clock[CAPPED] = 0
    s.score[TOTAL] = 0.0
    for m in range(p.n_devices):
        s.energy[m] = p.budget
        s.delay[m] = 1
        s.record[m] = s.path[0]


@merged
def _obey(p, s, action, rewards, forced, k):
    """Do what an episode is told: decide, BEGIN, or PLACE (go on from a state that was written from outside)."""
    if action == BEGIN:
        _begin(p, s)
    elif action != PLACE:
        rewards[k], on = _decide(p, s, action)
        forced[k] = on != action
    _look_ahead(p, s, s.clock[TURN] == 0 or action == PLACE, False)


# The entry points take the arrays of Constants and State one by one, since passing a tuple of arrays into compiled code
# costs 2 µs more a call. There is one a kind of observation, so that only what is used is compiled.


@compiled
def observe_full(observation, locations, relation, numbers, sizes, *state):
    """Write the observation of every episode."""
    p = _setting(locations, relation, numbers, sizes)
    for k in range(observation.shape[0]):
        _observe_full(p, _episode(k, *state), observation[k])


@compiled
def observe_compact(observation, locations, relation, numbers, sizes, *state):
    """Write the observation of every episode."""
    p = _setting(locations, relation, numbers, sizes)
    for k in range(observation.shape[0]):
        _observe_compact(p, _episode(k, *state), observation[k])


@compiled
def observe_per_device(observation, locations, relation, numbers, sizes, *state):
    """Write the observation of every episode."""
    p = _setting(locations, relation, numbers, sizes)
    for k in range(observation.shape[0]):
        _observe_per_device(p, _episode(k, *state), observation[k])


@compiled
def advance_full(actions, rewards, forced, observation, locations, relation, numbers, sizes, *state):
    """One decision, or what else it is told, in every episode that is not over; then its observation."""
    p = _setting(locations, relation, numbers, sizes)
    for k in range(actions.shape[0]):
        s = _episode(k, *state)
        if (actions[k] >= BEGIN or s.clock[SLOT] <= p.horizon) and actions[k] != WAIT:
            _obey(p, s, actions[k], rewards, forced, k)
            _observe_full(p, s, observation[k])


@compiled
def advance_compact(actions, rewards, forced, observation, locations, relation, numbers, sizes, *state):
    """One decision, or what else it is told, in every episode that is not over; then its observation."""
    p = _setting(locations, relation, numbers, sizes)
    for k in range(actions.shape[0]):
        s = _episode(k, *state)
        if (actions[k] >= BEGIN or s.clock[SLOT] <= p.horizon) and actions[k] != WAIT:
            _obey(p, s, actions[k], rewards, forced, k)
            _observe_compact(p, s, observation[k])


@compiled
def advance_per_device(actions, rewards, forced, observation, locations, relation, numbers, sizes, *state):
    """One decision, or what else it is told, in every episode that is not over; then its observation."""
    p = _setting(locations, relation, numbers, sizes)
    for k in range(actions.shape[0]):
        s = _episode(k, *state)
        if (actions[k] >= BEGIN or s.clock[SLOT] <= p.horizon) and actions[k] != WAIT:
            _obey(p, s, actions[k], rewards, forced, k)
            _observe_per_device(p, s, observation[k])


@compiled
def advance_together(actions, rewards, forced, observation, locations, relation, numbers, sizes, *state):
    """The joint view's: actions and forced are (K, M); BEGIN, WAIT and PLACE stand in the first place."""
    p = _setting(locations, relation, numbers, sizes)
    for k in range(actions.shape[0]):
        s = _episode(k, *state)
        told = actions[k, 0]
        if (told >= BEGIN or s.clock[SLOT] <= p.horizon) and told != WAIT:
            if told == BEGIN:
                _begin(p, s)
            elif told != PLACE:
                rewards[k] = _decide_together(p, s, actions[k], forced[k])
            _look_ahead(p, s, True, False)
            _observe_full(p, s, observation[k])


@inner
def _forward(widths, weights, x, layers):
    """Play features x through the layers; which of the two rows of ``layers`` holds the outcome."""
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
    return (widths.shape[0] - 1) % 2


@inner
def _encode(network, n_devices):
    """Prepare the entrance of the network: the compact numbers, and the mean of the devices' codes."""
    inputs, mixed, layers, widths = network.inputs, network.mixed, network.layers, network.encoder_widths
    for i in range(mixed.shape[0]):
        mixed[i] = inputs[i] if i < N_COMPACT else np.float32(0.0)
    share = np.float32(1.0 / n_devices)
    for m in range(n_devices):
        row = _forward(widths, network.encoder_weights, inputs[N_COMPACT + m * N_DEVICE :], layers)
        for i in range(widths[-1]):
            mixed[N_COMPACT + i] += share * max(layers[row, i], np.float32(0.0))


@inner
def _copy_episode(source, target):
    for n in range(source.clock.shape[0]):
        target.clock[n] = source.clock[n]
    for m in range(source.record.shape[0]):
        target.energy[m] = source.energy[m]
        target.delay[m] = source.delay[m]
        target.record[m] = source.record[m]
    for t in range(source.path.shape[0]):
        target.path[t] = source.path[t]
    for r in range(source.field.shape[0]):
        for j in range(source.field.shape[1]):
            target.field[r, j] = source.field[r, j]
    for n in range(source.score.shape[0]):
        target.score[n] = source.score[n]


@inner
def _step(p, s, action):
    _decide(p, s, action)
    _look_ahead(p, s, s.clock[TURN] == 0, True)


@inner
def _score(p, s, network):
    """Observe, and return the network's advantage of sensing."""
    if network.encoder_widths.shape[0] == 0:
        _observe_compact(p, s, network.inputs)
        return network.layers[_forward(network.widths, network.weights, network.inputs, network.layers), 0]
    _observe_per_device(p, s, network.inputs)
    _encode(network, p.n_devices)
    return network.layers[_forward(network.widths, network.weights, network.mixed, network.layers), 0]


@inner
def _free(p, s):
    """Whether the device whose turn it is may choose."""
    return s.energy[s.clock[TURN]] > 0 and s.delay[s.clock[TURN]] < p.max_sleep


@compiled
def play(network, scores, locations, relation, numbers, sizes, *state):
    """Play every episode from where it stands to its end with a network's policy.

    scores (K, n) receives the advantage of sensing at the first n decisions, NaN where the action was forced.
    """
    p = _setting(locations, relation, numbers, sizes)
    for k in range(state[0].shape[0]):
        s = _episode(k, *state)
        decision = 0
        while s.clock[SLOT] <= p.horizon:
            score = _score(p, s, network) if _free(p, s) else np.float32(np.nan)
            if decision < scores.shape[1]:
                scores[k, decision] = score
            _step(p, s, 1 if score > 0.0 else 0)
            decision += 1


@inner
def _rejoins(p, s, batteries, records):
    """Whether an episode stands, at the opening of a slot, where the recorded play of the same levels stood."""
    slot = s.clock[SLOT]
    for m in range(p.n_devices):
        if (
            s.energy[m] != batteries[slot, ENERGY, m]
            or s.delay[m] != batteries[slot, DELAY, m]
            or s.record[m] != records[slot, m]
        ):
            return False
    return True


@inner
def _look(p, s, network, out):
    """Observe as the network does, also where the action is forced."""
    if s.energy[s.clock[TURN]] == 0:
        _consider(p, s)
    if network.encoder_widths.shape[0] == 0:
        _observe_compact(p, s, out)
    else:
        _observe_per_device(p, s, out)


@compiled
def branch(network, points, cuts, features, gains, tails, reached, room, locations, relation, numbers, sizes, *state):
    """Counterfactual pairs: at chosen decisions play on with either action, under the same levels.

    points (K, n) are the numbers of the chosen decisions, never decreasing; features (K, n, size) receives what was
    seen there and gains (K, n, stretches) the total error with off minus the total error with on, or NaN where the
    action was forced. A branch that rejoins the play that it left is not played further: the rest is the same.

    cuts (C,) are numbers of slots, increasing: after so many, on the same device's turn, tails (K, n, C, 2, size)
    receives what is seen with off and with on, and reached (K, n, C) that it was; gains then holds the stretches
    between the cuts, and a branch ends at the last one. ``room`` is a Branches.
    """
    p = _setting(locations, relation, numbers, sizes)
    n_points, horizon = points.shape[1], p.horizon
    batteries, records, totals, chosen = room.batteries, room.records, room.totals, room.chosen
    watched, seen, n_cuts = room.watched, room.seen, cuts.shape[0]
    for k in range(points.shape[0]):
        s = _episode(k, *state)
        at, decision = 0, 0
        watched[:] = False
        for i in range(n_points):
            for c in range(n_cuts):
                if points[k, i] + cuts[c] * p.n_devices < watched.shape[0]:
                    watched[points[k, i] + cuts[c] * p.n_devices] = True
        while s.clock[SLOT] <= horizon:
            slot = s.clock[SLOT]
            if s.clock[TURN] == 0:
                totals[slot] = s.score[TOTAL]
                for m in range(p.n_devices):
                    batteries[slot, ENERGY, m] = s.energy[m]
                    batteries[slot, DELAY, m] = s.delay[m]
                    records[slot, m] = s.record[m]
            free = _free(p, s)
            action = 1 if free and _score(p, s, network) > 0.0 else 0
            if watched[decision]:
                _look(p, s, network, seen[decision])
            while at < n_points and points[k, at] == decision:
                chosen[at] = action if free else -1
                if free:
                    for i in range(network.inputs.shape[0]):
                        features[k, at, i] = network.inputs[i]
                    _copy_episode(s, _episode(at, *room.states))
                at += 1
            _step(p, s, action)
            decision += 1
        for i in range(n_points):
            if i >= at or chosen[i] < 0:
                gains[k, i] = np.nan
                continue
            gains[k, i] = 0.0
            other, sign = _episode(i, *room.states), 1.0 if chosen[i] == 1 else -1.0
            start, mover, cut, before, rest = other.clock[SLOT], other.clock[TURN], 0, 0.0, s.score[TOTAL]
            _step(p, other, 1 - chosen[i])
            while other.clock[SLOT] <= horizon:
                slot = other.clock[SLOT]
                if other.clock[TURN] == 0 and _rejoins(p, other, batteries, records):
                    rest = totals[slot]
                    break
                if cut < n_cuts and other.clock[TURN] == mover and slot == start + cuts[cut]:
                    gain = other.score[TOTAL] - totals[slot]
                    gains[k, i, cut] = sign * (gain - before)
                    reached[k, i, cut] = True
                    _look(p, other, network, tails[k, i, cut, 1 - chosen[i]])
                    for n in range(seen.shape[1]):
                        tails[k, i, cut, chosen[i], n] = seen[points[k, i] + cuts[cut] * p.n_devices, n]
                    before = gain
                    cut += 1
                    if cut == n_cuts:
                        break
                _step(p, other, 1 if _free(p, other) and _score(p, other, network) > 0.0 else 0)
            if n_cuts == 0 or cut < n_cuts:
                gains[k, i, cut] = sign * (other.score[TOTAL] - rest - before)


@compiled
def walk(uniforms, start, transition, path):
    """Level paths (7)(8) from uniforms (R, T + 1) and cumulative probabilities; ``path`` receives level indices."""
    for r in range(uniforms.shape[0]):
        cumulative = start
        for t in range(uniforms.shape[1]):
            i = 0
            while cumulative[i] <= uniforms[r, t]:
                i += 1
            path[r, t] = i
            cumulative = transition[i]
