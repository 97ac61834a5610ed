"""Train a forecaster and store it.

    python -m scripts.train_forecaster                                        # pku2018's spring; runs/forecaster.zip
    python -m scripts.train_forecaster --forecaster ridge -o town.zip
    python -m scripts.train_forecaster --readings town.csv --no-clock  # what a service can run

The readings are cleaned first; what was left out is printed and noted on the forecaster's card. Intervals are
calibrated on the last two weeks of what is forecast. `aq_gym.forecasting.storage.load` reads the file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aq_gym.forecasting import storage
from baselines.studies import forecasts
from baselines.studies.provenance import provenance
from scripts.arguments import command_parser
from scripts.command import enter


def main(args: argparse.Namespace) -> Path:
    split = forecasts.split_of(args)
    print(split.describe())
    forecaster = forecasts.build(args.forecaster, split, args.seed).fit(split.fit)
    card = {
        "forecaster": args.forecaster,
        "seed": args.seed,
        "readings": str(args.readings or "pku2018-spring"),
        "slot_minutes": split.slot_minutes,
        "cleaning": split.describe(),
        **provenance(),
    }
    path = storage.save(args.output, forecaster, card)
    print(f"written to {path}")
    return path


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--forecaster", default="ensemble", choices=storage.NAMES, help="kind")
    forecasts.add_reading_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/forecaster.zip"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
