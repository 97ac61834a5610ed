"""What `aq_gym.estimation.LevelAware` knows, learned from readings: how long deviations from the level last."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.estimation import LEVELS_OF_COVERAGE, LevelAware, coverage, deviation_covariance, mean_deviation
from aq_gym.parameters import NetworkParameters
from aq_gym.periods import slot_levels

_MINUTES_OF_A_DAY = 1440.0


def enough_readings(levels: Sequence[NDArray[np.float64]], n_locations: int, min_level: float = 30.0) -> bool:
    """Whether each period has 4 N slots with levels (T,) of at least `min_level` [µg/m³], enough to learn from."""
    return all(int((e >= max(min_level, 1e-9)).sum()) >= 4 * n_locations for e in levels)


def fit_level_model(
    network: NetworkParameters, readings: Sequence[ArrayLike], *, min_level: float = 30.0
) -> LevelAware:
    """Learn what lasts, how long, and the floor from the readings that the network was fitted to.

    Args:
        network: fitted to the same readings.
        readings: a (T, N) table for each period [µg/m³], NaN where nothing was read.
        min_level: slots of lower level say nothing of correlations [µg/m³].

    Raises:
        ValueError: too few slots above `min_level`, or tables of another number of locations.
    """
    tables = [np.asarray(table, dtype=np.float64) for table in readings]
    for number, table in enumerate(tables):
        if table.ndim != 2 or table.shape[1] != network.n_locations:
            raise ValueError(
                f"readings[{number}]: expected (T, {network.n_locations}), a column for each location of "
                f"{network.name!r}, got shape {table.shape}"
            )
    levels = slot_levels(tables, min_level)
    residuals = [x - e[:, None] * (1.0 + mean_deviation(network)) for x, e in zip(tables, levels, strict=True)]
    clear = [e >= max(min_level, 1e-9) for e in levels]
    if not enough_readings(levels, network.n_locations, min_level):
        raise ValueError(f"readings: fewer than {4 * network.n_locations} slots of at least {min_level:g} µg/m³")
    parts = [r / np.maximum(e, 1e-9)[:, None] for r, e in zip(residuals, levels, strict=True)]
    together = np.concatenate([z[used] for z, used in zip(parts, clear, strict=True)])
    longest = int(np.clip(round(_MINUTES_OF_A_DAY / network.slot_minutes), 24, 1440))
    short, memory, long = _fading(parts, clear, longest)
    residual = np.concatenate(residuals)
    variance = np.outer(np.square(np.concatenate(levels)), np.diag(deviation_covariance(network)))
    read = ~np.isnan(residual)
    steps = np.concatenate([np.diff(e) for e in levels])
    drift = float(np.square(steps[~np.isnan(steps)]).mean())
    return LevelAware(network, _lasting(together), short, memory, long, _floor(residual[read], variance[read]), drift)


def _lasting(deviations: NDArray[np.float64]) -> float:
    """Slope of the correlations in the last third of the slots on those in the first, between 0 and 1."""
    third = len(deviations) // 3
    upper = np.triu_indices(deviations.shape[1], 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # of a location that never deviates: no correlation
        both = [_correlations(part)[upper] for part in (deviations[:third], deviations[-third:])]
    one, two = (np.nan_to_num(x, nan=0.0) for x in both)
    return float(np.clip((one @ two) / (one @ one), 0.0, 1.0)) if one.any() else 0.0


def _correlations(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, N) correlations of the columns, each pair over the slots (T, N) in which both were read."""
    read = ~np.isnan(deviations)
    if read.all():
        return np.asarray(np.corrcoef(deviations.T))
    z, there = np.where(read, deviations, 0.0), read.astype(np.float64)
    count = there.T @ there
    mean, square = z.T @ there / count, np.square(z).T @ there / count  # of the row's device, over the pair's slots
    variance = square - np.square(mean)
    return np.asarray((z.T @ z / count - mean * mean.T) / np.sqrt(variance * variance.T))


def _fading(
    parts: Sequence[NDArray[np.float64]], clear: Sequence[NDArray[np.bool_]], longest: int
) -> tuple[float, float, float]:
    """Least squares of short exp(-lag / memory) + long to the mean autocorrelation up to the longest lag [slots]."""
    lags = [lag for lag in range(1, longest + 1) if all(len(z) > lag for z in parts)]
    found = []
    for lag in lags:
        product, square = 0.0, 0.0
        for z, used in zip(parts, clear, strict=True):
            both = used[lag:] & used[:-lag]
            later, earlier = z[lag:][both], z[:-lag][both]
            read = ~np.isnan(later * earlier)
            later, earlier = np.where(read, later, 0.0), np.where(read, earlier, 0.0)
            product += float((later * earlier).sum())
            square += float((np.square(later) + np.square(earlier)).sum()) / 2.0
        found.append(product / square if square else 0.0)
    best = (np.inf, 0.0, 1.0, 0.0)
    for memory in np.geomspace(1.0, 100.0, 60):
        design = np.stack([np.exp(-np.array(lags) / memory), np.ones(len(lags))], axis=1)
        (short, long), *_ = np.linalg.lstsq(design, np.array(found), rcond=None)
        short, long = max(float(short), 0.0), max(float(long), 0.0)
        error = float(np.square(design @ [short, long] - found).sum())
        if short + long <= 1.0 and error < best[0]:
            best = (error, short, float(memory), long)
    return best[1:]


def _floor(residual: NDArray[np.float64], variance: NDArray[np.float64]) -> float:
    """The variance to add with which intervals of 50, 90 and 95 % cover as much as they say, as nearly as can be."""
    candidates = np.concatenate([[0.01], np.geomspace(0.05, 20.0, 40), np.geomspace(25.0, 500.0, 15)])
    # Never 0: exact readings make kriging singular.
    miss = [
        max(abs(x - y) for x, y in zip(coverage(residual, np.sqrt(variance + q)), LEVELS_OF_COVERAGE, strict=True))
        for q in candidates
    ]
    return float(candidates[int(np.argmin(miss))])
