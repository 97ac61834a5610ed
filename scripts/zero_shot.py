"""The generalist on instances that it never saw, beside the index policy tuned there and the agent trained there.

    python -m scripts.zero_shot --adapt 60               # and what baselines.adapt makes of it in a minute
    python -m scripts.zero_shot --train 600              # trains the missing agents, ten minutes each at most
    python -m scripts.zero_shot --agent runs/generalist.safetensors --instances MultiDevice-v0 --episodes 2000

All policies play the same episodes. Differences are paired, in per cent of the index policy, with 95 % intervals.
Finished trainings in runs/zero_shot are used again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from agents import GreedyPolicy
from baselines.learners.shipped import GENERALIST, load_pretrained, load_trained, pretrained_ids
from baselines.studies.files import write_results, write_table
from baselines.studies.stored_trainings import recipe_config, train_once
from baselines.studies.zero_shot import COLUMNS, INSTANCES, measure, page, summary
from scripts.arguments import add_results, at_least, command_parser, parsed
from scripts.command import enter


def trained_there(name: str, args: argparse.Namespace) -> GreedyPolicy | None:
    """The agent of one instance: shipped, trained before, trained now, or None."""
    env_id, kwargs = INSTANCES[name]
    if not kwargs and env_id in pretrained_ids():
        return load_pretrained(env_id)
    if args.train <= 0 or (args.train_at is not None and name not in args.train_at):
        return None
    folder = args.folder / "".join(x if x.isalnum() else "-" for x in name)
    train_once(folder, env_id, recipe_config(env_id), args, name=name, seconds=args.train, **kwargs)
    return load_trained(folder)


def main(args: argparse.Namespace) -> pd.DataFrame:
    agent = load_trained(GENERALIST if args.agent is None else args.agent)
    rows = []
    for name in args.instances:
        rows += measure(name, agent, trained_there(name, args), args.episodes, args.adapt)
        if not args.quiet:
            print(name, *(f"{row[1]} {row[2]:.4f}" for row in rows if row[0] == name), sep="  ", flush=True)
        table = pd.DataFrame(rows, columns=COLUMNS)
        write_table(args.csv, table)  # after each: a long run may be interrupted
    print(summary(table))
    write_results(table, args.csv, page(table, agent.card, args.adapt), args.markdown, args.command)
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--agent", type=Path, help="of scripts.tune_generalist (default: shipped)")
    parser.add_argument("--adapt", type=at_least(0, float), default=0.0, help="seconds of baselines.adapt")
    parser.add_argument("--instances", nargs="+", choices=INSTANCES, default=list(INSTANCES), metavar="NAME")
    parser.add_argument("--episodes", type=at_least(1), default=10_000)
    parser.add_argument("--train", type=at_least(0, float), default=0.0, help="seconds for each agent that is missing")
    parser.add_argument(
        "--train-at", nargs="+", choices=INSTANCES, metavar="NAME", help="where --train applies (default: everywhere)"
    )
    parser.add_argument(
        "--keep-agents", action="store_true", help="also use agents that earlier code trained; the page says so"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the training there")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "zero_shot")
    add_results(parser, "zero_shot")
    args = parsed(parser, arguments, once=["instances"])
    if args.train_at is not None and args.train <= 0:
        parser.error("--train-at: says where --train applies, so give --train SECONDS too")
    return args


if __name__ == "__main__":
    enter(main, parse)
