"""What the models read of a series at one slot: lags, rolling statistics, differences, spread; a clock if it is known.

Everything but the level itself is relative to it, so that a model learns changes.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.forecasting.series import Series

SCALE_AT_ZERO = 20.0  # µg/m³: changes grow with the level, but clean air changes too


@dataclass(frozen=True)
class Features:
    """Which features.

    Raises:
        ValueError: lags or windows that are no positive whole numbers.
    """

    lags: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 18, 24, 30, 36, 48)  # slots
    windows: tuple[int, ...] = (6, 18, 48)  # slots, of rolling means and standard deviations
    clock: bool = False  # the hour of the day as two numbers

    def __post_init__(self) -> None:
        if any(not isinstance(x, int) or x < 1 for x in (*self.lags, *self.windows)) or not self.lags:
            raise ValueError(f"lags, windows: expected positive numbers of slots, got {self.lags}, {self.windows}")

    @property
    def history(self) -> int:
        """Slots before the present one that the features reach back."""
        return max(*self.lags, *(w - 1 for w in self.windows))

    @property
    def _changes(self) -> list[int]:
        """Spans of which the last change is set beside the one before, as far as the lags reach back."""
        return [k for k in (1, 6) if 2 * k <= max(self.lags)]

    @property
    def names(self) -> list[str]:
        """One name a feature, in order."""
        names = ["level", "area", "spread", *(f"lag_{k}" for k in self.lags), *(f"change_{k}" for k in self._changes)]
        names += [f"{what}_{w}" for w in self.windows for what in ("mean", "deviation")]
        return names + (["hour_sin", "hour_cos"] if self.clock else [])

    def table(self, series: Series) -> NDArray[np.float32]:
        """(T, F) features of every slot; rows before `history` and after gaps hold NaN.

        Raises:
            ValueError: the features need a clock and the series has none.
        """
        if self.clock and series.clock is None:
            raise ValueError("clock: the forecaster was made for series with a clock, and this one has none")
        level = series.level
        columns = [level, series.area - level, series.spread]
        columns += [lagged(level, k) - level for k in self.lags]
        columns += [level - lagged(level, k) - (lagged(level, k) - lagged(level, 2 * k)) for k in self._changes]
        for w in self.windows:
            padded = np.concatenate([np.full(w - 1, np.nan), level])  # NaN where one of the last w slots is missing
            last = np.lib.stride_tricks.sliding_window_view(padded, w)
            columns += [last.mean(axis=1) - level, last.std(axis=1)]
        if self.clock:
            angle = 2.0 * np.pi * np.asarray(series.clock) / 24.0
            columns += [np.sin(angle), np.cos(angle)]
        return np.stack(columns, axis=1).astype(np.float32)


def change_scale(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """How large changes are around a level [µg/m³]; models learn changes in units of it."""
    return level + SCALE_AT_ZERO


def lagged(values: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """(T,) the value k slots before each slot, or after it where k is negative; NaN beyond the ends."""
    return np.asarray(pd.Series(values).shift(k), dtype=np.float64)
