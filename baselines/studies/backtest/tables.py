"""The tables of the backtest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.estimation import LEVELS_OF_COVERAGE, LevelAware, coverage
from aq_gym.problem import Problem
from baselines.evaluation import build_policy


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
