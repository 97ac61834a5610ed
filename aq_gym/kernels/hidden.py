"""What the server believes of a hidden level: `aq_gym.belief` in compiled code.

The map is that of `level_aware.krige`, with a level about this belief that is all but unknown.
"""

import numpy as np

from aq_gym.kernels.compiling import called

# More rows of ``prior``. Grown belief: exp(-k d) and d^h by delay. Chain: the middles between the E levels, then for
# each level a row of means by delay, then for each a row of variances
DECAY, GROWTH = 3, 4
MIDDLES, MEANS = 3, 4


@called
def moments(p, prior, delay, record):
    """Mean and variance of the level, ``delay`` slots after it was ``record``."""
    if p.chain:
        n_levels, nearest = (prior.shape[0] - MEANS) // 2, 0
        for i in range(n_levels - 1):
            nearest += 1 if prior[MIDDLES, i] < record else 0
        return prior[MEANS + nearest, delay], prior[MEANS + n_levels + nearest, delay]
    if delay == 0:
        return record, 0.0
    slope = p.belief_q1 + p.belief_q2 * record
    mean = p.belief_m + (record - p.belief_m) * prior[DECAY, delay]
    return max(mean, 1.0), p.belief_q0 + slope * slope * prior[GROWTH, delay]


@called
def reported_belief(p, prior, delay, record, unknown):
    """Mean and variance of the level, from the freshest report; ``unknown`` (M,) receives the variance of each report.

    That is its own variance, or a larger one of a fresher report.
    """
    n, freshest, variance = delay.shape[0], 0, np.empty_like(record)
    for i in range(n):
        variance[i] = moments(p, prior, delay[i], record[i])[1]
        freshest = i if delay[i] < delay[freshest] else freshest
    for i in range(n):
        unknown[i] = variance[i]
        for j in range(n):
            if delay[j] < delay[i]:
                unknown[i] = max(unknown[i], variance[j])
    return moments(p, prior, delay[freshest], record[freshest])


@called
def update_belief(p, prior, episode, device, k):
    """Update the server's belief from the freshest report."""
    freshest = 0
    for m in range(1, device.shape[1]):
        freshest = m if device[k, m].delay < device[k, freshest].delay else freshest
    mean, variance = moments(p, prior, device[k, freshest].delay, device[k, freshest].record)
    episode[k].level, episode[k].deviation = mean, np.sqrt(variance)
