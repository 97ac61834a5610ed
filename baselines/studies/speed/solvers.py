"""Exact dynamic programming beside general solvers of Markov decision processes."""

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from aq_gym import SensorNetwork, calibration, datasets
from baselines.exact.one_device import solve
from baselines.exact.several_devices import solve_joint
from baselines.studies.speed.comparison import Comparison, named, peer, timed
from baselines.studies.speed.worker import banded

FloatArray = NDArray[np.float64]
HORIZON, BUDGET, SLEEP = 144, 24, 24
LARGEST: tuple[Any, ...] = (SensorNetwork.load("pku2018").coarsen(6), (0, 15), 72, 6, 12)  # that quantecon has room for


def errors_of(network: SensorNetwork, sleep: int) -> FloatArray:
    """(D + 1, E, E) average joint error by delay, record and level; device 0."""
    levels = network.levels
    delay, record, level = np.meshgrid(np.arange(sleep + 1), levels, levels, indexing="ij")
    parts = [
        network.joint_error((0,), d[..., None], u[..., None], e).mean(axis=-1)
        for d, u, e in zip(delay, record, level, strict=True)
    ]
    return np.array(parts)


def _decision_problem(chain: FloatArray, n_states: int, choices: Sequence[Sequence[Any]]) -> Any:
    """Quantecon's form of a problem whose level moves by ``chain``.

    choices: one a kind of action: its states, rewards, next states at level 0, and levels now.
    """
    actions = np.repeat(np.arange(len(choices)), [len(choice[0]) for choice in choices])
    rows, rewards, begin, level = (np.concatenate(x) for x in zip(*choices, strict=True))
    order = np.lexsort((actions, rows))
    moves = sparse.csr_matrix(chain)[level[order]]
    columns = moves.indices + np.repeat(begin[order], np.diff(moves.indptr))
    moves = sparse.csr_matrix((moves.data, columns, moves.indptr), shape=(order.size, n_states))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "infinite horizon solution methods are disabled")
        return peer("quantecon.markov").DiscreteDP(rewards[order], moves, 1.0, rows[order], actions[order])


def quantecon_single(network: SensorNetwork, horizon: int, budget: int, sleep: int) -> Any:
    """Quantecon's solver of one device's problem: a function that returns the values of the first slot."""
    quantecon = peer("quantecon.markov")
    n, error = network.n_levels, errors_of(network, sleep)
    p, d, u, e = (x.ravel() for x in np.indices((budget + 1, sleep, n, n)))  # delay d + 1

    def at(p: Any, d: Any, u: Any) -> Any:
        return ((p * sleep + d) * n + u) * n  # of level 0

    asleep, awake = np.flatnonzero((p == 0) | (d < sleep - 1)), np.flatnonzero(p > 0)
    later = at(p, np.minimum(d + 1, sleep - 1), u)[asleep]
    choices = [
        (asleep, -error[d + 1, u, e][asleep], later, e[asleep]),
        (awake, -error[0, e, e][awake], at(p - 1, 0, e)[awake], e[awake]),
    ]
    problem = _decision_problem(network.transition, p.size, choices)

    def play() -> float:
        values, _ = quantecon.backward_induction(problem, horizon)
        first = values[0][at(budget, 0, np.arange(n))[:, None] + np.arange(n)]
        return -float(network.start @ (network.transition * first).sum(axis=1)) / horizon

    return play


def quantecon_joint(network: SensorNetwork, devices: tuple[int, int], horizon: int, budget: int, sleep: int) -> Any:
    """Quantecon's solver of two devices that decide at once."""
    quantecon = peer("quantecon.markov")
    n, levels = network.n_levels, network.levels
    shape = (budget + 1, budget + 1, sleep, sleep, n, n, n)
    p, q, c, d, u, v, e = (x.ravel() for x in np.indices(shape))

    def at(p: Any, q: Any, c: Any, d: Any, u: Any, v: Any) -> Any:
        return np.ravel_multi_index((p, q, c, d, u, v, np.zeros_like(p)), shape)

    choices = []
    for action in range(4):
        on, too = action & 1, action >> 1
        fine = ((p > 0) if on else (p == 0) | (c < sleep - 1)) & ((q > 0) if too else (q == 0) | (d < sleep - 1))
        own, other = [x[fine] for x in (p, c, u)], [x[fine] for x in (q, d, v)]
        now = e[fine]
        delays = np.zeros_like(now) if on else own[1] + 1, np.zeros_like(now) if too else other[1] + 1
        records = now if on else own[2], now if too else other[2]
        found = network.joint_error(devices, np.stack(delays, 1), levels[np.stack(records, 1)], levels[now])
        begin = at(own[0] - on, other[0] - too, *(np.minimum(x, sleep - 1) for x in delays), *records)
        choices.append((np.flatnonzero(fine), -found.mean(axis=-1), begin, now))
    problem = _decision_problem(network.transition, p.size, choices)

    def play() -> float:
        values, _ = quantecon.backward_induction(problem, horizon)
        full = np.full(n, budget)
        zero = np.zeros(n, np.int64)
        first = values[0][at(full, full, zero, zero, np.arange(n), np.arange(n))[:, None] + np.arange(n)]
        return -float(network.start @ (network.transition * first).sum(axis=1)) / horizon

    return play


def comparisons() -> Iterator[Comparison]:
    """One device and two against quantecon."""
    if peer("quantecon.markov") is None:
        return
    for n_levels, goal in ((20, 20.0), (50, 25.0)):
        one: tuple[Any, ...] = (banded(n_levels), 0, HORIZON, BUDGET, SLEEP)
        what = f"exact, one device, T={HORIZON} B={BUDGET} D={SLEEP}, {n_levels} levels"
        yield _beside_quantecon(what, solve, one, quantecon_single(one[0], *one[2:]), goal)
    network, _, horizon, budget, sleep = LARGEST
    what = f"exact, two devices, T={horizon} B={budget} D={sleep}, {network.n_levels} levels"
    yield _beside_quantecon(what, solve_joint, LARGEST, quantecon_joint(*LARGEST), 25.0, rounds=3)


def _beside_quantecon(
    what: str, ours: Any, instance: tuple[Any, ...], theirs: Any, goal: float | None, rounds: int | None = None
) -> Comparison:
    check(ours(*instance).expected_error, theirs())
    name = f"{named('quantecon')} backward_induction, solving alone"
    return Comparison(what, "solved/s", timed(lambda: ours(*instance), 1), name, timed(theirs, 1), goal, rounds)


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
