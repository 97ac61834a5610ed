"""The observation for networks that read sets: the compact numbers, then a row for each device.

A row holds the 18 numbers of `aq_gym.observation.DEVICE_FEATURES`, in that order.
"""

from aq_gym.kernels.compact import N_COMPACT, clip, observe_compact, scaled_log
from aq_gym.kernels.compiling import inlined
from aq_gym.kernels.maps import IF_ON
from aq_gym.kernels.precision import ERROR

N_DEVICE, N_CONSTANTS = 18, 5


@inlined
def observe_per_device(p, relation, prior, constants, episode, device, maps, k, decrease, out):
    """Of the deciding device and all others."""
    observe_compact(p, relation, prior, constants, episode, device, maps, k, decrease, out)
    e = episode[k]
    level, left = e.level, p.horizon - e.slot + 1
    need, error = left * p.energy_budget / p.horizon, e.mean_error
    for m in range(device.shape[1]):
        d, at = device[k, m], N_COMPACT + m * N_DEVICE
        now = maps[k, ERROR, d.location]
        gain = decrease[IF_ON, d.location]
        out[k, at] = 1.0
        out[k, at + 1] = 1.0 if m == e.turn and left > 0 else 0.0
        out[k, at + 2] = 1.0 if m > e.turn and left > 0 else 0.0
        out[k, at + 3] = d.energy / p.most_energy
        out[k, at + 4] = 1.0 / (1.0 + d.energy)
        out[k, at + 5] = scaled_log(need / max(d.energy, 0.5))
        out[k, at + 6] = min(d.delay, p.max_sleep) / p.max_sleep
        out[k, at + 7] = scaled_log(1.0 + d.delay)
        out[k, at + 8] = clip(4.0 * scaled_log(d.record / level))
        out[k, at + 9] = scaled_log(1.0 + abs(d.record - level))
        out[k, at + 10] = min(1.0, now / level)
        out[k, at + 11] = clip(gain / error)
        out[k, at + 12] = constants[N_CONSTANTS + m]
        for t in range(N_CONSTANTS):
            out[k, at + 13 + t] = constants[t]
