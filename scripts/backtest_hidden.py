"""Play policies on real air that the server knows from the devices' reports alone.

    python -m scripts.backtest_hidden                                # some minutes; results/backtest_hidden.csv
    python -m scripts.backtest_hidden --policies relay adaptive-relay --losses 0
    python -m scripts.backtest_hidden --markdown docs/hidden_backtest.md

Networks are fitted to spring (DataSet_1) and played on summer (DataSet_2), and the other way round. Needs the raw PKU
data set: fetched by `python -m scripts.download_data`, or from the mirror that AQ_GYM_DATA names. The change of the
RMSE is to the first policy.
"""

import argparse
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console

from aq_gym import datasets
from aq_gym.problem import Problem
from baselines.evaluation.registry import WORDS
from baselines.studies.backtest.replaying import Windows
from baselines.studies.backtest.reports import HOUR, STRIDE, backtest_reports, hourly_lines, page, summary
from baselines.studies.files import write_results
from scripts.arguments import add_results, add_shape, at_least, command_parser, parsed
from scripts.command import enter

SEASONS = ("pku2018-spring", "pku2018-summer")
POLICIES = ("relay", "retrying-relay", "timetable", "index", "adaptive-relay")
KNOWN = tuple(word for word in WORDS if word not in ("optimal", "generalist", "rollout"))


def main(args: argparse.Namespace) -> pd.DataFrame:
    if math.gcd(args.stride, HOUR) != 1:
        raise ValueError(f"--stride: expected a number without a common factor with {HOUR}, got {args.stride}")
    readings = {name: datasets.load_pku2018(name)[0] for name in SEASONS}
    tables = []
    with Console(quiet=args.quiet).status("") as bar:
        for fitted, played in (SEASONS, SEASONS[::-1]):
            for loss in args.losses:
                watch = lambda line, at=f"{fitted}, {loss:g} lost": bar.update(f"{at}: {line}")  # noqa: E731
                shape = args.devices, args.horizon, args.budget, args.max_sleep
                problem = Problem.create(fitted, *shape, inference="hidden", loss=loss)
                data = Windows.cut(problem.network, readings[played], args.horizon, args.stride)
                policies = {word: word for word in args.policies}
                table = backtest_reports(policies, problem, data, args.stride, args.seed, watch)
                tables.append(table.assign(fitted=fitted, played=played, loss=loss, windows=len(data)))
    table = pd.concat(tables, ignore_index=True)
    lines = {name: hourly_lines(np.asarray(x[0], np.float64).mean(axis=1)) for name, x in readings.items()}
    print(summary(table))
    for name, found in lines.items():
        print(f"{name}: off straight lines from slot 0..5 of the hour by {', '.join(f'{x:.2f}' for x in found)} µg/m³")
    write_results(table, args.csv, page(table, problem, args.stride, lines), args.markdown, args.command)
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--policies", nargs="+", choices=KNOWN, default=POLICIES, metavar="NAME", help=f"of {', '.join(KNOWN)}"
    )
    parser.add_argument("--losses", nargs="+", type=float, default=[0.0, 0.2], help="shares of lost reports")
    parser.add_argument("--devices", nargs="+", type=int, default=[0, 6, 12, 18, 24], metavar="LOCATION")
    add_shape(parser, 1008, 34, 144)
    parser.add_argument("--stride", type=at_least(1), default=STRIDE, help=f"slots between windows (default {STRIDE})")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the lost reports and the intervals")
    add_results(parser, "backtest_hidden")
    return parsed(parser, arguments, once=["policies", "losses"])


if __name__ == "__main__":
    enter(main, parse)
