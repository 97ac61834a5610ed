"""What a forecaster reads: the level slot by slot, and what was read beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Series:
    """One uninterrupted stretch of slots.

    Raises:
        ValueError: parts of other lengths.
    """

    level: NDArray[np.float64]  # (T,) what is forecast [µg/m³]; NaN where nothing was read
    area: NDArray[np.float64]  # (T,) mean over all devices [µg/m³]; the level itself if that is forecast
    spread: NDArray[np.float64]  # (T,) standard deviation over all devices [µg/m³]
    clock: NDArray[np.float64] | None = None  # (T,) hour of the day, 0 to 24; None: unknown, and none is invented

    def __post_init__(self) -> None:
        for name in ("area", "spread", "clock"):
            part = getattr(self, name)
            if part is not None and np.shape(part) != np.shape(self.level):
                raise ValueError(f"{name}: expected {len(self.level)} slots as in level, got shape {np.shape(part)}")

    def __len__(self) -> int:
        return len(self.level)

    def __getitem__(self, slots: slice) -> Series:
        """A stretch of it."""
        clock = None if self.clock is None else self.clock[slots]
        return Series(self.level[slots], self.area[slots], self.spread[slots], clock)


def area_series(readings: ArrayLike, clock: ArrayLike | None = None) -> Series:
    """The area's level alone; arguments as in `station_series`."""
    return station_series(readings, clock, stations=())[0]


def station_series(
    readings: ArrayLike, clock: ArrayLike | None = None, stations: tuple[int, ...] | None = None
) -> list[Series]:
    """The area's level, which is the mean over the devices that were read; then one series a station.

    Args:
        readings: (T, N) [µg/m³], NaN where a device was not read.
        clock: (T,) hour of the day, if it is known.
        stations: columns of which a series of their own is wanted; None: all.

    Raises:
        ValueError: no table.
    """
    table = np.asarray(readings, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"readings: expected a table (slots, devices), got shape {table.shape}")
    frame = pd.DataFrame(table)
    area, spread = frame.mean(axis=1).to_numpy(), frame.std(axis=1, ddof=0).fillna(0.0).to_numpy()
    hours = None if clock is None else np.asarray(clock, dtype=np.float64)
    columns = range(table.shape[1]) if stations is None else stations
    return [Series(level, area, spread, hours) for level in (area, *(table[:, n] for n in columns))]
