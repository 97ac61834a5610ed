"""The equations of the inferred map in readable NumPy: the reference for tests of the compiled kernels.

Every function takes any leading batch axes (written ``...``). Concentrations and errors are in µg/m³, delays in slots.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.belief import BELIEFS, belief_of
from aq_gym.estimation import LevelAware, Sources, mean_deviation
from aq_gym.hidden_level import LEVEL_VARIANCE, HiddenLevel
from aq_gym.network_checks import is_number
from aq_gym.parameters import NetworkParameters

INFERENCES = ("paper", "level-aware", "hidden")
LEAST_FLOOR = 1e-9  # of a hidden level's map, over `LEVEL_VARIANCE`: below it rounding is more than 1e-6 of an error


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
    network: NetworkParameters, devices: ArrayLike, delay: ArrayLike, record: ArrayLike, level: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each device alone says of each location, equation (18); arguments as in `infer`.

    Returns:
        mean and variance, each (..., M, N) [µg/m³ and its square].
    """
    rows = _rows(network, devices)
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
    network: NetworkParameters,
    devices: ArrayLike,
    delay: ArrayLike,
    record: ArrayLike,
    level: ArrayLike,
    *,
    fuse_measured: bool = False,
    inference: str = "paper",
    level_noise: float = 0.0,
    belief: str = "grown",
) -> Map:
    """The map inferred from all devices.

    The paper's three-step rule, equations (6), (9), (18)-(20); or level-aware, see `aq_gym.estimation.LevelAware`; or
    from reports alone, see `aq_gym.hidden_level.HiddenLevel`, which reads no level. With the latter two the joint error
    is the standard deviation that the map claims, since its mean is not expected at the level.

    Args:
        network: the fitted parameters.
        devices: (M,) locations of the devices.
        delay: (..., M) slots since each device last sensed; 0 = in this slot.
        record: (..., M) the level when each device last sensed [µg/m³].
        level: (...) the present level [µg/m³].
        fuse_measured: fuse a location's own fresh reading like any other source, instead of keeping it as the value
            (the paper's inference alone: the others always fuse).
        inference: "paper", "level-aware" or "hidden".
        level_noise: what the server knows of the level is off by this share of it (level-aware alone).
        belief: "grown" or "chain" (hidden alone).

    Returns:
        The `Map`, each field (..., N).

    Raises:
        ValueError: an unknown inference or belief, a bad noise, a network without what the inference reads, or a state
            that is none: wrong locations or shapes, numbers that are not finite or negative.
    """
    check_inference(network, inference, level_noise, belief)
    if not isinstance(fuse_measured, bool | np.bool_):
        raise ValueError(f"fuse_measured: expected True or False, got {fuse_measured!r}")
    if inference == "hidden":
        longest = int(_numbers("delay", delay).max(initial=0))
        return infer_hidden(HiddenLevel.of(network, belief, longest), devices, delay, record)
    delay, record, level = _state(network, devices, delay, record, level)
    if inference == "level-aware":
        return _level_aware(network, devices, delay, record, level, level_noise)
    means, variances = single_source(network, devices, delay, record, level)
    precision = 1.0 / variances
    variance = 1.0 / precision.sum(axis=-2)  # (6), (20)
    mean = variance * (means * precision).sum(axis=-2)  # (19)
    measured = _measured(mean.shape, devices, delay)
    if not fuse_measured:
        mean = np.where(measured, level[..., None], mean)
        variance = np.where(measured, network.measurement_variance * level[..., None] ** 2, variance)
    error = np.sqrt(variance + (mean - level[..., None]) ** 2)  # (9)
    return Map(mean, np.sqrt(variance), error, measured)


def joint_error(
    network: NetworkParameters,
    devices: ArrayLike,
    delay: ArrayLike,
    record: ArrayLike,
    level: ArrayLike,
    *,
    fuse_measured: bool = False,
    inference: str = "paper",
    level_noise: float = 0.0,
) -> NDArray[np.float64]:
    """The joint error of every location, equation (9), shape (..., N) [µg/m³]; arguments as in `infer`."""
    options: dict[str, Any] = {"fuse_measured": fuse_measured, "inference": inference, "level_noise": level_noise}
    return infer(network, devices, delay, record, level, **options).joint_error


def infer_hidden(model: HiddenLevel, devices: ArrayLike, delay: ArrayLike, record: ArrayLike) -> Map:
    """The map from reports alone, as `infer` with ``inference="hidden"``."""
    delay, record, _ = _state(model.model.network, devices, delay, record, 0.0)
    mean, deviation = model.estimate(devices, delay, record)
    return Map(mean, deviation, deviation.copy(), _measured(mean.shape, devices, delay))


def check_inference(
    network: NetworkParameters, inference: str, level_noise: float = 0.0, belief: str = "grown"
) -> None:
    """Refuse what can't be inferred.

    Raises:
        ValueError: an unknown inference or belief, a noise that is no share, or a network without a level model or a
            belief.
    """
    if inference not in INFERENCES:
        raise ValueError(f"inference: expected one of {', '.join(INFERENCES)}, got {inference!r}")
    if not is_number(level_noise) or not 0.0 <= level_noise <= 1.0:
        raise ValueError(f"level_noise: expected a share of the level from 0 to 1, got {level_noise!r}")
    if inference != "level-aware" and level_noise:
        why = "the paper's inference takes the level for known" if inference == "paper" else "the level is hidden"
        raise ValueError(
            f"level_noise: {why}, so only 0 is possible, got {level_noise!r}; inference='level-aware' takes others"
        )
    if belief not in BELIEFS or (belief != "grown" and inference != "hidden"):
        raise ValueError(
            f"belief: expected one of {', '.join(BELIEFS)} with inference='hidden', got {belief!r} with {inference!r}"
        )
    if inference != "paper" and network.level_model is None:
        raise ValueError(
            f"inference: {network.name!r} has no level_model, which {inference!r} needs; "
            "scripts.fit_network learns it, or aq_gym.level_model.fit_level_model"
        )
    if inference == "hidden":
        belief_of(network, belief, 0)  # raises where the network has none
        floor, least = LevelAware.of(network).floor, LEAST_FLOOR * LEVEL_VARIANCE
        if floor < least:
            raise ValueError(
                f"inference: the level_model of {network.name!r} has a floor of {floor:g} (µg/m³)², too small to be "
                f"computed with beside the {LEVEL_VARIANCE:g} of an unknown level; expected at least {least:g}: "
                "check that the readings are in µg/m³"
            )


def check_sums(network: NetworkParameters, max_sleep: int) -> None:
    """Refuse what sums of precisions in floating point cannot hold: single terms that outweigh all others.

    In units of the level a reading's precision is at most 1/c of the sharpest record at the highest level, and at least
    1/c of the oldest at the lowest; a fresh one's is 1/δ².
    """
    low, top, delta2 = float(network.levels[0]), float(network.levels[-1]), network.measurement_variance
    drift = network.temporal_variance / delta2
    with np.errstate(over="ignore"):
        sharpest = np.float64(top) ** 2 / max(low**2 + drift, np.finfo(float).tiny)
        vaguest = (np.float64(top) ** 2 + max_sleep * drift) / max(low**2, np.finfo(float).tiny)
    if not (sharpest < 1e7 and vaguest < 1e13):
        raise ValueError(
            f"network: {network.name!r} has levels from {low:g} to {top:g} µg/m³ and variances δ² {delta2:g}, "
            f"σ² {network.temporal_variance:g}, too far apart to be computed with; expected levels and standard "
            "deviations of readings within some three orders of magnitude"
        )


def _measured(shape: tuple[int, ...], devices: ArrayLike, delay: ArrayLike) -> NDArray[np.bool_]:
    """Of that shape, (..., N): whether a location's own device sensed in this slot."""
    measured = np.zeros(shape, dtype=np.bool_)
    measured[..., np.asarray(devices)] = np.asarray(delay) == 0
    return measured


def _rows(network: NetworkParameters, devices: ArrayLike) -> NDArray[np.int64]:
    rows, most = np.asarray(devices), network.n_locations - 1
    if (
        rows.ndim != 1
        or rows.dtype.kind not in "iu"
        or ((rows < 0) | (rows > most)).any()
        or np.unique(rows).size < rows.size
    ):
        raise ValueError(f"devices: expected a list of locations in 0..{most}, each once, got {devices!r}")
    return rows.astype(np.int64)


def _numbers(name: str, values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or not ((array >= 0) & (array < np.inf)).all():
        raise ValueError(f"{name}: expected finite numbers of at least 0, got {values!r}")
    return array


def _state(
    network: NetworkParameters, devices: ArrayLike, delay: ArrayLike, record: ArrayLike, level: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """Delays, records and levels as arrays, if they are those of the devices."""
    d, u, e = _numbers("delay", delay), _numbers("record", record), _numbers("level", level)
    count, shapes = len(_rows(network, devices)), (d.shape, u.shape, (*e.shape, 1))
    try:
        fits = np.broadcast_shapes(*shapes, (count,))[-1] == count
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"delay, record, level: expected the shapes (..., {count}) of {count} device(s) and (...) of a level, got "
            f"{d.shape}, {u.shape} and {e.shape}"
        )
    return d, u.astype(np.float64), e.astype(np.float64)


def _level_aware(
    network: NetworkParameters,
    devices: ArrayLike,
    delay: ArrayLike,
    record: ArrayLike,
    level: NDArray[np.float64],
    level_noise: float,
) -> Map:
    rows = _rows(network, devices)
    since, then = np.asarray(delay), np.asarray(record, dtype=np.float64)
    deviation = LevelAware.of(network).deviation(Sources(rows, then, since, then), level, level_noise=level_noise)
    mean = level[..., None] * (1.0 + mean_deviation(network))
    measured = _measured(deviation.shape, devices, delay)
    return Map(mean + np.zeros_like(deviation), deviation, deviation.copy(), measured)
