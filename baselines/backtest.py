"""The model's joint error is a belief, readings hold the truth: policies replayed on real air, and what maps they give.

A policy sees the level, binned as the network's chain wants it, and decides who senses. A sensing device hands its real
reading to the server, a map is made of the last readings by each of `METHODS`, and is compared with what all devices
read in that slot. All policies and methods play the same windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.estimation import (
    LEVELS_OF_COVERAGE,
    Estimate,
    LevelAware,
    Sources,
    corrected_map,
    coverage,
    flat_map,
    mean_deviation,
    paper_map,
)
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.traces import level_trace, windows

METHODS = ("paper", "flat", "corrected", "level-aware")
RESAMPLES = 2000
BLOCK = 5  # windows resampled together; of 60 slots side by side: two days, after which little of the weather is left
_SNAPSHOT = (0, 1, 3, 8)  # slots of one, seen together by the Gaussian process
BANDS = (0.0, 35.0, 75.0, 150.0, np.inf)  # of the level, for errors by level [µg/m³]


@dataclass(frozen=True)
class Windows:
    """Real readings, cut into episodes.

    Attributes:
        readings: (K, T + 1, N) [µg/m³].
        levels: (K, T + 1) indices into the network's levels.
        outside: slots whose level lies outside the network's and was clipped, of all slots of the periods.
    """

    readings: NDArray[np.float64]
    levels: NDArray[np.int64]
    outside: int

    @classmethod
    def cut(
        cls, network: SensorNetwork, tables: Sequence[ArrayLike], horizon: int, stride: int | None = None
    ) -> Windows:
        """Windows of T + 1 slots, by default side by side, never across the gap between two periods.

        Raises:
            ValueError: a table of other devices than the network's, or shorter than a window.
        """
        readings, levels, outside = [], [], 0
        for table in tables:
            trace = level_trace(network, table)
            slots = windows(len(trace.levels), horizon, stride)[:, None] + np.arange(horizon + 1)
            readings.append(np.asarray(table, dtype=np.float64)[slots])
            levels.append(trace.levels[slots])
            outside += trace.outside
        return cls(np.concatenate(readings), np.concatenate(levels), outside)

    def __len__(self) -> int:
        return len(self.readings)


@dataclass(frozen=True)
class Replayed:
    """What a policy did on the windows."""

    sensed: NDArray[np.bool_]  # (K, T, M) whether device m sensed in slot t + 1
    joint_error: NDArray[np.float64]  # (K,) average joint error that the model promises [µg/m³]


def replay(policy: Any, problem: Problem, levels: NDArray[np.int64]) -> Replayed:
    """Play a policy on imposed level paths, (K, T + 1) indices into the network's levels."""
    k, m = len(levels), problem.n_devices
    env = MultiDeviceVectorEnv(
        k,
        problem.network,
        problem.devices,
        problem.horizon,
        problem.energy_budget,
        problem.max_sleep,
        **problem.options,
        observation=getattr(policy, "observation", "full"),
        autoreset_mode="Disabled",
    )
    if hasattr(policy, "reset"):
        policy.reset(0)
    observation, info = env.reset(seed=0, options={"levels": levels if k > 1 else levels[0]})
    sensed = np.zeros((k, problem.horizon, m), np.bool_)
    for decision in range(problem.horizon * m):
        slot, turn = divmod(decision, m)
        before = info["energy"][:, turn]
        observation, _, _, _, info = env.step(policy.act(observation, info))
        sensed[:, slot, turn] = info["energy"][:, turn] < before
    env.close()
    return Replayed(sensed, info["average_joint_error"])


@dataclass(frozen=True)
class Faults:
    """What goes wrong on the way to the server; by default nothing.

    Attributes:
        level_noise: standard deviation of the error of the level that the server knows, as a share of it; new in every
            slot. The policy still sees the true one, so that all conditions replay the same sensings.
        level_from_readings: the server knows no level but what the last readings tell.
        measurement_noise: that is added to each reading, as a share of it.
        lost: share of the readings that never arrive; their energy is spent.
        dead: the readings of the first so many devices never arrive in the second half of a window; the policy does
            not know.
    """

    level_noise: float = 0.0
    level_from_readings: bool = False
    measurement_noise: float = 0.0
    lost: float = 0.0
    dead: int = 0

    def __post_init__(self) -> None:
        check_shares(self)

    @property
    def told_noise(self) -> float:
        """What the level-aware map is told of the level's error; 1, next to nothing known, where it has no source."""
        return 1.0 if self.level_from_readings else self.level_noise


def check_shares(faults: Any) -> None:
    """Refuse faults that are out of range.

    Raises:
        ValueError: naming the field.
    """
    for name, most in (("lost", 1.0), ("level_noise", np.inf), ("measurement_noise", np.inf), ("dead", np.inf)):
        value = getattr(faults, name, 0)
        if not 0 <= value <= most:
            raise ValueError(
                f"{name}: expected a number {'of at least 0' if most > 1 else 'from 0 to 1'}, got {value!r}"
            )


def sources_of(
    replayed: Replayed, problem: Problem, data: Windows, faults: Faults = Faults(), seed: int = 0
) -> tuple[Sources, NDArray[np.float64]]:
    """The last readings in every slot 1..T of every window, and the level that the server knows: (K, T) [µg/m³]."""
    rng = np.random.default_rng(seed)
    k, horizon, m = replayed.sensed.shape
    arrived = replayed.sensed & ~(rng.random(replayed.sensed.shape) < faults.lost)
    arrived[:, horizon // 2 :, : faults.dead] = False
    slots = np.arange(1, horizon + 1)
    last = np.maximum.accumulate(np.where(arrived, slots[:, None], 0), axis=1)  # (K, T, M); slot 0: all sensed
    devices = np.array(problem.devices, np.int64)
    rows = np.arange(k)[:, None, None]
    readings = data.readings[:, :, devices]
    readings = readings * (1.0 + faults.measurement_noise * rng.standard_normal(readings.shape))
    reading = readings[rows, last, np.arange(m)]
    known = data.readings.mean(axis=2)
    known = known * np.maximum(1.0 + faults.level_noise * rng.standard_normal(known.shape), 0.1)
    if faults.level_from_readings:
        scaled = readings / (1.0 + mean_deviation(problem.network)[devices])
        at_first = scaled[:, :1].mean(axis=2)
        known = np.concatenate([at_first, scaled[rows, last, np.arange(m)].mean(axis=2)], axis=1)
    known = np.maximum(known, 1.0)  # a level of 0 would claim to be exact
    return Sources(devices, reading, slots[:, None] - last, known[rows, last]), known[:, 1:]


def estimate(
    method: str,
    network: SensorNetwork,
    learned: LevelAware,
    sources: Sources,
    level: ArrayLike,
    level_noise: float = 0.0,
) -> Estimate:
    """The map by one of `METHODS`; the level-aware one is told how noisy the level is.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if method == "paper":
        return paper_map(network, sources, level)
    if method == "level-aware":
        return learned.estimate(sources, level, level_noise=level_noise)
    return (flat_map if method == "flat" else corrected_map)(network, level)


def gaussian_process(network: SensorNetwork, tables: Sequence[ArrayLike], seed: int = 0) -> GaussianProcessRegressor:
    """scikit-learn's regression of the normalised deviations on place and time, fitted to snapshots: a yardstick.

    Raises:
        ValueError: the network has no coordinates.
    """
    if network.coordinates is None:
        raise ValueError(f"network: {network.name!r} has no coordinates, which a Gaussian process reads")
    rng, n = np.random.default_rng(seed), network.n_locations
    table = np.asarray(tables[0], dtype=np.float64)
    level = table.mean(axis=1)
    clear = np.flatnonzero(level[: -_SNAPSHOT[-1]] >= 30.0)
    if len(clear) < 5:
        raise ValueError(f"tables: expected at least 5 slots of 30 µg/m³ or more to fit to, got {len(clear)}")
    slots = (rng.choice(clear, 5, replace=False)[:, None] + np.array(_SNAPSHOT)).ravel()
    apart = np.repeat(np.arange(5) * 1e4, len(_SNAPSHOT)) + np.tile(_SNAPSHOT, 5)
    deviation = table[slots] / level[slots, None] - 1.0 - mean_deviation(network)
    places = np.tile(network.coordinates / 100.0, (len(slots), 1))
    inputs = np.column_stack([places, np.repeat(apart, n)])
    kernel = ConstantKernel(1e-3, (1e-6, 1.0)) * RBF((3.0, 3.0, 12.0), (0.1, 1e3)) + WhiteKernel(1e-3, (1e-7, 1.0))
    return GaussianProcessRegressor(kernel, random_state=seed).fit(inputs, deviation.ravel())


def gaussian_process_map(
    fitted: GaussianProcessRegressor, network: SensorNetwork, sources: Sources, level: NDArray[np.float64]
) -> Estimate:
    """The map by a process of `gaussian_process`, slot by slot: slow."""
    prior, places = mean_deviation(network), np.asarray(network.coordinates) / 100.0
    seen = sources.reading / sources.level_then - 1.0 - prior[sources.devices]
    regression = GaussianProcessRegressor(fitted.kernel_, optimizer=None)
    mean, deviation = np.empty((*level.shape, len(places))), np.empty((*level.shape, len(places)))
    target = np.column_stack([places, np.zeros(len(places))])
    for at in np.ndindex(level.shape):
        known = np.column_stack([places[sources.devices], -sources.delay[at].astype(np.float64)])
        mean[at], deviation[at] = regression.fit(known, seen[at]).predict(target, return_std=True)
    return Estimate(level[..., None] * (1.0 + prior + mean), level[..., None] * deviation)


def judge(found: Estimate, data: Windows, devices: Sequence[int], seed: int = 0) -> dict[str, float]:
    """How a map compares with what the devices without a sensor of ours read, and with all of them.

    Returns:
        Over the locations without a device: ``rmse`` with its 95 % block-bootstrap interval, ``mae``, ``bias``
        [µg/m³], ``cover_50``, ``cover_90``, ``cover_95`` (shares) and ``claimed`` (root mean square of the claimed
        deviations); ``rmse_all`` over all locations; ``rmse_from_0`` and so on by band of the level, from `BANDS`.
    """
    truth = data.readings[:, 1:]
    unseen = np.setdiff1d(np.arange(truth.shape[2]), devices)
    if not len(unseen):
        unseen = np.arange(truth.shape[2])
    error, deviation = (found.mean - truth), found.deviation + np.zeros_like(truth)
    squares = np.square(error[..., unseen]).mean(axis=(1, 2))  # (K,)
    low, high = block_interval(squares, seed)
    part = error[..., unseen]
    result = {
        "rmse": float(np.sqrt(squares.mean())),
        "rmse_low": float(np.sqrt(low)),
        "rmse_high": float(np.sqrt(high)),
        "mae": float(np.abs(part).mean()),
        "bias": float(part.mean()),
        "claimed": float(np.sqrt(np.square(deviation[..., unseen]).mean())),
        "rmse_all": float(np.sqrt(np.square(error).mean())),
    }
    shares = coverage(part, deviation[..., unseen])
    result |= {f"cover_{100 * x:.0f}": y for x, y in zip(LEVELS_OF_COVERAGE, shares, strict=True)}
    level = truth.mean(axis=2)
    for least, most in pairwise(BANDS):
        within = (level >= least) & (level < most)
        result[f"rmse_from_{least:.0f}"] = (
            float(np.sqrt(np.square(part[within]).mean())) if within.any() else float("nan")
        )
    return result


def _blocks(k: int, seed: int, block: int) -> NDArray[np.int64]:
    """(RESAMPLES, k) rows of the circular block bootstrap."""
    starts = np.random.default_rng(seed).integers(k, size=(RESAMPLES, -(-k // block)))
    return np.asarray(((starts[..., None] + np.arange(block)) % k).reshape(RESAMPLES, -1)[:, :k])


def block_interval(values: NDArray[np.float64], seed: int, block: int = BLOCK) -> tuple[float, float]:
    """95 % interval of the mean of a series, (K,), by the circular block bootstrap."""
    low, high = np.quantile(values[_blocks(len(values), seed, block)].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def change(
    values: NDArray[np.float64], base: NDArray[np.float64], seed: int, block: int = BLOCK
) -> tuple[float, float, float]:
    """By how many per cent the mean of a series is above another's, (K,) each, and its 95 % interval, paired."""
    rows = _blocks(len(base), seed, block)
    low, high = np.quantile(100.0 * (values[rows].mean(axis=1) / base[rows].mean(axis=1) - 1.0), (0.025, 0.975))
    return 100.0 * float(values.mean() / base.mean() - 1.0), float(low), float(high)


@dataclass(frozen=True)
class Delivered:
    """The level-aware map of a policy on the windows."""

    absolute: NDArray[np.float64]  # (K,) mean absolute error over all slots and locations [µg/m³]
    rmse: float  # root of the mean squared one [µg/m³]
    promised: float  # average joint error that the problem's model promises [µg/m³]
    claimed: float  # mean of the deviations that the map claims [µg/m³]
    coverage: tuple[float, ...]  # of the 50, 90 and 95 % intervals


def deliver(
    policy: Any, problem: Problem, data: Windows, learned: LevelAware, level_noise: float, seed: int = 0
) -> Delivered:
    """Replay a policy where the level is known with an error, and hold the level-aware map against the truth.

    Args:
        policy: that plans for `problem`, whichever inference that has.
        problem: whose observations it sees; devices, horizon and energy are those of the windows.
        data: windows of the problem's horizon.
        learned: of the same network.
        level_noise: of the level that the server knows; the map is told of it.
        seed: of the noise.
    """
    faults = Faults(level_noise=level_noise)
    replayed = replay(policy, problem, data.levels)
    sources, level = sources_of(replayed, problem, data, faults, seed)
    found, truth = learned.estimate(sources, level, level_noise=level_noise), data.readings[:, 1:]
    error = found.mean - truth
    return Delivered(
        np.abs(error).mean(axis=(1, 2)),
        float(np.sqrt(np.square(error).mean())),
        float(replayed.joint_error.mean()),
        float(found.deviation.mean()),
        coverage(error, found.deviation),
    )


def backtest(
    policies: Mapping[str, Any],
    problem: Problem,
    data: Windows,
    learned: LevelAware,
    *,
    methods: Sequence[str] = METHODS,
    conditions: Mapping[str, Faults] | None = None,
    seed: int = 0,
    watch: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Every policy under every condition, its map by every method.

    Args:
        policies: by name.
        problem: on a network that was fitted to other readings than ``data``.
        data: windows of the problem's horizon.
        learned: of the same network.
        methods: of `METHODS`.
        conditions: by name; None: nothing goes wrong.
        seed: of the faults and the intervals.
        watch: told what is done.

    Returns:
        A row for each condition, policy and method: those names, ``promised`` (the model's average joint error),
        ``sensings`` of a device in a window, and what `judge` returns.

    Raises:
        ValueError: windows of another horizon or other locations, or an unknown method.
    """
    shape = (problem.horizon + 1, problem.network.n_locations)
    if data.readings.shape[1:] != shape:
        raise ValueError(f"data: expected windows of shape {shape} (T + 1, N), got {data.readings.shape[1:]}")
    rows = []
    for name, policy in policies.items():
        replayed = replay(policy, problem, data.levels)
        for condition, faults in (conditions or {"clean": Faults()}).items():
            watch(f"{name}, {condition}")
            sources, level = sources_of(replayed, problem, data, faults, seed)
            for method in methods:
                found = estimate(method, problem.network, learned, sources, level, faults.told_noise)
                row = {"condition": condition, "policy": name, "method": method}
                row |= {"promised": float(replayed.joint_error.mean())}
                row |= {"sensings": float(replayed.sensed.sum(axis=1).mean())}
                rows.append(row | judge(found, data, problem.devices, seed))
    return pd.DataFrame(rows)
