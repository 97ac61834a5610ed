"""The generalist on instances that it never saw, beside the index policy tuned there and the agent trained there.

    python -m scripts.zero_shot                          # the agent trained there only where one is shipped
    python -m scripts.zero_shot --train 600              # trains the missing agents, ten minutes each at most
    python -m scripts.zero_shot --agent runs/generalist --instances MultiDevice-v0 --episodes 2000

All policies play the same episodes, compiled; differences are paired, in per cent of the agent trained there (or of the
index policy where there is none), with 95 % intervals. Trained agents are kept in runs/zero_shot and used again.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from agents import DQNConfig, GreedyPolicy
from baselines.dqn import load_pretrained, load_trained, pretrained_ids, recipe
from baselines.evaluation import mean_with_interval
from baselines.generalist import compiled_error, load_generalist
from baselines.index import Simulator, index_policy
from baselines.playing import problem_of
from scripts.door import enter
from scripts.files import write_table, write_text
from scripts.kept import markdown, percent, train_once
from scripts.provenance import provenance, signature

# Name, id, arguments. Training draws none of these very device sets; five, ten and twenty devices and networks of 60
# locations it never draws at all.
INSTANCES: dict[str, tuple[str, dict[str, Any]]] = {
    "SingleDevice-v0": ("SingleDevice-v0", {}),
    "SingleDevice-Day-v0": ("SingleDevice-Day-v0", {}),
    "TwoDevices-v0": ("TwoDevices-v0", {}),
    "MultiDevice-v0": ("MultiDevice-v0", {}),
    "MultiDevice-Day-v0": ("MultiDevice-Day-v0", {}),
    "M=10 T=120 B=10 D=24": (
        "MultiDevice-Day-v0",  # its recipe suits
        {"horizon": 120, "energy_budget": 10},
    ),
    "M=3 T=60 B=6 D=20": (
        "MultiDevice-v0",
        {"devices": [0, 10, 20], "horizon": 60, "energy_budget": 6, "max_sleep": 20},
    ),
    "M=20 T=60 B=10 D=12": ("MultiDevice-v0", {"devices": list(range(0, 30, 3)) + list(range(1, 30, 3))}),
    "another city, M=5": ("MultiDevice-v0", {"network": "synthetic-60-1", "devices": [0, 12, 24, 36, 48]}),
}
COLUMNS = ("instance", "policy", "joint_error", "percent", "percent_low", "percent_high", "compared_to", "episodes")


def trained_there(name: str, args: argparse.Namespace) -> GreedyPolicy | None:
    """The agent of one instance: shipped, trained before, trained now, or None."""
    env_id, kwargs = INSTANCES[name]
    if not kwargs and env_id in pretrained_ids():
        return load_pretrained(env_id)
    if args.train <= 0 or (args.train_at is not None and name not in args.train_at):
        return None
    folder = args.folder / "".join(x if x.isalnum() else "-" for x in name)
    chosen = recipe(env_id)
    config = DQNConfig.named(chosen["config"], **chosen["settings"])
    train_once(folder, env_id, config, args, name=name, seconds=args.train, **kwargs)
    return load_trained(folder)


def measure(name: str, generalist: GreedyPolicy, args: argparse.Namespace) -> list[tuple[Any, ...]]:
    """The rows of one instance."""
    env_id, kwargs = INSTANCES[name]
    problem = problem_of(env_id, **kwargs)
    errors: dict[str, NDArray[np.float64]] = {}
    errors["index"] = Simulator(problem).errors([index_policy(problem)], args.episodes, 0)[0]
    agent = trained_there(name, args)
    if agent is not None:
        errors["trained there"] = compiled_error(agent, problem, args.episodes, 0)
    errors["generalist"] = compiled_error(generalist, problem, args.episodes, 0)
    base = "index" if agent is None else "trained there"
    rows = []
    for policy, found in errors.items():
        unit = 100.0 / errors[base].mean()
        percent = (
            [math.nan] * 3 if policy == base else [unit * x for x in mean_with_interval(found - errors[base], seed=0)]
        )
        rows.append((name, policy, float(found.mean()), *percent, base, args.episodes))
    return rows


def main(args: argparse.Namespace) -> pd.DataFrame:
    generalist = load_generalist() if args.agent is None else load_trained(args.agent)
    table = pd.DataFrame([row for name in args.instances for row in measure(name, generalist, args)], columns=COLUMNS)
    shown = Table("instance", "policy", "joint error µg/m³", "% of the agent trained there, else of index")
    for row in table.itertuples():
        difference = "" if math.isnan(row.percent) else percent(row)
        shown.add_row(row.instance, row.policy, f"{row.joint_error:.4f}", difference)
    Console().print(shown)
    write_table(args.csv, table.assign(**provenance()))
    print(f"written to {args.csv}")
    if args.markdown is not None:
        write_text(args.markdown, page(table, generalist, args))
        print(f"written to {args.markdown}")
    return table


def page(table: pd.DataFrame, generalist: GreedyPolicy, args: argparse.Namespace) -> str:
    """The table as a page."""
    rows = []
    for row in table.itertuples():
        compared = ("", "") if math.isnan(row.percent) else (row.compared_to, percent(row))
        rows.append((row.instance, row.policy, f"{row.joint_error:.4f}", *compared))
    kept = ", of this code or an earlier one" if args.keep_agents else ""
    heads = ("instance", "policy", "joint error µg/m³", "compared to", "difference %")
    card = generalist.card
    return (
        "# The generalist where it never trained\n\n"
        "One network, trained on random instances (networks, device sets, horizons and budgets of "
        "`aq_gym.sampler.InstanceSampler`), plays device sets, horizons and budgets that it never saw. The campus "
        "network pku2018 is among the networks that it was trained on; five, ten and twenty devices and cities of 60 "
        "locations are not. "
        "The index policy was tuned for each id beforehand, or for the instance as this command ran; the agent trained "
        f"there is the shipped one or one of `--train` seconds{kept}. {args.episodes:,} episodes, the same for all; "
        "differences are paired, in per cent, with 95 % intervals over the episodes.\n\n"
        f"The generalist: `{card.get('command')}`, commit {card.get('commit')}, "
        f"{card.get('training_seconds', math.nan):.0f} s of training. This page: "
        f"{signature(shlex.join(['python', '-m', 'scripts.zero_shot', *args.given]))}\n\n{markdown(heads, rows)}"
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", type=Path, help="folder of scripts.train_generalist (default: the shipped agent)")
    parser.add_argument("--instances", nargs="+", choices=INSTANCES, default=list(INSTANCES), metavar="NAME")
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--train", type=float, default=0.0, help="seconds for each agent that is missing (default 0)")
    parser.add_argument(
        "--train-at", nargs="+", choices=INSTANCES, metavar="NAME", help="where --train applies (default: everywhere)"
    )
    parser.add_argument(
        "--keep-agents",
        action="store_true",
        help="agents that earlier code trained so will do; the page says it",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the training there")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "zero_shot")
    parser.add_argument("--csv", type=Path, default=Path("results") / "zero_shot.csv")
    parser.add_argument("--markdown", type=Path, help="also write the table there as a page")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)
    if args.train_at is not None and args.train <= 0:
        parser.error("--train-at: says where --train applies, so give --train SECONDS too")
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    return args


if __name__ == "__main__":
    enter(main, parse)
