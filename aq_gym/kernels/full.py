"""The full observation: 2N + 6M + 4 numbers, in the order of `aq_gym.observation.ObservationLayout`."""

from __future__ import annotations

from aq_gym.kernels.compiling import inner, outer
from aq_gym.kernels.maps import IF_OFF, IF_ON, suppose, suppose_all


@outer
def observe_full(p, relation, prior, traits, episode, device, maps, rows, supposed, out):
    """Of the deciding device; no decreases where nothing is decided any more."""
    suppose(p, relation, prior, episode, device, maps, rows, supposed)
    observe_decreases(p, episode, device, rows, supposed, out)
    observe_state(p, episode, device, rows, out)
    for k in rows:
        out[k, episode[k].turn] = 1.0


@outer
def observe_joint(p, relation, prior, traits, episode, device, maps, rows, supposed, out):
    """Of all devices: no one-hot; in the third segment all with energy sense; nothing in the fourth."""
    suppose_all(p, relation, prior, episode, device, maps, rows, supposed)
    observe_decreases(p, episode, device, rows, supposed, out)
    observe_state(p, episode, device, rows, out)
    off, size = 3 * device.shape[1] + p.n_locations + 1, p.n_locations + device.shape[1] + 1
    for k in rows:
        for j in range(size):
            out[k, off + j] = 0.0


@inner
def observe_decreases(p, episode, device, rows, supposed, out):
    """Two segments: what J falls by at each location; each device's power deficiency (37) times its own; 1."""
    n, n_devices, scale = p.n_locations, device.shape[1], 1.0 / p.error_bound
    on, off = 2 * n_devices, 3 * n_devices + n + 1
    # Whole padded rows where they fit, since vectors divide them evenly; what goes too far is written over below.
    width = min(supposed.shape[2], out.shape[1] - off)
    for i in range(rows.shape[0]):
        k, share = rows[i], (p.horizon - episode[rows[i]].slot + 1) / p.horizon
        if_on, if_off = out[k, on:], out[k, off:]  # views: an index on + j might be negative, so no vectors were made
        for j in range(width):
            if_on[j] = supposed[i, IF_ON, j] * scale
        for j in range(width):
            if_off[j] = supposed[i, IF_OFF, j] * scale
        own_on, own_off = if_on[n:], if_off[n:]
        for m in range(n_devices):
            d = device[k, m]
            deficiency = share / d.energy if d.energy > 0 else 1.0  # over B
            own_on[m] = deficiency * (supposed[i, IF_ON, d.location] * scale)
            own_off[m] = deficiency * (supposed[i, IF_OFF, d.location] * scale)
        own_on[n_devices] = own_off[n_devices] = 1.0 if share > 0.0 else 0.0


@inner
def observe_state(p, episode, device, rows, out):
    """Everything but the one-hot's 1 and the two segments of decreases, which are written before."""
    n_devices = device.shape[1]
    rest = 4 * n_devices + 2 * p.n_locations + 2
    by_budget, by_sleep, by_level = 1.0 / p.most_energy, 1.0 / p.longest_delay, 1.0 / p.top_level
    for k in rows:
        e, turn, energy, delay = episode[k], out[k], out[k, n_devices:], out[k, rest + 1 :]
        record = delay[n_devices:]
        for m in range(n_devices):
            d = device[k, m]
            turn[m] = 0.0
            energy[m] = d.energy * by_budget
            delay[m] = d.delay * by_sleep
            record[m] = d.record * by_level
        out[k, rest] = (p.horizon - e.slot + 1) / p.horizon
        record[n_devices] = e.level * by_level
        if p.hidden:
            record[n_devices + 1] = e.deviation / p.deviation_bound
            record[n_devices + 2] = e.mean_error / p.error_bound
