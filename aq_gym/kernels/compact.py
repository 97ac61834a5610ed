"""The compact observation: the 32 numbers of `aq_gym.observation.COMPACT_FEATURES`, in that order."""

from math import log

from aq_gym.kernels.compiling import called, inlined
from aq_gym.kernels.maps import IF_OFF, IF_ON, decreases, mean

N_COMPACT = 32


@called
def clip(x):
    """To [-1, 1]."""
    return min(1.0, max(-1.0, x))


@called
def scaled_log(x):
    """The features' "log": natural, over 8, clipped."""
    return clip(log(max(x, 1e-12)) / 8.0)


@called
def signed_log(x):
    """Of 1 + |x|, with the sign of x."""
    return scaled_log(1.0 + x) if x >= 0.0 else -scaled_log(1.0 - x)


@inlined
def observe_compact(p, relation, prior, constants, episode, device, maps, k, decrease, out):
    """Of the deciding device."""
    decreases(p, relation, prior, episode, device, maps, k, decrease)
    e, n_devices = episode[k], device.shape[1]
    turn, level = e.turn, e.level
    left = p.horizon - e.slot + 1
    energy_all, energy_later, alive, alive_later, sensed, delays = 0, 0, 0, 0, 0, 0
    freshest, freshness, ratios = 0, 0.0, 0.0
    for m in range(n_devices):
        d = device[k, m]
        has_energy, later = 1 if d.energy > 0 else 0, 1 if m > turn else 0
        energy_all += d.energy
        energy_later += d.energy * later
        alive += has_energy
        alive_later += has_energy * later
        sensed += 1 if d.delay == 0 else 0
        if d.delay < device[k, freshest].delay:
            freshest = m
        delays += min(d.delay, p.max_sleep)
        freshness += 1.0 / (1.0 + d.delay)
        ratios += log(d.record / level)

    own, fresh, error = device[k, turn], device[k, freshest], e.mean_error
    gain = mean(decrease[IF_ON], p.n_locations)
    gain_own = decrease[IF_ON, own.location]
    gain_later = mean(decrease[IF_OFF], p.n_locations)
    need, n_later = left * p.energy_budget / p.horizon, n_devices - 1 - turn
    delay = min(own.delay, p.max_sleep)
    forced = max(0, (left - 1 + delay) // p.max_sleep)
    out[k, 0] = left / p.horizon
    out[k, 1] = turn / n_devices
    out[k, 2] = own.energy / p.most_energy
    out[k, 3] = 1.0 / (1.0 + own.energy)
    out[k, 4] = scaled_log(need / max(own.energy, 0.5))
    out[k, 5] = scaled_log(need * n_devices / max(energy_all, 0.5))
    out[k, 6] = scaled_log(need * n_later / max(energy_later, 0.5)) if n_later > 0 else 0.0
    out[k, 7] = delay / p.max_sleep
    out[k, 8] = scaled_log(1.0 + own.delay)
    out[k, 9] = scaled_log(1.0 + p.max_sleep - delay)
    out[k, 10] = clip((own.energy - forced) / p.most_energy)
    out[k, 11] = clip(gain / error)
    out[k, 12] = clip(1.0 + log(max(gain / level, 1e-4)) / 8.0)
    out[k, 13] = signed_log(gain)
    out[k, 14] = clip(gain_own / error)
    out[k, 15] = clip(gain_later / error)
    out[k, 16] = signed_log(gain_later)
    out[k, 17] = min(1.0, error / level)
    out[k, 18] = scaled_log(error)
    out[k, 19] = level / p.top_level
    out[k, 20] = scaled_log(level)
    out[k, 21] = clip(4.0 * scaled_log(own.record / level))
    out[k, 22] = scaled_log(1.0 + abs(own.record - level))
    out[k, 23] = scaled_log(1.0 + fresh.delay)
    out[k, 24] = scaled_log(1.0 + (e.deviation if p.hidden else abs(fresh.record - level)))
    out[k, 25] = freshness / n_devices
    out[k, 26] = delays / n_devices / p.max_sleep
    out[k, 27] = clip(ratios / n_devices / 2.0)
    out[k, 28] = alive / n_devices
    out[k, 29] = alive_later / n_devices
    out[k, 30] = sensed / n_devices
    out[k, 31] = scaled_log(1.0 + sensed)
