"""K episodes side by side: what Python calls, one function for each kind of observation, so that only it is compiled.

The arguments are `dynamics.Parameters` and `dynamics.State` one by one, since Numba looks at a tuple of arrays longer
than at the arrays; then what is to be done in which episodes, ``chosen``; then arrays of the caller: actions, and what
is written. Each returns the largest of ``ended``, or -1 if an action is neither 0 nor 1; then nothing is done.
"""

from __future__ import annotations

import numpy as np

from aq_gym import dynamics
from aq_gym.compiling import compiled
from aq_gym.kernels import maps as inference
from aq_gym.kernels.compact import observe_compact
from aq_gym.kernels.compiling import inner, outer
from aq_gym.kernels.full import observe_full, observe_joint
from aq_gym.kernels.per_device import observe_per_device

SIDE_BY_SIDE = 32  # episodes at a time, whose rows stay in the cache from one function to the next

# What is done in the chosen episodes before their masks and observations are written: one step where an episode is not
# over; a start on its path; maps for a raw state that was written from outside; nothing; nothing, and the masks alone
STEP, BEGIN, INFER, LOOK, MASK = range(5)


@inner
def following(p, episode, chosen, first, task):
    """The next chosen episodes at which something is to be done, and where to look for the others."""
    rows, count, i = np.empty(min(chosen.shape[0] - first, SIDE_BY_SIDE), np.int64), 0, first
    while i < chosen.shape[0] and count < rows.shape[0]:
        if task != STEP or episode[chosen[i]].slot <= p.horizon:
            rows[count] = chosen[i]
            count += 1
        i += 1
    return rows[:count], i


@inner
def acceptable(p, episode, actions):
    """Whether the actions of all running episodes are 0 or 1."""
    good = True
    for k in range(actions.shape[0]):
        good = good and (actions[k] & -2 == 0 or episode[k].slot > p.horizon)
    return good


@outer
def prepare(p, relation, prior, episode, device, path, maps, task, rows):
    """Start episodes, or infer the maps of those whose raw state was written from outside."""
    if task == BEGIN:
        dynamics.reset(p, episode, device, path, rows)
    if task in (BEGIN, INFER):
        dynamics.begin_slot(p, relation, prior, episode, device, path, maps, rows)
        inference.prepare(p, relation, prior, episode, device, maps, rows)


@outer
def advance(
    p, relation, prior, episode, device, path, maps, task, chosen, first,
    actions, rewards, ended, forced, mask,
):  # fmt: skip
    """The task in the next chosen episodes, and their masks; these, the largest of ``ended``, and where to go on."""
    most, executed = 0, np.empty(actions.shape[0], np.int64)
    rows, after = following(p, episode, chosen, first, task)
    if task == STEP:
        dynamics.decide(p, relation, prior, episode, device, path, maps, rows, actions, executed, rewards)
        for k in rows:
            forced[k] = executed[k] != actions[k]
            ended[k] = 2 if episode[k].slot > p.horizon else 1 if episode[k].turn == 0 else 0
            most = max(most, ended[k])
    prepare(p, relation, prior, episode, device, path, maps, task, rows)
    dynamics.write_masks(p, episode, device, rows, mask)
    return rows, most, after


@compiled
def full(
    numbers, relation, prior, traits, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The ``full`` observation: actions, rewards, ``ended`` and ``forced`` (K,), masks (K, 2)."""
    p, most, at = numbers[0], 0, 0
    if task == STEP and not acceptable(p, episode, actions):
        return -1
    supposed = np.empty((min(chosen.shape[0], SIDE_BY_SIDE), 2, maps.shape[2]))
    while at < chosen.shape[0]:
        rows, found, at = advance(
            p, relation, prior, episode, device, path, maps, task, chosen, at, actions, rewards, ended, forced, mask
        )
        most = max(most, found)
        if task != MASK:
            observe_full(p, relation, prior, traits, episode, device, maps, rows, supposed, observation)
    return most


@compiled
def compact(
    numbers, relation, prior, traits, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The ``compact`` observation: actions, rewards, ``ended`` and ``forced`` (K,), masks (K, 2)."""
    p, most, at = numbers[0], 0, 0
    if task == STEP and not acceptable(p, episode, actions):
        return -1
    supposed = np.empty((min(chosen.shape[0], SIDE_BY_SIDE), 2, maps.shape[2]))
    while at < chosen.shape[0]:
        rows, found, at = advance(
            p, relation, prior, episode, device, path, maps, task, chosen, at, actions, rewards, ended, forced, mask
        )
        most = max(most, found)
        if task != MASK:
            observe_compact(p, relation, prior, traits, episode, device, maps, rows, supposed, observation)
    return most


@compiled
def per_device(
    numbers, relation, prior, traits, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The ``per_device`` observation: actions, rewards, ``ended`` and ``forced`` (K,), masks (K, 2)."""
    p, most, at = numbers[0], 0, 0
    if task == STEP and not acceptable(p, episode, actions):
        return -1
    supposed = np.empty((min(chosen.shape[0], SIDE_BY_SIDE), 2, maps.shape[2]))
    while at < chosen.shape[0]:
        rows, found, at = advance(
            p, relation, prior, episode, device, path, maps, task, chosen, at, actions, rewards, ended, forced, mask
        )
        most = max(most, found)
        if task != MASK:
            observe_per_device(p, relation, prior, traits, episode, device, maps, rows, supposed, observation)
    return most


@compiled
def joint(
    numbers, relation, prior, traits, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The joint view's: actions, ``forced`` and masks are (K, M), and a slot ends in every step."""
    most, p, at, executed = 0, numbers[0], 0, np.empty_like(actions)
    supposed = np.empty((min(chosen.shape[0], SIDE_BY_SIDE), 2, maps.shape[2]))
    while at < chosen.shape[0]:
        rows, at = following(p, episode, chosen, at, task)
        if task == STEP:
            dynamics.decide_together(p, relation, prior, episode, device, path, maps, rows, actions, executed, rewards)
            for k in rows:
                for m in range(device.shape[1]):
                    forced[k, m] = executed[k, m] != actions[k, m]
                ended[k] = 2 if episode[k].slot > p.horizon else 1
                most = max(most, ended[k])
        prepare(p, relation, prior, episode, device, path, maps, task, rows)
        dynamics.write_joint_masks(p, episode, device, rows, mask)
        if task != MASK:
            observe_joint(p, relation, prior, traits, episode, device, maps, rows, supposed, observation)
    return most
