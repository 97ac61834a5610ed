"""The full observation: 2N + 6M + 4 numbers, in the order of `aq_gym.observation.ObservationLayout`."""

from aq_gym.kernels.compiling import inlined
from aq_gym.kernels.maps import IF_OFF, IF_ON, decreases, joint_decreases


@inlined
def observe_full(p, relation, prior, constants, episode, device, maps, k, decrease, out):
    """Of the deciding device; no decreases where nothing is decided any more."""
    decreases(p, relation, prior, episode, device, maps, k, decrease)
    write_full(p, episode, device, k, decrease, out)
    out[k, episode[k].turn] = 1.0


@inlined
def observe_joint(p, relation, prior, constants, episode, device, maps, k, decrease, out):
    """Of all devices: no one-hot; in the third segment all with energy sense; nothing in the fourth."""
    joint_decreases(p, relation, prior, episode, device, maps, k, decrease)
    write_full(p, episode, device, k, decrease, out)
    fourth, size = 3 * device.shape[1] + p.n_locations + 1, p.n_locations + device.shape[1] + 1
    for j in range(size):
        out[k, fourth + j] = 0.0


@inlined
def write_full(p, episode, device, k, decrease, out):
    """Everything but the one-hot's 1.

    Two segments hold what J falls by at each location, then each device's power deficiency (37) times its own, then 1.
    """
    e, n, n_devices = episode[k], p.n_locations, device.shape[1]
    share = (p.horizon - e.slot + 1) / p.horizon
    scale = 1.0 / p.error_bound
    by_budget, by_sleep, by_level = 1.0 / p.most_energy, 1.0 / p.longest_delay, 1.0 / p.top_level
    # Views: an index on + j might be negative, so no vector instructions would be made.
    row, off = out[k], 3 * n_devices + n + 1
    if_on, if_off = row[2 * n_devices :], row[off:]
    # Whole padded rows where they fit, since vectors divide them evenly; what goes too far is written over below.
    width = min(decrease.shape[1], out.shape[1] - off)
    for j in range(width):
        if_on[j] = decrease[IF_ON, j] * scale
    for j in range(width):
        if_off[j] = decrease[IF_OFF, j] * scale
    energy, own_on, own_off, remaining = row[n_devices:], if_on[n:], if_off[n:], if_off[n + n_devices + 1 :]
    delay, record = remaining[1:], remaining[1 + n_devices :]
    for m in range(n_devices):
        d = device[k, m]
        deficiency = share / d.energy if d.energy > 0 else 1.0  # over B
        row[m] = 0.0
        energy[m] = d.energy * by_budget
        own_on[m] = deficiency * (decrease[IF_ON, d.location] * scale)
        own_off[m] = deficiency * (decrease[IF_OFF, d.location] * scale)
        delay[m] = d.delay * by_sleep
        record[m] = d.record * by_level
    own_on[n_devices] = own_off[n_devices] = 1.0 if share > 0.0 else 0.0
    remaining[0] = share
    record[n_devices] = e.level * by_level
    if p.hidden:
        record[n_devices + 1] = e.deviation / p.deviation_bound
        record[n_devices + 2] = e.mean_error / p.error_bound
