"""Play policies on the same episodes and print the table.

    python -m scripts.evaluate --env aq_gym/MultiDevice-v0 --policies random staggered greedy --episodes 2000
    python -m scripts.evaluate --env aq_gym/SingleDevice-v0 --policies optimal staggered --csv results/single.csv
    python -m scripts.evaluate --policies staggered --dqn runs/dqn/MultiDevice-v0-seed0
    python -m scripts.evaluate --policies staggered --sb3 runs/sb3/ppo-MultiDevice-v0-seed0

The first policy is the one that the others are compared to; intervals are 95 %, paired in the column of differences.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from baselines.evaluation import WORDS, evaluate
from scripts.door import enter, json_object
from scripts.files import write_table


def show(table: pd.DataFrame, title: str) -> None:
    """Print a table of `baselines.evaluate`."""
    shown = Table(title=title)
    shown.add_column("policy")
    headings = ("joint error µg/m³", "difference", "energy used", "forced", "decisions/s", "training s")
    for heading in headings:
        shown.add_column(heading, justify="right")
    for row in table.itertuples():
        difference = (
            "" if row.Index == 0 else f"{row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]"
        )
        shown.add_row(
            row.policy,
            f"{row.joint_error:.3f} [{row.joint_error_low:.3f}, {row.joint_error_high:.3f}]",
            difference,
            f"{row.energy_used:.2f}",
            f"{row.forced:.2%}",
            f"{row.decisions_per_second:,.0f}",
            f"{row.training_seconds:.1f}",
        )
    Console().print(shown)


def main(args: argparse.Namespace) -> pd.DataFrame:
    policies: dict[str, Any] = {word: word for word in args.policies}
    for folder in args.dqn:
        from baselines.dqn import load_trained

        policies[f"dqn {folder.name}"] = load_trained(folder)
    for folder in args.sb3:
        from baselines.sb3 import SB3Policy

        policies[f"sb3 {folder.name}"] = SB3Policy.load(folder)
    table = evaluate(policies, args.env, args.episodes, args.seed, **args.env_kwargs)
    show(table, f"{args.env}: {args.episodes:,} episodes from seed {args.seed}")
    if args.csv is not None:
        write_table(args.csv, table)
        print(f"written to {args.csv}")
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="aq_gym/MultiDevice-v0", help="id (default aq_gym/MultiDevice-v0)")
    parser.add_argument(
        "--policies", nargs="+", choices=WORDS, default=["random", "synchronised", "staggered", "greedy"]
    )
    parser.add_argument(
        "--dqn", type=Path, action="append", default=[], metavar="FOLDER", help="of scripts.train_dqn; may be repeated"
    )
    parser.add_argument(
        "--sb3", type=Path, action="append", default=[], metavar="FOLDER", help="of scripts.train_sb3; may be repeated"
    )
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first episode (default 0)")
    parser.add_argument(
        "--env-kwargs", type=json_object, default={}, help="""arguments to the id as JSON: '{"horizon": 30}'"""
    )
    parser.add_argument("--csv", type=Path, help="also write the table there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
