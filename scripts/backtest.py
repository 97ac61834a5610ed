"""Policies replayed on real air: the map that they give, compared with what every device really read.

    python -m scripts.backtest                            # about five minutes; results/backtest.csv and .png
    python -m scripts.backtest --policies staggered index --devices 2 9 21
    python -m scripts.backtest --markdown docs/backtest.md

The model of the maps is fitted to DataSet_1 (spring) alone, and all policies play the same windows of DataSet_2
(summer). Policies are tuned on spring's network; index starts from coefficients that were tuned on both periods'
network. The generalist is one index policy that was tuned on random instances, one in four of them on a network of this
campus. The raw readings come from `python -m scripts.download_data`, or from the mirror that AQ_GYM_DATA names.
Methods: the paper's three steps on real readings; a flat map at the area's level; that corrected by each location's
mean deviation; the level-aware map, which is the corrected one moved by the readings; scikit-learn's Gaussian process.
Errors are those of the locations without a device.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd
from rich.console import Console

from aq_gym import datasets
from aq_gym.estimation import LevelAware
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.evaluation.registry import WORDS, build_policy
from baselines.studies.backtest.page import draw, findings, page, plan_summary, summary
from baselines.studies.backtest.replaying import Windows
from baselines.studies.backtest.tables import CONDITIONS, backtest, planned, with_gaussian_process
from baselines.studies.files import pyplot, save_figure, write_results, write_text
from baselines.studies.provenance import signature
from scripts.arguments import add_results, at_least, command_parser, parsed
from scripts.command import enter

TRAIN, TEST = "pku2018-spring", "pku2018-summer"
POLICIES = ("staggered", "random", "synchronised", "greedy", "index", "generalist")
PLANNED = ("staggered", "greedy", "index")
KNOWN = tuple(word for word in WORDS if word not in ("optimal", "pretrained", "rollout"))


def main(args: argparse.Namespace) -> pd.DataFrame:
    train, _ = datasets.load_pku2018(TRAIN)
    test, _ = datasets.load_pku2018(TEST)
    network = SensorNetwork.load(TRAIN)
    problem = Problem.create(network, args.devices, args.horizon, args.budget, args.max_sleep)
    data = Windows.cut(network, test, args.horizon)
    learned = LevelAware.of(network)
    with Console(quiet=args.quiet).status("tuning") as line:
        policies = {word: build_policy(word, problem)[0] for word in args.policies}
        table = backtest(policies, problem, data, learned, conditions=CONDITIONS, seed=args.seed, watch=line.update)
        if not args.no_gaussian_process:
            first = args.policies[0]
            line.update(f"Gaussian process, {first}")
            row = with_gaussian_process(first, policies[first], problem, data, train, args.seed)
            table = pd.concat([table, row], ignore_index=True)
    print("\n".join([summary(table, data, learned), *findings(table)]))
    write_results(table, args.csv, "", None, args.command)
    picture = args.csv.with_suffix(".png")
    save_figure(picture, draw(pyplot(), table, args.policies))
    print(f"written to {picture}")
    plans = planned(args.planned, problem, data, learned, args.seed)
    print(plan_summary(plans))
    if args.markdown is not None:
        made_by = signature(args.command)
        write_text(args.markdown, page(table, plans, data, problem, made_by))
        print(f"written to {args.markdown}")
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--policies", nargs="+", choices=KNOWN, default=POLICIES, metavar="NAME", help=f"of {', '.join(KNOWN)}"
    )
    parser.add_argument(
        "--planned",
        nargs="*",
        choices=[word for word in KNOWN if word != "generalist"],
        default=PLANNED,
        metavar="NAME",
        help="with either inference",
    )
    parser.add_argument("--devices", nargs="+", type=int, default=[0, 6, 12, 18, 24], metavar="LOCATION")
    parser.add_argument("--horizon", type=at_least(1), default=60, help="T, slots")
    parser.add_argument("--budget", type=at_least(0), default=10, help="B, sensings of a device")
    parser.add_argument("--max-sleep", type=at_least(1), default=12, help="D, slots")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the faults and the intervals")
    parser.add_argument("--no-gaussian-process", action="store_true", help="leave out the slow yardstick")
    add_results(parser, "backtest")
    return parsed(parser, arguments, once=("policies", "planned"))


if __name__ == "__main__":
    enter(main, parse)
