"""Measure decisions per second beside Gymnasium's CartPole, and what starting up costs.

    python -m scripts.measure_speed                      # prints two tables, writes results/speed.csv
    python -m scripts.measure_speed --rounds 15 --seconds 0.5

Contestants take turns, so that a busy machine slows all of them alike; each figure is the median over the rounds.
Ratios, to the CartPole with the same batching and to SyncVectorEnv of 64, are taken within each round. One decision is
one step of one (sub-)environment, resets included.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import gymnasium as gym
import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

import aq_gym  # noqa: F401
from scripts.door import enter
from scripts.files import write_table

CARTPOLE, SINGLE, MULTI = "CartPole-v1", "aq_gym/SingleDevice-v0", "aq_gym/MultiDevice-v0"
# Environment, how it is batched, how many. Each is compared to the CartPole with the same batching.
CONTESTANTS = [
    *[(name, "single", 1) for name in (CARTPOLE, SINGLE, MULTI)],
    *[(name, "sync", 64) for name in (CARTPOLE, MULTI)],
    *[(name, "native", 64) for name in (CARTPOLE, MULTI)],
    *[(name, "native", 1024) for name in (CARTPOLE, SINGLE, MULTI)],
]
FIRST_USE = f"import aq_gym; env = gymnasium.make('{MULTI}'); env.reset(seed=0); env.step(1)"


def player(name: str, how: str, count: int) -> Callable[[float], float]:
    """Make an environment; return a function that plays it for some seconds and returns decisions per second."""
    mode = "sync" if how == "sync" else "vector_entry_point"
    env = gym.make(name) if how == "single" else gym.make_vec(name, num_envs=count, vectorization_mode=mode)
    actions = list(np.random.default_rng(0).integers(0, 2, 256 if how == "single" else (16, count)))
    env.reset(seed=0)

    def play(seconds: float) -> float:
        decisions, start = 0, time.perf_counter()
        while not decisions or time.perf_counter() - start < seconds:
            for action in actions:
                _, _, over, cut, _ = env.step(action)
                if how == "single" and (over or cut):
                    env.reset()
            decisions += count * len(actions)
        return decisions / (time.perf_counter() - start)

    play(0.0)  # compiles
    return play


def start_up() -> list[float]:
    """Seconds that fresh interpreters take: the import, the first use compiled anew, the first use from the cache."""

    def seconds(before: str, code: str, cache: str) -> float:
        timed = f"import time, {before}; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        done = subprocess.run([sys.executable, "-c", timed], env=environment, check=True, stdout=subprocess.PIPE)
        return float(done.stdout)

    with tempfile.TemporaryDirectory() as cache:
        light = seconds("gymnasium", "import aq_gym", cache)
        return [light, *(seconds("gymnasium, numba", FIRST_USE, cache) for _ in range(2))]


def spread(values: np.ndarray) -> dict[str, str]:
    """Median and range of the rounds, with three significant digits at least."""
    named = zip(("median", "least", "most"), np.percentile(values, [50, 0, 100]), strict=True)
    return {name: f"{x:.0f}" if x >= 100 else f"{x:.3g}" for name, x in named}


def show(title: str, rows: Sequence[dict[str, str]]) -> None:
    """Print rows of equal keys as a table."""
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for i, name in enumerate(rows[0]):
        table.add_column(name, no_wrap=True, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


def main(args: argparse.Namespace) -> None:
    made = {name: version(name) for name in ("aq-gym", "gymnasium", "numpy", "numba")}
    made |= {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    players = [player(*contestant) for contestant in CONTESTANTS]
    rates = np.array([[play(args.seconds) for play in players] for _ in range(args.rounds)])
    speeds, rate = [], dict(zip(CONTESTANTS, rates.T, strict=True))
    for (name, how, count), found in rate.items():
        row = {"what": name.removeprefix("aq_gym/"), "batch": f"{how} {count}"} | spread(found)
        row["/CartPole"] = f"{np.median(found / rate[CARTPOLE, how, count]):.2f}"
        row["/sync"] = f"{np.median(found / rate[name, 'sync', 64]):.1f}" if (name, "sync", 64) in rate else ""
        speeds.append(row)
    names = ("import aq_gym, over gymnasium", "first use, compiled anew, over numba", "first use, cached, over numba")
    times = np.array([start_up() for _ in range(args.start_rounds)]).T
    starts = [{"what": name} | spread(found) for name, found in zip(names, times, strict=True)]
    show(f"Decisions per second, {args.rounds} rounds of {args.seconds} s", speeds)
    show(f"Start-up in seconds, {args.start_rounds} fresh interpreters", starts)

    rows = [{"measure": "decisions/s", "rounds": args.rounds} | row | made for row in speeds]
    rows += [{"measure": "seconds", "rounds": args.start_rounds} | row | made for row in starts]
    write_table(args.output, pd.DataFrame(rows, columns=["measure", *speeds[0], "rounds", *made]))
    print(f"written to {args.output}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns of every contestant (default 7)")
    parser.add_argument("--seconds", type=float, default=0.3, help="seconds a turn (default 0.3)")
    parser.add_argument("--start-rounds", type=int, default=5, help="fresh interpreters for each start-up (default 5)")
    parser.add_argument("--output", type=Path, default=Path("results/speed.csv"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
