"""The entry points called from Python: one compiled function for each observation kind, each for K episodes.

The arguments are `records.Parameters` and `records.State` one by one, since Numba looks at a tuple of arrays longer
than at the arrays; then what is to be done in which episodes, ``chosen``; then arrays of the caller: actions, and what
is written. Each returns the largest of ``ended``, or -1 if an action is neither 0 nor 1; then nothing is done.

A fourth kind is one more function here, and one more line in `VIEWS`; `aq_gym.observation` says what else.
"""

from collections.abc import Callable

import numpy as np

from aq_gym import dynamics
from aq_gym.compiling import compiled
from aq_gym.kernels.compact import observe_compact
from aq_gym.kernels.compiling import called, inlined
from aq_gym.kernels.full import observe_full, observe_joint
from aq_gym.kernels.maps import infer_map, prepare_change
from aq_gym.kernels.per_device import observe_per_device

# What is done in the chosen episodes before their masks and observations are written: one step where an episode is not
# over; a start on its path; maps for a raw state that was written from outside; nothing; nothing, and the masks alone
STEP, BEGIN, INFER, LOOK, MASK = range(5)


@inlined
def acceptable(p, episode, actions):
    """Whether the actions of all running episodes are 0 or 1."""
    good = True
    for k in range(actions.shape[0]):
        good = good and (actions[k] & -2 == 0 or episode[k].slot > p.horizon)
    return good


@called
def start(p, relation, prior, episode, device, path, maps, task, k):
    """Start an episode, or infer the map of one whose raw state was written from outside."""
    if task == BEGIN:
        dynamics.reset(episode, device, path, k)
    if task in (BEGIN, INFER):
        episode[k].level = path[k, episode[k].slot]
        infer_map(p, relation, prior, episode, device, maps, k)
        prepare_change(p, relation, prior, episode, device, maps, k)


@inlined
def run(
    observe, numbers, relation, prior, constants, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """A task in the chosen episodes; ``observe`` writes the observation of one."""
    p, most, decrease = numbers[0], 0, np.empty((2, maps.shape[2]))
    if task == STEP and not acceptable(p, episode, actions):
        return -1
    for i in range(chosen.shape[0]):
        k, e = chosen[i], episode[chosen[i]]
        if task == STEP:
            if e.slot > p.horizon:
                continue
            executed, rewards[k] = dynamics.decide(p, relation, prior, episode, device, path, maps, k, actions[k])
            forced[k] = executed != actions[k]
            ended[k] = 2 if e.slot > p.horizon else 1 if e.turn == 0 else 0
            most = max(most, ended[k])
        else:
            start(p, relation, prior, episode, device, path, maps, task, k)
        dynamics.write_mask(p, episode, device, k, mask)
        if task != MASK:
            observe(p, relation, prior, constants, episode, device, maps, k, decrease, observation)
    return most


@compiled
def full(
    numbers, relation, prior, constants, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The ``full`` observation: actions, rewards, ``ended`` and ``forced`` (K,), masks (K, 2)."""
    return run(
        observe_full, numbers, relation, prior, constants, episode, device, path, maps, task, chosen,
        actions, rewards, ended, forced, mask, observation,
    )  # fmt: skip


@compiled
def compact(
    numbers, relation, prior, constants, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The ``compact`` observation: actions, rewards, ``ended`` and ``forced`` (K,), masks (K, 2)."""
    return run(
        observe_compact, numbers, relation, prior, constants, episode, device, path, maps, task, chosen,
        actions, rewards, ended, forced, mask, observation,
    )  # fmt: skip


@compiled
def per_device(
    numbers, relation, prior, constants, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The ``per_device`` observation: actions, rewards, ``ended`` and ``forced`` (K,), masks (K, 2)."""
    return run(
        observe_per_device, numbers, relation, prior, constants, episode, device, path, maps, task, chosen,
        actions, rewards, ended, forced, mask, observation,
    )  # fmt: skip


@compiled
def joint(
    numbers, relation, prior, constants, episode, device, path, maps, task, chosen,
    actions, rewards, ended, forced, mask, observation,
):  # fmt: skip
    """The joint view's: actions, ``forced`` and masks are (K, M), and a slot ends in every step."""
    p, most, decrease, executed = numbers[0], 0, np.empty((2, maps.shape[2])), np.empty_like(actions)
    for k in chosen:
        e = episode[k]
        if task == STEP:
            if e.slot > p.horizon:
                continue
            rewards[k] = dynamics.decide_together(p, relation, prior, episode, device, path, maps, k, actions, executed)
            for m in range(device.shape[1]):
                forced[k, m] = executed[k, m] != actions[k, m]
            ended[k] = 2 if e.slot > p.horizon else 1
            most = max(most, ended[k])
        else:
            start(p, relation, prior, episode, device, path, maps, task, k)
        dynamics.write_joint_mask(p, episode, device, k, mask)
        if task != MASK:
            observe_joint(p, relation, prior, constants, episode, device, maps, k, decrease, observation)
    return most


VIEWS: dict[str, Callable[..., int]] = {"full": full, "compact": compact, "per_device": per_device, "joint": joint}
