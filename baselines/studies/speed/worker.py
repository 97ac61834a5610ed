"""Measures one checkout of this project for `against`: ``python worker.py NAME SECONDS`` prints a rate as JSON.

It runs by its path, with the other checkout first on the import path. So it imports nothing beside it, and uses only
what both commits have: the environments, the exact solvers, compiled play, counterfactual pairs and DQN training.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
import numba
import numpy as np

Work = Callable[[], float]
"""Does some work and returns how much."""

MULTI, CITY = "aq_gym/MultiDevice-v0", "aq_gym/City-v0"
TEN: dict[str, Any] = {"devices": list(range(0, 30, 3))}  # the plain task of the table: M=10, N=30


def single(name: str, **kwargs: Any) -> Work:
    """Steps of a plain environment, resets included."""
    env = gym.make(name, **kwargs)
    actions = list(np.random.default_rng(0).integers(0, 2, 256))
    env.reset(seed=0)

    def work() -> float:
        for action in actions:
            _, _, over, cut, _ = env.step(action)
            if over or cut:
                env.reset()
        return len(actions)

    return work


def stepped(env: Any, count: int, kind: Any = np.int64) -> Work:
    """Decisions of a batch that has been reset, with autoreset."""
    actions = list(np.random.default_rng(0).integers(0, 2, (16, count)).astype(kind))

    def work() -> float:
        for action in actions:
            env.step(action)
        return count * len(actions)

    return work


def batch(name: str, count: int, mode: str = "vector_entry_point", **kwargs: Any) -> Work:
    """Decisions of a vector environment."""
    env = gym.make_vec(name, num_envs=count, vectorization_mode=mode, **kwargs)
    env.reset(seed=0)
    return stepped(env, count)


def problem_and_index() -> tuple[Any, Any]:
    """The headline problem and its index policy."""
    problem = import_module("baselines.heuristics.problems").entry_problem("MultiDevice-v0")
    return problem, import_module("baselines.heuristics.index_tuning").index_policy(problem)


def play() -> Work:
    """Decisions of compiled play under the index policy."""
    problem, policy = problem_and_index()
    simulator = import_module("baselines.heuristics.index").Simulator(problem)

    def work() -> float:
        simulator.errors([policy], 256, 0)
        return 256 * problem.horizon * problem.n_devices

    return work


def pairs() -> Work:
    """Counterfactual pairs under the index policy."""
    problem, policy = problem_and_index()
    collector = import_module("baselines.learners.pairs").PairCollector
    collect, rng = collector(problem, policy, threads=1), np.random.default_rng(0)

    def work() -> float:
        collect(None, 4_000, rng)
        return 4_000

    return work


def banded(n_levels: int) -> Any:
    """The campus with so many levels, of which each is followed by itself or one of two neighbours on either side."""
    campus, steps = import_module("aq_gym").SensorNetwork.load("pku2018"), np.arange(n_levels)
    weight = np.choose(np.minimum(np.abs(steps[:, None] - steps), 3), [10.0, 4.0, 1.0, 0.0])
    start, levels = np.full(n_levels, 1.0 / n_levels), np.linspace(5.0, 465.0, n_levels)
    transition = weight / weight.sum(axis=1, keepdims=True)
    return dataclasses.replace(campus, levels=levels, transition=transition, start=start, name=f"banded-{n_levels}")


def exact(n_levels: int) -> Work:
    """One device over a day."""
    solve, network = import_module("baselines.dynamic_programming").solve, banded(n_levels)

    def work() -> float:
        solve(network, 0, 144, 24, 24)
        return 1.0

    return work


def exact_joint(horizon: int, budget: int, sleep: int) -> Work:
    """Two devices on six levels."""
    solve = import_module("baselines.dynamic_programming").solve_joint
    network = import_module("aq_gym").SensorNetwork.load("pku2018").coarsen(6)

    def work() -> float:
        solve(network, (0, 15), horizon, budget, sleep)
        return 1.0

    return work


def training(decisions: int = 40_000) -> Work:
    """Decisions of a DQN training with the updates of Stable-Baselines3's defaults."""
    dqn, config = import_module("baselines.dqn"), import_module("agents").DQNConfig
    sizes = {"n_environments": 64, "hidden": (64, 64), "batch_size": 32, "replay_ratio": 8.0, "returns": "one_step"}
    chosen = config(total_decisions=decisions, start_decisions=decisions // 10, start_updates=decisions // 40, **sizes)

    def work() -> float:
        run = dqn.Training("MultiDevice-v0", chosen, 0, None, validations=1, validation_episodes=2)
        dqn.train(run)
        return float(run.agent.decisions)

    return work


MEASUREMENTS: dict[str, tuple[str, Callable[[], Work]]] = {
    "gym.make": ("decisions/s", partial(single, MULTI, **TEN)),
    "batch of 64": ("decisions/s", partial(batch, MULTI, 64, **TEN)),
    "batch of 1,024": ("decisions/s", partial(batch, MULTI, 1024, **TEN)),
    "City, batch of 16": ("decisions/s", partial(batch, CITY, 16)),
    "compiled play": ("decisions/s", play),
    "counterfactual pairs": ("pairs/s", pairs),
    "exact, one device, 20 levels": ("solved/s", partial(exact, 20)),
    "exact, one device, 50 levels": ("solved/s", partial(exact, 50)),
    "exact, two devices": ("solved/s", partial(exact_joint, 72, 6, 12)),
    "DQN training": ("decisions/s", training),
}


def rate(work: Work, seconds: float) -> float:
    """The rate of work that is repeated for some seconds."""
    done, start = 0.0, time.perf_counter()
    while not done or time.perf_counter() - start < seconds:
        done += work()
    return done / (time.perf_counter() - start)


def main(name: str, seconds: str) -> None:
    """Print where the code came from, and the rate of a measurement or why there is none."""
    numba.config.NUMBA_NUM_THREADS = 1
    import_module("torch").set_num_threads(1)
    code = import_module("aq_gym").__file__  # registers the ids
    try:
        with redirect_stdout(sys.stderr):
            work = MEASUREMENTS[name][1]()
            work()  # compiles
            found: float | str = rate(work, float(seconds))
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:  # the commit lacks it
        found = f"{type(error).__name__}: {error}"
    print(json.dumps([code, found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
