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

from __future__ import annotations

import numpy as np

from aq_gym.kernels.compiling import inner

# Rows of ``relation`` (3, M, P), constants: a, b, and the precision 1/(δ² + b) of a fresh reading [1]
MEAN, VARIANCE, FRESH = range(3)
# Rows of ``maps`` (K, 7, P): J now [µg/m³]; S0, S1 now; ahead; and what they grow by if the deciding device senses [1]
ERROR, S0, S1, AHEAD0, AHEAD1, MORE0, MORE1 = range(7)


@inner
def relative_error(zeroth, first):
    """J/e of S0 and S1."""
    return np.sqrt(zeroth + first * first) / zeroth


@inner
def source(p, e, d):
    """C and s of a device: its variance over e² without the spatial part, and its record's relative deviation."""
    over, relative = 1.0 / e.level, d.record / e.level
    return p.measurement_variance * relative * relative + p.temporal_variance * over * over * d.delay, relative - 1.0


@inner
def sum_up(p, relation, episode, device, maps, rows):
    """Both pairs of sums from the raw state."""
    n = maps.shape[2]
    for k in rows:
        e, ahead = episode[k], False
        for j in range(n):
            maps[k, S0, j] = maps[k, S1, j] = maps[k, AHEAD0, j] = maps[k, AHEAD1, j] = 0.0
        for m in range(e.turn, device.shape[1]):
            ahead = ahead or device[k, m].energy > 0  # else the sums ahead are not needed
        for m in range(device.shape[1]):
            c, s = source(p, e, device[k, m])
            for j in range(n):
                weight = 1.0 / (c + relation[VARIANCE, m, j])
                maps[k, S0, j] += weight
                maps[k, S1, j] += weight * (s + relation[MEAN, m, j])
            if not ahead:
                continue
            if m >= e.turn and device[k, m].energy > 0:
                for j in range(n):
                    maps[k, AHEAD0, j] += relation[FRESH, m, j]
                    maps[k, AHEAD1, j] += relation[FRESH, m, j] * relation[MEAN, m, j]
            else:
                for j in range(n):
                    weight = 1.0 / (c + relation[VARIANCE, m, j])
                    maps[k, AHEAD0, j] += weight
                    maps[k, AHEAD1, j] += weight * (s + relation[MEAN, m, j])


@inner
def exchange(p, relation, episode, device, maps, rows):
    """What the sums grow by if the deciding device's last reading makes way for a fresh one."""
    for k in rows:
        m = episode[k].turn
        c, s = source(p, episode[k], device[k, m])
        for j in range(maps.shape[2]):
            weight, fresh = 1.0 / (c + relation[VARIANCE, m, j]), relation[FRESH, m, j]
            maps[k, MORE0, j] = fresh - weight
            maps[k, MORE1, j] = fresh * relation[MEAN, m, j] - weight * (s + relation[MEAN, m, j])


@inner
def follow(episode, device, maps, rows, executed):
    """Let the sums follow the decision of the device that was exchanged, before it is carried out."""
    for k in rows:
        if executed[k] == 1:
            for j in range(maps.shape[2]):
                maps[k, S0, j] += maps[k, MORE0, j]
                maps[k, S1, j] += maps[k, MORE1, j]
        elif device[k, episode[k].turn].energy > 0:  # it is no longer to be counted on
            for j in range(maps.shape[2]):
                maps[k, AHEAD0, j] -= maps[k, MORE0, j]
                maps[k, AHEAD1, j] -= maps[k, MORE1, j]


@inner
def errors(p, episode, device, maps, rows):
    """J as things are."""
    for k in rows:
        level = episode[k].level
        for j in range(maps.shape[2]):
            maps[k, ERROR, j] = level * relative_error(maps[k, S0, j], maps[k, S1, j])
        if p.keep_measured:
            for m in range(device.shape[1]):
                if device[k, m].delay == 0:
                    maps[k, ERROR, device[k, m].location] = p.fresh_error * level


@inner
def decreases(p, episode, device, maps, rows, supposed, if_on, if_off):
    """What J falls by if the deciding device senses, and if it sleeps and the later ones with energy sense."""
    for i in range(rows.shape[0]):
        k = rows[i]
        turn, level, later = episode[k].turn, episode[k].level, False
        for j in range(maps.shape[2]):
            zeroth, first = maps[k, S0, j] + maps[k, MORE0, j], maps[k, S1, j] + maps[k, MORE1, j]
            supposed[i, if_on, j] = maps[k, ERROR, j] - level * relative_error(zeroth, first)
        for m in range(turn + 1, device.shape[1]):
            later = later or device[k, m].energy > 0
        if later:
            counted = 1.0 if device[k, turn].energy > 0 else 0.0
            for j in range(maps.shape[2]):
                zeroth = maps[k, AHEAD0, j] - counted * maps[k, MORE0, j]
                first = maps[k, AHEAD1, j] - counted * maps[k, MORE1, j]
                supposed[i, if_off, j] = maps[k, ERROR, j] - level * relative_error(zeroth, first)
        else:
            for j in range(maps.shape[2]):
                supposed[i, if_off, j] = 0.0
        if p.keep_measured:
            for m in range(device.shape[1]):
                location = device[k, m].location
                less = maps[k, ERROR, location] - p.fresh_error * level
                if m == turn or (m < turn and device[k, m].delay == 0):
                    supposed[i, if_on, location] = less
                if (m < turn and device[k, m].delay == 0) or (m > turn and device[k, m].energy > 0):
                    supposed[i, if_off, location] = less


@inner
def decreases_of_all(p, episode, device, maps, rows, supposed, if_on):
    """Of the joint view, at the beginning of a slot: what J falls by if all devices with energy sense."""
    for i in range(rows.shape[0]):
        k, level, ahead = rows[i], episode[rows[i]].level, False
        for m in range(device.shape[1]):
            ahead = ahead or device[k, m].energy > 0
        for j in range(maps.shape[2]):
            error = level * relative_error(maps[k, AHEAD0, j], maps[k, AHEAD1, j]) if ahead else maps[k, ERROR, j]
            supposed[i, if_on, j] = maps[k, ERROR, j] - error
        if p.keep_measured:
            for m in range(device.shape[1]):
                location = device[k, m].location
                if device[k, m].energy > 0:
                    supposed[i, if_on, location] = maps[k, ERROR, location] - p.fresh_error * level
