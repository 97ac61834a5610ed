"""The paper's inference: the joint error of every location from precision sums, equations (9), (18) to (20).

Everything is in units of the level e, which makes a fresh reading's terms constants of the problem. With
c = (δ²u² + dσ²)/e² and s = u/e - 1 device m says of location j a value that is off the level by e (s + a_mj), with
precision 1/(e² (c + b_mj)); a fresh reading has c = δ² and s = 0. With S0 = Σ 1/(c + b) and S1 = Σ (s + a)/(c + b) over
the devices, the joint error is J = e sqrt(S0 + S1²)/S0.

A state holds two pairs of sums: as things are, and "ahead": as they will be if the deciding device and all later ones
with energy sense. A decision changes one term of one pair. The sums are begun anew in every slot, so that rounding does
not add up. Each loop over the locations writes one or two rows: of more the compiler makes no vector instructions,
since it would have to compare too many pairs of rows for overlaps.
"""

import numpy as np

from aq_gym.kernels.compiling import called, inlined

# Rows of ``relation`` (3, M, P), constants: a, b, and the precision 1/(δ² + b) of a fresh reading [1]
MEAN, VARIANCE, FRESH = range(3)
# Rows of ``maps`` (K, 7, P): J now [µg/m³]; S0, S1 now; ahead; and what they grow by if the deciding device senses [1]
ERROR, S0, S1, AHEAD0, AHEAD1, CHANGE0, CHANGE1 = range(7)


@called
def relative_error(zeroth, first):
    """J/e of S0 and S1."""
    return np.sqrt(zeroth + first * first) / zeroth


@called
def source(p, e, d):
    """C and s of a device: its variance over e² without the spatial part, and its record's relative deviation."""
    over, relative = 1.0 / e.level, d.record / e.level
    return p.measurement_variance * relative * relative + p.temporal_variance * over * over * d.delay, relative - 1.0


@inlined
def any_energy(device, k, first):
    """Whether a device from ``first`` on has energy."""
    found = False
    for m in range(first, device.shape[1]):
        found = found or device[k, m].energy > 0
    return found


@inlined
def sum_up(p, relation, episode, device, maps, k):
    """Both pairs of sums from the raw state; where nobody can sense any more the sums ahead are not needed."""
    n, e = maps.shape[2], episode[k]
    ahead = any_energy(device, k, e.turn)
    for j in range(n):
        maps[k, S0, j] = maps[k, S1, j] = maps[k, AHEAD0, j] = maps[k, AHEAD1, j] = 0.0
    for m in range(device.shape[1]):
        c, s = source(p, e, device[k, m])
        for j in range(n):
            weight = 1.0 / (c + relation[VARIANCE, m, j])
            maps[k, S0, j] += weight
            maps[k, S1, j] += weight * (s + relation[MEAN, m, j])
        if ahead:
            if m >= e.turn and device[k, m].energy > 0:
                for j in range(n):
                    maps[k, AHEAD0, j] += relation[FRESH, m, j]
                    maps[k, AHEAD1, j] += relation[FRESH, m, j] * relation[MEAN, m, j]
            else:
                for j in range(n):
                    weight = 1.0 / (c + relation[VARIANCE, m, j])
                    maps[k, AHEAD0, j] += weight
                    maps[k, AHEAD1, j] += weight * (s + relation[MEAN, m, j])


@inlined
def sensing_change(p, relation, episode, device, maps, k):
    """Change of the sums if a fresh reading replaces the deciding device's last one."""
    m = episode[k].turn
    c, s = source(p, episode[k], device[k, m])
    for j in range(maps.shape[2]):
        weight, fresh = 1.0 / (c + relation[VARIANCE, m, j]), relation[FRESH, m, j]
        maps[k, CHANGE0, j] = fresh - weight
        maps[k, CHANGE1, j] = fresh * relation[MEAN, m, j] - weight * (s + relation[MEAN, m, j])


@inlined
def apply_decision(episode, device, maps, k, executed):
    """Change the sums by the decision of the device that was exchanged, before it is carried out."""
    if executed == 1:
        for j in range(maps.shape[2]):
            maps[k, S0, j] += maps[k, CHANGE0, j]
            maps[k, S1, j] += maps[k, CHANGE1, j]
    elif device[k, episode[k].turn].energy > 0:  # it will not sense in this slot
        for j in range(maps.shape[2]):
            maps[k, AHEAD0, j] -= maps[k, CHANGE0, j]
            maps[k, AHEAD1, j] -= maps[k, CHANGE1, j]


@inlined
def errors(p, episode, device, maps, k):
    """J as things are."""
    level = episode[k].level
    for j in range(maps.shape[2]):
        maps[k, ERROR, j] = level * relative_error(maps[k, S0, j], maps[k, S1, j])
    if p.keep_measured:
        for m in range(device.shape[1]):
            if device[k, m].delay == 0:
                maps[k, ERROR, device[k, m].location] = p.fresh_error * level


@inlined
def decreases(p, episode, device, maps, k, decrease, if_on, if_off):
    """What J falls by if the deciding device senses, and if it sleeps and the later ones with energy sense."""
    turn, level = episode[k].turn, episode[k].level
    for j in range(maps.shape[2]):
        zeroth, first = maps[k, S0, j] + maps[k, CHANGE0, j], maps[k, S1, j] + maps[k, CHANGE1, j]
        decrease[if_on, j] = maps[k, ERROR, j] - level * relative_error(zeroth, first)
    if any_energy(device, k, turn + 1):
        counted = 1.0 if device[k, turn].energy > 0 else 0.0
        for j in range(maps.shape[2]):
            zeroth = maps[k, AHEAD0, j] - counted * maps[k, CHANGE0, j]
            first = maps[k, AHEAD1, j] - counted * maps[k, CHANGE1, j]
            decrease[if_off, j] = maps[k, ERROR, j] - level * relative_error(zeroth, first)
    else:
        for j in range(maps.shape[2]):
            decrease[if_off, j] = 0.0
    if p.keep_measured:
        for m in range(device.shape[1]):
            d = device[k, m]
            less = maps[k, ERROR, d.location] - p.fresh_error * level
            if m == turn or (m < turn and d.delay == 0):
                decrease[if_on, d.location] = less
            if (m < turn and d.delay == 0) or (m > turn and d.energy > 0):
                decrease[if_off, d.location] = less


@inlined
def joint_decreases(p, episode, device, maps, k, decrease, if_on):
    """Of the joint view, at the beginning of a slot: what J falls by if all devices with energy sense."""
    level, ahead = episode[k].level, any_energy(device, k, 0)
    for j in range(maps.shape[2]):
        error = level * relative_error(maps[k, AHEAD0, j], maps[k, AHEAD1, j]) if ahead else maps[k, ERROR, j]
        decrease[if_on, j] = maps[k, ERROR, j] - error
    if p.keep_measured:
        for m in range(device.shape[1]):
            d = device[k, m]
            if d.energy > 0:
                decrease[if_on, d.location] = maps[k, ERROR, d.location] - p.fresh_error * level
