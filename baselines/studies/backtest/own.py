"""A user's own readings for the backtest, on a network that `scripts.calibrate` made."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.datasets import sha256_of
from aq_gym.ingestion.loading import raw_readings
from aq_gym.ingestion.screening import screen
from aq_gym.network import SensorNetwork
from aq_gym.network_files import read_card


def own_readings(path: Path, files: Sequence[Path]) -> tuple[SensorNetwork, list[NDArray[np.float64]], list[str]]:
    """A network, the readings of its stations, and what the user should know about them.

    Implausible and stuck readings are left out as `scripts.calibrate` leaves them out.

    Returns:
        The network, (T, N) tables [µg/m³] with NaN where nothing is used, and lines to print.
    """
    network, about = SensorNetwork.load(path), read_card(path)
    frames = [pd.DataFrame(x) for x in raw_readings(files, slot_minutes=network.slot_minutes)]
    screened = screen([frame.set_axis(frame.columns.astype(str), axis=1) for frame in frames])
    names = list(about.get("stations", frames[0].columns.astype(str)))
    for name in names:
        if name not in screened.tables[0]:
            reason = screened.left_out.get(name, "no file has a column of that name")
            raise ValueError(f"readings: {name!r}, a station of {path}, has none: {reason}")
    lines = [screened.summary()]
    known = about.get("data", {}).get("readings", {}).values()
    if any(f"sha256:{sha256_of(file)}" in known for file in files):
        lines.append("the network was fitted to these readings, so its maps look better than they are on new ones")
    return network, [table[names].to_numpy(dtype=np.float64) for table in screened.tables], lines
