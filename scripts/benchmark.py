"""Train our DQN and Stable-Baselines3 agents on three tasks, and compare them to every yardstick on the same episodes.

    python -m scripts.benchmark                     # at most ten minutes on two cores: `make benchmark`
    python -m scripts.benchmark --quick             # at most two: `make benchmark ARGS=--quick`
    python -m scripts.benchmark --resume            # go on with the latest one; finished trainings are kept
    python -m scripts.benchmark --training-seeds 5 --episodes 10000     # three quarters of an hour
    python -m scripts.benchmark --ids SingleDevice-v0 --learners dqn sb3-maskable_ppo --seconds 300 --scale 3

Trainings run side by side, one a process, each as long as its settings say but no longer than --seconds. The folder
(runs/benchmark/TIME-full or -quick) receives benchmark.csv, rewritten after each task, benchmark.png, curves.png and a
folder a task with the policies and TensorBoard's runs; of several training seeds seeds.csv, and in TensorBoard the
mean, lowest and highest curve of each learner. Ctrl-C keeps what is finished.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from baselines.evaluation import WORDS
from baselines.playing import check_count, problem_of
from scripts.benchmark_jobs import LEARNERS, Plan, run
from scripts.benchmark_report import draw, draw_curves, over_seeds, show, show_seeds
from scripts.door import json_object
from scripts.files import write_table
from scripts.provenance import provenance

IDS = ("SingleDevice-v0", "TwoDevices-v0", "MultiDevice-v0")
YARDSTICKS = ("staggered", "synchronised", "random", "greedy", "index", "pretrained", "generalist", "optimal")
RUNS = Path("runs") / "benchmark"
# seconds of each training, share of the settings' decisions, validations on the way, learners
FULL: dict[str, Any] = {"seconds": 100.0, "scale": 1.0, "validations": 20, "learners": ("dqn", "sb3-ppo", "sb3-dqn")}
QUICK: dict[str, Any] = {"seconds": 25.0, "scale": 0.35, "validations": 5, "learners": ("dqn", "sb3-ppo")}


def make_plan(args: argparse.Namespace, origin: dict[str, Any]) -> Plan:
    """The folder to work in, and everything else that jobs must know."""
    mode = "quick" if args.quick else "full"
    if args.folder is not None:
        folder = args.folder
    elif args.resume:
        folder = max(RUNS.glob(f"*-{mode}"), default=None)
        if folder is None:
            raise ValueError(f"--resume: there is no {RUNS}/*-{mode} to go on with; leave it out, or name a --folder")
    else:
        folder = RUNS / f"{datetime.now():%Y-%m-%d-%H%M%S}-{mode}"
    if not args.resume and folder.exists() and any(folder.iterdir()):
        raise ValueError(f"--folder: {folder} is not empty; add --resume to go on with it, or name another")
    given = {name: getattr(args, name) for name in FULL if getattr(args, name) is not None}
    chosen = (QUICK if args.quick else FULL) | given
    code = {name: origin[name] for name in ("commit", "dirty", "sources_sha256")}
    for name, value, least in (
        ("episodes", args.episodes, 1),
        ("seed", args.seed, 0),
        ("processes", args.processes, 1),
        ("training-seeds", args.training_seeds, 1),
        ("validations", chosen["validations"], 1),
    ):
        check_count(f"--{name}", value, least)
    for env_id in args.ids:  # refused now rather than after some minutes
        problem_of(env_id, **args.env_kwargs)
    chosen |= {name: getattr(args, name) for name in ("episodes", "seed", "yardsticks", "env_kwargs", "training_seeds")}
    return Plan(folder=folder, code=code, **chosen)


def main(args: argparse.Namespace) -> pd.DataFrame:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # for the workers: each keeps to one core
    began, origin = time.monotonic(), provenance()
    plan, console = make_plan(args, origin), Console()
    if not console.is_terminal:
        console = Console(width=120)
    plan.folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, pd.DataFrame] = {}
    shared = {name: getattr(plan, name) for name in ("episodes", "seed", "seconds", "scale", "training_seeds")}
    shared |= origin

    def together() -> pd.DataFrame:
        return pd.concat([tables[env_id] for env_id in args.ids if env_id in tables], ignore_index=True)

    def evaluated(env_id: str, table: pd.DataFrame, left_out: list[str]) -> None:
        tables[env_id] = table.assign(**shared)
        write_table(plan.folder / "benchmark.csv", together())
        show(console, table, f"{env_id}: {plan.episodes:,} episodes", left_out)

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    interrupted = False
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=args.quiet) as progress:
        try:
            run(plan, args.ids, args.processes, progress, evaluated)
        except KeyboardInterrupt:
            interrupted = True
    if tables:
        what = f"{plan.episodes:,} episodes, the same for all; each training at most {plan.seconds:g} s on one core"
        if plan.training_seeds > 1:
            what += f"; learners: mean over {plan.training_seeds} training seeds"
        draw(plan.folder / "benchmark.png", together(), what)
        print(f"table and picture: {plan.folder / 'benchmark.csv'}, {plan.folder / 'benchmark.png'}")
        finished = {env_id: {x: plan.runs(x) for x in plan.learners} for env_id in args.ids if env_id in tables}
        if plan.learners:
            draw_curves(plan, finished)
            print(f"learning curves over decisions and seconds: {plan.folder / 'curves.png'}")
        if plan.training_seeds > 1:
            seeds = over_seeds(together(), plan.seed)
            write_table(plan.folder / "seeds.csv", seeds.assign(**shared))
            show_seeds(console, seeds, plan.training_seeds)
    print(f"learning curves: {_program('tensorboard')} --logdir {plan.folder}")
    if interrupted:
        print(f"interrupted: {_program('python')} -m scripts.benchmark --resume --folder {plan.folder} and the same")
        print("options go on with it; what was finished is kept")
        raise SystemExit(130)
    print(f"{time.monotonic() - began:.0f} s in all")
    return together()


def _program(name: str) -> str:
    """How to call a program of this very environment, from here."""
    path = Path(sys.executable).with_name(name)
    return os.path.relpath(path) if Path.cwd() in path.parents else str(path)


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of ten")
    parser.add_argument("--ids", nargs="+", default=IDS, help=f"default {' '.join(IDS)}")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, help="default dqn sb3-ppo, and sb3-dqn if not quick")
    parser.add_argument("--yardsticks", nargs="+", choices=WORDS, default=YARDSTICKS, help="compared to the first")
    parser.add_argument("--seconds", type=positive, help="most of each training (default 100; 25 if quick)")
    parser.add_argument("--scale", type=positive, help="of the settings' decisions (default 1; 0.35 if quick)")
    parser.add_argument("--validations", type=int, help="on the way of a training (default 20; 5 if quick)")
    parser.add_argument("--episodes", type=int, default=2000, help="of the evaluation (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings and of the first episode (default 0)")
    parser.add_argument("--training-seeds", type=int, default=1, help="trainings of each learner (default 1)")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="jobs at a time (default 2)")
    parser.add_argument("--folder", type=Path, help="default runs/benchmark/TIME-full or -quick")
    parser.add_argument("--resume", action="store_true", help="keep the folder's finished trainings of the same code")
    parser.add_argument(
        "--env-kwargs", type=json_object, default={}, help="""arguments to the ids: '{"horizon": 30}'"""
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)
    for name in ("ids", "learners", "yardsticks"):
        if getattr(args, name) is not None:
            setattr(args, name, tuple(dict.fromkeys(getattr(args, name))))  # each once
    return args


if __name__ == "__main__":
    try:
        main(parse())
    except SystemExit as stop:
        if stop.code == 130:  # the workers are gone: do not wait for the pool's threads
            sys.stdout.flush()
            os._exit(130)
        raise
