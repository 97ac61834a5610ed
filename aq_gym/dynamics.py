"""What happens in an episode, written once: reset, execute, sense, end of slot, mask, reward.

Plain functions over named arrays, compiled by Numba; with ``NUMBA_DISABLE_JIT=1`` the same functions run as plain
Python and return the same bytes. Every view (single, sequential, joint, vector, PettingZoo) is a batch of K episodes
that `aq_gym.kernels.batch` leads through them. docs/model.md holds the equations.

When a device senses, `decide` does this:

1. `execute`: the action asked for, or the one that is forced.
2. `apply_decision`: the precision sums change by the decision.
3. `sense`: one unit of energy is spent; unless the report is lost, the delay becomes 0 and the record the level.
4. `update_map`: the joint error of every location, and their mean.
5. The reward: minus the mean error after the first device's decision, then what each further decision lowers it by.
6. After the last device `end_slot`: the slot's error counts, delays grow, energy is harvested, the next slot begins.
7. `prepare_decision`: the level is read unless it is hidden, a new slot's map inferred, the next decision prepared.

Everywhere p is a problem's `PARAMETERS`, k the number of an episode, e its `EPISODE`, and d a device's `DEVICE`;
`aq_gym.records` names their fields.
"""

from aq_gym.kernels.compiling import called, inlined
from aq_gym.kernels.maps import apply_decision, infer_map, prepare_change, read_level, update_map


@called
def must_sense(p, d):
    """Whether a device has slept as long as it may."""
    return d.energy > 0 and d.delay >= p.max_sleep


@called
def execute(p, d, action):
    """The action that is done: the one asked for, or the one that is forced."""
    return 1 if must_sense(p, d) else 0 if d.energy == 0 else action


@called
def sense(d, level, lost):
    """A device senses. If the report is lost, the server knows only that it was lost."""
    d.energy -= 1
    d.lost = lost
    if not lost:
        d.delay = 0
        d.record = level


@inlined
def event_occurs(p, path, k, first, m, slot):
    """Whether a report is lost, or energy harvested, in a slot; ``first``: its first column in ``path``, 0: never."""
    return first > 0 and path[k, first + m * (p.horizon + 1) + slot] > 0.0


@inlined
def reset(episode, device, path, k):
    """Start an episode on its level path: every device has sensed in slot 0, outside its budget."""
    e = episode[k]
    e.slot, e.turn, e.capped, e.total_error = 1, 0, 0, 0.0
    for m in range(device.shape[1]):
        d = device[k, m]
        d.energy, d.delay, d.record, d.lost, d.timer = d.budget, 1, path[k, 0], 0, 0


@inlined
def prepare_decision(p, relation, prior, episode, device, path, maps, k):
    """After every decision: read the level, in a new slot infer the map, prepare the next decision."""
    e = episode[k]
    read_level(p, episode, path, k)
    if e.turn == 0 and e.slot <= p.horizon:
        infer_map(p, relation, prior, episode, device, maps, k)
    prepare_change(p, relation, prior, episode, device, maps, k)


@inlined
def decide(p, relation, prior, episode, device, path, maps, k, action):
    """The device whose turn it is acts (V-B); what was done and the reward."""
    e, d, before = episode[k], device[k, episode[k].turn], episode[k].mean_error
    executed, d.lost = execute(p, d, action), 0
    apply_decision(prior, episode, device, maps, k, executed)
    if executed == 1:
        sense(d, path[k, e.slot], event_occurs(p, path, k, p.losses, e.turn, e.slot))
        update_map(p, relation, prior, episode, device, maps, k)
    reward = -e.mean_error if e.turn == 0 else before - e.mean_error
    e.turn += 1
    if e.turn == device.shape[1]:
        end_slot(p, episode, device, path, k)
    prepare_decision(p, relation, prior, episode, device, path, maps, k)
    return executed, reward


@inlined
def decide_together(p, relation, prior, episode, device, path, maps, k, actions, executed):
    """All devices act at once: the same MDP, one step a slot. The reward; ``executed`` (K, M) receives the actions."""
    e = episode[k]
    for m in range(device.shape[1]):
        e.turn = m
        prepare_change(p, relation, prior, episode, device, maps, k)
        executed[k, m], device[k, m].lost = execute(p, device[k, m], actions[k, m]), 0
        apply_decision(prior, episode, device, maps, k, executed[k, m])
        if executed[k, m] == 1:
            sense(device[k, m], path[k, e.slot], event_occurs(p, path, k, p.losses, m, e.slot))
    update_map(p, relation, prior, episode, device, maps, k)
    reward = -e.mean_error
    end_slot(p, episode, device, path, k)
    prepare_decision(p, relation, prior, episode, device, path, maps, k)
    return reward


@inlined
def end_slot(p, episode, device, path, k):
    """All devices have decided: the slot's error counts (10), delays grow, and energy is harvested."""
    e = episode[k]
    e.last_error = e.mean_error
    e.total_error += e.mean_error
    for m in range(device.shape[1]):
        d = device[k, m]
        if d.delay == p.longest_delay:
            e.capped += 1
        else:
            d.delay += 1
        if d.energy < p.harvest_cap and event_occurs(p, path, k, p.harvests, m, e.slot):
            d.energy += 1
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
