"""How good forecasts are: errors, intervals and probabilities against what came, with intervals by blocks of slots."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from aq_gym.forecasting.features import lagged
from aq_gym.forecasting.forecaster import Forecaster
from aq_gym.forecasting.series import Series


class Forecasts(NamedTuple):
    """Forecasts of one forecaster from every slot of some series, and what came."""

    quantiles: NDArray[np.float64]  # (S, T, H, Q) [µg/m³]
    truth: NDArray[np.float64]  # (S, T, H) [µg/m³], NaN where it is not known


def roll(forecaster: Forecaster, series: list[Series]) -> Forecasts:
    """Forecast from every slot of every series, each of the same length, as a service would have: rolling origin."""
    truth = np.stack([np.stack([lagged(x.level, -h) for h in forecaster.horizons], axis=1) for x in series])
    quantiles = np.stack([forecaster.predict(x, np.arange(len(x))) for x in series])
    return Forecasts(quantiles, truth)


def pinball_losses(forecasts: Forecasts, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, T, H) mean pinball losses over the quantiles at ``levels`` (Q,)."""
    error = forecasts.truth[..., None] - forecasts.quantiles
    losses: NDArray[np.float64] = np.maximum(levels * error, (levels - 1.0) * error)
    return np.asarray(losses.mean(axis=-1))


def interval_scores(
    truth: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], claimed: float
) -> NDArray[np.float64]:
    """Widths plus penalties for what falls outside, Gneiting and Raftery (2007), equation (43)."""
    outside = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    return high - low + 2.0 / (1.0 - claimed) * outside


def exceedance_probability(
    quantiles: NDArray[np.float64], levels: NDArray[np.float64], threshold: float
) -> NDArray[np.float64]:
    """(...) probability of more than a threshold, between the quantiles (..., Q) by straight lines, else 0 or 1."""
    below = np.zeros(quantiles.shape[:-1])
    spans = zip(np.moveaxis(quantiles, -1, 0)[:-1], np.moveaxis(quantiles, -1, 0)[1:], strict=True)
    for k, (low, high) in enumerate(spans):
        share = np.clip((threshold - low) / np.maximum(high - low, 1e-9), 0.0, 1.0)
        below = np.where(threshold >= low, levels[k] + share * (levels[k + 1] - levels[k]), below)
    return np.where(threshold >= quantiles[..., -1], 0.0, 1.0 - below)


def score(
    forecasts: Forecasts,
    yardstick: Forecasts,
    forecaster: Forecaster,
    *,
    naive_error: float,
    threshold: float = 75.0,
    block: int = 144,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a horizon.

    Slots that one of both did not forecast count for neither. ``skill`` is 1 minus the ratio of the mean absolute
    errors; its 95 % interval is a bootstrap of whole blocks of slots, since errors close in time are alike.

    Args:
        forecasts: of the forecaster.
        yardstick: of persistence, on the same series.
        forecaster: whose horizons and quantiles they are.
        naive_error: mean absolute error of persistence over one slot in the training series, for MASE [µg/m³].
        threshold: of the exceedance whose probability's mean squared error is the Brier score [µg/m³].
        block: slots in a block.
        seed: of the bootstrap.
    """
    levels = np.array(forecaster.quantiles)
    rows = []
    for k, horizon in enumerate(forecaster.horizons):
        q, truth = forecasts.quantiles[:, :, k], forecasts.truth[:, :, k]
        other = yardstick.quantiles[:, :, k, forecaster.median]
        whole = ~(np.isnan(q).any(axis=-1) | np.isnan(truth) | np.isnan(other))
        error = np.where(whole, np.abs(truth - q[..., forecaster.median]), 0.0)
        reference = np.where(whole, np.abs(truth - other), 0.0)
        exceeding = exceedance_probability(q, levels, threshold)
        low, high = skill_interval(error.sum(axis=0), reference.sum(axis=0), block, seed)
        row = {
            "horizon": horizon,
            "mae": error.sum() / whole.sum(),
            "rmse": float(np.sqrt((error**2).sum() / whole.sum())),
            "mase": error.sum() / whole.sum() / naive_error,
            "pinball": pinball_losses(Forecasts(q, truth), levels)[whole].mean(),
            "brier": np.square(exceeding - (truth > threshold))[whole].mean(),
            "skill": 1.0 - error.sum() / reference.sum(),
            "skill_low": low,
            "skill_high": high,
        }
        for claimed, a, b in intervals_of(forecaster):
            inside = (truth >= q[..., a]) & (truth <= q[..., b])
            name = f"{100 * claimed:.0f}"
            row[f"coverage_{name}"] = inside[whole].mean()
            row[f"width_{name}"] = (q[..., b] - q[..., a])[whole].mean()
            row[f"interval_score_{name}"] = interval_scores(truth, q[..., a], q[..., b], claimed)[whole].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def intervals_of(forecaster: Forecaster) -> list[tuple[float, int, int]]:
    """Claimed coverage and the two quantiles of each central interval, the narrowest first."""
    q = forecaster.quantiles
    pairs = [(k, q.index(1.0 - x)) for k, x in enumerate(q) if x < 0.5 and 1.0 - x in q]
    return [(round(q[b] - q[a], 6), a, b) for a, b in reversed(pairs)]


def skill_interval(
    error: NDArray[np.float64], reference: NDArray[np.float64], block: int, seed: int
) -> tuple[float, float]:
    """95 % interval of 1 - sum(error) / sum(reference), by a bootstrap of blocks; NaN with fewer than three."""
    whole = len(error) // block * block
    parts = [x[:whole].reshape(-1, block).sum(axis=1) for x in (error, reference)]
    parts = [x[parts[0] + parts[1] > 0] for x in parts]  # without blocks in which nothing was forecast
    if len(parts[0]) < 3:
        return np.nan, np.nan
    found = bootstrap(
        tuple(parts),
        lambda a, b, axis=-1: 1.0 - a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def naive_error(series: list[Series]) -> float:
    """Mean absolute change over one slot [µg/m³]."""
    return float(np.nanmean(np.concatenate([np.abs(np.diff(x.level)) for x in series])))
