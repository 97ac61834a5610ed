"""Fit networks to readings and write them as .npz files with their cards.

    python -m scripts.fit_network                        # the three bundled networks, into aq_gym/instances
    python -m scripts.fit_network --check                # compare them byte for byte, write nothing
    python -m scripts.fit_network --field-statistics     # the numbers behind SensorNetwork.synthetic
    python -m scripts.fit_network --readings a.csv b.csv --locations where.csv --name town --output networks

The raw PKU files come from `python -m scripts.download_data`, or from the mirror that AQ_GYM_DATA names. Readings of
one's own: a file for each uninterrupted period, a row a slot, a column a device, no header.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aq_gym import calibration, datasets
from aq_gym.network import INSTANCES, SensorNetwork

ROOT = Path(__file__).resolve().parents[1]


def commit() -> str | None:
    """The commit that the code is at, "-dirty" when it was changed since; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def fit(
    name: str, files: Sequence[Path], samples: Path | None, locations: Path | None, options: dict[str, Any]
) -> SensorNetwork:
    readings = datasets.load_readings(files)
    network = calibration.fit(readings, None if samples is None else datasets.load_calibration(samples), **options)
    coordinates = None if locations is None else datasets.load_locations(locations)
    if coordinates is not None and len(coordinates) != network.n_locations:
        raise ValueError(f"{locations} has {len(coordinates)} locations, the readings {network.n_locations} columns")
    return calibration.rounded(dataclasses.replace(network, coordinates=coordinates, name=name))


def card(
    files: Sequence[Path],
    samples: Path | None,
    locations: Path | None,
    options: dict[str, Any],
    made_by: str | None,
) -> dict[str, Any]:
    """What the network was made of and how, for the JSON file beside it."""
    used = {
        "readings": files,
        "calibration": [samples] if samples else [],
        "locations": [locations] if locations else [],
    }
    return {
        "data": {
            role: {path.name: f"sha256:{datasets.sha256_of(path)}" for path in paths} for role, paths in used.items()
        },
        "options": {**options, "significant_digits": calibration.SIGNIFICANT_DIGITS},
        "made_by": "python -m scripts.fit_network",
        "commit": made_by,
    }


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the raw PKU files (default: as scripts.download_data)")
    parser.add_argument("--output", type=Path, default=INSTANCES, help="folder to write into (default: %(default)s)")
    parser.add_argument("--readings", type=Path, nargs="+", help="fit these files instead of the PKU data set")
    parser.add_argument("--calibration", type=Path, help="with --readings: sensors side by side, a row a sensor")
    parser.add_argument(
        "--locations", type=Path, help="with --readings: table with longitude and latitude, a row a device"
    )
    parser.add_argument("--name", default="custom", help="with --readings: name of the network and of the file")
    parser.add_argument("--bin-width", type=float, default=10.0, help="width of a level's bin in ug/m3 (default: 10)")
    parser.add_argument("--min-level", type=float, default=30.0, help="smallest average used for a and b (default: 30)")
    parser.add_argument("--check", action="store_true", help="compare with the files in --output, write nothing there")
    parser.add_argument(
        "--field-statistics", action="store_true", help="print the field statistics of pku2018 and stop"
    )
    arguments = parser.parse_args(args)
    try:
        return run(arguments)
    except (OSError, ValueError) as error:
        print(f"fit_network: {error}", file=sys.stderr)
        return 1


def run(arguments: argparse.Namespace) -> int:
    if arguments.field_statistics:
        for key, value in calibration.field_statistics(SensorNetwork.load("pku2018")).items():
            print(f"{key:24} {value:.6g}")
        return 0
    options = {"bin_width": arguments.bin_width, "min_level": arguments.min_level}
    if arguments.readings:
        jobs = {arguments.name: (arguments.readings, arguments.calibration, arguments.locations)}
    else:
        folder = arguments.data or datasets.data_folder()
        for name, known_hash in datasets.FILES.items():
            datasets.verify(folder / name, known_hash)
        places = INSTANCES / "pku2018-locations.csv"
        jobs = {
            name: ([folder / file for file in files], folder / datasets.CALIBRATION, places)
            for name, files in datasets.PERIODS.items()
        }
    networks = {name: fit(name, *job, options) for name, job in jobs.items()}  # all, before anything is written
    made_by, different = commit(), 0  # before the first file changes the tree
    for name, network in networks.items():
        path = arguments.output / f"{name}.npz"
        if arguments.check:
            with tempfile.TemporaryDirectory() as scratch:
                same = path.is_file() and network.save(Path(scratch) / path.name).read_bytes() == path.read_bytes()
            print(f"{path}  {'the same bytes' if same else 'DIFFERENT'}")
            different += not same
        else:
            network.save(path, card(*jobs[name], options, made_by))
            print(f"{path}  {network}")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
