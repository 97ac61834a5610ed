"""Trainings that a comparison keeps, so that it can be resumed, and the rows of its page."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents import DQNConfig
from baselines.dqn import Training
from scripts.files import write_json
from scripts.provenance import sources
from scripts.train_dqn import follow

FINISHED = "finished.json"


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
        folder: emptied before a training.
        env_id: what is learned.
        config: every setting.
        args: of the command: ``seed``, ``quiet`` and, if it has them, ``anew`` and ``keep_agents`` (one that was
            trained so, though by other code, will do).
        name: beside the progress bar.
        seconds: most.
        reference: as for `Training`.
        env_kwargs: as for `gymnasium.make`.

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
    marker = folder / FINISHED
    if marker.is_file() and not getattr(args, "anew", False):
        found = json.loads(marker.read_text(encoding="utf-8"))
        kept = {**found["asked"], "sources_sha256": asked["sources_sha256"]}
        if asked in (found["asked"], kept if getattr(args, "keep_agents", False) else None):
            return dict(found["took"])
    shutil.rmtree(folder, ignore_errors=True)
    training = Training(env_id, config, args.seed, folder, reference=reference, **env_kwargs)
    follow(training, name, "µg/m³", seconds, quiet=args.quiet)
    took = {"decisions": training.agent.decisions, "pairs": training.agent.pairs, "seconds": training.seconds}
    write_json(marker, {"asked": asked, "took": took})
    return took


def percent(row: Any) -> str:
    """A paired difference in per cent with its interval."""
    return f"{row.percent:+.2f} [{row.percent_low:+.2f}, {row.percent_high:+.2f}]"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
