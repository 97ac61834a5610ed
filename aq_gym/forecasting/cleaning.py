"""Readings that cannot be air: found, reported and taken for missing. The table that was read is never altered.

Four reasons, in this order, each reading counted once: missing, impossible, stuck, outlier.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

REASONS = ("missing", "impossible", "stuck", "outlier")


@dataclass(frozen=True)
class CleaningRules:
    """What counts as impossible, stuck or an outlier."""

    largest: float = 2000.0  # µg/m³; more than was ever published for a city
    stuck_slots: int = 36  # equal readings in a row, six hours in slots of ten minutes; still air repeats for less
    stuck_above: float = 5.0  # µg/m³; integer readings of clean air repeat for hours
    window: int = 13  # slots around a reading, odd, that an outlier is judged by
    outlier_score: float = 12.0  # deviations from the median; plumes reach 8 in pku2018; infinite: no outliers
    least_deviation: float = 2.0  # µg/m³; a device that hardly moves has no outliers of 1 µg/m³

    def __post_init__(self) -> None:
        for name in ("largest", "outlier_score", "least_deviation"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)!r}")
        if self.window < 3 or self.window % 2 == 0:
            raise ValueError(f"window: expected an odd number of slots from 3, got {self.window!r}")
        if self.stuck_slots < 2:
            raise ValueError(f"stuck_slots: expected at least 2, got {self.stuck_slots!r}")


@dataclass(frozen=True)
class Cleaned:
    """A cleaned copy and what was changed."""

    readings: NDArray[np.float64]  # (T, N) [µg/m³], NaN where a reading is not to be used
    reason: NDArray[np.int8]  # (T, N) 0: used, else 1 + the index into REASONS

    def counts(self) -> dict[str, int]:
        """How many readings are not to be used, by reason."""
        return {word: int((self.reason == k + 1).sum()) for k, word in enumerate(REASONS)}


def clean(readings: ArrayLike, rules: CleaningRules | None = None) -> Cleaned:
    """Find readings that cannot be air.

    Args:
        readings: (T, N) [µg/m³], NaN where nothing was read.
        rules: None for the defaults.

    Raises:
        ValueError: no table of numbers.
    """
    rules = rules or CleaningRules()
    table = np.array(readings, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"readings: expected a table (slots, devices), got shape {table.shape}")
    reason = np.zeros(table.shape, dtype=np.int8)
    tests: Sequence[Callable[[], NDArray[np.bool_]]] = (
        lambda: np.isnan(table),  # in the order of REASONS; each sees as NaN what the ones before found
        lambda: ~((table >= 0) & (table <= rules.largest)),
        lambda: _stuck(table, rules),
        lambda: _outliers(table, rules),
    )
    for k, test in enumerate(tests):
        found = test() & (reason == 0)
        reason[found] = k + 1
        table[found] = np.nan
    return Cleaned(table, reason)


def _stuck(table: NDArray[np.float64], rules: CleaningRules) -> NDArray[np.bool_]:
    """(T, N) readings within runs of equal ones that are too long."""
    changed = np.ones(table.shape, dtype=np.bool_)
    changed[1:] = table[1:] != table[:-1]
    run = np.cumsum(changed.T)  # number of each reading's run, device after device
    long = np.bincount(run)[run] >= rules.stuck_slots
    return long.reshape(changed.T.shape).T & (table > rules.stuck_above)


def _outliers(table: NDArray[np.float64], rules: CleaningRules) -> NDArray[np.bool_]:
    """(T, N) readings far off the median of the slots around them; a real plume lasts for more than half a window."""
    if rules.outlier_score == np.inf:
        return np.zeros(table.shape, dtype=np.bool_)
    window = pd.DataFrame(table).rolling(rules.window, center=True, min_periods=rules.window // 2)
    median = window.median().to_numpy()
    distance = np.abs(table - median)
    around = pd.DataFrame(distance).rolling(rules.window, center=True, min_periods=rules.window // 2)
    deviation = np.maximum(1.4826 * around.median().to_numpy(), rules.least_deviation)  # of a normal distribution
    with np.errstate(invalid="ignore"):
        return np.asarray(distance > rules.outlier_score * deviation)
