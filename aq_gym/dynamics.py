"""What happens in an episode, written once: reset, execute, sense, end of slot, mask, reward.

Plain functions over named arrays, compiled by Numba; with ``NUMBA_DISABLE_JIT=1`` the same functions run as plain
Python and return the same bytes. Every view (single, sequential, joint, vector, PettingZoo) is a batch of K episodes
that `aq_gym.kernels.batch` leads through them. MODEL.md holds the equations.

Everywhere p is a problem's `PARAMETERS`, e an episode's `EPISODE`, d a device's `DEVICE`, and ``rows`` are the episodes
at hand; `aq_gym.records` names their fields.
"""

from __future__ import annotations

import numpy as np

from aq_gym.kernels import maps as inference
from aq_gym.kernels.compiling import inner, outer


@inner
def must_sense(p, d):
    """Whether a device has slept as long as it may."""
    return d.energy > 0 and d.delay >= p.max_sleep


@inner
def execute(p, d, action):
    """The action that is done: the one asked for, or the one that is forced."""
    if d.energy == 0:
        return 0
    return 1 if must_sense(p, d) else action


@inner
def happens(p, path, k, first, m, slot):
    """Whether chance strikes a device in a slot; ``first``: where that chance's columns begin, or 0."""
    return first > 0 and path[k, first + m * (p.horizon + 1) + slot] > 0.0


@inner
def sense(d, level, lost):
    """A device measures its location; where its report is lost, the server learns that and no more."""
    d.energy -= 1
    d.lost = lost
    if not lost:
        d.delay = 0
        d.record = level


@inner
def reset(p, episode, device, path, rows):
    """Start episodes on their level paths: every device has sensed in slot 0, outside its budget."""
    for k in rows:
        e = episode[k]
        e.slot, e.turn, e.capped, e.total_error = 1, 0, 0, 0.0
        for m in range(device.shape[1]):
            d = device[k, m]
            d.energy, d.delay, d.record, d.lost, d.timer = d.budget, 1, path[k, 0], 0, 0


@inner
def begin_slot(p, relation, prior, episode, device, path, maps, rows):
    """The server learns the slot's level, unless it is hidden, and infers the map anew."""
    for k in rows:
        episode[k].level = path[k, episode[k].slot]
    inference.begin(p, relation, prior, episode, device, maps, rows)


@outer
def decide(p, relation, prior, episode, device, path, maps, rows, actions, executed, rewards):
    """The deciding device of each episode acts (V-B); ``executed`` and ``rewards`` (K,) receive what came of it."""
    for k in rows:
        executed[k] = execute(p, device[k, episode[k].turn], actions[k])
        rewards[k] = episode[k].mean_error
    inference.follow(prior, episode, device, maps, rows, executed)
    sensed, count = np.empty_like(rows), 0
    for k in rows:
        slot, turn = episode[k].slot, episode[k].turn
        device[k, turn].lost = 0
        if executed[k] == 1:
            sense(device[k, turn], path[k, slot], happens(p, path, k, p.losses, turn, slot))
            sensed[count] = k
            count += 1
    inference.update(p, relation, prior, episode, device, maps, sensed[:count])
    for k in rows:
        e, before = episode[k], rewards[k]
        rewards[k] = -e.mean_error if e.turn == 0 else before - e.mean_error
        e.turn += 1
    end_slot(p, relation, prior, episode, device, path, maps, rows)
    inference.prepare(p, relation, prior, episode, device, maps, rows)


@outer
def decide_together(p, relation, prior, episode, device, path, maps, rows, actions, executed, rewards):
    """All devices act at once: the same MDP, one step a slot. ``actions`` and ``executed`` are (K, M)."""
    for m in range(device.shape[1]):
        inference.prepare(p, relation, prior, episode, device, maps, rows)
        for k in rows:
            executed[k, m] = execute(p, device[k, m], actions[k, m])
        inference.follow(prior, episode, device, maps, rows, executed[:, m])
        for k in rows:
            slot = episode[k].slot
            device[k, m].lost = 0
            if executed[k, m] == 1:
                sense(device[k, m], path[k, slot], happens(p, path, k, p.losses, m, slot))
            episode[k].turn += 1
    inference.update(p, relation, prior, episode, device, maps, rows)
    for k in rows:
        rewards[k] = -episode[k].mean_error
    end_slot(p, relation, prior, episode, device, path, maps, rows)


@outer
def end_slot(p, relation, prior, episode, device, path, maps, rows):
    """Where all have decided the slot's error counts (10), delays grow, energy is harvested, and the next begins."""
    begun, count = np.empty_like(rows), 0
    for k in rows:
        e = episode[k]
        if e.turn < device.shape[1]:
            continue
        e.last_error = e.mean_error
        e.total_error += e.mean_error
        for m in range(device.shape[1]):
            d = device[k, m]
            if d.delay == p.longest_delay:
                e.capped += 1
            else:
                d.delay += 1
            if d.energy < p.harvest_cap and happens(p, path, k, p.harvests, m, e.slot):
                d.energy += 1
        e.turn = 0
        e.slot += 1
        if e.slot <= p.horizon:
            begun[count] = k
            count += 1
    begin_slot(p, relation, prior, episode, device, path, maps, begun[:count])


@inner
def write_masks(p, episode, device, rows, mask):
    """What the deciding device may do, (K, 2): off, on. Off alone where nothing is decided."""
    for k in rows:
        running, d = 1 <= episode[k].slot <= p.horizon, device[k, episode[k].turn]
        mask[k, 0] = 0 if running and must_sense(p, d) else 1
        mask[k, 1] = 1 if running and d.energy > 0 else 0


@inner
def write_joint_masks(p, episode, device, rows, mask):
    """What each device may do, (K, M): 0 off, 1 on, 2 free."""
    for k in rows:
        running = 1 <= episode[k].slot <= p.horizon
        for m in range(device.shape[1]):
            d = device[k, m]
            free = 1 if must_sense(p, d) else 2
            mask[k, m] = free if running and d.energy > 0 else 0
