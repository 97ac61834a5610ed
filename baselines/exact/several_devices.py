"""Several devices: the exact joint optimum, and the policy that earns it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.exact.cells import cell_of, n_cells
from baselines.exact.hidden_solution import HiddenSolution, solve_hidden
from baselines.exact.induction import Tables, induce, look_ahead, n_numbers
from baselines.exact.states import (
    MAX_BYTES,
    FloatArray,
    Info,
    IntArray,
    check_max_bytes,
    check_plain,
    level_index,
    number_of,
    read_info,
    whole,
    written,
)


class _States(NamedTuple):
    """n states; levels and records as indices."""

    slot: IntArray  # (n,)
    turn: IntArray  # (n,)
    energy: IntArray  # (n, M)
    delay: IntArray  # (n, M) 0: sensed in this slot
    record: IntArray  # (n, M)
    level: IntArray  # (n,)


@dataclass(frozen=True, eq=False)
class JointSolution:
    """The exact joint optimum of a few devices, and a Policy that earns it.

    It holds the values of sensing and the table of errors: 8 E ((T + 1) (B + 1)^M ((K + 1)^M - K^M) + (K + 1)^M) bytes
    with K = D E, and a little for devices without energy. Values of slots in which all devices sleep are computed anew
    when somebody asks for them.

    Attributes:
        problem: the instance.
        expected_error: the least expected average joint error of an episode [µg/m³].
        view: "sequential" or "joint": what `act` returns, the decision of the device whose turn it is or all decisions.
    """

    problem: Problem
    expected_error: float
    view: Literal["sequential", "joint"]
    _tables: Tables = field(repr=False)

    needs_observation = False
    _single = False  # whether energies, delays and records come without an axis of devices

    def value(
        self,
        slot: ArrayLike,
        energy: ArrayLike,
        delay: ArrayLike,
        record: ArrayLike,
        level: ArrayLike,
        turn: ArrayLike = 0,
    ) -> FloatArray:
        """Expected sum of the rewards from this decision on under optimal decisions [µg/m³].

        Args:
            slot: t, 1..T, shape (...).
            energy: sensings left, 0..B, shape (..., M); of a solution of one device (...), as are delay and record.
            delay: slots since each device last sensed, shape (..., M): 1..D; 0 for a device that sensed in this slot,
                which only those before `turn` can have done.
            record: the level when each last sensed, shape (..., M) [µg/m³].
            level: the level now, shape (...) [µg/m³].
            turn: the device that decides, 0..M-1, shape (...); the value of the joint view is that of turn 0.

        Raises:
            ValueError: an argument out of range, of a wrong shape, or no level of the network.
        """
        return np.asarray(self.action_values(slot, energy, delay, record, level, turn).max(axis=-1))

    def action_values(
        self,
        slot: ArrayLike,
        energy: ArrayLike,
        delay: ArrayLike,
        record: ArrayLike,
        level: ArrayLike,
        turn: ArrayLike = 0,
    ) -> FloatArray:
        """As `value`, of each action of the device whose turn it is, (..., 2): off, on; -inf where forbidden."""
        own = (np.asarray(x)[..., None] if self._single else x for x in (energy, delay, record))
        return self._values(slot, *own, level, turn)

    def _values(self, slot: Any, energy: Any, delay: Any, record: Any, level: Any, turn: Any) -> FloatArray:
        problem, levels, n_devices = self.problem, self.problem.network.levels, self.problem.n_devices
        p, d = whole("energy", energy, 0, problem.energy_budget), whole("delay", delay, 0, problem.max_sleep)
        u = level_index(levels, record, "record")
        for name, x in (("energy", p), ("delay", d), ("record", u)):
            if x.ndim == 0 or x.shape[-1] != n_devices:
                raise ValueError(f"{name}: expected shape (..., {n_devices}), one number a device, got {x.shape}")
        t = whole("slot", slot, 1, problem.horizon)
        m, e = whole("turn", turn, 0, n_devices - 1), level_index(levels, level, "level")
        p, d, u, t, m, e = np.broadcast_arrays(p, d, u, t[..., None], m[..., None], e[..., None])
        shape = p.shape[:-1]
        p, d, u, t, m, e = (x.reshape(-1, n_devices) for x in (p, d, u, t, m, e))
        if ((d == 0) & (np.arange(n_devices) >= m)).any():
            raise ValueError(
                "delay: 0 for a device that has not decided yet; only those before `turn` can have sensed now"
            )
        if ((d == 0) & (u != e)).any():
            raise ValueError("record: a device with delay 0 sensed in this slot, so its record must equal the level")
        states = _States(t[:, 0], m[:, 0], p, d, u, e[:, 0])
        return _action_values(problem, self._tables, states).reshape(*shape, 2)

    def act(self, observation: Any, info: Info) -> Any:
        """Optimal action(s) from `info` alone; a tie is resolved as off.

        Sequential view: of the device whose turn it is, an int or (K,). Joint view: as `joint_actions`.
        """
        if self.view == "joint":
            return self.joint_actions(info)
        slot, energy, delay, record, level, turn = read_info(info, "slot", "energy", "delay", "record", "level", "turn")
        actions = self._actions(slot, energy, delay, record, level, turn)
        return actions if level.ndim else int(actions)

    def joint_actions(self, info: Info) -> IntArray:
        """Optimal decisions of all devices at the beginning of a slot, (M,) or (K, M) in {0, 1}."""
        slot, energy, delay, record, level = read_info(info, "slot", "energy", "delay", "record", "level")
        energy, delay, record = energy.copy(), delay.copy(), record.copy()
        chosen = np.zeros(energy.shape, dtype=np.int64)
        for m in range(self.problem.n_devices):
            on = self._actions(slot, energy, delay, record, level, np.asarray(m))
            chosen[..., m] = on
            energy[..., m] -= on
            delay[..., m] = np.where(on, 0, delay[..., m])
            record[..., m] = np.where(on, level, record[..., m])
        return chosen

    def _actions(self, slot: NDArray[Any], energy: Any, delay: Any, record: Any, level: Any, turn: Any) -> IntArray:
        over = slot > self.problem.horizon  # the observation after the end: off
        slot, delay = np.where(over, 1, slot), np.where(over[..., None], 1, delay)
        values = self._values(slot, energy, delay, record, level, turn)
        return np.asarray((values[..., 1] > values[..., 0]) & ~over, dtype=np.int64)


def _action_values(problem: Problem, tables: Tables, states: _States) -> FloatArray:
    """(n, 2) values of off and on of the deciding device, -inf where forbidden."""
    values = np.full((len(states.slot), 2), -np.inf)
    devices = np.arange(problem.n_devices)
    forced = (states.energy > 0) & (states.delay == problem.max_sleep)
    for choice in range(1 << problem.n_devices):
        on = (choice >> devices & 1).astype(np.bool_)
        legal = np.where(on, states.energy > 0, ~forced)
        legal = np.where(devices < states.turn[:, None], ~on, legal)  # those before have decided
        k = np.flatnonzero(legal.all(axis=1))
        after = _States(*(x[k] for x in states))
        record = np.where(on, after.level[:, None], after.record)
        after = after._replace(energy=after.energy - on, delay=np.where(on, 0, after.delay), record=record)
        action = on[after.turn].astype(np.int64)
        values[k, action] = np.maximum(values[k, action], _decided(problem, tables, after))
    later = np.flatnonzero(states.turn > 0)  # their reward is the decrease of the error
    cell = cell_of(problem, states.delay[later], states.record[later])
    values[later] += tables.errors[cell @ tables.layout.place[-1], states.level[later]][:, None]
    return values


def _decided(problem: Problem, tables: Tables, states: _States) -> FloatArray:
    """(n,) values once all devices have decided, the slot's error included."""
    slot, _, energy, delay, record, level = states
    layout, fresh, cell = tables.layout, delay == 0, cell_of(problem, delay, record)
    first = fresh.argmax(axis=1)
    rank = number_of(energy, layout.energies)
    row = layout.part[first, 0] + rank * layout.part[first, 1] + (layout.place[first] * cell).sum(axis=1)
    possible = np.where(fresh, energy < problem.energy_budget, (energy == 0) | (delay < problem.max_sleep))
    stored = fresh.any(axis=1) & possible.all(axis=1)  # what can not have happened is not stored, but may be asked for
    values = np.empty(len(slot))
    values[stored] = tables.sensing[row[stored], level[stored], slot[stored]]
    k = np.flatnonzero(~stored)
    alike = np.concatenate([slot[k, None], energy[k], delay[k], record[k]], axis=1)
    sizes = [problem.horizon + 1]
    for size in (layout.energies, problem.max_sleep + 1, layout.n_levels):
        sizes += [size] * problem.n_devices
    _, where, inverse = np.unique(np.ravel_multi_index(alike.T, sizes), return_index=True, return_inverse=True)
    ahead = look_ahead(tables, alike[where])[inverse]
    values[k] = (problem.network.transition[level[k]] * ahead).sum(axis=1)
    values[k] -= tables.errors[cell[k] @ layout.place[-1], level[k]]
    return values


def check_bytes(problem: Problem, numbers: int, max_bytes: int, what: str) -> None:
    """Refuse an instance whose table of errors and so many other `numbers` would take more than `max_bytes`."""
    n_levels, energies = problem.network.n_levels, problem.energy_budget + 1
    needed = 8 * (numbers + n_levels * n_cells(problem) ** problem.n_devices)
    if needed > max_bytes:
        states = (energies * n_cells(problem)) ** problem.n_devices * n_levels
        raise ValueError(
            f"{what}: {written(states)} states a slot ({problem.n_devices} devices with {energies} energies, "
            f"{problem.max_sleep} delays and {n_levels} levels) would take {written(needed)} bytes of memory, more "
            f"than max_bytes={max_bytes:,}. Take fewer devices or levels (network.coarsen), a smaller energy_budget or "
            f"max_sleep, or raise max_bytes"
        )


def solve_joint(
    network: SensorNetwork | str | Path,
    devices: Sequence[int],
    horizon: int,
    energy_budget: int,
    max_sleep: int,
    *,
    view: Literal["sequential", "joint"] = "sequential",
    max_bytes: int = MAX_BYTES,
    **inference: Any,
) -> JointSolution | HiddenSolution:
    """The exact joint optimum of a few devices by backward induction over all their states.

    Args:
        network: the fitted parameters, or a name or path of them.
        devices: locations of the devices, in the order in which they decide.
        horizon: T, slots.
        energy_budget: B, sensings per device.
        max_sleep: D, slots.
        view: "sequential" for a policy that decides turn by turn (V-B), "joint" for simultaneous actions. Where
            the level is known, both have the same optimum (Proposition 3) and are solved in the same way. Where it is
            hidden, deciding in turn can be better: a report is known to the later devices of the same slot.
        max_bytes: refuse instances that need more memory [bytes].
        inference: how maps are inferred, as in the environments: ``fuse_measured``, ``inference``, ``level_noise``,
            ``belief``, ``loss``, ``energy_budgets``, ``harvest``.

    Raises:
        TypeError: an argument that there is not.
        ValueError: an argument of the wrong type or out of range, B D < T, or an instance that is too large (the
            message gives its states and bytes).
    """
    check_max_bytes(max_bytes)
    if view not in ("sequential", "joint"):
        raise ValueError(f"view: expected 'sequential' or 'joint', got {view!r}")
    problem = Problem.create(network, devices, horizon, energy_budget, max_sleep, **inference)
    if problem.inference == "hidden":
        return solve_hidden(problem, view, False, max_bytes)
    check_plain(problem)
    check_bytes(problem, 0, max_bytes, "solve_joint")  # of many devices the layout alone is too large to be made
    check_bytes(problem, n_numbers(problem), max_bytes, "solve_joint")
    tables = induce(problem)
    return JointSolution(problem, expected_error(problem, tables), view, tables)


def expected_error(problem: Problem, tables: Tables) -> float:
    """The average joint error of an episode that begins after all devices sensed in slot 0 [µg/m³]."""
    network, count = problem.network, problem.n_devices
    energies, delays = [problem.energy_budget] * count, [0] * count
    states = np.array([[0, *energies, *delays, *[level] * count] for level in range(network.n_levels)])
    values = look_ahead(tables, states)
    return -float(network.start @ (network.transition * values).sum(axis=1)) / problem.horizon
