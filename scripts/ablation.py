"""Which lever gives what: our DQN with one thing changed at a time, for the same seconds of training.

    python -m scripts.ablation                                  # MultiDevice-v0, 120 s each, about half an hour
    python -m scripts.ablation --env aq_gym/TwoDevices-v0 --seconds 60 --variants recipe compact wide
    python -m scripts.ablation --markdown docs/ablation.md

All agents play the same episodes; differences to the tuned index policy are paired, in per cent, with 95 % intervals.
Finished trainings are kept in runs/ablation and used again; --anew trains them again.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from agents import DQNConfig
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from baselines.dqn import load_trained, recipe
from baselines.evaluation import mean_with_interval
from baselines.index import Simulator, index_policy
from baselines.playing import play_problem, problem_of
from scripts.door import enter, json_object
from scripts.files import write_table, write_text
from scripts.kept import markdown, percent, train_once
from scripts.provenance import provenance, signature

Changes = dict[str, Any]
RETURNS: Changes = {"improvements": 0, "total_decisions": 1_400_000}
SETS: Changes = {"network": "set", "set_context": len(COMPACT_FEATURES), "set_item": len(DEVICE_FEATURES)}
COLUMNS = ("variant", "what", "joint_error", "percent", "percent_low", "percent_high", "seconds", "decisions", "pairs")


def variants(config: DQNConfig) -> dict[str, tuple[str, Changes]]:
    """What may be changed of a recipe; "reference" belongs to the training, all else to its configuration."""
    wide, narrow = ([size * 2 for size in config.hidden], [max(1, size // 2) for size in config.hidden])
    few = {"improvements": max(1, config.improvements // 4), "pairs": config.pairs * 4}
    compact: Changes = {"network": "mlp"}
    return {
        "recipe": ("the id's recipe: pairs from greedy sensing on, after a short stage of returns", {}),
        "sets": ("a network over sets of devices", SETS),
        "compact": ("the 32 compact numbers alone", compact),
        "wide": (f"{'-'.join(map(str, wide))} units", {"hidden": wide}),
        "narrow": (f"{'-'.join(map(str, narrow))} units", {"hidden": narrow}),
        "from returns": ("pairs start from the policy learned from returns", {"improve_from": "learned"}),
        "few large steps": ("a quarter of the steps, four times the pairs", few),
        "whole pairs": ("pairs played to the end", {"pair_cut": 0}),
        "cut pairs": ("pairs cut after 12 slots, learned values for the rest", {"pair_cut": 12}),
        "last step alone": ("only the newest pairs are fitted", {"pairs_kept": 1}),
        "returns": ("no pairs: Peng's Q(lambda) alone", RETURNS),
        "returns, random start": ("the same, the start at random", {**RETURNS, "start": "random"}),
        "returns, one step": ("the same with one-step targets", {**RETURNS, "returns": "one_step"}),
        "returns, not double": ("the same, one network both chooses and values", {**RETURNS, "double": False}),
        "returns, no reference": ("the same, nothing subtracted from rewards", {**RETURNS, "reference": False}),
    }


def changed(config: DQNConfig) -> dict[str, tuple[str, DQNConfig, bool]]:
    """What, configuration and reference of each variant that differs from the recipe, and of the recipe."""
    found = {}
    for name, (what, changes) in variants(config).items():
        own = dict(changes)
        reference = bool(own.pop("reference", True))
        variant = config.replace(**own)
        if name == "recipe" or variant != config or not reference:
            found[name] = (what, variant, reference)
    return found


def main(args: argparse.Namespace) -> pd.DataFrame:
    problem = problem_of(args.env, **args.env_kwargs)
    chosen = recipe(args.env)
    config = DQNConfig.named(chosen["config"], **{**chosen["settings"], **args.overrides})
    known = changed(config)
    unknown = [name for name in args.variants or [] if name not in known]
    if unknown:
        raise ValueError(f"--variants: {', '.join(unknown)} is none of this recipe's: {', '.join(known)}")
    base = Simulator(problem).errors([index_policy(problem)], args.episodes, 0)[0]
    rows = []
    for name in args.variants or known:
        what, variant, reference = known[name]
        folder = args.folder / args.env.rpartition("/")[2] / name.replace(", ", "-").replace(" ", "-")
        limits: dict[str, Any] = {"name": name, "seconds": args.seconds, "reference": reference}
        took = train_once(folder, args.env, variant, args, **limits, **args.env_kwargs)
        errors = play_problem(load_trained(folder), problem, args.episodes, 0).joint_error
        difference = [100.0 * x / base.mean() for x in mean_with_interval(errors - base, seed=0)]
        numbers = took["seconds"], took["decisions"], took["pairs"]
        rows.append((name, what, float(np.mean(errors)), *difference, *numbers))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    shown = Table("variant", "joint error µg/m³", "% of index", "s", "decisions", "pairs")
    lines = []
    for row in table.itertuples():
        cells = f"{row.joint_error:.4f}", percent(row), f"{row.seconds:.0f}", f"{row.decisions:,}", f"{row.pairs:,}"
        shown.add_row(row.variant, *cells)
        lines.append((row.variant, row.what, *cells))
    Console().print(shown)
    write_table(args.csv, table.assign(episodes=args.episodes, seed=args.seed, **provenance()))
    print(f"written to {args.csv}")
    if args.markdown is not None:
        heads = ("variant", "what", "joint error µg/m³", "% of index", "s", "decisions", "pairs")
        write_text(args.markdown, page(args, markdown(heads, lines)))
        print(f"written to {args.markdown}")
    return table


def page(args: argparse.Namespace, table: str) -> str:
    """The table with what it takes to read it."""
    return (
        f"# Which lever gives what on {args.env.rpartition('/')[2]}\n\n"
        f"Our DQN with one thing changed at a time, at most {args.seconds:.0f} s of training each, one training seed "
        f"({args.seed}); {args.episodes:,} episodes, the same for all. The index policy was tuned for this task "
        "beforehand; differences to it are paired, in per cent, with 95 % intervals over the episodes, which say "
        f"nothing of what another training seed would change.\n\n"
        f"{signature(shlex.join(['python', '-m', 'scripts.ablation', *args.given]))}\n\n{table}"
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="aq_gym/MultiDevice-v0", help="id (default aq_gym/MultiDevice-v0)")
    parser.add_argument("--env-kwargs", type=json_object, default={}, help="arguments to the id as JSON")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="default: all that differ from the recipe")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each training")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    parser.add_argument("--episodes", type=int, default=4_000)
    parser.add_argument("--overrides", type=json_object, default={}, help="of the recipe, for all variants, as JSON")
    parser.add_argument("--anew", action="store_true", help="train again what is there")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "ablation")
    parser.add_argument("--csv", type=Path, default=Path("results") / "ablation.csv")
    parser.add_argument("--markdown", type=Path, help="also write the table there as a page")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    return args


if __name__ == "__main__":
    enter(main, parse)
