"""The exact optimum where the level is hidden, and the policy that earns it; one device or a few."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from aq_gym.problem import Problem
from baselines.exact.hidden_devices import States, Tables, action_costs, choices, cost_from, induce, joint_costs
from baselines.exact.states import FloatArray, Info, level_index, nearest_level, read_info, whole, written


@dataclass(frozen=True, eq=False)
class HiddenSolution:
    """The exact optimum of one or a few devices under a hidden level, and a Policy that earns it.

    A state is what the devices have reported: nothing here takes the level.

    Attributes:
        problem: the instance.
        expected_error: the least expected average cost of an episode [µg/m³ per slot].
        view: "sequential": `act` returns the decision of the device whose turn it is; "joint": those of all devices,
            taken together, which is worse than in turn, since no report is known to the later ones.
        single: whether energies, delays and records come without an axis of devices.
    """

    problem: Problem
    expected_error: float
    view: Literal["sequential", "joint"]
    single: bool
    _tables: Tables

    needs_observation = False

    def value(
        self, slot: ArrayLike, energy: ArrayLike, delay: ArrayLike, record: ArrayLike, turn: ArrayLike = 0
    ) -> FloatArray:
        """Expected sum of the rewards from this slot on under optimal decisions [µg/m³], arguments broadcast.

        The slot's cost counts in full, also where some devices have decided (turn > 0).

        Args:
            slot: t, 1..T, shape (...).
            energy: sensings left, shape (..., M), or (...) of `solve`.
            delay: slots since the last report, 1..T; 0: of a device before `turn` that has reported in this slot.
            record: the level of that report, one of the network's levels [µg/m³].
            turn: the device that decides, 0..M-1, shape (...).

        Raises:
            ValueError: an argument out of range, no integer, or no level of the network.
        """
        return np.asarray(self.action_values(slot, energy, delay, record, turn).max(axis=-1))

    def action_values(
        self, slot: ArrayLike, energy: ArrayLike, delay: ArrayLike, record: ArrayLike, turn: ArrayLike = 0
    ) -> FloatArray:
        """As `value`, of each action of the device whose turn it is, (..., 2): off, on; -inf where forbidden.

        A state that cannot be reached may have the value NaN. In the joint view (..., 2^M): all decisions, that of the
        first device changing last.
        """
        problem = self.problem
        p = whole("energy", energy, 0, problem.most_energy)
        d = whole("delay", delay, 0, problem.horizon)
        u = level_index(problem.network.levels, record, "record")
        if self.single:
            p, d, u = p[..., None], d[..., None], u[..., None]
        t, m = whole("slot", slot, 1, problem.horizon), whole("turn", turn, 0, problem.n_devices - 1)
        return self._values(t, p, d, u, m)

    def act(self, observation: Any, info: Info) -> Any:
        """Optimal action(s) from `info` alone; a tie is resolved as off. A record counts as the nearest of the levels.

        Sequential view: an int or (K,). Joint view: (M,) or (K, M).
        """
        slot, energy, delay, record, turn = read_info(info, "slot", "energy", "delay", "record", "turn")
        u = nearest_level(self.problem.network.levels, record)
        over = slot > self.problem.horizon  # the observation after the end: off
        delay = np.where(over[..., None], 1, delay)
        values = self._values(np.where(over, 1, slot), np.where(over[..., None], 0, energy), delay, u, turn)
        if self.view == "joint":
            return np.array(choices(self.problem.n_devices))[values.argmax(axis=-1)]
        on = np.asarray((values[..., 1] > values[..., 0]) & ~over, dtype=np.int64)
        return on if on.ndim else int(on)

    def _values(self, t: Any, energy: Any, age: Any, record: Any, turn: Any) -> FloatArray:
        states = np.broadcast_arrays(energy, age, record, np.asarray(t)[..., None], np.asarray(turn)[..., None])
        shape, count = states[0].shape[:-1], self.problem.n_devices
        energy, age, record, t, turn = (np.asarray(x, dtype=np.int64).reshape(-1, count) for x in states)
        joint = self.view == "joint"
        cost = np.empty((len(t), 2**count if joint else 2))
        where = np.stack([t[:, 0], np.zeros_like(t[:, 0]) if joint else turn[:, 0]], axis=1)
        for slot, m in np.unique(where, axis=0):
            rows = np.flatnonzero((where == (slot, m)).all(axis=1))
            some = States(energy[rows], age[rows], record[rows])
            if joint:
                cost[rows] = joint_costs(self._tables, int(slot), some)
            else:
                cost[rows] = action_costs(self._tables, int(slot), some, int(m))
        return -cost.reshape(*shape, -1)


def solve_hidden(
    problem: Problem, view: Literal["sequential", "joint"], single: bool, max_bytes: int
) -> HiddenSolution:
    """The exact optimum of a problem with a hidden level."""
    n_cells = (problem.horizon + 2) * problem.network.n_levels
    needed = (
        8 * n_cells**problem.n_devices * ((problem.horizon + 2) * (problem.most_energy + 1) ** problem.n_devices + 1)
    )
    if needed > max_bytes:
        raise ValueError(
            f"solve: {problem.n_devices} devices, {problem.horizon} slots and {problem.network.n_levels} levels would "
            f"take {written(needed)} bytes of memory, more than max_bytes={max_bytes:,}. Take fewer devices or levels "
            "(network.coarsen), or a shorter horizon, or raise max_bytes"
        )
    tables = induce(problem, view == "joint")
    start, states = problem.network.start, States.first(problem)
    cost = joint_costs(tables, 1, states).min(axis=1) if view == "joint" else cost_from(tables, 1, states)
    return HiddenSolution(problem, float(start @ cost) / problem.horizon, view, single, tables)
