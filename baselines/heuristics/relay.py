"""Relays for a hidden level: the devices take turns, so that their energy is one pool and some report is always fresh.

`Relay` reports at even intervals, `RetryingRelay` too, but anew after each lost report. `BestTimetable` reports at the
best times that can be fixed beforehand, `AdaptiveRelay` when the last report says so.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.hidden_level import HiddenLevel
from aq_gym.problem import Problem
from baselines.exact.hidden_induction import Rules, backwards, powers
from baselines.exact.states import nearest_level
from baselines.heuristics.simple import Actions, StatePolicy, Uniform, check_devices, legal

_LONGEST = 6.0  # even intervals that an adaptive relay can sleep


class Relay(Uniform):
    """Report k = 1..K of all K sensings comes in slot round(k T / (K + 1)), of the device with the most energy left."""

    def __init__(self, problem: Problem) -> None:
        k = np.arange(1, sum(problem.energies) + 1)
        super().__init__(problem, in_turn(problem, np.rint(k * problem.horizon / (len(k) + 1)).astype(np.int64)))


class RetryingRelay(StatePolicy):
    """Even intervals from the last report on: it senses when the slots left, shared by the energy left, are over."""

    def act(self, observation: Any, info: Mapping[str, Any]) -> Actions:
        """The actions; `info` as in `aq_gym.policy.Policy`, `observation` is not read."""
        check_devices(self.problem, info)
        energy, delay, slot = (np.asarray(info[name]) for name in ("energy", "delay", "slot"))
        age, left = delay.min(axis=-1), energy.sum(axis=-1)
        due = age * (left + 1) >= self.problem.horizon - slot + 1 + age
        return legal(due & (age > 0) & (next_device(energy, delay) == np.asarray(info["turn"])), info)


class BestTimetable(Uniform):
    """The times of least expected cost for one device that has the energy of all, dealt out as in `Relay`.

    The level's distribution in slot s is start P^s, so that a report of slot s costs a known sum until the next one.
    """

    def __init__(self, problem: Problem) -> None:
        began = time.perf_counter()
        super().__init__(problem, in_turn(problem, best_times(problem)))
        self.training_seconds = time.perf_counter() - began


class AdaptiveRelay(StatePolicy):
    """The exact optimum of one device that has the energy of all says when; the device with the most energy goes.

    It plans with the cost of a slot that a relay has at even intervals, by the freshest report's age and record.
    """

    def __init__(self, problem: Problem) -> None:
        began = time.perf_counter()
        super().__init__(problem)
        chance, cap = problem.harvest
        energy = sum(max(own, cap) for own in problem.energies)  # the most that all can hold together
        self._longest = longest_sleep(problem)
        harvest = min(1.0, problem.n_devices * chance), problem.n_devices * cap
        rules = Rules(problem.horizon, energy, self._longest, self._longest, problem.loss, harvest)
        costs = relay_costs(problem, self._longest + problem.horizon)
        packed = problem.horizon + 1, energy, self._longest, -(-costs.shape[1] // 8)
        self._on = np.zeros(packed, np.uint8)  # a bit a level: by slot, energy - 1 and age - 1
        for t, off, on in backwards(costs, powers(problem.network.transition, self._longest), rules):
            self._on[t] = np.packbits(on < off[1:], axis=-1)
        self.training_seconds = time.perf_counter() - began

    def act(self, observation: Any, info: Mapping[str, Any]) -> Actions:
        """The actions; `info` as in `aq_gym.policy.Policy`, `observation` is not read."""
        check_devices(self.problem, info)
        energy, delay, record = (np.asarray(info[name]) for name in ("energy", "delay", "record"))
        fresh = delay.argmin(axis=-1)[..., None]
        age = np.take_along_axis(delay, fresh, -1)[..., 0]
        u = nearest_level(self.problem.network.levels, np.take_along_axis(record, fresh, -1)[..., 0])
        left = energy.sum(axis=-1)
        slot = np.asarray(info["slot"]) % len(self._on)  # slot T + 1, after the end: row 0
        byte = self._on[slot, np.maximum(left, 1) - 1, np.clip(age, 1, self._longest) - 1, u >> 3]
        due = (byte >> (7 - (u & 7)).astype(np.uint8) & 1 == 1) | (age >= self._longest)
        wish = due & (age > 0) & (left > 0) & (next_device(energy, delay) == np.asarray(info["turn"]))
        return legal(wish, info)


def next_device(energy: NDArray[np.int64], delay: NDArray[np.int64]) -> NDArray[np.int64]:
    """(...) the device with the most energy, of those the longest asleep, of those the first; from (..., M)."""
    return np.asarray((energy * (int(delay.max(initial=0)) + 1) + delay).argmax(axis=-1))


def in_turn(problem: Problem, times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(T + 1, M) timetable: at each of the times, in order, the device with the most energy senses."""
    schedule = np.zeros((problem.horizon + 1, problem.n_devices), np.bool_)
    energy, last = np.array(problem.energies), np.zeros(problem.n_devices, np.int64)
    for t in np.clip(times, 1, problem.horizon).tolist():
        free = np.where(schedule[t], 0, energy)
        device = int(next_device(free, t - last))
        if free[device] > 0:
            schedule[t, device] = True
            energy[device] -= 1
            last[device] = t
    return schedule


def longest_sleep(problem: Problem) -> int:
    """Slots that an adaptive relay can sleep; more than there are where nothing makes it wake."""
    even = problem.horizon / (sum(problem.energies) + 1)
    return int(min(problem.horizon + 1, max(np.ceil(_LONGEST * even), problem.max_sleep / problem.n_devices, 2)))


def relay_costs(problem: Problem, longest: int) -> NDArray[np.float64]:
    """(longest + 1, E) cost of a slot in a relay by the age and the record of the freshest report.

    It is averaged over which device reported last. The other devices' reports are older by even intervals and have the
    same record.
    """
    if problem.inference != "hidden":
        raise ValueError(f"a best timetable and an adaptive relay need inference='hidden', got {problem.inference!r}")
    count, levels = problem.n_devices, problem.network.levels
    even = max(1, round(problem.horizon / (sum(problem.energies) + 1)))
    model = HiddenLevel.of(problem.network, problem.belief, longest + count * even)
    costs = np.zeros((longest + 1, levels.size))
    age, record = np.arange(longest + 1)[:, None, None], np.repeat(levels[:, None], count, axis=1)
    for first in range(count):
        older = even * ((np.arange(count) - first) % count)
        delay, known = np.broadcast_arrays(age + older, record)
        costs += model.estimate(problem.devices, delay, known).deviation.mean(axis=-1) / count
    return costs


def best_times(problem: Problem) -> NDArray[np.int64]:
    """(K,) the slots in which the K sensings of all devices together cost least, by dynamic programming.

    Losses are not planned for: a timetable does not know them.
    """
    horizon, energy = problem.horizon, sum(problem.energies)
    longest = min(horizon, max(longest_sleep(problem), -(-horizon // energy)))
    distribution, expected = problem.network.start, np.empty((horizon + 1, longest + 1))
    costs = relay_costs(problem, longest)
    for s in range(horizon + 1):
        expected[s] = costs @ distribution  # of age d, after a report in slot s
        distribution = distribution @ problem.network.transition
    best = np.full((energy + 1, horizon + 2), np.inf)  # cost of the slots after a report in slot s
    following = np.zeros((energy + 1, horizon + 2), np.int64)
    for s in range(horizon, -1, -1):
        asleep = np.concatenate([[0.0], np.cumsum(expected[s, 1:])])  # of 0, 1, ... slots asleep
        left = horizon - s
        if left <= longest:
            best[:, s] = asleep[left]  # no more reports
        for gap in range(1, min(longest, left) + 1):
            cost = asleep[gap - 1] + expected[s + gap, 0] + best[:-1, s + gap]
            better = cost < best[1:, s]
            best[1:, s][better], following[1:, s][better] = cost[better], s + gap
    times, s = [], 0
    for p in range(energy, 0, -1):
        if following[p, s] == 0:
            break
        s = int(following[p, s])
        times.append(s)
    return np.array(times, np.int64)
