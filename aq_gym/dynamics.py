"""What happens in an episode, written once: reset, execute, sense, end of slot, mask, reward.

Plain functions over named arrays, compiled by Numba; with ``NUMBA_DISABLE_JIT=1`` the same functions run as plain
Python and return the same bytes. Every view (single, sequential, joint, vector, PettingZoo) is a batch of K episodes
that `aq_gym.kernels.batch` leads through them. MODEL.md holds the equations.

Everywhere p is a problem's `PARAMETERS`, k the number of an episode, e its `EPISODE`, and d a device's `DEVICE`.
A new field of the state is one line in `EPISODE` or `DEVICE`; or in `State`, if its shape is another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.kernels import maps as inference
from aq_gym.kernels.compiling import called, inlined

EPISODE = np.dtype(
    [
        ("slot", "i8"),  # 1..T; 0: not begun, T + 1: over
        ("turn", "i8"),  # the device that decides; 0 in the joint view
        ("capped", "i8"),  # device-slots so far in which a delay stayed at D
        ("level", "f8"),  # now; after the end that of slot T [µg/m³]
        ("mean_error", "f8"),  # average joint error now [µg/m³]
        ("last_error", "f8"),  # the same of the last slot that ended [µg/m³]
        ("total_error", "f8"),  # sum over all slots that ended [µg/m³]
    ]
)
DEVICE = np.dtype(
    [
        ("location", "i8"),  # constant
        ("energy", "i8"),  # sensings left
        ("delay", "i8"),  # slots since it last sensed
        ("record", "f8"),  # the level when it did [µg/m³]
    ]
)
PARAMETERS = np.dtype(
    [
        ("n_locations", "i8"),  # N
        ("horizon", "i8"),  # T [slots]
        ("energy_budget", "i8"),  # B [sensings]
        ("max_sleep", "i8"),  # D [slots]
        ("keep_measured", "?"),  # whether a location measured in this slot keeps its reading, not fused (III-B)
        ("measurement_variance", "f8"),  # δ² [1]
        ("temporal_variance", "f8"),  # σ² [(µg/m³)² per slot]
        ("fresh_error", "f8"),  # δ: joint error of a location that keeps its reading, over e [1]
        ("error_bound", "f8"),  # of every joint error [µg/m³]
        ("top_level", "f8"),  # the highest level [µg/m³]
        ("noise", "f8"),  # level-aware: variance of what the server knows of the level, over e² [1]
        ("drift", "f8"),  # level-aware: mean squared change of the level from slot to slot [(µg/m³)²]
        ("floor", "f8"),  # level-aware: variance that no level explains [(µg/m³)²]
    ]
)


class Parameters(NamedTuple):
    """One problem; rows of locations are padded to P numbers."""

    numbers: NDArray[Any]  # (1,) `PARAMETERS`
    relation: NDArray[np.float64]  # (3, M, P) devices to locations, rows: see `kernels.precision` or `level_aware` [1]
    prior: NDArray[np.float64] | None  # (3, ·) rows: see `kernels.level_aware`; None with the paper's inference [1]
    traits: NDArray[np.float64]  # (5 + M,) constants that observations show, see `observation.traits` [1]


class State(NamedTuple):
    """K episodes."""

    episode: NDArray[Any]  # (K,) `EPISODE`
    device: NDArray[Any]  # (K, M) `DEVICE`, in the order in which they decide
    path: NDArray[np.float64]  # (K, T + 1) the levels of all slots [µg/m³]
    maps: NDArray[np.float64]  # (K, 7, P) joint errors and precision sums, rows: see `kernels.precision`


@called
def must_sense(p, d):
    """Whether a device has slept as long as it may."""
    return d.energy > 0 and d.delay == p.max_sleep


@called
def execute(p, d, action):
    """The action that is done: the one asked for, or the one that is forced."""
    return 1 if must_sense(p, d) else 0 if d.energy == 0 else action


@called
def sense(e, d):
    """A device measures its location."""
    d.energy -= 1
    d.delay = 0
    d.record = e.level


@inlined
def reset(p, episode, device, path, k):
    """Start an episode on its level path: every device has sensed in slot 0, outside its budget."""
    e = episode[k]
    e.slot, e.turn, e.capped, e.total_error = 1, 0, 0, 0.0
    for m in range(device.shape[1]):
        d = device[k, m]
        d.energy, d.delay, d.record = p.energy_budget, 1, path[k, 0]


@inlined
def begin_slot(p, relation, prior, episode, device, path, maps, k):
    """Where a slot begins the server learns its level and infers the map anew; then the next device is looked at."""
    e = episode[k]
    e.level = path[k, min(e.slot, p.horizon)]
    if e.turn == 0 and e.slot <= p.horizon:
        inference.begin(p, relation, prior, episode, device, maps, k)
    inference.prepare(p, relation, prior, episode, device, maps, k)


@inlined
def decide(p, relation, prior, episode, device, path, maps, k, action):
    """The device whose turn it is acts (V-B); what was done and the reward."""
    e, d, before = episode[k], device[k, episode[k].turn], episode[k].mean_error
    executed = execute(p, d, action)
    inference.apply_decision(prior, episode, device, maps, k, executed)
    if executed == 1:
        sense(e, d)
        inference.update(p, relation, prior, episode, device, maps, k)
    reward = -e.mean_error if e.turn == 0 else before - e.mean_error
    e.turn += 1
    if e.turn == device.shape[1]:
        end_slot(p, episode, device, k)
    begin_slot(p, relation, prior, episode, device, path, maps, k)
    return executed, reward


@inlined
def decide_together(p, relation, prior, episode, device, path, maps, k, actions, executed):
    """All devices act at once: the same MDP, one step a slot. The reward; ``executed`` (K, M) receives the actions."""
    e = episode[k]
    for m in range(device.shape[1]):
        e.turn = m
        inference.prepare(p, relation, prior, episode, device, maps, k)
        executed[k, m] = execute(p, device[k, m], actions[k, m])
        inference.apply_decision(prior, episode, device, maps, k, executed[k, m])
        if executed[k, m] == 1:
            sense(e, device[k, m])
    inference.update(p, relation, prior, episode, device, maps, k)
    reward = -e.mean_error
    end_slot(p, episode, device, k)
    begin_slot(p, relation, prior, episode, device, path, maps, k)
    return reward


@inlined
def end_slot(p, episode, device, k):
    """All devices have decided: the slot's error counts (10), and delays grow by one up to D."""
    e = episode[k]
    e.last_error = e.mean_error
    e.total_error += e.mean_error
    for m in range(device.shape[1]):
        if device[k, m].delay == p.max_sleep:
            e.capped += 1
        else:
            device[k, m].delay += 1
    e.turn = 0
    e.slot += 1


@inlined
def write_mask(p, episode, device, k, mask):
    """What the deciding device may do, (K, 2): off, on. Off alone where nothing is decided."""
    running, d = 1 <= episode[k].slot <= p.horizon, device[k, episode[k].turn]
    mask[k, 0] = 0 if running and must_sense(p, d) else 1
    mask[k, 1] = 1 if running and d.energy > 0 else 0


@inlined
def write_joint_mask(p, episode, device, k, mask):
    """What each device may do, (K, M): 0 off, 1 on, 2 free."""
    running = 1 <= episode[k].slot <= p.horizon
    for m in range(device.shape[1]):
        d = device[k, m]
        free = 1 if must_sense(p, d) else 2
        mask[k, m] = free if running and d.energy > 0 else 0
