"""The equations of the inferred map in readable NumPy: the reference that the compiled kernels are held against.

Every function takes any leading batch axes (written ``...``). Concentrations and errors are in µg/m³, delays in slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from aq_gym.network import SensorNetwork


class Map(NamedTuple):
    """The inferred map of one slot, one number a location."""

    mean: NDArray[np.float64]  # (..., N) [µg/m³]
    standard_deviation: NDArray[np.float64]  # (..., N) [µg/m³]
    joint_error: NDArray[np.float64]  # (..., N) [µg/m³]
    measured: NDArray[np.bool_]  # (..., N) the location's own device sensed in this slot

    def row(self, k: int) -> Map:
        """The map of one episode of a batch."""
        return Map(*(x[k] for x in self))


def single_source(
    network: SensorNetwork, devices: ArrayLike, delay: ArrayLike, record: ArrayLike, level: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each device alone says of each location, equation (18).

    Args:
        network: the fitted parameters.
        devices: (M,) locations of the devices.
        delay: (..., M) slots since each device last sensed.
        record: (..., M) the level when each device last sensed [µg/m³].
        level: (...) the present level [µg/m³].

    Returns:
        mean and variance, each (..., M, N) [µg/m³ and its square].
    """
    rows = np.asarray(devices, dtype=np.intp)
    delay = np.asarray(delay, dtype=np.float64)[..., None]
    record = np.asarray(record, dtype=np.float64)[..., None]
    level = np.asarray(level, dtype=np.float64)[..., None, None]
    mean = record + network.mean_relation[rows] * level
    variance = (
        network.measurement_variance * record**2
        + network.temporal_variance * delay
        + network.variance_relation[rows] * level**2
    )
    return mean, variance


def infer(
    network: SensorNetwork,
    devices: ArrayLike,
    delay: ArrayLike,
    record: ArrayLike,
    level: ArrayLike,
    *,
    fuse_measured: bool = False,
) -> Map:
    """The map inferred from all devices: the three-step rule, equations (6), (9), (18)-(20).

    Args:
        network: the fitted parameters.
        devices: (M,) locations of the devices.
        delay: (..., M) slots since each device last sensed; 0 = in this slot.
        record: (..., M) the level when each device last sensed [µg/m³].
        level: (...) the present level [µg/m³].
        fuse_measured: fuse a location's own fresh reading like any other source, instead of keeping it as the value.

    Returns:
        The `Map`, each field (..., N).
    """
    level = np.asarray(level, dtype=np.float64)
    means, variances = single_source(network, devices, delay, record, level)
    precision = 1.0 / variances
    variance = 1.0 / precision.sum(axis=-2)  # (6), (20)
    mean = variance * (means * precision).sum(axis=-2)  # (19)
    measured = np.zeros(mean.shape, dtype=np.bool_)
    measured[..., np.asarray(devices, dtype=np.intp)] = np.asarray(delay) == 0
    if not fuse_measured:
        mean = np.where(measured, level[..., None], mean)
        variance = np.where(measured, network.measurement_variance * level[..., None] ** 2, variance)
    error = np.sqrt(variance + (mean - level[..., None]) ** 2)  # (9)
    return Map(mean, np.sqrt(variance), error, measured)


def joint_error(
    network: SensorNetwork,
    devices: ArrayLike,
    delay: ArrayLike,
    record: ArrayLike,
    level: ArrayLike,
    *,
    fuse_measured: bool = False,
) -> NDArray[np.float64]:
    """The joint error of every location, equation (9), shape (..., N) [µg/m³]; arguments as in `infer`."""
    return infer(network, devices, delay, record, level, fuse_measured=fuse_measured).joint_error
