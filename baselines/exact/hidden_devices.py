"""Exact values of devices under a hidden level: what one decision in a slot is worth, whatever their number.

Devices decide in turn. A report is known to the later devices of the same slot, so deciding in turn can be better than
deciding together. The level is a Markov chain: given the freshest report (d, u) its distribution is P^d[u]; older
reports say nothing more.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.problem import Problem
from baselines.exact.hidden_induction import Rules, backwards, harvested, powers
from baselines.exact.states import FloatArray, IntArray, digits, number_of

_SIDE_BY_SIDE = 10_000  # states whose maps are made together


class States(NamedTuple):
    """n states; an age of 0 is a report of this slot."""

    energy: IntArray  # (n, M)
    age: IntArray  # (n, M) slots
    record: IntArray  # (n, M) indices of levels

    def rows(self, k: IntArray) -> States:
        """Those of some rows."""
        return States(self.energy[k], self.age[k], self.record[k])

    @classmethod
    def first(cls, problem: Problem) -> States:
        """Those at the beginning of slot 1, one for each level of slot 0, in which all have reported."""
        record = np.repeat(np.arange(problem.network.n_levels)[:, None], problem.n_devices, axis=1)
        return cls(np.broadcast_to(problem.energies, record.shape), np.ones_like(record), record)

    def lost(self, m: int) -> States:
        """Device m has sensed, and its report is lost."""
        energy = self.energy.copy()
        energy[:, m] -= 1
        return self._replace(energy=energy)

    def reported(self, m: int, level: int) -> States:
        """Device m has sensed, and its report has come."""
        age, record = self.age.copy(), self.record.copy()
        age[:, m], record[:, m] = 0, level
        return States(self.lost(m).energy, age, record)


class Tables(NamedTuple):
    """What the values are computed from."""

    problem: Problem
    power: FloatArray  # (T + 1, E, E) P^d
    costs: FloatArray  # (C^M,) the cost of a slot by the devices' cells, age E + record, ages 0..T + 1 [µg/m³]
    after: FloatArray  # (T + 2, (energies)^M, C^M) cost from slot t on, before energy is harvested [µg/m³]

    @property
    def n_cells(self) -> int:
        """C, cells of a device."""
        return (self.problem.horizon + 2) * self.problem.network.n_levels

    @property
    def n_energies(self) -> int:
        """Energies of a device, 0 included."""
        return self.problem.most_energy + 1

    def cells(self, states: States) -> IntArray:
        """(n,) the devices' cells as one number."""
        return number_of(states.age * self.problem.network.n_levels + states.record, self.n_cells)


def level_weights(power: FloatArray, states: States) -> FloatArray:
    """(n, E) distribution of the level: that of the freshest report; power: P^0, P^1, ..."""
    fresh = states.age.argmin(axis=1)[:, None]
    age = np.take_along_axis(states.age, fresh, 1)[:, 0]
    return np.asarray(power[age, np.take_along_axis(states.record, fresh, 1)[:, 0]])


def cost_from(tables: Tables, t: int, states: States, m: int = 0, choice: tuple[int, ...] | None = None) -> FloatArray:
    """(n,) least expected cost from slot t on where devices m, m + 1, ... have to decide.

    The tables' rows of ``after`` for slot t + 1 must be filled. ``choice``: (M,) decisions that are taken, whatever is
    reported meanwhile; None: the best.
    """
    if m == tables.problem.n_devices:
        now, later = tables.cells(states), tables.cells(states._replace(age=states.age + 1))
        return tables.costs[now] + tables.after[t + 1, number_of(states.energy, tables.n_energies), later]
    return np.asarray(action_costs(tables, t, states, m, choice).min(axis=1))


def action_costs(tables: Tables, t: int, states: States, m: int, choice: tuple[int, ...] | None = None) -> FloatArray:
    """(n, 2) as `cost_from`, of device m's off and on; infinite where forbidden."""
    on, off = legal(tables.problem, states, m)
    if choice is not None:
        on, off = on & (choice[m] == 1), off & (choice[m] == 0)
    cost = np.full((len(on), 2), np.inf)
    cost[off, 0] = cost_from(tables, t, states.rows(np.flatnonzero(off)), m + 1, choice)
    cost[on, 1] = _sensing(tables, t, states.rows(np.flatnonzero(on)), m, choice)
    return cost


def _sensing(tables: Tables, t: int, states: States, m: int, choice: tuple[int, ...] | None) -> FloatArray:
    """As `cost_from`, where device m senses."""
    weights, loss = level_weights(tables.power, states), tables.problem.loss
    cost = np.zeros(len(weights))
    for level in range(weights.shape[1]):
        rows = np.flatnonzero(weights[:, level])
        found = cost_from(tables, t, states.rows(rows).reported(m, level), m + 1, choice)
        cost[rows] += (1.0 - loss) * weights[rows, level] * found
    if loss > 0.0:
        cost += loss * cost_from(tables, t, states.lost(m), m + 1, choice)
    return cost


def joint_costs(tables: Tables, t: int, states: States) -> FloatArray:
    """(n, 2^M) as `cost_from`, of all decisions taken together, in the order of `choices`; infinite: forbidden."""
    all_of_them = choices(tables.problem.n_devices)
    return np.stack([cost_from(tables, t, states, 0, choice) for choice in all_of_them], axis=1)


def choices(n_devices: int) -> list[tuple[int, ...]]:
    """All decisions of the devices."""
    return list(itertools.product((0, 1), repeat=n_devices))


def legal(problem: Problem, states: States, m: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(n,) whether device m may sense; whether it may sleep."""
    may_sense = states.energy[:, m] > 0
    return may_sense, ~may_sense | (states.age[:, m] < problem.max_sleep)


def induce(problem: Problem, together: bool = False) -> Tables:
    """The tables of a problem; ``together``: devices decide without the others' reports of the same slot."""
    longest, n_levels, count = problem.horizon + 1, problem.network.n_levels, problem.n_devices
    energies, cells = (problem.most_energy + 1) ** count, ((longest + 1) * n_levels) ** count
    after = np.full((longest + 1, energies, cells), np.nan)  # NaN: what cannot be reached
    after[longest] = 0.0
    tables = Tables(problem, powers(problem.network.transition, longest), _slot_costs(problem), after)
    if count == 1:
        _fill_one(tables)
        return tables
    for t in range(problem.horizon, 0, -1):
        for states in _reachable(problem, t):
            if together:
                cost = joint_costs(tables, t, states).min(axis=1)
            else:
                cost = cost_from(tables, t, states)
            after[t, number_of(states.energy, tables.n_energies), tables.cells(states)] = cost
        _harvest(tables, t)
    return tables


def _fill_one(tables: Tables) -> None:
    """One device: by products of matrices."""
    problem, n_levels, horizon = tables.problem, tables.problem.network.n_levels, tables.problem.horizon
    rules = Rules(horizon, problem.most_energy, problem.max_sleep, horizon, problem.loss, problem.harvest)
    for t, off, on in backwards(tables.costs.reshape(-1, n_levels), tables.power, rules):
        best = off.copy()
        best[1:] = np.where(np.arange(1, horizon + 1)[:, None] < problem.max_sleep, np.minimum(on, off[1:]), on)
        tables.after[t, :, n_levels:-n_levels] = best.reshape(len(best), -1)
        _harvest(tables, t)


def _harvest(tables: Tables, t: int) -> None:
    count = tables.problem.n_devices
    values = tables.after[t].reshape(*[tables.n_energies] * count, -1)
    for device in range(count):
        values = harvested(values, tables.problem.harvest, device)
    tables.after[t] = values.reshape(tables.after[t].shape)


def _slot_costs(problem: Problem) -> FloatArray:
    """`Tables.costs`."""
    levels, count = problem.network.levels, problem.n_devices
    n_cells = (problem.horizon + 2) * levels.size
    costs = np.empty(n_cells**count)
    for begin in range(0, costs.size, _SIDE_BY_SIDE):
        code = np.arange(begin, min(begin + _SIDE_BY_SIDE, costs.size))
        cell = digits(code, n_cells, count)
        found = problem.hidden_level.estimate(problem.devices, cell // levels.size, levels[cell % levels.size])
        costs[code] = found.deviation.mean(axis=-1)
    return costs


def _reachable(problem: Problem, t: int) -> list[States]:
    """The states at the beginning of slot t, one `States` for each combination of energies.

    Devices that reported in the same slot reported the same level.
    """
    found = []
    lasting = problem.loss > 0.0 or problem.harvest[0] > 0.0  # else a device with energy sleeps at most D slots
    for energy in itertools.product(*(range(problem.most_energy + 1) for _ in problem.devices)):
        ages = [range(1, 1 + (t if p == 0 or lasting else min(t, problem.max_sleep))) for p in energy]
        axes = [np.arange(problem.network.n_levels)] * len(ages)
        grid = np.stack([x.ravel() for x in np.meshgrid(*map(np.array, ages), *axes, indexing="ij")], axis=1)
        age, record = grid[:, : len(ages)], grid[:, len(ages) :]
        same = age[:, :, None] == age[:, None, :]
        possible = ~(same & (record[:, :, None] != record[:, None, :])).any(axis=(1, 2))
        age, record = age[possible], record[possible]
        found.append(States(np.broadcast_to(energy, age.shape), age, record))
    return found
