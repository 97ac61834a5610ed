"""Counterfactual pairs: at chosen decisions, what would the other action have led to? No part of the dynamics."""

from __future__ import annotations

import numpy as np

from aq_gym.compiling import compiled
from aq_gym.kernels.compiling import called
from aq_gym.kernels.network import decide, is_free, look, score


@called
def same_state(e, device, i, opened):
    """Whether a branch has the original episode's state at the start of a slot, so that both continue alike."""
    if e.turn > 0:
        return False
    for m in range(device.shape[1]):
        d, then = device[i, m], opened[e.slot, m]
        if d.energy != then.energy or d.delay != then.delay or d.record != then.record:
            return False
    return True


@called
def watch(points, cuts, n_devices, watched):
    """At which decisions of the play a cut of one of its branches falls."""
    watched[:] = False
    for point in points:
        for cut in cuts:
            if point + cut * n_devices < watched.shape[0]:
                watched[point + cut * n_devices] = True


@compiled
def branch(
    numbers, relation, prior, constants, episode, device, path, maps,
    other_episode, other_device, other_path, other_maps,
    network, points, cuts, alone, features, gains, tails, reached,
):  # fmt: skip
    """At chosen decisions play on with either action, under the same levels.

    points (K, n) are the numbers of the chosen decisions, never decreasing; features (K, n, size) receives what was
    observed there and gains (K, n, stretches) the total error with off minus the total error with on, or NaN where the
    action was forced. A branch that rejoins the play that it left is not played further.

    cuts (C,) are numbers of slots, increasing: after so many, on the same device's turn, tails (K, n, C, 2, size)
    receives what is observed with off and with on, and reached (K, n, C) that it was; gains then holds the stretches
    between the cuts, and a branch ends at the last one.

    ``alone``: only the device that decided otherwise reacts to it; the others do what they did in the play left.

    ``other`` is the state of n episodes, the branches of one play; they are played side by side.
    """
    p, n, n_cuts, n_devices, size = numbers[0], points.shape[1], cuts.shape[0], device.shape[1], features.shape[2]
    n_decisions, rows = p.horizon * n_devices, max(n, episode.shape[0])
    opened, totals = np.empty((p.horizon + 1, n_devices), device.dtype), np.empty(p.horizon + 1)
    done, watched = np.empty(n_decisions, np.int64), np.empty(n_decisions, np.bool_)
    seen = np.empty((n_decisions if n_cuts > 0 else 0, size), np.float32)
    decrease, observation = np.empty((2, maps.shape[2])), np.empty((rows, size), np.float32)
    actions, executed = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    chosen, start, mover, cut = (
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
    )
    before, active, asked = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
    for k in range(points.shape[0]):
        # The play itself, and what is needed of it afterwards.
        e, row = episode[k], np.full(1, k)
        first, at, decision = e.slot * n_devices + e.turn, 0, 0
        watch(points[k], cuts, n_devices, watched)
        while e.slot <= p.horizon:
            if e.turn == 0:
                totals[e.slot] = e.total_error
                for m in range(n_devices):
                    opened[e.slot, m] = device[k, m]
            free = is_free(p, device[k, e.turn])
            if free or watched[decision]:
                look(p, relation, prior, constants, episode, device, maps, row, decrease, network, observation)
            actions[k] = 1 if free and score(network, observation[k], n_devices) > 0.0 else 0
            if watched[decision]:
                seen[decision] = observation[k]
            while at < n and points[k, at] == decision:
                chosen[at] = actions[k] if free else -1
                if free:
                    features[k, at] = observation[k]
                    other_episode[at] = episode[k]
                    other_path[at], other_maps[at] = path[k], maps[k]
                    for m in range(n_devices):
                        other_device[at, m] = device[k, m]
                at += 1
            decide(p, relation, prior, episode, device, path, maps, row, actions, executed)
            done[decision] = executed[k]
            decision += 1
        # The branches: first the other action, then what the network does.
        count = 0
        for i in range(n):
            if i >= at or chosen[i] < 0:
                gains[k, i] = np.nan
                continue
            gains[k, i], before[i], cut[i] = 0.0, 0.0, 0
            start[i], mover[i], actions[i] = other_episode[i].slot, other_episode[i].turn, 1 - chosen[i]
            active[count] = i
            count += 1
        while count > 0:
            playing, count, n_asked = active[:count].copy(), 0, 0
            decide(p, relation, prior, other_episode, other_device, other_path, other_maps, playing, actions, executed)
            for i in playing:
                o, sign = other_episode[i], 1.0 if chosen[i] == 1 else -1.0
                over = o.slot > p.horizon
                if over or same_state(o, other_device, i, opened):
                    rest = e.total_error if over else totals[o.slot]
                    gains[k, i, cut[i]] = sign * (o.total_error - rest - before[i])
                    continue
                if cut[i] < n_cuts and o.turn == mover[i] and o.slot == start[i] + cuts[cut[i]]:
                    one = np.full(1, i)
                    look(
                        p, relation, prior, constants, other_episode, other_device, other_maps,
                        one, decrease, network, observation,
                    )  # fmt: skip
                    tails[k, i, cut[i], 1 - chosen[i]] = observation[i]
                    tails[k, i, cut[i], chosen[i]] = seen[points[k, i] + cuts[cut[i]] * n_devices]
                    gain = o.total_error - totals[o.slot]
                    gains[k, i, cut[i]], reached[k, i, cut[i]] = sign * (gain - before[i]), True
                    before[i], cut[i] = gain, cut[i] + 1
                    if cut[i] == n_cuts:
                        continue
                actions[i] = 0
                if alone and o.turn != mover[i]:
                    actions[i] = done[o.slot * n_devices + o.turn - first]
                elif is_free(p, other_device[i, o.turn]):
                    asked[n_asked] = i
                    n_asked += 1
                active[count] = i
                count += 1
            look(
                p, relation, prior, constants, other_episode, other_device, other_maps,
                asked[:n_asked], decrease, network, observation,
            )  # fmt: skip
            for i in asked[:n_asked]:
                actions[i] = 1 if score(network, observation[i], n_devices) > 0.0 else 0
