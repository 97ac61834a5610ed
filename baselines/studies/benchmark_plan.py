"""From the benchmark's options to its plan: which folder, how long, what is refused before anything is done."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

from baselines.playing import check_count, problem_of
from baselines.studies.benchmark import Plan

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
    for name, least in (("episodes", 1), ("seed", 0), ("processes", 1), ("training_seeds", 1)):
        check_count(f"--{name.replace('_', '-')}", getattr(args, name), least)
    check_count("--validations", chosen["validations"], 1)
    if "observation" in args.env_kwargs:
        raise ValueError("--env-kwargs: leave out observation, each policy reads its own")
    for env_id in args.ids:  # refused now rather than after some minutes
        problem_of(env_id, **args.env_kwargs)
    chosen |= {name: getattr(args, name) for name in ("episodes", "seed", "yardsticks", "env_kwargs", "training_seeds")}
    return Plan(folder=folder, code={name: origin[name] for name in ("commit", "dirty", "sources_sha256")}, **chosen)
