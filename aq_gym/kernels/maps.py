"""Maps of an episode, current and hypothetical, by the paper's inference or by kriging.

``prior`` is None with the paper's inference; the compiler sees that, and compiles the one that is used. Kriging knows
the level, or believes something of a hidden one (``p.hidden``): `level_aware.krige` then takes that belief, and the
observations hold it.
"""

from aq_gym.kernels import precision
from aq_gym.kernels.compiling import called, inlined
from aq_gym.kernels.hidden import update_belief
from aq_gym.kernels.level_aware import krige
from aq_gym.kernels.precision import ERROR

# Rows of ``decrease`` (2, P), scratch: what J falls by if the deciding device senses (joint view: if all with energy
# do), and if it sleeps and the later ones with energy sense [µg/m³]
IF_ON, IF_OFF = range(2)


@called
def infer_map(p, relation, prior, episode, device, maps, k):
    """The maps from the raw state alone."""
    if prior is None:
        precision.sum_up(p, relation, episode, device, maps, k)
    update_map(p, relation, prior, episode, device, maps, k)


@called
def update_map(p, relation, prior, episode, device, maps, k):
    """The joint errors as things are, and their mean."""
    if prior is not None:
        if p.hidden:
            update_belief(p, prior, episode, device, k)
        krige(p, relation, prior, episode, device, k, -1, device.shape[1], maps[k], ERROR)
    else:
        precision.errors(p, episode, device, maps, k)
    episode[k].mean_error = mean(maps[k, ERROR], p.n_locations)


@inlined
def read_level(p, episode, path, k):
    """The level of the slot, or after the end of the last one; a hidden one stays what the server believes."""
    if not p.hidden:
        episode[k].level = path[k, min(episode[k].slot, p.horizon)]


@inlined
def prepare_change(p, relation, prior, episode, device, maps, k):
    """Before a device decides: what a fresh reading of it would change."""
    if prior is None:
        precision.sensing_change(p, relation, episode, device, maps, k)


@inlined
def apply_decision(prior, episode, device, maps, k, executed):
    """Before a decision is carried out: change the sums by it."""
    if prior is None:
        precision.apply_decision(episode, device, maps, k, executed)


@inlined
def decreases(p, relation, prior, episode, device, maps, k, decrease):
    """Decrease of J if the deciding device senses, and if it sleeps and the later ones sense."""
    if prior is None:
        precision.decreases(p, episode, device, maps, k, decrease, IF_ON, IF_OFF)
    else:
        turn = episode[k].turn
        krige(p, relation, prior, episode, device, k, turn, device.shape[1], decrease, IF_ON)
        krige(p, relation, prior, episode, device, k, -1, turn + 1, decrease, IF_OFF)
        subtract(maps, k, decrease, IF_ON)
        subtract(maps, k, decrease, IF_OFF)
    clear_if_over(p, episode, k, decrease)


@inlined
def joint_decreases(p, relation, prior, episode, device, maps, k, decrease):
    """Of the joint view, at the beginning of a slot: what the map falls by if all devices with energy sense."""
    if prior is None:
        precision.joint_decreases(p, episode, device, maps, k, decrease, IF_ON)
    else:
        krige(p, relation, prior, episode, device, k, -1, 0, decrease, IF_ON)
        subtract(maps, k, decrease, IF_ON)
    clear_if_over(p, episode, k, decrease)


@inlined
def subtract(maps, k, decrease, row):
    """Replace hypothetical errors J by their decreases."""
    for j in range(maps.shape[2]):
        decrease[row, j] = maps[k, ERROR, j] - decrease[row, j]


@inlined
def clear_if_over(p, episode, k, decrease):
    """After the end of an episode nothing changes its map."""
    if episode[k].slot > p.horizon:
        for j in range(decrease.shape[1]):
            decrease[IF_ON, j] = decrease[IF_OFF, j] = 0.0


@inlined
def mean(row, n):
    """Of the first n numbers; in four sums, so that no addition waits for the last, in a fixed order."""
    one = two = three = four = 0.0
    whole = n // 4 * 4
    for j in range(0, whole, 4):
        one += row[j]
        two += row[j + 1]
        three += row[j + 2]
        four += row[j + 3]
    for j in range(whole, n):
        one += row[j]
    return (one + two + three + four) / n
