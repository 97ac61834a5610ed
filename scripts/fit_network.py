"""Fit networks to readings and write them as .npz files with their cards.

    python -m scripts.fit_network --readings a.csv b.csv --locations where.csv --name town --slot-minutes 60
    python -m scripts.fit_network                        # the three bundled networks anew: the same bytes
    python -m scripts.fit_network --check                # compare them with the bundled ones, write nothing
    python -m scripts.fit_network --field-statistics     # the numbers behind SensorNetwork.synthetic

Files go to data/processed, or to --output. --readings is a file for each uninterrupted period, one row per slot and one
column per device; `python -m scripts.calibrate` also leaves out readings and stations that cannot be right. The raw PKU
files come from `python -m scripts.download_data`, or from the mirror that AQ_GYM_DATA names; --bundled writes their
networks into the package, for whoever maintains it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aq_gym import calibration, datasets
from aq_gym.calibration import card, fit_files
from aq_gym.network import INSTANCES, SensorNetwork, bundled_names
from aq_gym.tables import LARGEST_READING
from baselines.studies.files import save_or_check
from baselines.studies.provenance import commit
from scripts.arguments import command_parser
from scripts.command import enter

OPTIONS = {"bin_width": 10.0, "min_level": 30.0, "slot_minutes": 10.0, "largest": LARGEST_READING}
OUTPUT = Path("data") / "processed"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--readings", type=Path, nargs="+", help="fit these files instead of the PKU data set")
    parser.add_argument("--calibration", type=Path, help="with --readings: sensors side by side, one row per sensor")
    parser.add_argument("--locations", type=Path, help="with --readings: longitude and latitude, one row per device")
    parser.add_argument("--name", help="with --readings: name of the network and its file (default: custom)")
    parser.add_argument("--slot-minutes", type=float, default=10.0, help="between two rows")
    parser.add_argument("--bin-width", type=float, default=10.0, help="of a level [µg/m³]")
    parser.add_argument("--min-level", type=float, default=30.0, help="least average used for a and b")
    parser.add_argument("--largest", type=float, default=LARGEST_READING, help="plausible reading")
    parser.add_argument("--output", type=Path, help=f"folder to write into (default: {OUTPUT})")
    parser.add_argument("--bundled", action="store_true", help="write the PKU networks into the package")
    parser.add_argument("--check", action="store_true", help="compare with the bundled files, or those in --output")
    parser.add_argument("--data", type=Path, help="folder with the raw PKU files (default: as scripts.download_data)")
    parser.add_argument("--field-statistics", action="store_true", help="print those of pku2018 and stop")
    return parser.parse_args(arguments)


def folder_of(args: argparse.Namespace, options: dict[str, Any]) -> Path:
    """Where files are written to or compared with; the package is refused unless a maintainer asks for it."""
    own = [f"--{word}" for word in ("calibration", "locations", "name") if getattr(args, word) is not None]
    if own and not args.readings:
        raise ValueError(f"{', '.join(own)}: serves with --readings alone")
    if args.bundled and (args.readings or args.output or options != OPTIONS):
        raise ValueError("--bundled: writes the PKU networks of the default options into the package, nothing else")
    name = "custom" if args.name is None else args.name
    if name in bundled_names() or name.startswith("synthetic-") or Path(name).name != name:
        raise ValueError(f"--name: {name!r} names a bundled or synthetic network or a folder, choose another")
    folder: Path = args.output or (INSTANCES if args.bundled or (args.check and not args.readings) else OUTPUT)
    if not args.bundled and not args.check and folder.resolve().is_relative_to(INSTANCES.parent):
        raise ValueError(f"--output: {folder} is part of the package, choose another folder")
    return folder


def main(args: argparse.Namespace) -> None:
    if args.field_statistics:
        for key, value in calibration.field_statistics(SensorNetwork.load("pku2018")).items():
            print(f"{key:24} {value:.6g}")
        return
    options = {name: getattr(args, name) for name in OPTIONS}
    output = folder_of(args, options)
    if args.readings:
        jobs = {args.name or "custom": (args.readings, args.calibration, args.locations)}
    else:
        raw = args.data or datasets.data_folder()
        for name, known_hash in datasets.FILES.items():
            datasets.verify(raw / name, known_hash)
        rest = raw / datasets.CALIBRATION, INSTANCES / "pku2018-locations.csv"
        jobs = {name: ([raw / file for file in files], *rest) for name, files in datasets.PERIODS.items()}
    made_by, made = commit(), {}  # all, before anything is written
    for name, (readings, sensors, places) in jobs.items():
        files = {"readings": readings, "calibration": [sensors], "locations": [places]}
        network = fit_files(name, readings, sensors, places, options)
        made[name] = network, card(files, options, "python -m scripts.fit_network", made_by)
    save_or_check(made, output, check=args.check)


if __name__ == "__main__":
    enter(main, parse)
