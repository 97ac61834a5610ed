"""Fit a network to a city's own readings, as they are published.

    python -m scripts.calibrate readings.csv --stations stations.csv -o town.npz
    python -m scripts.calibrate 2023.csv.gz 2024.csv.gz --slot-minutes 60 -o town.npz
    python -m scripts.calibrate location-*.csv.gz --stations location-*.csv.gz -o town.npz
    python -m scripts.calibrate archive.parquet --within 22.8 120.1 23.2 120.4 --stations stations.csv -o town.npz

Reads separated text and Parquet, wide (one column per station) or long (station,time,value), with times and gaps;
docs/your-own-data.md shows the way from the files to a trained agent. Gaps stay gaps: statistics are taken where both
readings of a pair exist. What is used and what is left out, and why, is printed and stored on the network's card.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aq_gym import calibration, datasets
from aq_gym.ingestion.loading import raw_readings
from aq_gym.ingestion.screening import Rules, screen
from aq_gym.ingestion.stations import on_a_plane, read_stations
from aq_gym.network import INSTANCES, SensorNetwork, bundled_names
from aq_gym.periods import slot_levels
from aq_gym.tables import LARGEST_READING
from baselines.studies.provenance import commit
from scripts.arguments import at_least, command_parser, file_path
from scripts.command import enter

OPTIONS = ("bin_width", "min_level", "largest", "stuck_slots", "keep_near_zero", "least_share", "parameter", "within")
FEW_SLOTS = 100


def main(args: argparse.Namespace) -> SensorNetwork:
    check_output(args.output)
    how = {"slot_minutes": args.slot_minutes, "parameter": args.parameter, "plausible": args.largest}
    tables = raw_readings(args.readings, **how)
    stations = None if args.stations is None else read_stations(*args.stations)
    rules = Rules(args.largest, args.stuck_slots, not args.keep_near_zero, args.least_share)
    screened = screen(
        [pd.DataFrame(x) for x in tables], stations, leave_out=args.leave_out, within=args.within, rules=rules
    )
    print(screened.summary())
    if not_averaged := getattr(tables[0], "attrs", {}).get("not_averaged", 0):
        print(f"averages: {not_averaged:,} readings below 0 or above {args.largest:g} µg/m³ were left out of them")
    sensors = None if args.calibration is None else datasets.load_calibration(args.calibration, largest=args.largest)
    options = {"bin_width": args.bin_width, "min_level": args.min_level, "slot_minutes": args.slot_minutes}
    network = calibration.fit(screened.tables, sensors, **options, largest=args.largest)
    if screened.degrees is not None:
        network = dataclasses.replace(network, coordinates=on_a_plane(screened.degrees))
    network = calibration.rounded(dataclasses.replace(network, name=args.output.stem))
    times = span(screened.tables, args.min_level)
    used = {name: getattr(args, name) for name in OPTIONS} | {"slot_minutes": network.slot_minutes}
    files = {"readings": args.readings, "calibration": [args.calibration], "locations": args.stations or []}
    card = calibration.card(files, used, "python -m scripts.calibrate", commit())
    network.save(args.output, {**card, **screened.record(), "not_averaged": not_averaged, "slots": times})
    print("slots: {slots:,}, the level is known in {known:,}; {begin} to {end}, time zone {zone}".format(**times))
    if times["known"] < FEW_SLOTS:
        print(f"fewer than {FEW_SLOTS} slots with a level say little: take the network for a trial, not for a town")
    if sensors is None:
        print("a reading's error is assumed to be that of pku2018's sensors; --calibration FILE measures your own")
    print(f"{args.output}\n{network.describe()}")
    return network


def span(tables: Sequence[pd.DataFrame], min_level: float) -> dict[str, Any]:
    """From when to when, how many slots, and in how many of them the level is known."""
    levels = np.concatenate(slot_levels([table.to_numpy() for table in tables], min_level))
    index = tables[0].index
    counted = isinstance(index, pd.RangeIndex)
    begin, end = ("unknown" if counted else str(x) for x in (index[0], tables[-1].index[-1]))
    zone = str(getattr(index, "tz", None) or "not known")
    return {"slots": len(levels), "known": int((~np.isnan(levels)).sum()), "begin": begin, "end": end, "zone": zone}


def check_output(path: Path) -> None:
    """Refuse what would not be read as this network, or lies in the package."""
    if path.suffix != ".npz" or path.stem in bundled_names() or path.stem.startswith("synthetic-"):
        raise ValueError(f"--output: expected a file ending in .npz, not named as a bundled network, got {path}")
    if path.resolve().is_relative_to(INSTANCES.parent):
        raise ValueError(f"--output: {path} is part of the package, choose another folder")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    positive, share = at_least(1e-9, float), at_least(0.0, float)
    parser.add_argument("readings", type=Path, nargs="+", metavar="FILE", help="readings: text, gzipped or Parquet")
    parser.add_argument("-o", "--output", type=file_path, required=True, help="the network, a file ending in .npz")
    parser.add_argument("--stations", type=Path, nargs="+", help="tables of names, latitudes and longitudes")
    parser.add_argument("--calibration", type=Path, help="readings of sensors side by side, one row per sensor")
    parser.add_argument("--slot-minutes", type=positive, help="average in slots of this length (default: as the times)")
    parser.add_argument("--parameter", default="pm25", help="which rows of long files, or which of several columns")
    edges = ("SOUTH", "WEST", "NORTH", "EAST")
    parser.add_argument("--within", type=float, nargs=4, metavar=edges, help="leave out stations outside this box")
    parser.add_argument(
        "--leave-out", nargs="+", action="extend", default=[], metavar="STATION", help="leave out these stations"
    )
    help_share = "leave out stations with fewer usable readings than this share of the slots"
    parser.add_argument("--least-share", type=share, default=Rules.least_share, help=help_share)
    help_stuck = "so many equal readings in a row are not used; 0: all are (default 36, at least six hours)"
    parser.add_argument("--stuck-slots", type=at_least(0), default=Rules.stuck_slots, help=help_stuck)
    help_zero = "use readings below 1 µg/m³ where the stations' median is above 10 µg/m³"
    parser.add_argument("--keep-near-zero", action="store_true", help=help_zero)
    parser.add_argument("--largest", type=positive, default=LARGEST_READING, help="plausible reading")
    parser.add_argument("--bin-width", type=positive, default=10.0, help="of the levels [µg/m³]")
    parser.add_argument("--min-level", type=share, default=30.0, help="least level used for a and b")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
