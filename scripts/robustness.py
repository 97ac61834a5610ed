"""What policies lose where the world is not what they were made for.

    python -m scripts.robustness                                     # about ten minutes; results/robustness.csv
    python -m scripts.robustness --policies staggered index --episodes 200
    python -m scripts.robustness --markdown docs/robustness.md

Policies are tuned or trained on spring's network (the agents on both periods', which they were shipped for). They play
there, on summer's network, with wrong variances, with the level known late or with noise, with lost readings and with a
device that dies halfway. Each is compared with its own clean score on the same episodes, in per cent, with 95 %
intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from aq_gym.problem import Problem
from baselines.evaluation.registry import WORDS, build_policy
from baselines.learners.shipped import load_pretrained
from baselines.playing import problem_of
from baselines.studies.files import write_results
from baselines.studies.robustness import compare, page, summary
from scripts.arguments import add_results, at_least, command_parser, parsed
from scripts.command import enter

ENV = "aq_gym/MultiDevice-v0"
SHIPPED = "MultiDevice-v0's agent"
POLICIES = ("staggered", "greedy", "index", "generalist")
KNOWN = tuple(word for word in WORDS if word not in ("optimal", "pretrained", "rollout"))


def main(args: argparse.Namespace) -> pd.DataFrame:
    shipped = problem_of(ENV)
    shape = shipped.horizon, shipped.energy_budget, shipped.max_sleep
    problem = Problem.create("pku2018-spring", shipped.devices, *shape)
    builders: dict[str, Callable[[], Any]] = {
        word: (lambda word=word: build_policy(word, problem)[0]) for word in args.policies
    }
    if not args.no_agent:
        builders[SHIPPED] = lambda: load_pretrained(ENV)
    with Console(quiet=args.quiet).status("") as line:
        table = compare(builders, problem, args.episodes, args.seed, line.update)
    print(summary(table, args.episodes))
    numbers = table.assign(episodes=args.episodes, seed=args.seed)
    write_results(numbers, args.csv, page(table, ENV, args.episodes), args.markdown, args.command)
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--policies", nargs="+", choices=KNOWN, default=POLICIES, metavar="NAME", help=f"of {', '.join(KNOWN)}"
    )
    parser.add_argument("--no-agent", action="store_true", help=f"leave out {SHIPPED}")
    parser.add_argument("--episodes", type=at_least(1), default=2000)
    parser.add_argument("--seed", type=at_least(0), default=0)
    add_results(parser, "robustness")
    return parsed(parser, arguments, once=["policies"])


if __name__ == "__main__":
    enter(main, parse)
