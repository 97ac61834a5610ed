"""Counterfactual pairs: at chosen decisions, what would the other action have led to? No part of the dynamics."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.compiling import compiled
from aq_gym.kernels.compiling import called
from aq_gym.kernels.network import decide, is_free, observe, score


class Scratch(NamedTuple):
    """Room for K episodes or n branches, whichever are more: R rows."""

    decrease: NDArray[np.float64]  # (2, P) see `kernels.maps`
    observation: NDArray[np.float32]  # (R, size)
    actions: NDArray[np.int64]  # (R,)
    executed: NDArray[np.int64]  # (R,)


class Play(NamedTuple):
    """A played episode, as its branches need it."""

    first: int  # decisions before it began, counted from slot 0
    end: float  # its total error [µg/m³]
    chosen: NDArray[np.int64]  # (n,) the action at each point, -1: forced
    device: NDArray[Any]  # (T + 1, M) the devices at the start of each slot
    total_error: NDArray[np.float64]  # (T + 1,) of the slots before [µg/m³]
    executed: NDArray[np.int64]  # (T M,) what was done at each decision
    observation: NDArray[np.float32]  # (T M, size) at the decisions where a branch may be cut; none without cuts


@called
def same_state(e, device, i, played):
    """Whether a branch has the play's state at the start of a slot, so that both continue alike.

    Compared are the fields of `records.DEVICE` that the future depends on.
    """
    if e.turn > 0:
        return False
    for m in range(device.shape[1]):
        d, then = device[i, m], played[e.slot, m]
        if d.energy != then.energy or d.delay != then.delay or d.record != then.record:
            return False
    return True


@called
def cut_decisions(points, cuts, n_devices, n_decisions):
    """(T M,) whether a branch may be cut at a decision."""
    found = np.zeros(n_decisions, np.bool_)
    for point in points:
        for cut in cuts:
            if point + cut * n_devices < n_decisions:
                found[point + cut * n_devices] = True
    return found


@called
def play_on(parameters, state, others, k, network, scratch, points, cuts, features):
    """Play episode k to its end; ``others`` receives the state at each point, ``features`` what was observed there."""
    numbers, relation, prior, constants = parameters
    episode, device, path, maps = state
    p, e, row, n_devices = numbers[0], episode[k], np.full(1, k), device.shape[1]
    n_decisions, observation, actions = p.horizon * n_devices, scratch.observation, scratch.actions
    cut = cut_decisions(points, cuts, n_devices, n_decisions)
    first, at, decision = e.slot * n_devices + e.turn, 0, 0
    chosen = np.full(points.shape[0], -1)
    played, total_error = np.empty((p.horizon + 1, n_devices), device.dtype), np.empty(p.horizon + 1)
    executed = np.empty(n_decisions, np.int64)
    observed = np.empty((n_decisions if cuts.shape[0] > 0 else 0, observation.shape[1]), np.float32)
    while e.slot <= p.horizon:
        if e.turn == 0:
            total_error[e.slot] = e.total_error
            for m in range(n_devices):
                played[e.slot, m] = device[k, m]
        free = is_free(p, device[k, e.turn])
        if free or cut[decision]:
            observe(p, relation, prior, constants, episode, device, maps, row, scratch.decrease, network, observation)
        actions[k] = 1 if free and score(network, observation[k], n_devices) > 0.0 else 0
        if cut[decision]:
            observed[decision] = observation[k]
        while at < points.shape[0] and points[at] == decision:
            if free:
                chosen[at], features[at] = actions[k], observation[k]
                others.episode[at] = episode[k]
                others.path[at], others.maps[at] = path[k], maps[k]
                for m in range(n_devices):
                    others.device[at, m] = device[k, m]
            at += 1
        decide(p, relation, prior, episode, device, path, maps, row, actions, scratch.executed)
        executed[decision] = scratch.executed[k]
        decision += 1
    return Play(first, e.total_error, chosen, played, total_error, executed, observed)


@called
def play_branches(parameters, state, network, scratch, play, points, cuts, alone, gains, tails, reached):
    """From each point the other action, then what the network does; side by side, one row of ``state`` each."""
    numbers, relation, prior, constants = parameters
    episode, device, path, maps = state
    p, n, n_devices = numbers[0], points.shape[0], device.shape[1]
    observation, actions = scratch.observation, scratch.actions
    start, mover, cut, before = np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    active, free, count = np.empty(n, np.int64), np.empty(n, np.int64), 0
    for i in range(n):
        gains[i] = np.nan
        if play.chosen[i] >= 0:
            gains[i] = 0.0
            start[i], mover[i], actions[i] = episode[i].slot, episode[i].turn, 1 - play.chosen[i]
            active[count] = i
            count += 1
    while count > 0:
        playing, count, n_free = active[:count].copy(), 0, 0
        decide(p, relation, prior, episode, device, path, maps, playing, actions, scratch.executed)
        for i in playing:
            e, sign = episode[i], 1.0 if play.chosen[i] == 1 else -1.0
            over = e.slot > p.horizon
            if over or same_state(e, device, i, play.device):
                rest = play.end if over else play.total_error[e.slot]
                gains[i, cut[i]] = sign * (e.total_error - rest - before[i])
                continue
            if cut[i] < cuts.shape[0] and e.turn == mover[i] and e.slot == start[i] + cuts[cut[i]]:
                row = np.full(1, i)
                observe(
                    p, relation, prior, constants, episode, device, maps, row, scratch.decrease, network, observation
                )
                tails[i, cut[i], 1 - play.chosen[i]] = observation[i]
                tails[i, cut[i], play.chosen[i]] = play.observation[points[i] + cuts[cut[i]] * n_devices]
                gain = e.total_error - play.total_error[e.slot]
                gains[i, cut[i]], reached[i, cut[i]] = sign * (gain - before[i]), True
                before[i], cut[i] = gain, cut[i] + 1
                if cut[i] == cuts.shape[0]:
                    continue
            actions[i] = 0
            if alone and e.turn != mover[i]:
                actions[i] = play.executed[e.slot * n_devices + e.turn - play.first]
            elif is_free(p, device[i, e.turn]):
                free[n_free] = i
                n_free += 1
            active[count] = i
            count += 1
        rows = free[:n_free]
        observe(p, relation, prior, constants, episode, device, maps, rows, scratch.decrease, network, observation)
        for i in rows:
            actions[i] = 1 if score(network, observation[i], n_devices) > 0.0 else 0


@compiled
def branch(parameters, state, others, network, points, cuts, alone, found):
    """At chosen decisions play on with either action, under the same levels.

    points (K, n) are the numbers of the chosen decisions, never decreasing; ``found``, `layers.Counterfactuals`,
    receives what was observed there, and the gains: the total error with off minus the total error with on, or NaN
    where the action was forced. A branch that has the play's state again is not played further.

    cuts (C,) are numbers of slots, increasing: after so many, on the same device's turn, ``found.tails`` receives what
    is observed with off and with on, and ``found.cut`` that it was; the gains are then those of the stretches between
    the cuts, and a branch ends at the last one.

    ``alone``: only the device that decided otherwise reacts to it; the others do what they did in the play.

    ``others`` is the state of n episodes, the branches of one play; they are played side by side.
    """
    rows, size = max(points.shape[1], state.episode.shape[0]), found.observations.shape[2]
    decrease, observation = np.empty((2, state.maps.shape[2])), np.empty((rows, size), np.float32)
    scratch = Scratch(decrease, observation, np.zeros(rows, np.int64), np.zeros(rows, np.int64))
    for k in range(points.shape[0]):
        play = play_on(parameters, state, others, k, network, scratch, points[k], cuts, found.observations[k])
        gains, tails, reached = found.gains[k], found.tails[k], found.cut[k]
        play_branches(parameters, others, network, scratch, play, points[k], cuts, alone, gains, tails, reached)
