"""What sensing is worth where the level is hidden: energy against the map's error, by horizon and by reports lost.

    python -m scripts.sensing_value                                  # some minutes; results/sensing_value.csv and .png
    python -m scripts.sensing_value --days 7 --losses 0 0.2 --episodes 100

All policies play the same episodes of the model's own weather. docs/sensing.md explains the result; real air is in
`scripts.backtest_hidden`.
"""

import argparse
from collections.abc import Sequence

from rich.console import Console

from baselines.studies.files import write_results
from baselines.studies.sensing import draw, measure, table_of
from scripts.arguments import add_results, at_least, command_parser, parsed
from scripts.command import enter


def main(args: argparse.Namespace) -> None:
    with Console(quiet=args.quiet).status("") as bar:
        shape = args.days, args.sensings, args.losses, args.episodes
        table = measure(args.network, args.devices, *shape, bar.update)
    text = table_of(table)
    print(text)
    write_results(table, args.csv, text, args.markdown, args.command)
    draw(table, args.csv.with_suffix(".png"))
    print(f"written to {args.csv.with_suffix('.png')}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--network", default="pku2018", help="a bundled network or a file")
    parser.add_argument("--devices", type=int, nargs="+", default=[0, 6, 12, 18, 24], help="their locations")
    parser.add_argument("--days", type=at_least(1), nargs="+", default=[1, 7], help="lengths of an episode")
    parser.add_argument("--sensings", type=at_least(1), nargs="+", default=[2, 5, 10], help="of a device and a day")
    parser.add_argument("--losses", type=float, nargs="+", default=[0.0, 0.2], help="shares of the reports")
    parser.add_argument("--episodes", type=at_least(2), default=64)
    add_results(parser, "sensing_value")
    return parsed(parser, arguments, once=["days", "sensings", "losses"])


if __name__ == "__main__":
    enter(main, parse)
