"""The exact error of any policy: the distribution of the states that it reaches, decision by decision.

A state is what the policy knows: the devices' energies and last reports, and the level unless it is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.episodes import Episodes
from aq_gym.network import SensorNetwork
from aq_gym.network_checks import as_count, is_number
from aq_gym.policy import Policy
from aq_gym.problem import Problem
from baselines.exact.cells import cell_errors, delay_and_record, n_cells
from baselines.exact.hidden_devices import States, level_weights
from baselines.exact.hidden_induction import powers
from baselines.exact.several_devices import check_bytes
from baselines.exact.states import (
    MAX_BYTES,
    FloatArray,
    IntArray,
    check_max_bytes,
    check_plain,
    digits,
    info_of,
    kept,
    number_of,
)
from baselines.playing import check_policy

_SIDE_BY_SIDE = 2048  # states that are observed together
_STATE_BYTES = 200  # of one state of one or two devices of a hidden level


def evaluate_exactly(
    policy: Policy,
    network: SensorNetwork | str | Path,
    devices: Sequence[int] | int,
    horizon: int,
    energy_budget: int,
    max_sleep: int,
    *,
    observation: str = "full",
    batch: int = 32_768,
    negligible: float = 0.0,
    max_bytes: int = MAX_BYTES,
    **options: Any,
) -> float:
    """A policy's exact expected average joint error [µg/m³], in the sequential view.

    The policy must be deterministic and without memory: `act` is called once for every reached state, in batches with
    an info as the vector environment gives it, and its answer stands for all visits. Illegal actions are replaced by
    the forced ones.

    Args:
        policy: what to evaluate.
        network: the fitted parameters, or a name or path of them.
        devices: location(s) of the devices, in the order in which they decide.
        horizon: T, slots.
        energy_budget: B, sensings per device.
        max_sleep: D, slots.
        observation: what a policy reads that does not say so by an attribute ``observation``. One with a false
            attribute ``needs_observation`` gets None, which is faster.
        batch: states per call of `act`.
        negligible: states of at most this probability are dropped and the rest scaled up; the result is off by at most
            the dropped probability times the largest error. 0 keeps all.
        max_bytes: refuse instances that need more memory [bytes].
        options: how maps are inferred, as in the environments (``fuse_measured``, ``inference``, ``level_noise``,
            ``belief``, ``loss``, ``energy_budgets``, ``harvest``).

    Raises:
        TypeError: an option that there is not, or a policy without a method `act`.
        ValueError: an argument of the wrong type or out of range, an instance that is too large, or an answer of `act`
            that is no batch of actions.
    """
    check_policy(policy)
    as_count("batch", batch, 1)
    check_max_bytes(max_bytes)
    if not is_number(negligible) or not 0.0 <= negligible < 1.0:
        raise ValueError(f"negligible: expected a probability from 0 to below 1, got {negligible!r}")
    problem = Problem.create(network, devices, horizon, energy_budget, max_sleep, **options)
    episodes = None
    if getattr(policy, "needs_observation", True):
        kind = getattr(policy, "observation", None) or observation
        episodes = Episodes(problem, _SIDE_BY_SIDE, observation=kind)
    if problem.inference == "hidden":
        return _evaluate_hidden(policy, problem, episodes, batch, negligible, max_bytes // _STATE_BYTES)
    check_plain(problem)
    states, total = _States.of(problem), 0.0
    size = states.n_rows * problem.network.n_levels
    check_bytes(problem, 6 * size, max_bytes, "evaluate_exactly")
    errors, probability = cell_errors(problem), states.first()
    for t in range(1, problem.horizon + 1):
        for m in range(problem.n_devices):
            k, weight = kept(probability, negligible)
            on = _executed(policy, states.info(k, t, m), episodes, batch)
            probability = np.bincount(states.decided(k, m, on), weights=weight, minlength=size)
        k = np.flatnonzero(probability)
        total += float(probability[k] @ errors[states.error_row(k), k % problem.network.n_levels])
        slept = np.bincount(states.slept(k), weights=probability[k], minlength=size)
        probability = (slept.reshape(-1, problem.network.n_levels) @ problem.network.transition).ravel()
    return total / problem.horizon


class _States(NamedTuple):
    """All states of a slot, numbered: the devices' energies and cells as digits, and then the level."""

    problem: Problem
    cells: int  # C, of a device
    base: int  # (B + 1) C, states of a device
    place: IntArray  # (M,) what a device's state counts
    n_rows: int  # base^M

    @classmethod
    def of(cls, problem: Problem) -> _States:
        cells = n_cells(problem)
        base = (problem.energy_budget + 1) * cells
        place = base ** np.arange(problem.n_devices - 1, -1, -1)
        return cls(problem, cells, base, place, base**problem.n_devices)

    def parts(self, k: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Energies (n, M), cells (n, M) and levels (n,) of states k (n,)."""
        n_levels = self.problem.network.n_levels
        own = digits(k // n_levels, self.base, self.problem.n_devices)
        return own // self.cells, own % self.cells, k % n_levels

    def first(self) -> FloatArray:
        """Probabilities of slot 1: all devices sensed in slot 0."""
        network = self.problem.network
        probability = np.zeros((self.n_rows, network.n_levels))
        rows = self.place.sum() * (self.problem.energy_budget * self.cells + np.arange(network.n_levels))
        probability[rows] = network.start[:, None] * network.transition
        return probability.ravel()

    def info(self, k: IntArray, t: int, m: int) -> dict[str, NDArray[Any]]:
        """What the vector environment would say of states k in slot t when device m decides."""
        energy, cell, e = self.parts(k)
        level = self.problem.network.levels[e]
        delay, record = delay_and_record(self.problem, cell, level)
        return info_of(t, m, energy, delay, record, level, self.problem.max_sleep)

    def decided(self, k: IntArray, m: int, on: IntArray) -> IntArray:
        """The states after device m's decisions."""
        _, cell, _ = self.parts(k)
        spent = self.cells - 1 - cell[:, m] - self.cells  # to the fresh cell, with one sensing less
        return k + on * spent * self.place[m] * self.problem.network.n_levels

    def slept(self, k: IntArray) -> IntArray:
        """The states one slot later, at the same level."""
        n_levels = self.problem.network.n_levels
        energy, cell, e = self.parts(k)
        older = np.where(cell + n_levels < self.cells - 1, cell + n_levels, cell)
        cell = np.where(cell == self.cells - 1, e[:, None], older)  # sensed now: delay 1, record e
        return ((energy * self.cells + cell) @ self.place) * n_levels + e

    def error_row(self, k: IntArray) -> IntArray:
        """Rows of the table of errors."""
        return number_of(self.parts(k)[1], self.cells)


def _observed(episodes: Episodes, info: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Observations of any states, from the environments' own dynamics."""
    n, parts = len(episodes), []
    for begin in range(0, info["slot"].size, n):
        rows = np.minimum(np.arange(begin, begin + n), info["slot"].size - 1)  # the last batch is filled up
        state = [info[name][rows] for name in ("slot", "turn", "energy", "delay", "record", "level")]
        parts.append(episodes.observe_states(*state))
    return np.concatenate(parts)[: info["slot"].size]


def _executed(policy: Policy, info: dict[str, NDArray[Any]], episodes: Episodes | None, batch: int) -> IntArray:
    """(K,) actions of the policy in all states of `info`, the illegal ones replaced by the forced ones."""
    n_states = info["slot"].size
    actions = np.empty(n_states, dtype=np.int64)
    for begin in range(0, n_states, batch):
        part = {name: x[begin : begin + batch] for name, x in info.items()}
        size = part["slot"].size
        seen: Any = None if episodes is None else _observed(episodes, part)
        answer = np.asarray(policy.act(seen, part))
        if answer.shape != (size,) or not np.isin(answer, (0, 1)).all():
            raise ValueError(f"policy: act must return ({size},) actions in {{0, 1}}, got {answer.shape}: {answer!r}")
        actions[begin : begin + batch] = answer
    may_sleep, may_sense = info["action_mask"].T == 1
    return np.where(may_sleep, actions * may_sense, 1)


def _evaluate_hidden(
    policy: Policy, problem: Problem, episodes: Episodes | None, batch: int, negligible: float, most: int
) -> float:
    """`evaluate_exactly` where the level is hidden; more than ``most`` states are refused."""
    network, total = problem.network, 0.0
    power = powers(network.transition, problem.horizon)
    states, weight = States.first(problem), network.start
    for t in range(1, problem.horizon + 1):
        for m in range(problem.n_devices):
            rows, weight = kept(weight, negligible)
            states = states.rows(rows)
            record = network.levels[states.record]
            level = problem.hidden_level.level(states.age, record)[0]  # the mean of what the server believes
            info = info_of(t, m, states.energy, states.age, record, level, problem.max_sleep)
            on = _executed(policy, info, episodes, batch) == 1
            states, weight = _decided(problem, power, states, weight, on, m)
            if len(weight) > most:
                raise ValueError(
                    f"evaluate_exactly: more than {most:,} states are reached; take fewer devices or levels "
                    "(network.coarsen), or raise max_bytes"
                )
        total += float(weight @ _costs(problem, states))
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


def _costs(problem: Problem, states: States) -> FloatArray:
    """(n,) cost of the slot [µg/m³]."""
    reports = np.concatenate([states.age, states.record], axis=1)
    different, inverse = np.unique(reports, axis=0, return_inverse=True)
    age, record = different[:, : problem.n_devices], problem.network.levels[different[:, problem.n_devices :]]
    found = problem.hidden_level.estimate(problem.devices, age, record)
    return np.asarray(found.deviation.mean(axis=-1)[inverse.reshape(-1)])
