"""One device: the exact optimum, and the policy that earns it.

W(t, p, e), the value of sensing, is stored; values between sensings are computed anew when somebody asks for them.
"""

import math
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.exact.compiled import in_threads
from baselines.exact.hidden_solution import HiddenSolution, solve_hidden
from baselines.exact.induction import decide, induce
from baselines.exact.several_devices import JointSolution, expected_error, solve_joint
from baselines.exact.states import (
    MAX_BYTES,
    FloatArray,
    Info,
    IntArray,
    check_max_bytes,
    check_plain,
    level_index,
    read_info,
)

MAX_DECISION_BYTES = 128 << 20  # a larger table of decisions is not stored: act then computes what it compares


class Solution(JointSolution):
    """The exact optimum of one device, and a Policy that earns it.

    It holds W(t, p, e), the values without energy and the table of errors: 8 E ((B + E) T + D E) bytes. The first call
    of `act` adds a table of decisions, one bit a state, where that takes at most 128 MiB; otherwise `act` computes the
    values that it compares. Energies, delays and records come without an axis of devices.
    """

    _single = True

    @property
    def sensing(self) -> FloatArray:
        """(B + 1, E, T + 2) a copy of the values of sensing, by energy, level, slot [µg/m³].

        Without energy -inf, after slot T 0.
        """
        # A row of the table is the energy after sensing, here before it; its last row, all energy, cannot occur
        found = np.pad(self._tables.sensing[:-1], ((1, 0), (0, 0), (0, 1)))
        found[0, :, : self.problem.horizon + 1] = -np.inf
        found[1:, :, 0] = 0.0  # no slot
        return found

    def act(self, observation: Any, info: Info) -> Any:
        """The optimal action from `info` alone: an int for one episode, (K,) for a batch. A tie is resolved as off."""
        slot, level = read_info(info, "slot", "level")
        own = (x.reshape(*level.shape, -1)[..., 0] for x in read_info(info, "energy", "delay", "record"))
        slot, level, energy, delay, record = np.broadcast_arrays(slot, level, *own)
        running = (slot <= self.problem.horizon) & (energy > 0)  # after the end: off
        action = np.array(running & (delay >= self.problem.max_sleep))
        free = running & (delay < self.problem.max_sleep)
        if free.any():
            levels = self.problem.network.levels
            u, e = level_index(levels, record[free], "record"), level_index(levels, level[free], "level")
            action[free] = self._prefers_sensing(slot[free], energy[free], delay[free], u, e)
        return action.astype(np.int64) if action.ndim else int(action)

    def _prefers_sensing(self, t: IntArray, p: IntArray, d: IntArray, u: IntArray, e: IntArray) -> NDArray[np.bool_]:
        if self._decisions is None:
            levels = self.problem.network.levels
            values = self.action_values(t, p, d, levels[u], levels[e])
            return np.asarray(values[:, 1] > values[:, 0])
        return np.asarray(self._decisions[p - 1, u, d - 1, e, t >> 3] >> (t & 7).astype(np.uint8) & 1 == 1)

    @cached_property
    def _decisions(self) -> NDArray[np.uint8] | None:
        """(B, E, D - 1, E, bytes) a bit a slot, whether sensing is better; None where that would be too large."""
        problem, n_levels = self.problem, self.problem.network.n_levels
        shape = (problem.energy_budget, n_levels, problem.max_sleep - 1, n_levels, problem.horizon // 8 + 1)
        if math.prod(shape) > MAX_DECISION_BYTES:
            return None
        packed = np.empty(shape, dtype=np.uint8)
        better = np.zeros((*shape[1:4], problem.horizon + 1), dtype=np.bool_)
        for energy in range(1, problem.energy_budget + 1):
            in_threads(partial(decide, self._tables, energy, better), n_levels)
            packed[energy - 1] = np.packbits(better, axis=-1, bitorder="little")
        return packed


def solve(
    network: SensorNetwork | str | Path,
    device: int,
    horizon: int,
    energy_budget: int,
    max_sleep: int,
    *,
    max_bytes: int = MAX_BYTES,
    **inference: Any,
) -> Solution | HiddenSolution:
    """The exact optimum of one device by backward induction (30)(31), Algorithm 1.

    Args:
        network: the fitted parameters, or a name or path of them.
        device: location of the device.
        horizon: T, slots.
        energy_budget: B, sensings.
        max_sleep: D, slots.
        max_bytes: refuse instances of a hidden level that need more memory [bytes].
        inference: how maps are inferred and what else is special, as in the environments: ``inference``,
            ``level_noise``, ``belief``, ``loss``, ``energy_budgets``, ``harvest``; ``fuse_measured`` changes nothing.

    Raises:
        TypeError: an argument that there is not.
        ValueError: an argument of the wrong type or out of range, B D < T, or an instance that is too large.
    """
    if not isinstance(device, int | np.integer) or isinstance(device, bool):
        raise ValueError(f"device: expected one integer location, got {device!r}; solve_joint takes several")
    check_max_bytes(max_bytes)
    problem = Problem.create(network, int(device), horizon, energy_budget, max_sleep, **inference)
    if problem.inference == "hidden":
        return solve_hidden(problem, "sequential", True, max_bytes)
    check_plain(problem)
    tables = induce(problem)
    return Solution(problem, expected_error(problem, tables), "sequential", tables)


def optimal_policy(problem: Problem) -> Any:
    """The exact solution of any number of devices; a problem that is too large is refused."""
    if problem.n_devices > 1:
        return solve_joint(**problem.arguments)
    arguments = problem.arguments
    return solve(device=arguments.pop("devices")[0], **arguments)
