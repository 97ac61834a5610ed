"""Fit the networks tainan2017 and taipei2017 to the hourly AirBox readings of March 2017.

    python -m scripts.fit_airbox --data data/airbox2017            # into data/processed
    python -m scripts.fit_airbox --data data/airbox2017 --check    # compare with the bundled files, write nothing

The folder holds `readings.csv` (one row per hour, one column per station) and `stations.csv` (latitude, longitude),
from the data sets TaiwanAirBox032017 and locations032017 of the CRAN package SLBDD. The first 500 hours are fitted; the
other 244 are left for trials. --output writes elsewhere; a maintainer writes into aq_gym/instances.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aq_gym import datasets
from aq_gym.calibration import DEFAULT_MEASUREMENT_VARIANCE, fit, rounded
from aq_gym.ingestion.stations import on_a_plane
from aq_gym.network import INSTANCES, SIGNIFICANT_DIGITS, SensorNetwork
from baselines.studies.files import save_or_check
from baselines.studies.provenance import commit
from scripts.arguments import command_parser
from scripts.command import enter

BOXES = {"tainan2017": (22.8, 23.2, 120.1, 120.4), "taipei2017": (24.9, 25.2, 121.3, 121.7)}  # south north west east
HOURS = 500  # that are fitted
NEAR_ZERO, MOST_NEAR_ZERO = 1.0, 0.1  # [µg/m³]; share of hours below it from which on a device is left out
OPTIONS = {"bin_width": 10.0, "min_level": 30.0, "slot_minutes": 60.0}


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Readings [µg/m³], rows hours and columns stations; latitude and longitude [degrees], one row per station."""
    readings = pd.read_csv(folder / "readings.csv", index_col=0)
    stations = pd.read_csv(folder / "stations.csv", index_col=0)
    if readings.index.name != "hour" or set(readings) - set(stations.index) or len(readings) < HOURS:
        raise ValueError(f"{folder}: expected readings.csv of {HOURS} hours or more, its stations in stations.csv")
    return readings, stations.loc[list(readings)]


def fitted(name: str, folder: Path) -> tuple[SensorNetwork, dict[str, Any]]:
    """The network of one city, and its card."""
    readings, places = read(folder)
    south, north, west, east = BOXES[name]
    latitude, longitude = places.latitude, places.longitude
    inside = places.index[(south <= latitude) & (latitude <= north) & (west <= longitude) & (longitude <= east)]
    near_zero = (readings[:HOURS] < NEAR_ZERO).mean()[inside]
    used = inside[near_zero <= MOST_NEAR_ZERO]
    network = fit([readings[:HOURS][used].to_numpy(np.float64)], **OPTIONS)
    coordinates = on_a_plane(places.loc[used, ["longitude", "latitude"]].to_numpy())
    network = dataclasses.replace(network, coordinates=coordinates, name=name)
    card = {
        "origin": {x: float(np.mean(places.loc[used, x].to_numpy())) for x in ("latitude", "longitude")},
        "data": {
            "readings": {x: f"sha256:{datasets.sha256_of(folder / x)}" for x in ("readings.csv", "stations.csv")},
            "source": "AirBox, March 2017: TaiwanAirBox032017 and locations032017 of the CRAN package SLBDD 0.0.4 "
            "(GPL-3), from the AirBox project (Chen et al. 2017, IEEE Access 5, 14441-14454)",
            "hours": [0, HOURS],
            "box": {"latitude": [south, north], "longitude": [west, east]},
            "stations": list(used),
            "left_out": {
                x: f"below {NEAR_ZERO:g} µg/m³ in {100 * near_zero[x]:.0f} % of the hours"
                for x in inside.difference(used)
            },
            "not_inside": f"{readings.shape[1] - len(inside)} devices elsewhere, b001 in Singapore among them",
        },
        "assumed": f"measurement_variance {DEFAULT_MEASUREMENT_VARIANCE}: that of the PKU sensors, another make, since "
        "there is no calibration of AirBox devices here; lasting differences between devices count as space",
        "options": {**OPTIONS, "significant_digits": SIGNIFICANT_DIGITS},
        "made_by": "python -m scripts.fit_airbox",
        "commit": commit(),
    }
    return rounded(network), card


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--output", type=Path, default=Path("data") / "processed")
    parser.add_argument("--check", action="store_true", help="compare with the bundled files, write nothing")
    return parser.parse_args(arguments)


def main(args: argparse.Namespace) -> None:
    made = {name: fitted(name, args.data) for name in BOXES}
    save_or_check(made, INSTANCES if args.check else args.output, check=args.check)


if __name__ == "__main__":
    enter(main, parse)
