"""Train the generalist: one network for any number of devices, any horizon and budget, any network.

    python -m scripts.train_generalist                     # forty minutes on two cores; into runs/generalist
    python -m scripts.train_generalist --resume --improvements 24
    python -m scripts.zero_shot --agent runs/generalist    # what it does on instances that it never saw

Settings are data: baselines/generalist_recipe.json. --seconds limits training and validation together; compiling comes
before. Ctrl-C (or SIGTERM) stops early and keeps what was learned; --resume continues, with the same result as if
nothing had happened. The pairs of six steps need about a gigabyte of memory, twice that
while they are fitted, and as much for the checkpoint.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from agents import GreedyPolicy
from baselines.learners.generalist import GeneralistTraining, recipe
from baselines.studies.provenance import commit
from baselines.studies.training import follow
from scripts.arguments import at_least, command_parser, json_object, parsed
from scripts.command import enter
from scripts.train_dqn import check_unused, report


def main(args: argparse.Namespace) -> GreedyPolicy:
    if not args.resume:
        check_unused(args.folder)
    settings = dict(args.overrides)
    if args.improvements is not None:
        settings["improvements"] = args.improvements
    note = {"command": args.command, "commit": commit()}
    config = recipe().replace(**settings)
    training = GeneralistTraining(config, args.seed, args.folder, resume=args.resume, note=note)
    policy = follow(training, "generalist", "of greedy sensing", args.seconds, quiet=args.quiet)
    print(f"generalist: {report(training, 'of greedy sensing')}")
    return policy


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--improvements", type=int, help="steps of policy iteration (default: the recipe's)")
    parser.add_argument("--seconds", type=at_least(0, float), default=math.inf, help="stop after so many (see above)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs") / "generalist")
    parser.add_argument("--resume", action="store_true", help="continue from the folder's checkpoint")
    parser.add_argument("--overrides", type=json_object, default={}, help="""settings as JSON: '{"hidden": [32]}'""")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
