"""From readings to a `SensorNetwork`: the estimators (38)(39)(46)(47) and the level chain (7)(8)."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym import datasets
from aq_gym.belief import GrownBelief
from aq_gym.distances import scalar_products
from aq_gym.level_model import enough_readings, fit_level_model
from aq_gym.network import SIGNIFICANT_DIGITS, SensorNetwork, round_significant
from aq_gym.network_checks import as_number
from aq_gym.periods import checked_periods, column_called, slot_levels
from aq_gym.synthetic import field_statistics
from aq_gym.tables import LARGEST_READING, as_table

__all__ = [
    "DEFAULT_MEASUREMENT_VARIANCE",
    "SIGNIFICANT_DIGITS",
    "card",
    "field_statistics",
    "fit",
    "fit_files",
    "rounded",
]

DEFAULT_MEASUREMENT_VARIANCE = 0.00640762409727  # of the PKU sensors: Sensor_Error_Calibration.csv through (46)
LARGEST_NUMBER_OF_LEVELS = 10_000  # the transition matrix is dense; a wider range is a wrong unit or a tiny bin_width


def fit(
    readings: Sequence[ArrayLike],
    calibration: ArrayLike | None = None,
    *,
    bin_width: float = 10.0,
    min_level: float = 30.0,
    slot_minutes: float | None = None,
    largest: float = LARGEST_READING,
) -> SensorNetwork:
    """Fit the parameters of a network to its readings.

    Gaps: changes from slot to slot (47) are taken where both slots were read; a and b (38)(39) over the slots in which
    both devices were read; the chain over slots in a row whose level is known (`slot_levels`).

    Args:
        readings: one (T, N) table (array or DataFrame) for each uninterrupted period: rows are slots, columns the
            same N devices in every table [µg/m³]. Nothing is counted across the gap between two tables. Frames must
            name their columns in the same order, and an index of times must advance by `slot_minutes`. NaN (or a mask,
            NA, -999) where nothing was read; nothing is filled in.
        calibration: (n_sensors, n_samples) readings of sensors side by side in the same air: row s is a sensor,
            column k a sample [µg/m³]. None: the measurement variance of the PKU sensors, 0.0064076, is used.
        bin_width: width of the levels' bins; a level's value is the centre of its bin [µg/m³].
        min_level: slots with a lower average are left out of the spatial relations (38)(39), since integer readings
            quantise small levels [µg/m³].
        slot_minutes: time between two rows of the readings [minutes]; None: from a frame's index of times, else 10.
        largest: a reading above it is not plausible, and refused [µg/m³].

    Returns:
        The network, named "custom", without coordinates (add them by `dataclasses.replace`). It has a level model and a
        level belief where the readings suffice to learn them (`level_model.enough_readings`, `belief.GrownBelief.fit`).

    Raises:
        ValueError: a table, the calibration or an option is unusable; the message names it, and the row and the
            column (counted from 0) of a bad cell.
    """
    width, floor = _option("bin_width", bin_width), _option("min_level", min_level, zero=True)
    largest = _option("largest", largest)
    given = None if slot_minutes is None else _option("slot_minutes", slot_minutes, unit="minutes")
    tables, minutes = checked_periods(readings, given, largest)
    means = slot_levels(tables, floor)  # (T,) each
    a, b = _relations(tables, means, floor, lambda column: column_called(readings, column))
    levels, transition, start = _chain(means, width)
    network = SensorNetwork(
        measurement_variance=_measurement_variance(calibration, largest),
        temporal_variance=_temporal_variance(tables),
        mean_relation=a,
        variance_relation=b,
        levels=levels,
        transition=transition,
        start=start,
        slot_minutes=minutes,
    )
    if (belief := GrownBelief.fit(means)) is not None:
        network = dataclasses.replace(network, level_belief=np.array(belief))
    if not enough_readings(means, network.n_locations, floor):
        return network
    learned = fit_level_model(network, tables, min_level=floor)
    return dataclasses.replace(network, level_model=np.array(learned.parameters))


def fit_files(
    name: str, files: Sequence[Path], samples: Path | None, locations: Path | None, options: Mapping[str, Any]
) -> SensorNetwork:
    """Fit the network of some files as it is stored: `rounded`, with its name and its locations' coordinates.

    Args:
        name: name of the network.
        files: readings, one for each uninterrupted period; `datasets.load_readings` explains them.
        samples: calibration, `datasets.load_calibration`.
        locations: positions, by name or in the order of the columns, `datasets.load_locations`.
        options: keyword arguments of `fit`.

    Raises:
        ValueError: a file or an option is unusable, or the files do not match.
        FileNotFoundError: a missing file.
    """
    largest = options.get("largest", LARGEST_READING)
    readings = datasets.load_readings(files, largest=largest)
    sensors = None if samples is None else datasets.load_calibration(samples, largest=largest)
    network = fit(readings, sensors, **options)
    names = [str(name) for name in readings[0].columns] if hasattr(readings[0], "columns") else None
    coordinates = None if locations is None else datasets.load_locations(locations, names)
    if coordinates is not None and len(coordinates) != network.n_locations:
        raise ValueError(f"{locations} has {len(coordinates)} locations, the readings {network.n_locations} columns")
    return rounded(dataclasses.replace(network, coordinates=coordinates, name=name))


def card(
    files: Mapping[str, Sequence[Path | None]], options: Mapping[str, Any], made_by: str, commit: str | None
) -> dict[str, Any]:
    """What a network was made of and how, for the JSON file beside it; `files` by what they were used for."""
    given = [path for paths in files.values() for path in paths if path]
    twice = {path.name for path in given if [x.name for x in given].count(path.name) > 1}
    return {
        "data": {
            role: {str(path) if path.name in twice else path.name: _digest(path) for path in paths if path}
            for role, paths in files.items()
        },
        "options": {**options, "significant_digits": SIGNIFICANT_DIGITS},
        "made_by": made_by,
        "commit": commit,
    }


def _digest(path: Path) -> str:
    """The file's SHA-256; what a pipe held is gone by now."""
    return f"sha256:{datasets.sha256_of(path)}" if path.is_file() else "a pipe"


def rounded(network: SensorNetwork) -> SensorNetwork:
    """The network as it is stored: 12 significant digits; a level model and a level belief have 6.

    The chain stays as it is: its entries are ratios of counts, which every processor divides alike.
    """
    xy, model, belief = network.coordinates, network.level_model, network.level_belief
    return dataclasses.replace(
        network,
        measurement_variance=float(round_significant(network.measurement_variance)),
        temporal_variance=float(round_significant(network.temporal_variance)),
        mean_relation=round_significant(network.mean_relation),
        variance_relation=round_significant(network.variance_relation),
        coordinates=None if xy is None else round_significant(xy),
        level_model=None if model is None else round_significant(model, 6),
        level_belief=None if belief is None else round_significant(belief, 6),
    )


# Sums below run along axis 0 of C-ordered tables, which NumPy adds row by row: the result does not depend on the
# width of a processor's vector unit.


def _measurement_variance(calibration: ArrayLike | None, largest: float) -> float:
    """(46): mean of ((x_sk - mean_k) / mean_k)^2 over sensors s and samples k."""
    if calibration is None:
        return DEFAULT_MEASUREMENT_VARIANCE
    x = as_table("calibration", calibration, largest)
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
    """(47): mean of (x[t+1, n] - x[t, n])^2 over devices and adjacent slots within a table that were both read."""
    squares = [np.square(np.diff(table, axis=0)) for table in tables]
    read = sum(int(np.isfinite(square).sum()) for square in squares)
    if not read:
        raise ValueError("readings: no device was read in two slots in a row, so no change from slot to slot is known")
    return math.fsum(math.fsum(np.nan_to_num(square, nan=0.0).sum(axis=0)) for square in squares) / read


def _relations(
    tables: list[NDArray[np.float64]],
    means: list[NDArray[np.float64]],
    min_level: float,
    called: Callable[[int], str],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(38)(39): mean and population variance of (x[t, j] - x[t, i]) / mean_t over slots with mean_t >= min_level."""
    mean, table = np.concatenate(means), np.concatenate(tables)
    if np.isnan(mean).all():
        raise ValueError("readings: in no slot were half of the devices read, so no level is known")
    keep = (mean >= min_level) & (mean > 0.0)
    if keep.sum() < 2:
        raise ValueError(
            f"min_level={min_level:g} leaves {int(keep.sum())} slot(s) of {len(mean)}, at least 2 are needed: "
            f"lower it (the largest average is {np.nanmax(mean):g} µg/m³)"
        )
    share = table[keep] / mean[keep, None]  # (T', N)
    n = share.shape[1]
    a, b = np.empty((n, n)), np.empty((n, n))
    for i in range(n):
        difference = share - share[:, i : i + 1]
        read = ~np.isnan(difference)
        count = read.sum(axis=0)
        if count.min() < 2:
            raise ValueError(
                f"readings: columns {called(i)} and {called(int(count.argmin()))} were both read in {count.min()} "
                f"slot(s) of at least {min_level:g} µg/m³, at least 2 are needed: leave one of them out"
            )
        a[i] = np.where(read, difference, 0.0).sum(axis=0) / count
        b[i] = np.where(read, np.square(difference - a[i]), 0.0).sum(axis=0) / count
    return (a, _variogram(b)) if np.isnan(share).any() else (a, b)


def _variogram(b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The b of the nearest covariance of deviations: pairs that were read at different times may fit none."""
    values, vectors = np.linalg.eigh(scalar_products(b))  # of the covariance of the deviations from their mean
    if values[0] >= -1e-12 * values[-1]:
        return b
    covariance = (vectors * np.maximum(values, 0.0)) @ vectors.T
    variance = np.diag(covariance)
    nearest: NDArray[np.float64] = np.maximum(variance[:, None] + variance - covariance - covariance.T, 0.0)
    np.fill_diagonal(nearest, 0.0)
    return nearest


def _chain(
    means: list[NDArray[np.float64]], bin_width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(7)(8): levels, transition counts within each table where both slots have a level, frequencies."""
    n_levels = float(np.nanmax(np.concatenate(means))) / bin_width
    if n_levels >= LARGEST_NUMBER_OF_LEVELS:
        raise ValueError(
            f"bin_width={bin_width:g} makes {n_levels:.4g} levels, at most {LARGEST_NUMBER_OF_LEVELS} are allowed: "
            "widen it"
        )
    bins = [np.where(np.isnan(mean), -1.0, np.floor(mean / bin_width)).astype(np.int64) for mean in means]  # -1: gap
    n = 1 + max(int(b.max()) for b in bins)
    counts = np.zeros((n, n))
    for b in bins:
        known = (b[:-1] >= 0) & (b[1:] >= 0)
        np.add.at(counts, (b[:-1][known], b[1:][known]), 1.0)
    never_left = np.flatnonzero(counts.sum(axis=1) == 0.0)
    counts[never_left, never_left] = 1.0
    together = np.concatenate(bins)
    visits = np.bincount(together[together >= 0], minlength=n).astype(np.float64)
    levels: NDArray[np.float64] = (np.arange(n, dtype=np.float64) + 0.5) * bin_width
    return levels, counts / counts.sum(axis=1, keepdims=True), visits / visits.sum()


def _option(name: str, value: Any, *, zero: bool = False, unit: str = "µg/m³") -> float:
    number = as_number(name, value)
    if number < 0.0 or (number == 0.0 and not zero):
        raise ValueError(f"{name} must be finite and {'not negative' if zero else 'positive'} [{unit}], got {value!r}")
    return number
