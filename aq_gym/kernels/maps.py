"""The maps of some episodes as they are and as they would be, by any inference."""

from __future__ import annotations

from aq_gym.kernels import precision
from aq_gym.kernels.compiling import inner, outer
from aq_gym.kernels.hidden import learn
from aq_gym.kernels.level_aware import krige
from aq_gym.kernels.precision import ERROR

# Rows of ``supposed`` (·, 2, P), for each episode at hand: what J falls by if the deciding device senses (joint view:
# if all with energy do), and if it sleeps and the later ones with energy sense [µg/m³]
IF_ON, IF_OFF = range(2)


@outer
def begin(p, relation, prior, episode, device, maps, rows):
    """The maps from the raw state alone."""
    if prior is None:
        precision.sum_up(p, relation, episode, device, maps, rows)
    update(p, relation, prior, episode, device, maps, rows)


@outer
def update(p, relation, prior, episode, device, maps, rows):
    """The joint errors as things are, and their means."""
    if prior is not None:
        if p.hidden:
            learn(p, prior, episode, device, rows)
        for k in rows:
            krige(p, relation, prior, episode, device, k, -1, device.shape[1], maps[k], ERROR)
    else:
        precision.errors(p, episode, device, maps, rows)
    for k in rows:
        episode[k].mean_error = mean(maps, k, ERROR, p.n_locations)


@outer
def prepare(p, relation, prior, episode, device, maps, rows):
    """Before a device decides: what a fresh reading of it would change."""
    if prior is None:
        precision.exchange(p, relation, episode, device, maps, rows)


@outer
def follow(prior, episode, device, maps, rows, executed):
    """Before its decision is carried out: let the sums follow it."""
    if prior is None:
        precision.follow(episode, device, maps, rows, executed)


@outer
def suppose(p, relation, prior, episode, device, maps, rows, supposed):
    """What the maps fall by if the deciding device senses, and if it sleeps and the later ones sense."""
    if prior is not None:
        for i in range(rows.shape[0]):
            k, turn = rows[i], episode[rows[i]].turn
            krige(p, relation, prior, episode, device, k, turn, device.shape[1], supposed[i], IF_ON)
            krige(p, relation, prior, episode, device, k, -1, turn + 1, supposed[i], IF_OFF)
            fall(maps, k, supposed, i, IF_ON)
            fall(maps, k, supposed, i, IF_OFF)
    else:
        precision.decreases(p, episode, device, maps, rows, supposed, IF_ON, IF_OFF)
    stay(p, episode, rows, supposed)


@inner
def suppose_all(p, relation, prior, episode, device, maps, rows, supposed):
    """Of the joint view, at the beginning of a slot: what the maps fall by if all devices with energy sense."""
    if prior is not None:
        for i in range(rows.shape[0]):
            krige(p, relation, prior, episode, device, rows[i], -1, 0, supposed[i], IF_ON)
            fall(maps, rows[i], supposed, i, IF_ON)
    else:
        precision.decreases_of_all(p, episode, device, maps, rows, supposed, IF_ON)
    stay(p, episode, rows, supposed)


@inner
def fall(maps, k, supposed, i, row):
    """From what J becomes to what it falls by."""
    for j in range(maps.shape[2]):
        supposed[i, row, j] = maps[k, ERROR, j] - supposed[i, row, j]


@inner
def stay(p, episode, rows, supposed):
    """After the end of an episode nothing changes its map."""
    for i in range(rows.shape[0]):
        if episode[rows[i]].slot > p.horizon:
            for j in range(supposed.shape[2]):
                supposed[i, IF_ON, j] = supposed[i, IF_OFF, j] = 0.0


@inner
def mean(x, i, row, n):
    """Of the first n numbers of x[i, row]; in four sums, so that no addition waits for the last, in a fixed order."""
    one = two = three = four = 0.0
    whole = n // 4 * 4
    for j in range(0, whole, 4):
        one += x[i, row, j]
        two += x[i, row, j + 1]
        three += x[i, row, j + 2]
        four += x[i, row, j + 3]
    for j in range(whole, n):
        one += x[i, row, j]
    return (one + two + three + four) / n
