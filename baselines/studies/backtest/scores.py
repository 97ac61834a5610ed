"""How a map compares with the readings, and intervals of series that depend on each other in time."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.adapted_intervals import QUANTILES, STEP, adapted_factors, variance_parts
from aq_gym.estimation import LEVELS_OF_COVERAGE, Estimate, coverage
from aq_gym.problem import Problem
from baselines.studies.backtest.replaying import Windows

RESAMPLES = 2000
BLOCK = 5  # windows resampled together; of 60 slots side by side: two days, after which little of the weather is left
COVER = [f"cover_{100 * x:.0f}" for x in LEVELS_OF_COVERAGE]  # names of the shares that intervals cover
BANDS = (0.0, 35.0, 75.0, 150.0, np.inf)  # of the level, for errors by level [µg/m³]


def judge(
    found: Estimate, data: Windows, devices: Sequence[int], seed: int = 0, block: int = BLOCK
) -> dict[str, float]:
    """Compare a map with the readings at locations where no device senses, and at all of them.

    Windows are resampled in blocks of so many.

    Returns:
        Over the locations without a device: ``rmse`` with its 95 % block-bootstrap interval, ``mae``, ``bias``
        [µg/m³], ``cover_50``, ``cover_90``, ``cover_95`` (shares) and ``claimed`` (root mean square of the claimed
        deviations); ``rmse_all`` over all locations; ``rmse_from_0`` and so on by band of the level, from `BANDS`.
    """
    truth = data.readings[:, 1:]
    every = np.arange(truth.shape[2])
    unseen = np.setdiff1d(every, devices) if len(set(devices)) < len(every) else every
    error, deviation = (found.mean - truth), found.deviation + np.zeros_like(truth)
    squares = np.square(error[..., unseen]).mean(axis=(1, 2))  # (K,)
    low, high = block_interval(squares, seed, block)
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
    result |= dict(zip(COVER, shares, strict=True))
    level = truth.mean(axis=2)
    for least, most in pairwise(BANDS):
        within = part[(level >= least) & (level < most)]
        result[f"rmse_from_{least:.0f}"] = float(np.sqrt(np.square(within).mean())) if len(within) else float("nan")
    return result


def adapted_coverage(
    problem: Problem,
    delay: NDArray[np.int64],
    record: NDArray[np.float64],
    maps: Estimate,
    data: Windows,
    step: float = STEP,
) -> list[float]:
    """Shares of the readings at locations without a device that the adapted 50, 90 and 95 % intervals cover.

    The maps are made of the reports: (K, T, M) ages [slots] and records [µg/m³] at the end of each slot.
    """
    factors = adapted_factors(problem, delay, record, step)
    unseen = np.setdiff1d(np.arange(problem.n_locations), problem.devices)
    still, growing = variance_parts(problem, delay, record, maps.deviation)
    error = np.abs(maps.mean - data.readings[:, 1:])
    shares = []
    for i, quantile in enumerate(QUANTILES):
        wide = quantile * np.sqrt(still + factors[:, :, i, None] * growing)
        shares.append(float((error <= wide)[..., unseen].mean()))
    return shares


def covered(row: Any, names: Sequence[str] = COVER) -> str:
    """The shares that a row's intervals cover, for a table [%]."""
    return " / ".join(f"{100 * getattr(row, name):.0f}" for name in names)


def misses(table: pd.DataFrame, names: Sequence[str] = COVER) -> pd.DataFrame:
    """By how many points each coverage is off what is claimed."""
    return (100.0 * (table[names] - np.array(LEVELS_OF_COVERAGE))).abs()


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
