"""A network fitted anew to what a service stored: few devices, gaps between their readings.

Sensors sleep most of the time and cover some locations only, so what they say is weighed against what the network said
before, which counts as `PRIOR` slots, and as `PRIOR_READINGS` readings of each device. Fitted: how fast readings change
(2), how each device's location reads against the level (38), and the level chain (7)(8). The sensors' noise and the
variances between locations stay.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aq_gym.estimation import mean_deviation
from aq_gym.network import SensorNetwork

PRIOR, PRIOR_READINGS = 500.0, 50.0
LONGEST = 12  # slots between two readings that still say how fast they change


def refit(
    network: SensorNetwork, devices: Sequence[int], readings: NDArray[np.float64], levels: NDArray[np.float64]
) -> SensorNetwork:
    """The network after some slots.

    Args:
        network: as it was.
        devices: (M,) locations.
        readings: (T, M) [µg/m³], NaN where a device did not read.
        levels: (T,) the area's level as the service estimated it [µg/m³], NaN where it did not.

    Raises:
        ValueError: tables of other shapes, or without a reading.
    """
    if readings.shape != (len(levels), len(devices)) or np.isnan(readings).all():
        raise ValueError(
            f"readings: expected some in a table of {(len(levels), len(devices))}, got shape {readings.shape}"
        )
    transition, start = _chain(network, levels)
    return dataclasses.replace(
        network,
        temporal_variance=_temporal_variance(network, readings),
        mean_relation=_mean_relation(network, devices, readings, levels),
        transition=transition,
        start=start,
    )


def _temporal_variance(network: SensorNetwork, readings: NDArray[np.float64]) -> float:
    """(2): two readings d slots apart differ by the noise of both, and by d times what is sought."""
    total, slots = 0.0, 0.0
    for column in readings.T:
        read = np.flatnonzero(~np.isnan(column))
        apart, x = np.diff(read), column[read]
        near = apart <= LONGEST
        noise = network.measurement_variance * (x[1:] ** 2 + x[:-1] ** 2)
        total += float((np.diff(x) ** 2 - noise)[near].sum())
        slots += float(apart[near].sum())
    old = network.temporal_variance
    return float(max(0.1 * old, (PRIOR * old + total) / (PRIOR + slots)))


def _mean_relation(
    network: SensorNetwork, devices: Sequence[int], readings: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(38): locations with a device move by how their readings over the level differ from what was expected."""
    known, move = mean_deviation(network), np.zeros(network.n_locations)
    for m, location in enumerate(devices):
        share = (readings[:, m] / np.maximum(levels, 1.0))[~np.isnan(readings[:, m] + levels)]
        move[location] = (share - 1.0 - known[location]).sum() / (PRIOR_READINGS + len(share))
    return np.asarray(network.mean_relation + move - move[:, None])


def _chain(network: SensorNetwork, levels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(7)(8): counts of the slots beside those that the old chain stands for; a level never left stays as it was."""
    known = ~np.isnan(levels)
    bins = np.abs(np.where(known, levels, 0.0)[:, None] - network.levels).argmin(axis=1)
    counts = PRIOR * network.start[:, None] * network.transition
    both = known[1:] & known[:-1]
    np.add.at(counts, (bins[:-1][both], bins[1:][both]), 1.0)
    left = counts.sum(axis=1, keepdims=True)
    transition = np.where(left > 0, counts / np.maximum(left, 1e-300), network.transition)
    visits = PRIOR * network.start + np.bincount(bins[known], minlength=network.n_levels)
    return transition / transition.sum(axis=1, keepdims=True), visits / visits.sum()
