"""From readings to a `SensorNetwork`: the estimators (38)(39)(46)(47) and the level chain (7)(8)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.estimation import LevelAware, suffice
from aq_gym.network import SIGNIFICANT_DIGITS, SensorNetwork, round_significant

__all__ = ["DEFAULT_MEASUREMENT_VARIANCE", "SIGNIFICANT_DIGITS", "field_statistics", "fit", "rounded"]

DEFAULT_MEASUREMENT_VARIANCE = 0.00640762409727  # of the PKU sensors: Sensor_Error_Calibration.csv through (46)
LARGEST_NUMBER_OF_LEVELS = 10_000  # the transition matrix is dense; a wider range is a wrong unit or a tiny bin_width


def fit(
    readings: Sequence[ArrayLike],
    calibration: ArrayLike | None = None,
    *,
    bin_width: float = 10.0,
    min_level: float = 30.0,
) -> SensorNetwork:
    """Fit the parameters of a network to its readings.

    Args:
        readings: one (T, N) table (array or DataFrame) for each uninterrupted period: rows are slots, columns the
            same N devices in every table [ug/m3]. Nothing is counted across the gap between two tables.
        calibration: (n_sensors, n_samples) readings of sensors side by side in the same air: row s is a sensor,
            column k a sample [ug/m3]. None: the measurement variance of the PKU sensors, 0.0064076, is used.
        bin_width: width of the levels' bins; a level's value is the centre of its bin [ug/m3].
        min_level: slots with a lower average are left out of the spatial relations (38)(39), since integer readings
            quantise small levels [ug/m3].

    Returns:
        The network, named "custom", without coordinates (add them by `dataclasses.replace`). It has a level model where
        the readings suffice to learn one (`estimation.suffice`).

    Raises:
        ValueError: a table, the calibration or an option is unusable; the message names it, and the row and the
            column (counted from 0) of a bad cell.
    """
    width, floor = _option("bin_width", bin_width), _option("min_level", min_level, zero=True)
    tables = _tables(readings)
    means = [table.mean(axis=1) for table in tables]  # (T,) each
    a, b = _relations(tables, means, floor)
    levels, transition, start = _chain(means, width)
    network = SensorNetwork(
        measurement_variance=_measurement_variance(calibration),
        temporal_variance=_temporal_variance(tables),
        mean_relation=a,
        variance_relation=b,
        levels=levels,
        transition=transition,
        start=start,
    )
    if not suffice(tables, floor):
        return network
    learned = LevelAware.fit(network, tables, min_level=floor)
    return dataclasses.replace(network, level_model=np.array(learned.parameters))


def rounded(network: SensorNetwork) -> SensorNetwork:
    """The network as it is stored: variances, relations and coordinates of 12 significant digits, a level model of 6.

    The chain stays as it is: its entries are ratios of counts, which every processor divides alike.
    """
    xy = network.coordinates
    return SensorNetwork(
        measurement_variance=float(round_significant(network.measurement_variance)),
        temporal_variance=float(round_significant(network.temporal_variance)),
        mean_relation=round_significant(network.mean_relation),
        variance_relation=round_significant(network.variance_relation),
        levels=network.levels,
        transition=network.transition,
        start=network.start,
        coordinates=None if xy is None else round_significant(xy),
        name=network.name,
        level_model=None if network.level_model is None else round_significant(network.level_model, 6),
    )


def field_statistics(network: SensorNetwork) -> dict[str, float]:
    """The statistics that `SensorNetwork.synthetic` is made from, named as its constants; coordinates are needed.

    b is fitted by least squares as b_ij = g_i + g_j + c (1 - exp(-distance / range)), over ranges from 50 to 2,000 m;
    `residual` is the spread that this leaves (K hidden fields leave about c sqrt(2 / K)). m are the locations' mean
    deviations, a_ij = m_j - m_i; `mean_spatial_share` is the part of their variance that varies with distance as b's
    does (the slope of m_i m_j / var(m) on exp(-distance / range)), and `mean_spatial_share_error` its standard
    deviation over random permutations of m.

    Raises:
        ValueError: the network has no coordinates, or fewer than 3 locations.
    """
    xy, n = network.coordinates, network.n_locations
    if xy is None or n < 3:
        raise ValueError(f"{network.name!r} needs coordinates and at least 3 locations for field statistics")
    i, j = np.triu_indices(n, 1)
    distance = np.hypot(*(xy[i] - xy[j]).T)  # (pairs,)
    b, m = network.variance_relation[i, j], network.mean_relation.mean(axis=0)
    design = np.zeros((len(i), n + 1))
    design[np.arange(len(i)), i] = design[np.arange(len(i)), j] = 1.0
    fits = []
    for length in np.arange(50.0, 2001.0, 50.0):
        design[:, n] = 1.0 - np.exp(-distance / length)
        solution = np.linalg.lstsq(design, b, rcond=None)[0]
        fits.append((float(np.std(b - design @ solution)), float(length), solution))
    residual, scale, solution = min(fits, key=lambda fit: fit[0])
    nugget, spatial = solution[:n], float(solution[n])
    near = np.exp(-distance / scale)
    near -= near.mean()

    def share(values: NDArray[np.float64]) -> float:
        values = values - values.mean()
        return float(near @ (values[i] * values[j]) / (near @ near) / values.var(ddof=1))

    rng = np.random.default_rng(0)
    return {
        "LOCATIONS_PER_KM2": float(n / np.prod(np.ptp(xy, axis=0) / 1000.0)),
        "MEAN_DEVIATION": float(m.std(ddof=1)),
        "NUGGET_LOG_MEAN": float(np.log(nugget).mean()),
        "NUGGET_LOG_DEVIATION": float(np.log(nugget).std(ddof=1)),
        "SPATIAL_VARIANCE": spatial,
        "SPATIAL_RANGE": scale,
        "residual": residual,
        "mean_spatial_share": share(m),
        "mean_spatial_share_error": float(np.std([share(rng.permutation(m)) for _ in range(1000)])),
    }


# Sums below run along axis 0 of C-ordered tables, which NumPy adds row by row: the result does not depend on the
# width of a processor's vector unit.


def _measurement_variance(calibration: ArrayLike | None) -> float:
    """(46): mean of ((x_sk - mean_k) / mean_k)^2 over sensors s and samples k."""
    if calibration is None:
        return DEFAULT_MEASUREMENT_VARIANCE
    x = _table("calibration", calibration)
    if x.shape[0] < 2:
        raise ValueError(f"calibration has {x.shape[0]} row(s): at least 2 sensors are needed, one a row")
    mean = x.mean(axis=0)
    if (mean <= 0.0).any():
        raise ValueError(f"calibration column {int(np.argmin(mean))} is all zero: leave that sample out")
    per_sample = np.square((x - mean) / mean).sum(axis=0)
    value = math.fsum(per_sample) / x.size
    if value <= 0.0:
        raise ValueError("calibration rows are all the same: they show no measurement error; give raw readings")
    return value


def _temporal_variance(tables: list[NDArray[np.float64]]) -> float:
    """(47): mean of (x[t+1, n] - x[t, n])^2 over devices and adjacent slots within a table."""
    total = math.fsum(math.fsum(np.square(np.diff(table, axis=0)).sum(axis=0)) for table in tables)
    return total / math.fsum((table.shape[0] - 1) * table.shape[1] for table in tables)


def _relations(
    tables: list[NDArray[np.float64]], means: list[NDArray[np.float64]], min_level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(38)(39): mean and population variance of (x[t, j] - x[t, i]) / mean_t over slots with mean_t >= min_level."""
    mean, table = np.concatenate(means), np.concatenate(tables)
    keep = (mean >= min_level) & (mean > 0.0)
    if keep.sum() < 2:
        raise ValueError(
            f"min_level={min_level:g} leaves {int(keep.sum())} slot(s) of {len(mean)}, at least 2 are needed: "
            f"lower it (the largest average is {mean.max():g} ug/m3)"
        )
    share = table[keep] / mean[keep, None]  # (T', N)
    n = share.shape[1]
    a, b = np.empty((n, n)), np.empty((n, n))
    for i in range(n):
        difference = share - share[:, i : i + 1]
        a[i] = difference.sum(axis=0) / len(share)
        b[i] = np.square(difference - a[i]).sum(axis=0) / len(share)
    return a, b


def _chain(
    means: list[NDArray[np.float64]], bin_width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(7)(8): levels, transition counts within each table, frequencies."""
    bins = [np.floor(mean / bin_width).astype(np.int64) for mean in means]
    n = 1 + max(int(b.max()) for b in bins)
    if n > LARGEST_NUMBER_OF_LEVELS:
        raise ValueError(
            f"bin_width={bin_width:g} makes {n} levels, at most {LARGEST_NUMBER_OF_LEVELS} are allowed: widen it"
        )
    counts = np.zeros((n, n))
    for b in bins:
        np.add.at(counts, (b[:-1], b[1:]), 1.0)
    never_left = np.flatnonzero(counts.sum(axis=1) == 0.0)
    counts[never_left, never_left] = 1.0
    visits = np.bincount(np.concatenate(bins), minlength=n).astype(np.float64)
    levels: NDArray[np.float64] = (np.arange(n, dtype=np.float64) + 0.5) * bin_width
    return levels, counts / counts.sum(axis=1, keepdims=True), visits / visits.sum()


def _option(name: str, value: Any, zero: bool = False) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number) or number < 0.0 or (number == 0.0 and not zero):
        raise ValueError(f"{name} must be finite and {'not negative' if zero else 'positive'} [ug/m3], got {value!r}")
    return number


def _tables(readings: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    if getattr(readings, "ndim", None) == 2:
        raise ValueError("readings must be a list of tables, one for each uninterrupted period: put it into a list")
    tables = [_table(f"readings[{k}]", table) for k, table in enumerate(readings)]
    if not tables:
        raise ValueError("readings is empty: give at least one (T, N) table")
    for k, table in enumerate(tables):
        if table.shape[1] != tables[0].shape[1]:
            raise ValueError(
                f"readings[{k}] has {table.shape[1]} columns, readings[0] has {tables[0].shape[1]}: "
                "every table must have the same devices in the same order"
            )
        if table.shape[0] < 2:
            raise ValueError(f"readings[{k}] has {table.shape[0]} row(s): at least 2 slots are needed")
    if tables[0].shape[1] < 2:
        raise ValueError(f"readings[0] has {tables[0].shape[1]} column(s): at least 2 devices are needed")
    return tables


def _table(where: str, table: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.array(table, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} is not a rectangular table of numbers ({error})") from None
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{where} must be a non-empty table with 2 dimensions, got shape {array.shape}")
    bad = ~(np.isfinite(array) & (array >= 0.0))
    if bad.any():
        row, column = (int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"{where} row {row}, column {column} is {array[row, column]}: "
            "concentrations must be finite and not negative; fill or drop the row"
        )
    return array
