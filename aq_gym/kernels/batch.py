"""K episodes side by side: what Python calls, in one step for each kind of observation, so that only it is compiled.

The arguments are `dynamics.Parameters` and `dynamics.State` one by one, since Numba looks at a tuple of arrays longer
than at the arrays; then arrays of the caller that are read or written.
"""

from __future__ import annotations

import numpy as np

from aq_gym import dynamics
from aq_gym.kernels import maps as inference
from aq_gym.kernels.compact import observe_compact
from aq_gym.kernels.compiling import compiled, inner, outer
from aq_gym.kernels.full import observe_full, observe_joint
from aq_gym.kernels.per_device import observe_per_device

SIDE_BY_SIDE = 32  # episodes at a time, whose rows stay in the cache from one function to the next


@compiled
def reset(numbers, relation, prior, traits, episode, device, path, maps, rows):
    """Start the episodes in ``rows`` on their paths."""
    dynamics.reset(numbers[0], relation, prior, episode, device, path, maps, rows)


@compiled
def infer(numbers, relation, prior, traits, episode, device, path, maps, rows):
    """Infer the maps of the episodes in ``rows``, whose raw state was written from outside."""
    dynamics.begin_slot(numbers[0], relation, prior, episode, device, path, maps, rows)
    inference.prepare(numbers[0], relation, prior, episode, device, maps, rows)


@inner
def running(p, episode, first, n_episodes):
    """The next episodes that are not over, and where to look for the others."""
    rows, count, k = np.empty(min(n_episodes - first, SIDE_BY_SIDE), np.int64), 0, first
    while k < n_episodes and count < rows.shape[0]:
        if episode[k].slot <= p.horizon:
            rows[count] = k
            count += 1
        k += 1
    return rows[:count], k


@inner
def acceptable(p, episode, actions):
    """Whether the actions of all running episodes are 0 or 1."""
    good = True
    for k in range(actions.shape[0]):
        good = good and (actions[k] & -2 == 0 or episode[k].slot > p.horizon)
    return good


@outer
def decide(p, relation, prior, episode, device, path, maps, rows, actions, rewards, ended, forced, mask):
    """One decision in the episodes in ``rows``, what came of it, and the next masks; the largest of ``ended``."""
    most, executed = 0, np.empty(actions.shape[0], np.int64)
    dynamics.decide(p, relation, prior, episode, device, path, maps, rows, actions, executed, rewards)
    for k in rows:
        forced[k] = executed[k] != actions[k]
        ended[k] = 2 if episode[k].slot > p.horizon else 1 if episode[k].turn == 0 else 0
        most = max(most, ended[k])
    dynamics.write_masks(p, episode, device, rows, mask)
    return most


@compiled
def step_full(
    numbers, relation, prior, traits, episode, device, path, maps,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """One decision in every episode that is not over, and its ``full`` observation. Returns the
    largest of ``ended``, or -1 if an action is neither 0 nor 1; then nothing is done.
    """
    p, k, n, most = numbers[0], 0, actions.shape[0], 0
    if not acceptable(p, episode, actions):
        return -1
    supposed = np.empty((min(n, SIDE_BY_SIDE), 2, maps.shape[2]))
    while k < n:
        rows, k = running(p, episode, k, n)
        found = decide(p, relation, prior, episode, device, path, maps, rows, actions, rewards, ended, forced, mask)
        most = max(most, found)
        observe_full(p, relation, prior, traits, episode, device, maps, rows, supposed, observation)
    return most


@compiled
def step_compact(
    numbers, relation, prior, traits, episode, device, path, maps,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """One decision in every episode that is not over, and its ``compact`` observation. Returns the
    largest of ``ended``, or -1 if an action is neither 0 nor 1; then nothing is done.
    """
    p, k, n, most = numbers[0], 0, actions.shape[0], 0
    if not acceptable(p, episode, actions):
        return -1
    supposed = np.empty((min(n, SIDE_BY_SIDE), 2, maps.shape[2]))
    while k < n:
        rows, k = running(p, episode, k, n)
        found = decide(p, relation, prior, episode, device, path, maps, rows, actions, rewards, ended, forced, mask)
        most = max(most, found)
        observe_compact(p, relation, prior, traits, episode, device, maps, rows, supposed, observation)
    return most


@compiled
def step_per_device(
    numbers, relation, prior, traits, episode, device, path, maps,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """One decision in every episode that is not over, and its ``per_device`` observation. Returns the
    largest of ``ended``, or -1 if an action is neither 0 nor 1; then nothing is done.
    """
    p, k, n, most = numbers[0], 0, actions.shape[0], 0
    if not acceptable(p, episode, actions):
        return -1
    supposed = np.empty((min(n, SIDE_BY_SIDE), 2, maps.shape[2]))
    while k < n:
        rows, k = running(p, episode, k, n)
        found = decide(p, relation, prior, episode, device, path, maps, rows, actions, rewards, ended, forced, mask)
        most = max(most, found)
        observe_per_device(p, relation, prior, traits, episode, device, maps, rows, supposed, observation)
    return most


@compiled
def step_joint(
    numbers, relation, prior, traits, episode, device, path, maps,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The joint view's: actions, ``forced`` and ``mask`` are (K, M), and a slot ends in every step."""
    most, p, k, n, executed = 0, numbers[0], 0, actions.shape[0], np.empty_like(actions)
    supposed = np.empty((min(n, SIDE_BY_SIDE), 2, maps.shape[2]))
    while k < n:
        rows, k = running(p, episode, k, n)
        dynamics.decide_together(p, relation, prior, episode, device, path, maps, rows, actions, executed, rewards)
        for i in rows:
            for m in range(device.shape[1]):
                forced[i, m] = executed[i, m] != actions[i, m]
            ended[i] = 2 if episode[i].slot > p.horizon else 1
            most = max(most, ended[i])
        dynamics.write_joint_masks(p, episode, device, rows, mask)
        observe_joint(p, relation, prior, traits, episode, device, maps, rows, supposed, observation)
    return most


@compiled
def observe_full_of(numbers, relation, prior, traits, episode, device, path, maps, rows, observation):
    """The ``full`` observation of the episodes in ``rows``."""
    supposed = np.empty((rows.shape[0], 2, maps.shape[2]))
    observe_full(numbers[0], relation, prior, traits, episode, device, maps, rows, supposed, observation)


@compiled
def observe_compact_of(numbers, relation, prior, traits, episode, device, path, maps, rows, observation):
    """The ``compact`` observation of the episodes in ``rows``."""
    supposed = np.empty((rows.shape[0], 2, maps.shape[2]))
    observe_compact(numbers[0], relation, prior, traits, episode, device, maps, rows, supposed, observation)


@compiled
def observe_per_device_of(numbers, relation, prior, traits, episode, device, path, maps, rows, observation):
    """The ``per_device`` observation of the episodes in ``rows``."""
    supposed = np.empty((rows.shape[0], 2, maps.shape[2]))
    observe_per_device(numbers[0], relation, prior, traits, episode, device, maps, rows, supposed, observation)


@compiled
def observe_joint_of(numbers, relation, prior, traits, episode, device, path, maps, rows, observation):
    """The ``joint`` observation of the episodes in ``rows``."""
    supposed = np.empty((rows.shape[0], 2, maps.shape[2]))
    observe_joint(numbers[0], relation, prior, traits, episode, device, maps, rows, supposed, observation)


@compiled
def masks_of(numbers, relation, prior, traits, episode, device, path, maps, rows, joint, mask):
    """What is allowed in the episodes in ``rows``."""
    if joint:
        dynamics.write_joint_masks(numbers[0], episode, device, rows, mask)
    else:
        dynamics.write_masks(numbers[0], episode, device, rows, mask)
