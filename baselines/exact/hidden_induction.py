"""One device of a hidden level, backwards in time (docs/model.md, "The level hidden from the server").

The device knows the time t, its energy p, and its last report's age d and record u, so a slot costs c(d, u):

    off = c(d, u) + V_{t+1}(p, d + 1, u),
    on  = q (c(d, u) + V_{t+1}(p - 1, d + 1, u)) + (1 - q) sum_e P^d[u, e] (c(0, e) + V_{t+1}(p - 1, 1, e)).

At each slot the sums are one product of matrices.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from baselines.exact.states import FloatArray


class Rules(NamedTuple):
    """The numbers of a device."""

    horizon: int  # T, slots
    energy: int  # the most sensings that it can hold
    max_sleep: int  # D, slots: with energy left it senses at this age
    longest: int  # ages 1..longest are distinguished; T of them are always enough, D where no report is lost
    loss: float = 0.0  # q, probability that a report is lost; the energy is spent
    harvest: tuple[float, int] = (0.0, 0)  # probability of a sensing more at a slot's end; energy up to which it comes


def powers(transition: FloatArray, longest: int) -> FloatArray:
    """(longest + 1, E, E) P^0, P^1, ..."""
    found = np.empty((longest + 1, *transition.shape))
    found[0] = np.eye(len(transition))
    for d in range(longest):
        found[d + 1] = found[d] @ transition
    return found


def harvested(ahead: FloatArray, harvest: tuple[float, int], axis: int = 0) -> FloatArray:
    """Values by the energy at the end of a slot, from those by energy (along ``axis``) at the next one's beginning."""
    chance, cap = harvest
    if chance == 0.0:
        return ahead
    energy = np.arange(ahead.shape[axis])
    richer = np.take(ahead, np.where(energy < cap, energy + 1, energy), axis=axis)
    return (1.0 - chance) * ahead + chance * richer


def backwards(costs: FloatArray, power: FloatArray, rules: Rules) -> Iterator[tuple[int, FloatArray, FloatArray]]:
    """Slots T, ..., 1 with the cost from there on of sleeping and of sensing.

    Args:
        costs: (C, E) by age and record, up to the greatest age that is reached; C is at least longest + 1.
        power: (longest + 1, E, E) or more.

    Yields:
        t; (energy + 1, longest, E) of sleeping by energy, age - 1 and record; (energy, longest, E) of sensing, by
        energy - 1. Ages above t are never reached and mean nothing.
    """
    horizon, longest, q = rules.horizon, rules.longest, rules.loss
    n_levels = costs.shape[1]
    columns = np.ascontiguousarray(power[1 : longest + 1].reshape(-1, n_levels).T)
    until = np.concatenate([np.zeros((1, n_levels)), np.cumsum(costs, axis=0)])  # sums of the costs before an age
    ages = np.arange(1, longest + 2)
    ahead, room = np.zeros((2, rules.energy + 1, longest + 1, n_levels))
    for t in range(horizon, 0, -1):
        after = harvested(ahead, rules.harvest)
        on = ((costs[0] + after[:-1, 0]) @ columns).reshape(rules.energy, longest, n_levels)
        off = costs[1 : longest + 1] + after[:, 1:]
        if q > 0.0:
            on = (1.0 - q) * on + q * off[:-1]
        yield t, off, on
        ahead, room = room, ahead
        ahead[0, :-1] = off[0]
        np.minimum(off[1:], on, out=ahead[1:, :-1])
        ahead[1:, rules.max_sleep - 1 : -1] = on[:, rules.max_sleep - 1 :]
        ahead[1:, -1] = ahead[1:, -2]  # not reached: the last age senses, unless it is T
        if rules.harvest[0] == 0.0:  # without energy all sleep to the end, also beyond the longest age
            ahead[0] = until[np.minimum(ages + horizon - t + 1, len(costs))] - until[ages]
