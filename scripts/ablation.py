"""Which lever gives what: our DQN with one thing changed at a time, for the same seconds of training.

    python -m scripts.ablation                                  # MultiDevice-v0, 120 s each, about half an hour
    python -m scripts.ablation --env aq_gym/TwoDevices-v0 --seconds 60 --variants recipe sets
    python -m scripts.ablation --markdown docs/ablation.md

All agents play the same episodes; differences to the tuned index policy are paired, in per cent, with 95 % intervals.
Finished trainings are kept in runs/ablation and used again; --anew trains them again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
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
from baselines.dqn import Training, load_trained, recipe
from baselines.evaluation import mean_with_interval
from baselines.index import Simulator, index_policy
from baselines.playing import play_problem, problem_of
from scripts.door import enter
from scripts.files import write_json, write_table, write_text
from scripts.provenance import provenance, signature
from scripts.train_dqn import follow

RETURNS = {"improvements": 0, "total_decisions": 1_400_000}
SETS = {"network": "set", "set_context": len(COMPACT_FEATURES), "set_item": len(DEVICE_FEATURES)}
# What is changed of the id's recipe; "reference" belongs to the training, all else to its configuration.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "recipe": ("the id's recipe: pairs from greedy sensing on, after a short stage of returns", {}),
    "sets": ("a network over sets of devices", SETS),
    "wide": ("128-128 units instead of the recipe's", {"hidden": [128, 128]}),
    "narrow": ("32-32 units", {"hidden": [32, 32]}),
    "from returns": ("pairs start from the policy learned from returns", {"improve_from": "learned"}),
    "few large steps": ("a quarter of the steps, four times the pairs", {"improvements": 5, "pairs": 400_000}),
    "last step alone": ("only the newest pairs are fitted", {"pairs_kept": 1}),
    "returns": ("no pairs: Peng's Q(lambda) alone", RETURNS),
    "returns, random start": ("the same, the start at random", {**RETURNS, "start": "random"}),
    "returns, one step": ("the same with one-step targets", {**RETURNS, "returns": "one_step"}),
    "returns, not double": ("the same, one network both chooses and values", {**RETURNS, "double": False}),
    "returns, not duelling": ("the same without duelling heads", {**RETURNS, "duelling": False}),
    "returns, no reference": ("the same, nothing subtracted from rewards", {**RETURNS, "reference": False}),
}
COLUMNS = ("variant", "what", "joint_error", "percent", "percent_low", "percent_high", "seconds", "decisions", "pairs")


def trained(name: str, args: argparse.Namespace) -> Path:
    """The folder of a variant's training, run to its end."""
    folder: Path = args.folder / args.env.rpartition("/")[2] / name.replace(", ", "-").replace(" ", "-")
    chosen, changes = recipe(args.env), dict(VARIANTS[name][1])
    reference = changes.pop("reference", True)
    config = DQNConfig.named(chosen["config"], **{**chosen["settings"], **changes, **args.overrides})
    settings = {"config": config.to_dict(), "seconds": args.seconds, "seed": args.seed, "reference": reference}
    settings = json.loads(json.dumps(settings))
    done = folder / "finished.json"
    if not args.anew and done.is_file() and json.loads(done.read_text(encoding="utf-8")) == settings:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    training = Training(args.env, config, args.seed, folder, reference=reference, **args.env_kwargs)
    follow(training, name, "µg/m³", args.seconds, quiet=args.quiet)
    counts = {"decisions": training.agent.decisions, "pairs": training.agent.pairs, "trained": training.seconds}
    write_json(folder / "counts.json", counts)
    write_json(done, settings)
    return folder


def main(args: argparse.Namespace) -> pd.DataFrame:
    problem = problem_of(args.env, **args.env_kwargs)
    base = Simulator(problem).errors([index_policy(problem)], args.episodes, 0)[0]
    rows = []
    for name in args.variants:
        folder = trained(name, args)
        errors = play_problem(load_trained(folder), problem, args.episodes, 0).joint_error
        counts = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
        percent = [100.0 * x / base.mean() for x in mean_with_interval(errors - base, seed=0)]
        numbers = counts["trained"], counts["decisions"], counts["pairs"]
        rows.append((name, VARIANTS[name][0], float(np.mean(errors)), *percent, *numbers))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    shown = Table("variant", "joint error µg/m³", "% of index", "s", "decisions", "pairs")
    lines = ["| variant | what | joint error µg/m³ | % of index | decisions | pairs |", "| --- " * 6 + "|"]
    for row in table.itertuples():
        percent = f"{row.percent:+.2f} [{row.percent_low:+.2f}, {row.percent_high:+.2f}]"
        played = f"{row.decisions:,}", f"{row.pairs:,}"
        shown.add_row(row.variant, f"{row.joint_error:.4f}", percent, f"{row.seconds:.0f}", *played)
        cells = (row.variant, row.what, f"{row.joint_error:.3f}", percent, *played)
        lines.append(f"| {' | '.join(cells)} |")
    Console().print(shown)
    write_table(args.csv, table.assign(episodes=args.episodes, seed=args.seed, **provenance()))
    print(f"written to {args.csv}")
    if args.markdown is not None:
        write_page(args, lines)
    return table


def write_page(args: argparse.Namespace, lines: Sequence[str]) -> None:
    """The table as a page."""
    text = (
        f"# Which lever gives what on {args.env.rpartition('/')[2]}\n\n"
        f"Our DQN with one thing changed at a time, {args.seconds:.0f} s of training each, "
        f"one training seed ({args.seed}); {args.episodes:,} episodes, the same for all. The index "
        "policy was tuned for this task beforehand; differences to it are paired, in per cent, with 95 % intervals "
        "over the episodes. One seed each: differences below half a per cent between variants are within what another "
        f"seed changes.\n\n{signature(shlex.join(['python', '-m', 'scripts.ablation', *args.given]))}\n\n"
        + "\n".join(lines)
        + "\n"
    )
    write_text(args.markdown, text)
    print(f"written to {args.markdown}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="aq_gym/MultiDevice-v0", help="id (default aq_gym/MultiDevice-v0)")
    parser.add_argument("--env-kwargs", type=json.loads, default={}, help="arguments to the id as JSON")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each training")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    parser.add_argument("--episodes", type=int, default=4_000)
    parser.add_argument("--overrides", type=json.loads, default={}, help="settings for all variants, as JSON")
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
