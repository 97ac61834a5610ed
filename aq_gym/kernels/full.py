"""The full observation: 2N + 6M + 4 numbers, in the order of `aq_gym.observation.ObservationLayout`."""

from __future__ import annotations

from aq_gym.kernels.compiling import inner, outer
from aq_gym.kernels.maps import IF_OFF, IF_ON, suppose, suppose_all


@outer
def observe_full(p, relation, prior, traits, episode, device, maps, rows, supposed, out):
    """Of the deciding device; no decreases where nothing is decided any more."""
    suppose(p, relation, prior, episode, device, maps, rows, supposed)
    observe_state(p, episode, device, rows, out)
    observe_decreases(p, episode, device, rows, supposed, out)
    for k in rows:
        out[k, episode[k].turn] = 1.0


@outer
def observe_joint(p, relation, prior, traits, episode, device, maps, rows, supposed, out):
    """Of all devices: no one-hot; in the third segment all with energy sense; nothing in the fourth."""
    suppose_all(p, relation, prior, episode, device, maps, rows, supposed)
    observe_state(p, episode, device, rows, out)
    observe_decreases(p, episode, device, rows, supposed, out)
    off, size = 3 * device.shape[1] + p.n_locations + 1, p.n_locations + device.shape[1] + 1
    for k in rows:
        for j in range(size):
            out[k, off + j] = 0.0


@inner
def observe_state(p, episode, device, rows, out):
    """Everything but the one-hot's 1 and the two segments of decreases."""
    n_devices = device.shape[1]
    rest = 4 * n_devices + 2 * p.n_locations + 2
    by_budget, by_sleep, by_level = 1.0 / p.energy_budget, 1.0 / p.max_sleep, 1.0 / p.top_level
    for k in rows:
        e = episode[k]
        for m in range(n_devices):
            d = device[k, m]
            out[k, m] = 0.0
            out[k, n_devices + m] = d.energy * by_budget
            out[k, rest + 1 + m] = d.delay * by_sleep
            out[k, rest + 1 + n_devices + m] = d.record * by_level
        out[k, rest] = (p.horizon - e.slot + 1) / p.horizon
        out[k, rest + 1 + 2 * n_devices] = e.level * by_level


@inner
def observe_decreases(p, episode, device, rows, supposed, out):
    """Two segments: what J falls by at each location; each device's power deficiency (37) times its own; 1."""
    n, n_devices, scale = p.n_locations, device.shape[1], 1.0 / p.error_bound
    on, off = 2 * n_devices, 3 * n_devices + n + 1
    for i in range(rows.shape[0]):
        k, left = rows[i], p.horizon - episode[rows[i]].slot + 1
        for j in range(n):
            out[k, on + j] = supposed[i, IF_ON, j] * scale
        for j in range(n):
            out[k, off + j] = supposed[i, IF_OFF, j] * scale
        for m in range(n_devices):
            d = device[k, m]
            deficiency = left / (p.horizon * d.energy) if d.energy > 0 else 1.0  # over B
            out[k, on + n + m] = deficiency * (supposed[i, IF_ON, d.location] * scale)
            out[k, off + n + m] = deficiency * (supposed[i, IF_OFF, d.location] * scale)
        out[k, on + n + n_devices] = out[k, off + n + n_devices] = 1.0 if left > 0 else 0.0
