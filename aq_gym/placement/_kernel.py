"""The compiled loop of `aq_gym.placement.fitness`."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from aq_gym.kernels import compiled


@compiled
def average_errors(
    sets: NDArray[np.int64],
    source: NDArray[np.float64],
    level: NDArray[np.float64],
    relation: NDArray[np.float64],
    n_locations: int,
    fresh_error: float,
    fuse: bool,
    room: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Write (K,) average joint errors of (K, m) ascending location sets, filled up with -1."""
    n_slots, width = len(level), room.shape[1]
    top, bottom, first, error = room[0], room[1], room[2], room[3]
    for k in range(len(sets)):
        m = 0
        while m < sets.shape[1] and sets[k, m] >= 0:
            m += 1
        total = 0.0
        for t in range(n_slots):
            for i in range(m):
                mean, variance = relation[0, sets[k, i]], relation[1, sets[k, i]]
                c, s = source[t, i, 0], source[t, i, 1]
                if i == 0:
                    for j in range(width):
                        bottom[j] = c + variance[j]
                        top[j] = 1.0
                        first[j] = s + mean[j]
                else:
                    for j in range(width):
                        own = c + variance[j]
                        top[j] = top[j] * own + bottom[j]
                        first[j] = first[j] * own + (s + mean[j]) * bottom[j]
                        bottom[j] = bottom[j] * own
                if i % 16 == 15:
                    for j in range(width):
                        scale = 1.0 / bottom[j]
                        top[j] *= scale
                        first[j] *= scale
                        bottom[j] = 1.0
            for j in range(width):
                error[j] = sqrt(top[j] * bottom[j] + first[j] * first[j]) / top[j]
            if not fuse:
                for i in range(m):
                    if source[t, i, 2] > 0.0:
                        error[sets[k, i]] = fresh_error
            sum_ = 0.0
            for j in range(n_locations):
                sum_ += error[j]
            total += sum_ * level[t]
        found[k] = total / (n_slots * n_locations)
