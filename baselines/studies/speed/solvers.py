"""Exact dynamic programming beside general solvers of Markov decision processes."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from aq_gym import SensorNetwork, calibration, datasets
from baselines.exact.one_device import solve
from baselines.exact.several_devices import solve_joint
from baselines.studies.speed.comparison import Comparison, named, peer, timed

FloatArray = NDArray[np.float64]
HORIZON, BUDGET, SLEEP = 144, 24, 24
LARGEST: tuple[Any, ...] = (SensorNetwork.load("pku2018").coarsen(6), (0, 15), 72, 6, 12)  # that quantecon has room for
DENSE_SLOTS = 4  # that the dense peer is timed for: each takes as long as the others


def banded(n_levels: int) -> SensorNetwork:
    """The campus with so many levels, of which each is followed by itself or one of two neighbours on either side."""
    steps = np.arange(n_levels)
    weight = np.choose(np.minimum(np.abs(steps[:, None] - steps), 3), [10.0, 4.0, 1.0, 0.0])
    transition = weight / weight.sum(axis=1, keepdims=True)
    start = np.full(n_levels, 1.0 / n_levels)
    campus = SensorNetwork.load("pku2018")
    levels = np.linspace(5.0, 465.0, n_levels)
    return dataclasses.replace(campus, levels=levels, transition=transition, start=start, name=f"banded-{n_levels}")


def errors_of(network: SensorNetwork, sleep: int) -> FloatArray:
    """(D + 1, E, E) average joint error by delay, record and level; device 0."""
    levels = network.levels
    delay, record, level = np.meshgrid(np.arange(sleep + 1), levels, levels, indexing="ij")
    parts = [
        network.joint_error((0,), d[..., None], u[..., None], e).mean(axis=-1)
        for d, u, e in zip(delay, record, level, strict=True)
    ]
    return np.array(parts)


def _decision_problem(rewards: FloatArray, moves: Any, states: Any, actions: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "infinite horizon solution methods are disabled")
        return peer("quantecon.markov").DiscreteDP(rewards, moves, 1.0, states, actions)


def quantecon_single(network: SensorNetwork, horizon: int, budget: int, sleep: int) -> Any:
    """Quantecon's solver of one device's problem: a function that returns the values of the first slot."""
    quantecon = peer("quantecon.markov")
    n, error = network.n_levels, errors_of(network, sleep)
    p, d, u, e = (x.ravel() for x in np.indices((budget + 1, sleep, n, n)))  # delay d + 1
    state = np.arange(p.size)

    def at(p: Any, d: Any, u: Any) -> Any:
        return ((p * sleep + d) * n + u) * n  # of level 0

    chain = sparse.csr_matrix(network.transition)
    may_sleep, may_sense = (p == 0) | (d < sleep - 1), p > 0
    asleep = at(p, np.minimum(d + 1, sleep - 1), u)[may_sleep]
    awake = at(p - 1, 0, e)[may_sense]
    rewards = np.concatenate([-error[d + 1, u, e][may_sleep], -error[0, e, e][may_sense]])
    level = np.concatenate([e[may_sleep], e[may_sense]])
    begin = np.concatenate([asleep, awake])
    rows = np.concatenate([state[may_sleep], state[may_sense]])
    actions = np.repeat([0, 1], [may_sleep.sum(), may_sense.sum()])
    order = np.lexsort((actions, rows))
    chosen = chain[level[order]]
    columns = chosen.indices + np.repeat(begin[order], np.diff(chosen.indptr))
    moves = sparse.csr_matrix((chosen.data, columns, chosen.indptr), shape=(order.size, p.size))
    problem = _decision_problem(rewards[order], moves, rows[order], actions[order])

    def play() -> float:
        values, _ = quantecon.backward_induction(problem, horizon)
        first = values[0][at(budget, 0, np.arange(n))[:, None] + np.arange(n)]
        return -float(network.start @ (network.transition * first).sum(axis=1)) / horizon

    return play


def dense_single(network: SensorNetwork, slots: int, budget: int, sleep: int) -> Any:
    """The same in dense NumPy: whole tables, one matrix product a slot."""
    n, error = network.n_levels, errors_of(network, sleep)
    transition = network.transition.T.copy()

    def play() -> FloatArray:
        value = np.zeros((budget + 1, sleep, n, n))
        for _ in range(slots):
            ahead = (value.reshape(-1, n) @ transition).reshape(value.shape)
            asleep = np.concatenate([ahead[:, 1:], ahead[:, -1:]], axis=1) - error[1:]
            awake = np.full((budget + 1, n), -np.inf)
            awake[1:] = np.einsum("pee->pe", ahead[:-1, 0]) - np.einsum("ee->e", error[0])
            asleep[1:, -1] = -np.inf
            value = np.maximum(asleep, awake[:, None, None])
        return value

    return play


def quantecon_joint(network: SensorNetwork, devices: tuple[int, int], horizon: int, budget: int, sleep: int) -> Any:
    """Quantecon's solver of two devices that decide at once."""
    quantecon = peer("quantecon.markov")
    n, levels = network.n_levels, network.levels
    shape = (budget + 1, budget + 1, sleep, sleep, n, n, n)
    p, q, c, d, u, v, e = (x.ravel() for x in np.indices(shape))

    def at(p: Any, q: Any, c: Any, d: Any, u: Any, v: Any) -> Any:
        return np.ravel_multi_index((p, q, c, d, u, v, np.zeros_like(p)), shape)

    rewards, rows, actions, begin, level = [], [], [], [], []
    for action in range(4):
        on, too = action & 1, action >> 1
        fine = ((p > 0) if on else (p == 0) | (c < sleep - 1)) & ((q > 0) if too else (q == 0) | (d < sleep - 1))
        own, other = [x[fine] for x in (p, c, u)], [x[fine] for x in (q, d, v)]
        now = e[fine]
        delay = np.stack([np.zeros_like(now) if on else own[1] + 1, np.zeros_like(now) if too else other[1] + 1], 1)
        record = levels[np.stack([now if on else own[2], now if too else other[2]], 1)]
        rewards.append(-network.joint_error(devices, delay, record, levels[now]).mean(axis=-1))
        after = [
            np.minimum(x, sleep - 1)
            for x in (np.zeros_like(now) if on else own[1] + 1, np.zeros_like(now) if too else other[1] + 1)
        ]
        begin.append(at(own[0] - on, other[0] - too, *after, now if on else own[2], now if too else other[2]))
        rows.append(np.flatnonzero(fine))
        actions.append(np.full(now.size, action))
        level.append(now)
    chosen = np.concatenate(level)
    order = np.lexsort((np.concatenate(actions), np.concatenate(rows)))
    moves = sparse.csr_matrix(network.transition)[chosen[order]]
    columns = moves.indices + np.repeat(np.concatenate(begin)[order], np.diff(moves.indptr))
    moves = sparse.csr_matrix((moves.data, columns, moves.indptr), shape=(order.size, p.size))
    reward, row, action_of = (np.concatenate(x)[order] for x in (rewards, rows, actions))
    problem = _decision_problem(reward, moves, row, action_of)

    def play() -> float:
        values, _ = quantecon.backward_induction(problem, horizon)
        full = np.full(n, budget)
        zero = np.zeros(n, np.int64)
        first = values[0][at(full, full, zero, zero, np.arange(n), np.arange(n))[:, None] + np.arange(n)]
        return -float(network.start @ (network.transition * first).sum(axis=1)) / horizon

    return play


def comparisons() -> Iterator[Comparison]:
    """One device against quantecon and dense NumPy, two devices against quantecon."""
    size = f"T={HORIZON} B={BUDGET} D={SLEEP}"
    for n_levels, goal in ((20, 20.0), (50, 25.0)):
        if peer("quantecon.markov"):
            network = banded(n_levels)
            theirs = quantecon_single(network, HORIZON, BUDGET, SLEEP)
            check(solve(network, 0, HORIZON, BUDGET, SLEEP).expected_error, theirs())
            yield Comparison(
                f"exact, one device, {size}, {n_levels} levels",
                "solved/s",
                timed(lambda network=network: solve(network, 0, HORIZON, BUDGET, SLEEP), 1),
                f"{named('quantecon')} backward_induction, solving alone",
                timed(theirs, 1),
                goal,
            )
    for n_levels in (100, 300):
        network = banded(n_levels)
        solve(network, 0, 12, 2, 6)
        yield Comparison(
            f"exact, one device, {size}, {n_levels} levels",
            "solved/s",
            timed(lambda network=network: solve(network, 0, HORIZON, BUDGET, SLEEP), 1),
            f"NumPy, dense ({DENSE_SLOTS} slots timed, times {HORIZON // DENSE_SLOTS})",
            timed(dense_single(network, DENSE_SLOTS, BUDGET, SLEEP), DENSE_SLOTS / HORIZON),
            rounds=3,
        )
    small: tuple[Any, ...] = (SensorNetwork.load("pku2018").coarsen(5), (0, 15), 24, 4, 6)
    for joint, goal in ((small, None), (LARGEST, 25.0)):
        if peer("quantecon.markov"):
            network, _, horizon, budget, sleep = joint
            theirs = quantecon_joint(*joint)
            check(solve_joint(*joint).expected_error, theirs())
            yield Comparison(
                f"exact, two devices, T={horizon} B={budget} D={sleep}, {network.n_levels} levels",
                "solved/s",
                timed(lambda joint=joint: solve_joint(*joint), 1),
                f"{named('quantecon')} backward_induction, solving alone",
                timed(theirs, 1),
                goal,
                rounds=3,
            )


def check(ours: float, theirs: float) -> None:
    """Both must have solved the same problem."""
    if not abs(ours - theirs) < 1e-8 * abs(theirs):
        raise AssertionError(f"the optimum is {ours} by our solver and {theirs} by the peer's")


def full_resolution() -> dict[str, Any]:
    """One device at the data's own resolution, a level for every µg/m³; needs the data set."""
    tables, calibrations = datasets.load_pku2018("pku2018", datasets.data_folder())[:2]
    network = calibration.fit(tables, calibrations, bin_width=1.0)
    start = time.perf_counter()
    error = solve(network, 0, HORIZON, BUDGET, SLEEP).expected_error
    seconds = time.perf_counter() - start
    states = (BUDGET + 1) * SLEEP * network.n_levels**2 * HORIZON
    return {"levels": network.n_levels, "states": states, "seconds": seconds, "expected_error": error}


def largest_joint() -> dict[str, Any]:
    """Two devices over a day, ten billion states."""
    network = SensorNetwork.load("pku2018").coarsen(6)
    solve_joint(network.coarsen(2), (0, 15), 4, 2, 3)  # compiles
    start = time.perf_counter()
    error = solve_joint(network, (0, 15), HORIZON, BUDGET, SLEEP, max_bytes=4 << 30).expected_error
    seconds = time.perf_counter() - start
    states = HORIZON * 6 * ((BUDGET + 1) * SLEEP * 6) ** 2
    return {"levels": 6, "states": states, "seconds": seconds, "expected_error": error}
