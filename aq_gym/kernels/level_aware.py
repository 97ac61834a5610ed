"""The deviations that `aq_gym.estimation.LevelAware` and `aq_gym.hidden_level.HiddenLevel` claim, by simple kriging.

There are no sums to update: every map is computed from the state, M²N operations each.
"""

import numpy as np

from aq_gym.hidden_level import LEVEL_VARIANCE
from aq_gym.kernels.compiling import called
from aq_gym.kernels.hidden import reported_belief

# Rows of ``relation`` with this inference: C of a device's location and any other, over e² [1]
COVARIANCE = 0
# Rows of ``prior`` (3, ·): C_jj over e², 1 + mean deviation of a location from the level, rho by lag [1]
PRIOR_VARIANCE, PART, CORRELATION = range(3)


@called
def krige(p, relation, prior, episode, device, k, fresh, later, out, row):
    """J of every location if device ``fresh`` (-1: none) senses and those from ``later`` on with energy do."""
    n_devices, n, level = device.shape[1], relation.shape[2], episode[k].level
    level_variance, belief_variance = p.noise * level * level, 0.0
    delay, record = np.empty(n_devices, np.int64), np.empty(n_devices)
    unknown, factor, solved = np.empty(n_devices), np.empty((n_devices, n_devices)), np.empty((n_devices, n))
    for i in range(n_devices):
        senses = i == fresh or (i >= later and device[k, i].energy > 0)
        delay[i] = 0 if senses else device[k, i].delay
        record[i] = level if senses else device[k, i].record
        change, noise = p.drift * delay[i], p.noise * (record[i] * record[i] + level * level)
        unknown[i] = change * noise / (change + noise) if change > 0.0 and noise > 0.0 else 0.0
    if p.hidden:
        level, belief_variance = reported_belief(p, prior, delay, record, unknown)
        level_variance = LEVEL_VARIANCE
    for i in range(n_devices):  # Cholesky factor of the covariance of the readings, with 1/L on the diagonal
        here = device[k, i].location
        for j in range(i + 1):
            there, correlation = device[k, j].location, prior[CORRELATION, abs(delay[i] - delay[j])]
            total = relation[COVARIANCE, i, there] * correlation * record[i] * record[j]
            total += prior[PART, here] * prior[PART, there] * (min(unknown[i], unknown[j]) + level_variance)
            if i == j:
                total += p.floor
            for x in range(j):
                total -= factor[i, x] * factor[j, x]
            factor[i, j] = 1.0 / np.sqrt(total) if i == j else total * factor[j, j]
    for j in range(n):
        out[row, j] = prior[PRIOR_VARIANCE, j] * level * level + prior[PRIOR_VARIANCE, j] * belief_variance
        out[row, j] += level_variance * prior[PART, j] * prior[PART, j]
    for i in range(n_devices):  # each row of the solved system explains a part of the prior's variance
        correlation = prior[CORRELATION, delay[i]] * record[i] * level
        common = level_variance * prior[PART, device[k, i].location]
        for j in range(n):
            solved[i, j] = correlation * relation[COVARIANCE, i, j] + common * prior[PART, j]
        for x in range(i):
            for j in range(n):
                solved[i, j] -= factor[i, x] * solved[x, j]
        for j in range(n):
            solved[i, j] *= factor[i, i]
        for j in range(n):
            out[row, j] -= solved[i, j] * solved[i, j]
    for j in range(n):
        out[row, j] = np.sqrt(max(out[row, j], 0.0) + p.floor)
