"""Play policies on the same episodes and print the table.

    python -m scripts.evaluate --env aq_gym/MultiDevice-v0 --policies random staggered greedy --episodes 2000
    python -m scripts.evaluate --env aq_gym/SingleDevice-v0 --policies optimal staggered --csv results/single.csv
    python -m scripts.evaluate --policies staggered --dqn runs/dqn/MultiDevice-v0-seed0
    python -m scripts.evaluate --policies staggered --sb3 runs/sb3/ppo-MultiDevice-v0-seed0
    python -m scripts.evaluate --env aq_gym/Tainan-v0 --policies staggered --saved runs/tainan

The first policy is the one that the others are compared to; intervals are 95 %, paired in the column of differences. An
agent is named after its folder, with as much of its path as makes it unique. A word that has no policy for this
problem, such as "optimal" where it is too large, is left out with a warning; the first must have one.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baselines.evaluation.registry import WORDS, evaluate, load_agent, names_of
from baselines.playing import problem_of
from baselines.studies.files import write_table
from baselines.studies.provenance import provenance
from baselines.studies.tables import comparison
from scripts.arguments import add_env, command_parser, file_path
from scripts.command import enter


def main(args: argparse.Namespace) -> pd.DataFrame:
    policies: dict[str, Any] = {word: word for word in args.policies}
    for kind, folders in (("dqn", args.dqn), ("sb3", args.sb3), ("saved", args.saved)):
        for name, folder in zip(names_of(kind, folders), folders, strict=True):
            policies[name] = load_saved(folder, args) if kind == "saved" else load_agent(kind, folder)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        left_out = list[str]()
        table = evaluate(policies, args.env, args.episodes, args.seed, unavailable=left_out.append, **args.env_kwargs)
    for message in [*left_out, *(warning.message for warning in found)]:
        print(f"warning: {message}", file=sys.stderr)
    if args.csv is not None:
        asked = {"env_id": args.env, "env_kwargs": json.dumps(args.env_kwargs)}
        asked |= {"episodes": args.episodes, "seed": args.seed}
        write_table(args.csv, table.assign(**asked, **provenance()))
    options = f" {json.dumps(args.env_kwargs)}" if args.env_kwargs else ""
    print(f"{args.env}{options}: {args.episodes:,} episodes from seed {args.seed}")
    print(comparison(table, table.policy.iloc[0], digits=3))
    if args.csv is not None:
        print(f"written to {args.csv}")
    return table


def load_saved(folder: Path, args: argparse.Namespace) -> Any:
    """A policy of `baselines.save_policy`; imported here, since heuristics need no torch."""
    from baselines.saved import load_policy

    return load_policy(folder, problem_of(args.env, **args.env_kwargs))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_env(parser)
    words = ["random", "synchronised", "staggered", "greedy"]
    parser.add_argument("--policies", nargs="+", choices=WORDS, default=words, metavar="WORD", help=", ".join(WORDS))
    agents: dict[str, Any] = {"type": Path, "action": "append", "default": [], "metavar": "FOLDER"}
    parser.add_argument("--dqn", help="of scripts.train_dqn; may be repeated", **agents)
    parser.add_argument("--sb3", help="of scripts.train_sb3; may be repeated", **agents)
    parser.add_argument("--saved", help="of baselines.save_policy; may be repeated", **agents)
    parser.add_argument("--episodes", type=int, default=2000, help="of each policy")
    parser.add_argument("--seed", type=int, default=0, help="of the first episode")
    parser.add_argument("--csv", type=file_path, help="also write the table there, with what made it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
