"""Comparing policies on the same episodes: mean errors and paired differences, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from aq_gym.problem import Problem
from baselines.evaluation.playing import Record, play_problem

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
    mean = float(values.mean())
    if values.size < 2:
        return mean, float("nan"), float("nan")
    if np.ptp(values) == 0:
        return mean, mean, mean
    result = bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, 2_000_000 // values.size),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return mean, float(result.confidence_interval.low), float(result.confidence_interval.high)
