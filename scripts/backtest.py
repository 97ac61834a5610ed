"""Policies replayed on real air: the map that they give, compared with what every device really read.

    python -m scripts.backtest                            # about five minutes; results/backtest.csv and .png
    python -m scripts.backtest --policies staggered index --devices 2 9 21
    python -m scripts.backtest --markdown docs/backtest.md
    python -m scripts.backtest --network town.npz --readings 2024.csv --devices 1 3 4 8

The model of the maps is fitted to DataSet_1 (spring) alone, and all policies play the same windows of DataSet_2
(summer). Policies are tuned on spring's network; index starts from coefficients that were tuned on both periods'
network. The generalist is one index policy that was tuned on random instances, one in four of them on a network of this
campus. The raw readings come from `python -m scripts.download_data`, or from the mirror that AQ_GYM_DATA names.
Methods: the paper's three steps on real readings; a flat map at the area's level; that corrected by each location's
mean deviation; the level-aware map, which is the corrected one moved by the readings; scikit-learn's Gaussian process.
Errors are those of the locations without a device.

With --readings these are replayed instead, on a network that scripts.calibrate fitted to other ones. Windows are cut
where every station was read. There is no Gaussian process then, and no page.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from aq_gym import datasets
from aq_gym.estimation import LevelAware
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.evaluation.registry import WORDS, build_policy
from baselines.studies.backtest.page import draw, findings, page, plan_summary, summary
from baselines.studies.backtest.replaying import Windows, own_readings
from baselines.studies.backtest.tables import CONDITIONS, backtest, planned, with_gaussian_process
from baselines.studies.files import pyplot, save_figure, write_results, write_text
from baselines.studies.provenance import signature
from scripts.arguments import add_results, add_shape, at_least, command_parser, parsed
from scripts.command import enter

TRAIN, TEST = "pku2018-spring", "pku2018-summer"
POLICIES = ("staggered", "random", "synchronised", "greedy", "index", "generalist")
PLANNED = ("staggered", "greedy", "index")
KNOWN = tuple(word for word in WORDS if word not in ("optimal", "pretrained", "rollout"))


def main(args: argparse.Namespace) -> pd.DataFrame:
    own = args.readings is not None
    if own:
        network, test, lines = own_readings(args.network, args.readings)
        about = f"{', '.join(path.name for path in args.readings)}, model of {args.network.name}"
        print("\n".join(lines))
    else:
        train, _ = datasets.load_pku2018(TRAIN)
        test, _ = datasets.load_pku2018(TEST)
        network, about = SensorNetwork.load(TRAIN), "summer, model of spring"
    problem = Problem.create(network, args.devices, args.horizon, args.budget, args.max_sleep)
    data = Windows.cut(network, test, args.horizon)
    learned = LevelAware.of(network)
    with Console(quiet=args.quiet).status("tuning") as line:
        policies = {word: build_policy(word, problem)[0] for word in args.policies}
        table = backtest(policies, problem, data, learned, conditions=CONDITIONS, seed=args.seed, watch=line.update)
        if not (args.no_gaussian_process or own):
            first = args.policies[0]
            line.update(f"Gaussian process, {first}")
            row = with_gaussian_process(first, policies[first], problem, data, train, args.seed)
            table = pd.concat([table, row], ignore_index=True)
    print("\n".join([summary(table, data, learned, about), *findings(table)]))
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
    tuned = [word for word in KNOWN if word != "generalist"]
    parser.add_argument(
        "--planned", nargs="*", choices=tuned, default=PLANNED, metavar="NAME", help="with either inference"
    )
    parser.add_argument("--devices", nargs="+", type=int, default=[0, 6, 12, 18, 24], metavar="LOCATION")
    add_shape(parser, 60, 10, 12)
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the faults and the intervals")
    parser.add_argument("--no-gaussian-process", action="store_true", help="leave out the slow yardstick")
    parser.add_argument("--network", type=Path, metavar="FILE", help="of scripts.calibrate, with --readings")
    parser.add_argument("--readings", type=Path, nargs="+", metavar="FILE", help="your own, instead of pku2018's")
    add_results(parser, "backtest")
    args = parsed(parser, arguments, once=("policies", "planned"))
    if (args.network is None) != (args.readings is None):
        parser.error("--network and --readings belong together: a network, and readings of its stations to replay")
    if args.readings and args.markdown:
        parser.error("--markdown: the page is about pku2018's readings; leave it out with --readings")
    return args


if __name__ == "__main__":
    enter(main, parse)
