"""What policies lose where the world is not what they were made for.

    python -m scripts.robustness                                     # about five minutes; results/robustness.csv
    python -m scripts.robustness --ids MultiDevice-v0 --policies staggered index --episodes 200
    python -m scripts.robustness --markdown docs/robustness.md

Policies are made for spring's network (the agents for both periods', which they were shipped for). They play there, on
summer's network, with noise, with lost readings and with a device that dies halfway; where the level is known also with
wrong variances and with the level known late. Each is compared with its own clean score on the same episodes, in per
cent, with 95 % intervals.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from aq_gym.problem import Problem
from baselines.evaluation.registry import WORDS
from baselines.learners.shipped import is_shipped, load_pretrained
from baselines.playing import problem_of
from baselines.studies.files import write_results
from baselines.studies.robustness import compare, page, summary
from scripts.arguments import add_results, at_least, command_parser, parsed
from scripts.command import enter

IDS = ("MultiDevice-v0", "MultiDevice-Hidden-Week-v0")
POLICIES = {False: ("staggered", "greedy", "index", "generalist"), True: ("relay", "retrying-relay", "adaptive-relay")}
KNOWN = tuple(word for word in WORDS if word not in ("optimal", "pretrained", "rollout"))
MOST_DECISIONS = 200_000  # of a policy under one condition: fewer episodes of a long id


def main(args: argparse.Namespace) -> pd.DataFrame:
    tables = []
    for env_id in args.ids:
        shipped, name = problem_of(env_id), env_id.rpartition("/")[2]
        problem = Problem.create(**shipped.arguments | {"network": "pku2018-spring"})
        hidden = problem.inference == "hidden"
        policies: dict[str, Any] = {word: word for word in args.policies or POLICIES[hidden]}
        if not args.no_agent and is_shipped(shipped):
            policies["shipped agent"] = load_pretrained(name)
        most = MOST_DECISIONS // (problem.horizon * problem.n_devices)
        episodes = min(args.episodes, max(2, most)) if hidden else args.episodes
        with Console(quiet=args.quiet).status("") as line:
            table = compare(policies, problem, episodes, args.seed, line.update)
        tables.append(table.assign(env_id=name, hidden=hidden, episodes=episodes, seed=args.seed))
    table = pd.concat(tables, ignore_index=True)
    print(summary(table))
    write_results(table, args.csv, page(table), args.markdown, args.command)
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--ids", nargs="+", default=IDS, help=f"on the campus, default {' '.join(IDS)}")
    parser.add_argument(
        "--policies", nargs="+", choices=KNOWN, metavar="NAME", help=f"of {', '.join(KNOWN)}; default: by the id"
    )
    parser.add_argument("--no-agent", action="store_true", help="leave out the shipped agents")
    parser.add_argument("--episodes", type=at_least(1), default=1000, help="where the level is hidden, fewer")
    parser.add_argument("--seed", type=at_least(0), default=0)
    add_results(parser, "robustness")
    return parsed(parser, arguments, once=["ids", "policies"])


if __name__ == "__main__":
    enter(main, parse)
