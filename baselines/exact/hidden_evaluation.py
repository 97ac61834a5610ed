"""The exact error of a policy where the level is hidden: the distribution of what the devices have reported."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.hidden_level import HiddenLevel
from aq_gym.problem import Problem
from baselines.exact.hidden_devices import States, level_weights
from baselines.exact.hidden_induction import powers
from baselines.exact.states import FloatArray, IntArray, info_of, kept


def evaluate_hidden(
    ask: Callable[[dict[str, NDArray[Any]]], IntArray], problem: Problem, negligible: float, most_states: int
) -> float:
    """Expected average cost of an episode [µg/m³ per slot].

    Args:
        ask: the actions that are executed in all states of an info, (K,).
        problem: what is played.
        negligible: states of at most this probability are dropped, and the rest is scaled up.
        most_states: refuse more.
    """
    network, count, total = problem.network, problem.n_devices, 0.0
    power = powers(network.transition, problem.horizon)
    model, states, weight = problem.hidden_level, States.first(problem), network.start
    for t in range(1, problem.horizon + 1):
        for m in range(count):
            rows, weight = kept(weight, negligible)
            states = states.rows(rows)
            record = network.levels[states.record]
            level = model.level(states.age, record)[0]  # the mean of what the server believes
            on = ask(info_of(t, m, states.energy, states.age, record, level, problem.max_sleep)) == 1
            states, weight = _decided(problem, power, states, weight, on, m)
            if len(weight) > most_states:
                raise ValueError(
                    f"evaluate_exactly: more than {most_states:,} states are reached; take fewer devices or levels "
                    "(network.coarsen), or raise max_bytes"
                )
        total += float(weight @ _costs(problem, model, states))
        states, weight = _next_slot(problem, states._replace(age=states.age + 1), weight)
    return total / problem.horizon


def _decided(
    problem: Problem, power: FloatArray, states: States, weight: FloatArray, on: NDArray[np.bool_], m: int
) -> tuple[States, FloatArray]:
    """The states after device m's decisions and reports."""
    asleep, awake = np.flatnonzero(~on), np.flatnonzero(on)
    parts, weights = [states.rows(asleep)], [weight[asleep]]
    sensing, chance = states.rows(awake), level_weights(power, states.rows(awake))
    for level in range(problem.network.n_levels):
        rows = np.flatnonzero(chance[:, level])
        parts.append(sensing.rows(rows).reported(m, level))
        weights.append((1.0 - problem.loss) * chance[rows, level] * weight[awake[rows]])
    if problem.loss > 0.0:
        parts.append(sensing.lost(m))
        weights.append(problem.loss * weight[awake])
    return _merged(problem, parts, weights)


def _next_slot(problem: Problem, states: States, weight: FloatArray) -> tuple[States, FloatArray]:
    """After the energy that arrives at the end of a slot, at each device by itself."""
    chance, cap = problem.harvest
    for m in range(problem.n_devices if chance > 0.0 else 0):
        rows = np.flatnonzero(states.energy[:, m] < cap)
        energy = states.energy[rows].copy()
        energy[:, m] += 1
        less = weight.copy()
        less[rows] *= 1.0 - chance
        states, weight = _merged(
            problem, [states, states.rows(rows)._replace(energy=energy)], [less, chance * weight[rows]]
        )
    return states, weight


def _merged(problem: Problem, parts: list[States], weights: list[FloatArray]) -> tuple[States, FloatArray]:
    """Equal states together."""
    states, weight = States(*(np.concatenate(x) for x in zip(*parts, strict=True))), np.concatenate(weights)
    sizes = problem.most_energy + 1, problem.horizon + 2, problem.network.n_levels
    code, most = np.zeros(len(weight), dtype=np.int64), 1  # one number a state
    for column, size in zip(np.concatenate(states, axis=1).T, np.repeat(sizes, problem.n_devices), strict=True):
        if most * int(size) > np.iinfo(np.int64).max:  # number those that occur, from 0
            code = np.unique(code, return_inverse=True)[1]
            most = len(code)
        code, most = code * size + column, most * int(size)
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return states.rows(first), np.bincount(inverse, weights=weight, minlength=len(first))


def _costs(problem: Problem, model: HiddenLevel, states: States) -> FloatArray:
    """(n,) cost of the slot [µg/m³]."""
    reports = np.concatenate([states.age, states.record], axis=1)
    different, inverse = np.unique(reports, axis=0, return_inverse=True)
    age, record = different[:, : problem.n_devices], problem.network.levels[different[:, problem.n_devices :]]
    return np.asarray(model.estimate(problem.devices, age, record).deviation.mean(axis=-1)[inverse.reshape(-1)])
