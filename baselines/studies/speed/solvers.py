"""Exact dynamic programming beside general solvers of Markov decision processes."""

import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import product
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


def quantecon_solver(network: SensorNetwork, devices: Sequence[int], horizon: int, budget: int, sleep: int) -> Any:
    """Quantecon's solver of devices that decide at once: a function that returns their average joint error."""
    quantecon, m, n, levels = peer("quantecon.markov"), len(devices), network.n_levels, network.levels
    cells = *[sleep + 1] * m, *[n] * (m + 1)  # delays, records and the level
    *known, level = np.indices(cells).reshape(len(cells), -1)
    delay, record = np.stack(known[:m], 1), np.stack(known[m:], 1)
    error = network.joint_error(devices, delay, levels[record], levels[level]).mean(axis=-1).reshape(cells)
    shape = *[budget + 1] * m, *[sleep] * m, *[n] * (m + 1)  # energies, delays less 1, records and the level
    *state, e = np.indices(shape).reshape(len(shape), -1)
    p, d, u = (np.stack(state[k : k + m]) for k in (0, m, 2 * m))  # (M, states)

    def at(p: Any, d: Any, u: Any) -> Any:
        return np.ravel_multi_index((*p, *d, *u, np.zeros_like(p[0])), shape)

    choices = []
    for action in product((False, True), repeat=m):
        on = np.array(action)[:, None]
        rows = np.flatnonzero(np.where(on, p > 0, (p == 0) | (d < sleep - 1)).all(axis=0))
        after, then = np.where(on, 0, d[:, rows] + 1), np.where(on, e[rows], u[:, rows])
        begin = at(p[:, rows] - on, np.minimum(after, sleep - 1), then)
        choices.append((rows, -error[(*after, *then, e[rows])], begin, e[rows]))
    problem = _decision_problem(network.transition, p.shape[1], choices)

    def play() -> float:
        values, _ = quantecon.backward_induction(problem, horizon)
        full, zero, same = np.full((m, n), budget), np.zeros((m, n), np.int64), np.tile(np.arange(n), (m, 1))
        first = values[0][at(full, zero, same)[:, None] + np.arange(n)]
        return -float(network.start @ (network.transition * first).sum(axis=1)) / horizon

    return play


def comparisons() -> Iterator[Comparison]:
    """One device and two against quantecon."""
    if peer("quantecon.markov") is None:
        return
    for n_levels, goal in ((20, 20.0), (50, 25.0)):
        one: tuple[Any, ...] = (banded(n_levels), 0, HORIZON, BUDGET, SLEEP)
        what = f"exact, one device, T={HORIZON} B={BUDGET} D={SLEEP}, {n_levels} levels"
        yield _beside_quantecon(what, solve, one, quantecon_solver(one[0], [0], *one[2:]), goal)
    network, _, horizon, budget, sleep = LARGEST
    what = f"exact, two devices, T={horizon} B={budget} D={sleep}, {network.n_levels} levels"
    yield _beside_quantecon(what, solve_joint, LARGEST, quantecon_solver(*LARGEST), 25.0, rounds=3)


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
