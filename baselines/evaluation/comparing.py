"""Comparing policies on the same episodes: mean errors and paired differences, with 95 % intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap, trim_mean

from aq_gym.problem import Problem
from baselines.playing import Record, play_problem

COLUMNS = (
    "policy",
    "joint_error",
    "joint_error_low",
    "joint_error_high",
    "difference",
    "difference_low",
    "difference_high",
    "energy_used",
    "forced",
    "decisions_per_second",
    "training_seconds",
)
_RESAMPLES = 2000


def compare(
    policies: Mapping[str, Any], problem: Problem, episodes: int, seed: int, *, observation: str = "full"
) -> pd.DataFrame:
    """Play policies on the episodes of seeds ``seed`` and on; the table of `baselines.evaluate`."""
    records = {
        name: play_problem(policy, problem, episodes, seed, observation=observation, name=name)
        for name, policy in policies.items()
    }
    return summarise(records, seed)


def summarise(records: Mapping[str, Record], seed: int = 0) -> pd.DataFrame:
    """The table of `baselines.evaluate` from what was played; ``seed`` is that of the resampling.

    Raises:
        ValueError: records of different numbers of episodes.
    """
    first = next(iter(records.values())).joint_error
    rows = []
    for name, record in records.items():
        if record.joint_error.shape != first.shape:
            raise ValueError(
                f"{name}: {record.joint_error.size} episodes, the first policy has {first.size}: not the same ones"
            )
        error, difference = (mean_with_interval(x, seed) for x in (record.joint_error, record.joint_error - first))
        speed = record.decisions / record.seconds if record.seconds > 0 else float("nan")
        share = record.forced / record.decisions
        rows.append((name, *error, *difference, record.sensings.mean(), share, speed, record.training_seconds))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def mean_with_interval(values: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Mean and 95 % percentile-bootstrap interval; NaN bounds for a single value."""
    same = values.size > 1 and np.ptp(values) == 0
    return _with_interval([values], np.mean, seed, same, batch=max(1, 2_000_000 // values.size))


def regret(errors: NDArray[np.float64], optimal: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """How much worse than the optimal policy on the same episodes [%], with a 95 % interval as in `summarise`."""

    def percent(own: NDArray[np.float64], best: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return np.asarray(100.0 * (own.mean(axis) / best.mean(axis) - 1.0))

    how = {"paired": True, "batch": max(1, 2_000_000 // errors.size)}
    return _with_interval([errors, optimal], percent, seed, np.array_equal(errors, optimal), **how)


def interquartile_mean(strata: Sequence[NDArray[np.float64]], seed: int) -> tuple[float, float, float]:
    """The mean without a quarter at either end, rounded down (nothing is left out below four values).

    The 95 % interval comes from resampling each stratum by itself (stratified bootstrap, Agarwal et al. 2021); NaN
    where a stratum has a single value.
    """

    def statistic(*samples: NDArray[np.float64], axis: int = -1) -> Any:
        return trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)

    return _with_interval(strata, statistic, seed, all(len(x) > 1 and np.ptp(x) == 0 for x in strata))


def _with_interval(
    samples: Sequence[NDArray[np.float64]], statistic: Callable[..., Any], seed: int, same: bool, **how: Any
) -> tuple[float, float, float]:
    """A statistic with its 95 % percentile-bootstrap interval; ``same``: no resampling changes it."""
    value = float(statistic(*samples, axis=-1))
    if same:
        return value, value, value
    if min(map(len, samples)) < 2:
        return value, float("nan"), float("nan")
    how |= {"n_resamples": _RESAMPLES, "vectorized": True, "method": "percentile", "rng": np.random.default_rng(seed)}
    interval = bootstrap(samples, statistic, **how).confidence_interval
    return value, float(interval.low), float(interval.high)
