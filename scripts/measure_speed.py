"""How fast, beside others doing the same: environments, exact solvers, placement search and training.

    python -m scripts.measure_speed                      # 15 minutes; results/speed.csv, growth.csv, growth.png
    python -m scripts.measure_speed --sections environments start
    pip install 'aq-gym[peers]'                          # quantecon, EnvPool, pymoo; else their rows are left out

Both sides of a contest take turns on one thread, so that a busy machine slows them alike; a ratio is taken within each
turn, and the table shows the median and the range. One decision is one step of one (sub-)environment, resets included.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from aq_gym import datasets
from scripts.door import enter
from scripts.files import write_table, write_text
from scripts.kept import markdown
from scripts.provenance import provenance, signature
from scripts.speed import environments, growth, learning, placement, solvers
from scripts.speed.contest import Contest, installed

MULTI = "aq_gym/MultiDevice-v0"
INTRODUCTION = (
    "Both sides of a contest take turns on one thread; a ratio is taken within each turn, and the tables show the "
    "median and the range. Machines like this one are shared: the same command gives other rates an hour later, and "
    "ratios that differ by a fifth. CartPole shows four numbers and infers nothing; MultiDevice with ten devices shows "
    "124, eighty of them about what the map's errors would become: so its batches run beside their own kernel too."
)
SECTIONS = ("environments", "start", "solvers", "placement", "learning", "growth")
PEERS = {"quantecon": "quantecon", "envpool": "envpool", "pymoo": "pymoo"}
FIRST_USE = f"import aq_gym; env = gymnasium.make('{MULTI}'); env.reset(seed=0); env.step(1)"


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
        table.add_column(name, overflow="fold", justify="right" if i else "left")
    for row in rows:
        table.add_row(*row.values())
    console = Console()
    (console if console.is_terminal else Console(width=170)).print(table)


def contests(args: argparse.Namespace) -> Iterator[Contest]:
    """Those of the chosen sections, each made when its turn comes."""
    if "environments" in args.sections:
        yield from environments.contests(args.seconds)
    if "solvers" in args.sections:
        yield from solvers.contests()
    if "placement" in args.sections:
        yield from placement.contests()
    if "learning" in args.sections:
        yield from learning.contests(args.decisions, args.reach_seconds, args.reach_seeds[: args.rounds])


def row(found: dict[str, Any]) -> dict[str, str]:
    """A contest as a line of the table."""

    def short(x: float) -> str:
        return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"

    goal = found["goal"]
    return {
        "what": found["what"],
        "peer": found["peer"],
        "ours": f"{short(found['ours'])} {found['unit']}",
        "peer's": short(found["theirs"]),
        "ratio": f"{found['ratio']:.3g} [{found['least']:.3g}, {found['most']:.3g}]",
        "goal": "" if goal is None else f"{goal:.3g}",
        "met": "" if goal is None else "yes" if found["ratio"] >= goal else "no",
    }


def alone(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """An instance that no peer can solve, in a process of its own: how long, and how much memory."""
    code = (
        "import json, re, pathlib; from scripts.speed import solvers; "
        f"found = solvers.{measure.__name__}(); peak = pathlib.Path('/proc/self/status').read_text(); "
        "found['gib'] = int(re.search(r'VmHWM:\\s+(\\d+)', peak)[1]) / 2**20; print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    return {"what": name, **json.loads(done.stdout)}


def measure_large() -> list[dict[str, Any]]:
    """The largest instances."""
    found = [alone("two devices, T=144 B=24 D=24, 6 levels", solvers.largest_joint)]
    try:
        datasets.load_pku2018("pku2018", datasets.data_folder())
    except FileNotFoundError as error:
        print(f"full resolution: left out, {error}")
        return found
    return [alone("one device, T=144 B=24 D=24, a level for every µg/m³", solvers.full_resolution), *found]


def main(args: argparse.Namespace) -> None:
    numba.config.NUMBA_NUM_THREADS = 1  # the solvers' and searches' own threads; the kernels have none
    torch.set_num_threads(1)
    made = provenance() | {name: version(name) for name in ("gymnasium", "numpy", "numba")}
    folder, frames = args.output.parent, []
    for distribution in installed(PEERS):
        print(f"{distribution} is not installed, its rows are left out: pip install 'aq-gym[peers]'")
    lines: list[dict[str, str]] = []
    large: list[dict[str, str]] = []
    starts: list[dict[str, str]] = []
    for contest in contests(args):
        found = contest.run(args.rounds)
        lines.append(row(found))
        print(" | ".join(lines[-1].values()), flush=True)
        frames.append(found)
    if lines:
        show(f"Ours beside others, in turns, at most {args.rounds} rounds: median ratio and its range", lines)
    if "solvers" in args.sections:
        found = measure_large()
        large = [{name: f"{x:.4g}" if isinstance(x, float) else str(x) for name, x in one.items()} for one in found]
        show("Exact, in a process of its own: seconds of solving, GiB at most", large)
        frames += [{"what": x["what"], "unit": "s", "ours": x["seconds"], "gib": x["gib"]} for x in found]
    if "start" in args.sections:
        what = "import aq_gym, over gymnasium", "first use, compiled anew, over numba", "first use, cached, over numba"
        times = np.array([start_up() for _ in range(args.start_rounds)]).T
        starts = [{"what": name} | spread(found) for name, found in zip(what, times, strict=True)]
        show(f"Start-up in seconds, {args.start_rounds} fresh interpreters", starts)
        frames += [{"what": s["what"], "unit": "s", "ours": float(s["median"])} for s in starts]
    write_table(args.output, pd.DataFrame(frames).assign(**made))
    print(f"written to {args.output}")
    exponents = []
    if "growth" in args.sections:
        parts = []
        for curve in growth.curves(args.seconds):
            table, exponent = growth.measure(curve, min(3, args.rounds))
            parts.append(table)
            exponents.append(
                (curve.name, curve.unit, f"{min(curve.sizes):,} to {max(curve.sizes):,}", f"{exponent:.2f}")
            )
            print(f"cost against {curve.name}: grows as the power {exponent:.2f}", flush=True)
        together = pd.concat(parts, ignore_index=True)
        write_table(folder / "growth.csv", together.assign(**made))
        growth.draw(folder / "growth.png", together)
        print(f"written to {folder / 'growth.csv'} and {folder / 'growth.png'}")
    if args.markdown is not None:
        tables = [] if not lines else [markdown(tuple(lines[0]), [tuple(line.values()) for line in lines])]
        tables += [markdown(tuple(x[0]), [tuple(one.values()) for one in x]) for x in (large, starts) if x]
        if exponents:
            tables.append(markdown(("cost against", "of", "sizes", "grows as the power"), exponents))
        command = shlex.join(["python", "-m", "scripts.measure_speed", *args.given])
        text = "\n\n".join(["# Speed", INTRODUCTION, signature(command), *(table.strip() for table in tables)])
        write_text(args.markdown, text + "\n")
        print(f"written to {args.markdown}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS, help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="turns of both sides of a contest (default 5)")
    parser.add_argument("--seconds", type=float, default=0.3, help="seconds a turn, of what is repeated (default 0.3)")
    parser.add_argument("--decisions", type=int, default=8_000, help="of SB3's training in a turn (default 8000)")
    parser.add_argument(
        "--reach-seconds",
        type=float,
        default=100.0,
        help="of training SB3's best agent, to whose error ours is timed; 0 leaves that row out (default 100)",
    )
    parser.add_argument(
        "--reach-seeds", type=int, nargs="+", default=[0], help="of these trainings, a round each (default 0)"
    )
    parser.add_argument("--start-rounds", type=int, default=5, help="fresh interpreters for each start-up (default 5)")
    parser.add_argument("--output", type=Path, default=Path("results/speed.csv"))
    parser.add_argument("--markdown", type=Path, help="also write the tables there as a page")
    args = parser.parse_args(arguments)
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    return args


if __name__ == "__main__":
    enter(main, parse)
