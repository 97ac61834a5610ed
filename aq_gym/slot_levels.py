"""The area's level in each slot of readings with gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST_SHARE = 0.5  # of the devices must be read in a slot, or its level is not known
_ROUNDS = 20  # shares and levels settle within 1e-6 after a few


def slot_levels(tables: Sequence[NDArray[np.float64]], min_level: float = 30.0) -> list[NDArray[np.float64]]:
    """(T,) levels [µg/m³] of (T, N) tables [µg/m³]: the mean over the devices where all were read.

    Where some were not, their absence must not look like a change of the air: the level is then the sum of what was
    read, over the sum of these devices' usual shares of the level. A device's share is the mean of reading / level over
    the slots in which it was read, of at least `min_level`; the shares have mean 1. A slot in which fewer than half of
    the devices were read has no level: NaN.
    """
    read = [~np.isnan(table) for table in tables]
    gaps = not all(part.all() for part in read)
    share = _usual_shares(np.concatenate(tables), np.concatenate(read), min_level) if gaps else None
    return [_levels(table, there, share) for table, there in zip(tables, read, strict=True)]


def _levels(
    table: NDArray[np.float64], read: NDArray[np.bool_], share: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if share is None:
        return np.asarray(table.mean(axis=1))
    enough, complete = read.mean(axis=1) >= LEAST_SHARE, read.all(axis=1)
    levels = np.full(len(table), np.nan)
    levels[enough] = np.where(read, table, 0.0)[enough].sum(axis=1) / (read[enough] @ share)
    levels[complete] = table[complete].mean(axis=1)
    return levels


def _usual_shares(table: NDArray[np.float64], read: NDArray[np.bool_], min_level: float) -> NDArray[np.float64]:
    """(N,) mean of reading / level of each device, found in turn with the levels; 1 where nothing is known."""
    enough = read.mean(axis=1) >= LEAST_SHARE
    table, read = np.where(read, table, 0.0)[enough], read[enough]
    share = np.ones(table.shape[1])
    for _ in range(_ROUNDS):
        level = table.sum(axis=1) / (read @ share)
        used = level >= max(min_level, 1e-9)
        count = read[used].sum(axis=0)
        total = (table[used] / level[used, None]).sum(axis=0)
        share = np.divide(total, count, out=np.ones_like(share), where=(count > 0) & (total > 0))
        share /= share.mean()
    return share
