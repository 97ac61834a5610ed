"""Trainings of our DQN beside a progress bar, stored in folders so that a study uses them again."""

import argparse
import json
import math
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from agents import DQNConfig, GreedyPolicy
from baselines.learners.clock import Step
from baselines.learners.resumption import CHECKPOINT
from baselines.learners.run import train
from baselines.learners.task import recipe
from baselines.learners.training import Training
from baselines.studies.files import write_json
from baselines.studies.provenance import sources

FINISHED = "finished.json"


def follow(training: Training, name: str, seconds: float, *, quiet: bool) -> GreedyPolicy:
    """Run a training beside a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=1.0)
        last = [math.nan]

        def watch(step: Step) -> None:
            if step.validation_error is not None:
                last[0] = step.validation_error
            done = f"{training.agent.decisions:,} decisions and {training.agent.pairs:,} pairs"
            text = f"{name}: {step.stage}, {done}, error {last[0]:.3f} µg/m³"
            bar.update(task, completed=step.share, description=text)

        return train(training, seconds=seconds, watch=watch)


def recipe_config(env_id: str, seconds: float = math.inf, **changes: Any) -> DQNConfig:
    """An id's recipe for so many seconds, with some settings changed."""
    chosen = recipe(env_id, seconds)
    return DQNConfig.named(chosen["config"], **{**chosen["settings"], **changes})


def read_marker(folder: Path) -> dict[str, Any]:
    """What a finished training left in its folder; empty where there is none, or a damaged one."""
    try:
        return dict(json.loads((folder / FINISHED).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):  # trained anew
        return {}


def train_once(
    folder: Path,
    env_id: str,
    config: DQNConfig,
    args: argparse.Namespace,
    *,
    name: str,
    seconds: float,
    reference: bool = True,
    **env_kwargs: Any,
) -> dict[str, Any]:
    """Train into a folder, unless it holds this very training under this very code, run to its end.

    Args:
        args: of the command: ``seed``, ``quiet`` and, if it has them, ``anew`` and ``keep_agents`` (one that was
            trained so, though by other code, will do).
        reference: as for `Training`.

    Returns:
        How many ``decisions`` and ``pairs`` it took, and the seconds.
    """
    asked = {
        "env_id": env_id,
        "env_kwargs": env_kwargs,
        "config": config.to_dict(),
        "seed": args.seed,
        "most_seconds": seconds,
        "reference": reference,
        "sources_sha256": sources(),
    }
    asked = json.loads(json.dumps(asked))
    found = read_marker(folder)
    if {"asked", "took"} <= set(found) and not getattr(args, "anew", False):
        same_code = {**found["asked"], "sources_sha256": asked["sources_sha256"]}
        if asked in (found["asked"], same_code if getattr(args, "keep_agents", False) else None):
            return dict(found["took"])
    if folder.is_dir():
        names = [path.name for path in folder.iterdir()]
        ours = (FINISHED, CHECKPOINT, "events.out.tfevents")
        if names and not any(name.startswith(ours) for name in names):
            raise ValueError(f"{folder}: holds files, but no training; --folder names another place")
    shutil.rmtree(folder, ignore_errors=True)
    training = Training(env_id, config, args.seed, folder, reference=reference, **env_kwargs)
    follow(training, name, seconds, quiet=args.quiet)
    if training.interrupted:
        raise KeyboardInterrupt
    took = {"decisions": training.agent.decisions, "pairs": training.agent.pairs, "seconds": training.seconds}
    write_json(folder / FINISHED, {"asked": asked, "took": took})
    return took
