"""Try forecasters on readings that they never saw, from every slot on: rolling origin.

    python -m scripts.evaluate_forecasters                                   # fit on pku2018's spring, try its summer
    python -m scripts.evaluate_forecasters --phases 6 --forecasters ridge    # skill by the origin's slot modulo six
    python -m scripts.evaluate_forecasters --readings airbox2017/readings.csv --fit-slots 500
    python -m scripts.evaluate_forecasters --in-the-loop                     # what policies lose that see forecasts
    python -m scripts.evaluate_forecasters --forecasters ridge --peers       # beside darts: pip install 'aq-gym[peers]'

Prints a table and writes it as CSV, pictures of skill, coverage and one fan, and TensorBoard scalars into --folder.
Skill is 1 minus the ratio of the mean absolute error to persistence's; in brackets 95 % intervals by blocks of a day.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.progress import Progress

from agents import TensorBoardLogger
from aq_gym.forecasting import storage
from baselines.studies import forecast_report, forecasts, in_the_loop
from baselines.studies.files import save_figure, write_table, write_text
from baselines.studies.provenance import provenance, signature
from scripts.arguments import command_parser, parsed
from scripts.command import enter

FORECASTERS = tuple(name for name in storage.NAMES if name != forecasts.YARDSTICK)


def main(args: argparse.Namespace) -> pd.DataFrame:
    split = forecasts.split_of(args)
    print(split.describe())
    if args.in_the_loop and (args.readings or args.phases):
        raise ValueError("--in-the-loop: is played on pku2018's summer, without --readings and --phases")
    tables, phases, best, ahead = [], [], None, {}
    with Progress(disable=args.quiet, transient=True) as bar:
        task = bar.add_task("", total=len(args.forecasters))
        bar.update(task, description=args.forecasters[0])
        for name, forecaster, found, table in forecasts.compare(args.forecasters, split, args.seed, args.threshold):
            tables.append(table)
            ahead[name] = found.quantiles[0, :, forecaster.horizons.index(1), forecaster.median]
            if best is None or table.pinball.mean() < best[0]:
                best = table.pinball.mean(), name, forecaster, found
            if args.phases:
                phase = forecasts.by_phase(forecaster, found, split, args.phases, args.seed)
                phases.append(phase.assign(forecaster=name))
            write_scalars(args.folder / name, table)
            following = args.forecasters[len(tables) : len(tables) + 1]
            bar.update(task, advance=1, description="".join(following))
    table = pd.concat(tables, ignore_index=True)
    text = forecast_report.markdown(table)
    print(text)
    write_table(args.folder / "forecasts.csv", table.assign(seed=args.seed, **provenance()))
    if phases:
        by_phase = pd.concat(phases, ignore_index=True)
        text += "\n" + forecast_report.phase_markdown(by_phase)
        print(forecast_report.phase_markdown(by_phase))
        write_table(args.folder / "phases.csv", by_phase)
    if args.in_the_loop:
        cost = in_the_loop.costs(ahead, split.test[0].level, args.seed)
        text += "\n" + in_the_loop.cost_markdown(cost)
        print(in_the_loop.cost_markdown(cost))
        write_table(args.folder / "in_the_loop.csv", cost)
    assert best is not None
    save_figure(args.folder / "skill.png", forecast_report.skill_figure(table))
    save_figure(args.folder / "coverage.png", forecast_report.coverage_figure(table))
    save_figure(args.folder / "fan.png", forecast_report.fan_figure(best[1], best[2], best[3], split))
    if args.markdown is not None:
        write_text(args.markdown, f"{split.describe()}.\n\n{text}\n{signature(args.command)}\n")
    print(f"written to {args.folder}")
    return table


def write_scalars(folder: Path, table: pd.DataFrame) -> None:
    """TensorBoard's scalars of one forecaster, the horizon as the step."""
    with TensorBoardLogger(folder) as logger:
        for row in table.to_dict("records"):
            for name in ("mae", "pinball", "skill", "coverage_80"):
                logger.scalar(f"forecast/{name}", float(row[name]), int(row["horizon"]))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--forecasters", nargs="+", default=FORECASTERS, choices=storage.NAMES, metavar="NAME")
    parser.add_argument("--peers", action="store_true", help="also forecasters of darts, the extra peers")
    forecasts.add_reading_arguments(parser)
    parser.add_argument("--threshold", type=float, default=75.0, help="of the exceedance that is forecast [µg/m³]")
    parser.add_argument("--phases", type=int, default=0, help="also skill by the origin's slot modulo so many")
    parser.add_argument("--in-the-loop", action="store_true", help="also what policies lose that see the forecasts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("results/forecasts"))
    parser.add_argument("--markdown", type=Path, help="also write the tables there")
    parser.add_argument("--quiet", action="store_true")
    args = parsed(parser, arguments)
    args.forecasters = [*args.forecasters, *(forecasts.PEERS if args.peers else ())]
    return args


if __name__ == "__main__":
    enter(main, parse)
