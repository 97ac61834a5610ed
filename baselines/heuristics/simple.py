"""The simple yardsticks: random sensing, and uniform sensing at the same or at staggered times.

All read the raw state in ``info`` alone, and work on one episode or on a batch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym import schedules
from aq_gym.network_checks import as_count
from aq_gym.policy import own
from aq_gym.problem import Problem
from baselines.playing import check_problem

Info = Mapping[str, Any]
Actions = NDArray[np.int64] | int


def legal(wish: NDArray[np.bool_], info: Info) -> Actions:
    """The wished actions with the forced ones put in: an int for one episode, (K,) for a batch."""
    mask = np.asarray(info["action_mask"], dtype=np.bool_)
    return plain((wish | ~mask[..., 0]) & mask[..., 1])


def plain(wish: NDArray[np.bool_]) -> Actions:
    """() bool -> int, (K,) bool -> (K,) int64."""
    return wish.astype(np.int64) if np.ndim(wish) else int(wish)


def sized(observation: NDArray[np.float32], kind: str, size: int) -> NDArray[np.float32]:
    """An observation (..., size)."""
    seen = np.asarray(observation)
    if seen.shape[-1:] != (size,):
        raise ValueError(
            f"observation: expected the {kind!r} one of {size} numbers, got shape {seen.shape}; make the environment "
            f"with observation={kind!r}"
        )
    return seen


def check_devices(problem: Problem, info: Info) -> None:
    """Refuse the state of a problem with another number of devices or another horizon."""
    n_devices, last = np.shape(info["energy"])[-1], int(np.max(info["slot"]))
    if n_devices != problem.n_devices or last > problem.horizon + 1:
        raise ValueError(
            f"info: a state of {n_devices} device(s) in slot {last}, but this policy was built for "
            f"{problem.n_devices} device(s) and {problem.horizon} slots: build it for the environment's problem"
        )


class StatePolicy:
    """A policy that reads the raw state in ``info`` alone."""

    observation = "compact"  # the smallest; it is not read
    training_seconds = 0.0
    needs_observation = False

    def __init__(self, problem: Problem) -> None:
        self.problem = check_problem(problem)


class Random(StatePolicy):
    """Senses with probability (sensings left) / (slots left), so that in expectation it spends its budget evenly.

    Draws are a function of the seed, the number of the episode since `reset`, the slot and the turn, so that they do
    not depend on how many episodes are played side by side. An episode counts when its first decision is asked for.

    A seed of None draws one.
    """

    def __init__(self, problem: Problem, seed: int | None = None) -> None:
        super().__init__(problem)
        self._key = np.uint64(0)
        self._begun = 0
        self._episode = np.zeros(0, np.uint64)
        self.reset(seed)

    def reset(self, seed: int | None) -> None:
        """Begin anew: the next episode is number 0 of this seed."""
        seed = None if seed is None else as_count("seed", seed, 0)
        entropy = None if seed is None else [seed, 0x52616E646F6D]  # apart from the weather's stream of the same seed
        self._key = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
        self._begun, self._episode = 0, np.zeros(0, np.uint64)

    def act(self, observation: Any, info: Info) -> Actions:
        """The actions; `info` as in `aq_gym.policy.Policy`, `observation` is not read."""
        check_devices(self.problem, info)
        slot, turn = np.asarray(info["slot"]), np.asarray(info["turn"])
        left = np.maximum(self.problem.horizon - slot + 1, 1)
        return legal(self._uniform(slot, turn) < own(info["energy"], turn) / left, info)

    def _uniform(self, slot: NDArray[np.int64], turn: NDArray[np.int64]) -> NDArray[np.float64]:
        decision = np.atleast_1d(slot * self.problem.n_devices + turn).astype(np.uint64)
        begins = np.atleast_1d((slot == 1) & (turn == 0))
        if self._episode.shape != begins.shape:
            self._episode, begins = np.zeros(begins.shape, np.uint64), np.ones(begins.shape, np.bool_)
        count = int(begins.sum())
        if count:
            self._episode[begins] = np.arange(self._begun, self._begun + count, dtype=np.uint64)
            self._begun += count
        bits = _mix(_mix(self._key ^ _mix(self._episode)) ^ decision)
        return np.asarray((bits >> np.uint64(11)) * 2.0**-53, np.float64).reshape(np.shape(slot))


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64: a bijection of 64-bit numbers whose outputs look independent. Wraps around on purpose."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


class Uniform(StatePolicy):
    """Senses by a fixed timetable. The environment replaces what the rules forbid.

    Attributes:
        schedule: (T + 1, M) bool, by slot and device; row 0 is empty.
    """

    def __init__(self, problem: Problem, schedule: NDArray[np.bool_]) -> None:
        super().__init__(problem)
        schedule, shape = np.array(schedule), (problem.horizon + 1, problem.n_devices)
        if schedule.shape != shape or schedule.dtype != np.bool_ or schedule[0].any():
            raise ValueError(
                f"schedule: expected bool of shape {shape} with an empty row 0, got {schedule.dtype} {schedule.shape}"
            )
        self.schedule = schedule
        schedule.flags.writeable = False

    def act(self, observation: Any, info: Info) -> Actions:
        """The actions; `info` as in `aq_gym.policy.Policy`, `observation` is not read."""
        check_devices(self.problem, info)
        row = np.asarray(info["slot"]) % len(self.schedule)  # slot T + 1, after the end: row 0
        return plain(np.asarray(self.schedule[row, np.asarray(info["turn"])]))


class Synchronised(Uniform):
    """All devices sense in slots round(k T / (B + 1)), k = 1..B (Python's round: halves go to the even number)."""

    def __init__(self, problem: Problem) -> None:
        check_problem(problem)
        matrix = schedules.synchronised(problem.n_devices, problem.horizon, problem.energy_budget)
        super().__init__(problem, np.pad(matrix, ((0, 0), (1, 0))).T.copy())


class Staggered(Uniform):
    """Device m, counted from 0, senses in slots floor(j T / B + m T / (B M)) + 1, j = 0..B-1."""

    def __init__(self, problem: Problem) -> None:
        check_problem(problem)
        matrix = schedules.staggered(problem.n_devices, problem.horizon, problem.energy_budget)
        super().__init__(problem, np.pad(matrix, ((0, 0), (1, 0))).T.copy())
