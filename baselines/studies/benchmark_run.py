"""A run of the benchmark: its plan, its jobs side by side, each in a process of its own, and what it leaves."""

import argparse
import multiprocessing
import os
import textwrap
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from baselines.playing import problem_of
from baselines.studies.benchmark import Plan, evaluate_task, is_finished, label, over_seeds, train_learner
from baselines.studies.benchmark_plots import draw, draw_curves
from baselines.studies.files import write_table
from baselines.studies.readme import SEEDS, seed_rows
from baselines.studies.tables import WIDTH, comparison, text_table

IDS = ("SingleDevice-v0", "TwoDevices-v0", "MultiDevice-v0", "SingleDevice-Hidden-v0")
YARDSTICKS = ("staggered", "synchronised", "random", "greedy", "index", "pretrained", "generalist", "optimal")
RUNS = Path("runs") / "benchmark"
# seconds of each training, share of the settings' decisions, validations on the way, learners
FULL: dict[str, Any] = {"seconds": 80.0, "scale": 1.0, "validations": 20, "learners": ("dqn", "sb3-ppo", "sb3-dqn")}
QUICK: dict[str, Any] = {"seconds": 25.0, "scale": 0.35, "validations": 5, "learners": ("dqn", "sb3-ppo")}


def folder_of(args: argparse.Namespace) -> Path:
    """Where to work: as asked, the latest to go on with, or a new one."""
    mode = "quick" if args.quick else "full"
    if args.folder is not None:
        folder: Path = args.folder
    elif not args.resume:
        folder = RUNS / f"{datetime.now():%Y-%m-%d-%H%M%S}-{mode}"
    elif (latest := max(RUNS.glob(f"*-{mode}"), default=None)) is not None:
        folder = latest
    else:
        raise ValueError(f"--resume: there is no {RUNS}/*-{mode} to go on with; leave it out, or name a --folder")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--folder: {folder} is a file; name a folder that is empty or not there yet")
    if not args.resume and folder.exists() and any(folder.iterdir()):
        raise ValueError(f"--folder: {folder} is not empty; add --resume to go on with it, or name another")
    return folder


def make_plan(args: argparse.Namespace, origin: dict[str, Any]) -> Plan:
    """The folder to work in, and everything else that jobs must know."""
    folder, given = folder_of(args), {name: getattr(args, name) for name in FULL if getattr(args, name) is not None}
    chosen = (QUICK if args.quick else FULL) | given
    if "observation" in args.env_kwargs:
        raise ValueError("--env-kwargs: leave out observation, each policy reads its own")
    for env_id in args.ids:  # refused now rather than after some minutes
        problem_of(env_id, **args.env_kwargs)
    chosen |= {name: getattr(args, name) for name in ("episodes", "seed", "yardsticks", "env_kwargs", "training_seeds")}
    return Plan(folder=folder, code={name: origin[name] for name in ("commit", "dirty", "sources_sha256")}, **chosen)


def prepare_worker() -> None:
    """One thread; Ctrl-C is the parent's to handle, and a worker does not outlive its parent."""
    if hasattr(os, "setpgrp"):  # a terminal sends Ctrl-C to the parent's group
        os.setpgrp()
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run(
    plan: Plan,
    ids: Sequence[str],
    processes: int,
    progress: Progress,
    evaluated: Callable[[str, pd.DataFrame, list[str]], None],
) -> None:
    """Train and evaluate, ``processes`` jobs at a time; a job's error is raised here and ends the others."""
    left = {env_id: [x for x in plan.runs() if not is_finished(plan, env_id, x)] for env_id in ids}
    trainings = deque((env_id, name) for env_id in ids for name in left[env_id])
    evaluations = deque(env_id for env_id in ids if not left[env_id])
    for env_id in ids:
        for x in [x for x in plan.runs() if x not in left[env_id]]:
            progress.console.print(f"{env_id}: {label(x)} is trained already")
    bar = progress.add_task("", total=len(trainings) + len(ids))
    jobs: dict[Future[Any], tuple[str, str | None]] = {}  # id, and training or None
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=prepare_worker)
    try:
        while jobs or trainings or evaluations:
            while len(jobs) < processes and (evaluations or trainings):
                if evaluations:
                    env_id, name = evaluations.popleft(), None
                    future = pool.submit(evaluate_task, plan, env_id)
                else:
                    env_id, name = trainings.popleft()
                    future = pool.submit(train_learner, plan, env_id, name)
                jobs[future] = env_id, name
            running = ", ".join(f"{label(run) if run else 'evaluation'} on {env_id}" for env_id, run in jobs.values())
            progress.update(bar, description=running)
            for future in wait(jobs, return_when=FIRST_COMPLETED).done:
                env_id, name = jobs.pop(future)
                found = future.result()
                progress.advance(bar)
                if name is None:
                    evaluated(env_id, *found)
                    continue
                progress.console.print(f"{env_id}: {label(name)} trained")
                left[env_id].remove(name)
                if not left[env_id]:
                    evaluations.append(env_id)
    except BaseException:  # Ctrl-C too: what still runs is of no use to anyone
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def task_table(table: pd.DataFrame, title: str, notes: Sequence[str]) -> str:
    """A task's table, best policy first; the first row of ``table`` is what the others are compared to."""
    ordered = table.sort_values("joint_error", kind="stable")
    lines = [line for note in notes for line in textwrap.wrap(note, WIDTH)]
    return "\n".join([title, comparison(ordered, table.policy.iloc[0]), *lines, ""])


def conduct(
    plan: Plan, ids: Sequence[str], processes: int, origin: dict[str, Any], *, quiet: bool
) -> tuple[pd.DataFrame, bool]:
    """Run the benchmark; whatever ends it early, the tables of finished tasks are written.

    Returns:
        The rows of all finished tasks, and whether a signal ended it early.
    """
    console, interrupted = Console(), False
    tables: dict[str, pd.DataFrame] = {}
    shared = {name: getattr(plan, name) for name in ("episodes", "seed", "seconds", "scale", "training_seeds")} | origin
    plan.folder.mkdir(parents=True, exist_ok=True)

    def all_rows() -> pd.DataFrame:
        return pd.concat([tables[env_id] for env_id in ids if env_id in tables], ignore_index=True)

    def evaluated(env_id: str, table: pd.DataFrame, notes: list[str]) -> None:
        tables[env_id] = table.assign(**shared)
        write_table(plan.folder / "benchmark.csv", all_rows())
        text = task_table(table, f"{env_id}: {plan.episodes:,} episodes", notes)
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            run(plan, ids, processes, progress, evaluated)
    except KeyboardInterrupt:
        interrupted = True
    if not tables:
        return pd.DataFrame(), interrupted
    print(textwrap.fill(plan.caption, WIDTH))
    draw(plan.folder / "benchmark.png", all_rows(), plan.caption)
    print(f"table and picture: {plan.folder / 'benchmark.csv'}, {plan.folder / 'benchmark.png'}")
    curves = draw_curves(plan, {env_id: {x: plan.runs(x) for x in plan.learners} for env_id in tables})
    if curves is not None:
        print(f"learning curves over decisions and seconds: {curves}")
    if plan.training_seeds > 1:
        seeds = over_seeds(all_rows(), plan.seed)
        write_table(plan.folder / "seeds.csv", seeds.assign(**shared))
        print(f"over {plan.training_seeds} training seeds\n{text_table(SEEDS, seed_rows(seeds))}\n")
    return all_rows(), interrupted
