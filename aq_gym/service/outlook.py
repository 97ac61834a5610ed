"""The level as it may become: by a forecaster where one is given, else by what the model says of it."""

import math
from pathlib import Path
from statistics import NormalDist
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.belief import ChainBelief
from aq_gym.forecasting.forecaster import QUANTILES, Forecaster, mass_quantiles
from aq_gym.forecasting.series import Series
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.database import Plan
from aq_gym.service.level import (
    believed_reports,
    freshest,
    level_series,
    planned_levels,
    present_level,
    reported_levels,
)
from aq_gym.service.settings import Settings
from aq_gym.service.store import Present, Store

FARTHEST = 18  # slots ahead
AHEAD = 6  # slots that the forecasts look ahead whose skill is reported and whose drift is watched
LEAST_FORECASTS = 36  # below these there is no skill to report
Row = tuple[int, NDArray[np.float64], float]  # slots ahead, (Q,) quantiles [µg/m³], chance above the alert level
HISTORY = 2100  # slots that a forecaster reads: two weeks for its calibration, and its own lags


def load_forecaster(path: Path, air_seconds: float) -> Forecaster:
    """A stored forecaster for slots of so many seconds of air.

    Raises:
        ValueError: no forecaster, one for other slots, or one that needs to know the hour of the day.
    """
    from aq_gym.forecasting import storage  # loads torch, which a service without a forecaster does not need

    minutes = storage.card(path).get("slot_minutes")
    if minutes is None or not math.isclose(minutes, air_seconds / 60.0, rel_tol=1e-4):  # thirds are written rounded
        raise ValueError(f"{path}: made for slots of {minutes} minutes, but the service's take {air_seconds / 60.0:g}")
    forecaster = storage.load(path)
    try:
        forecaster.predict(Series(*[np.full(HISTORY, np.nan)] * 3))
    except ValueError as error:
        raise ValueError(f"{path}: it cannot be served; {error}; train one with --no-clock") from None
    return forecaster


def chain_change(network: SensorNetwork, level: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T,) by how much levels change within `AHEAD` slots by the chain, equation (8): means and variances."""
    belief = ChainBelief(network.levels, network.transition, AHEAD)
    mean, variance = belief.moments(AHEAD, level)
    return np.asarray(mean - belief.moments(0, level)[0]), np.asarray(variance)


def chain_forecast(network: SensorNetwork, level: float, limit: float) -> list[Row]:
    """By the network's own chain, equation (8): rows of P^h, each level spread over its bin.

    A level between two of the network's levels begins in both, the more in the nearer one. The chain knows
    nothing of one above them all: its excess over the highest level is added to the forecast from there.
    """
    levels = network.levels
    excess = max(0.0, level - levels[-1])
    above = int(np.clip(np.searchsorted(levels, level), 1, len(levels) - 1))
    share = float(np.clip((level - levels[above - 1]) / (levels[above] - levels[above - 1]), 0.0, 1.0))
    mass = np.zeros(len(levels))
    mass[above - 1 : above + 1] = 1.0 - share, share
    middles = (levels[1:] + levels[:-1]) / 2.0
    edges = np.array([max(0.0, 2 * levels[0] - middles[0]), *middles, 2 * levels[-1] - middles[-1]])
    rows = []
    for h in range(1, FARTHEST + 1):
        mass = mass @ network.transition
        quantiles = mass_quantiles(mass, edges, QUANTILES) + excess
        rows.append((h, quantiles, float(mass[levels + excess > limit].sum())))
    return rows


def belief_forecast(problem: Problem, delay: int, record: float, limit: float) -> list[Row]:
    """By the belief about a hidden level, ``delay`` slots after it was ``record``: normal about its mean."""
    rows = []
    for h in range(1, FARTHEST + 1):
        mean, variance = problem.hidden_level.belief.moments(delay + h, record)
        level = NormalDist(float(mean), float(variance) ** 0.5)
        quantiles = np.maximum([level.inv_cdf(q) for q in QUANTILES], 0.0)
        rows.append((h, quantiles, 1.0 - level.cdf(limit)))
    return rows


class Outlook:
    """Forecasts of the area's level, made when it has changed; without a forecaster by the network's chain."""

    def __init__(self, settings: Settings, store: Store, forecaster: Forecaster | None = None) -> None:
        self._problem, self._limit = settings.problem, settings.alert_level
        self._store, self._forecaster = store, forecaster
        self._lock = Lock()
        self._made: tuple[tuple[int, float], dict[str, Any]] | None = None

    def of(self, present: Present) -> dict[str, Any] | None:
        """The forecast from the present slot on, with the readings that have come; None before the first one."""
        plan, devices, latest = present
        known = present_level(self._problem, devices, latest, plan.slot)
        if known is None:
            return None
        with self._lock:
            if self._made is None or self._made[0] != (plan.slot, known.level):
                belief = freshest(self._problem, devices, latest, plan.slot)
                self._made = (plan.slot, known.level), self._make(plan, known.level, belief)
            return self._made[1]

    def _make(self, plan: Plan, level: float, belief: tuple[int, float]) -> dict[str, Any]:
        problem, limit = self._problem, self._limit
        rows = None if self._forecaster is None else self._by_forecaster(self._forecaster, plan)
        model = "chain" if self._forecaster is None else self._forecaster.name
        if rows is None and problem.inference == "hidden":
            rows, model = belief_forecast(problem, *belief, limit), "belief"
        elif rows is None:
            rows, model = chain_forecast(problem.network, level, limit), "chain"
        forecast = [
            {
                "ahead": h,
                "slot": plan.slot + h,
                "values": [round(float(x), 2) for x in row],
                "exceedance": round(chance, 4),
            }
            for h, row, chance in rows
        ]
        about = {"slot": plan.slot, "level": level, "unit": "µg/m³", "model": model, "alert_level": limit}
        return {**about, "quantiles": list(QUANTILES), "forecast": forecast}

    def skill(self, until: int) -> float:
        """1 minus the ratio of the forecasts' mean absolute error to persistence's, lately; NaN: too little is known.

        Forecasts look `AHEAD` slots ahead, from the levels that slots began with, over `HISTORY` slots up to ``until``.
        With a hidden level: what was believed when a report came, against the report before it.
        """
        if self._problem.inference == "hidden" and self._forecaster is None:
            levels = reported_levels(self._problem, self._store, max(0, until - HISTORY + 1), until)
            before, came, guess, _ = believed_reports(self._problem, levels)
        else:
            level = planned_levels(self._store, until - HISTORY + 1, until)
            before, guess, came = level[:-AHEAD], self._forecasts(level), level[AHEAD:]
        error, naive = np.abs(came - guess), np.abs(came - before)
        known = ~np.isnan(error + naive)
        if known.sum() < LEAST_FORECASTS or not naive[known].any():
            return math.nan
        return float(1.0 - error[known].sum() / naive[known].sum())

    def _forecasts(self, level: NDArray[np.float64]) -> NDArray[np.float64]:
        """(HISTORY - AHEAD,) best guesses of the level `AHEAD` slots later."""
        network, made = self._problem.network, level[:-AHEAD]
        if self._forecaster is None or AHEAD not in self._forecaster.horizons:
            return np.asarray(made + chain_change(network, np.nan_to_num(made, nan=float(network.levels[0])))[0])
        quantiles = self._forecaster.predict(level_series(network, level), np.arange(len(made)))
        return np.asarray(quantiles[:, self._forecaster.horizons.index(AHEAD), self._forecaster.median])

    def _by_forecaster(self, forecaster: Forecaster, plan: Plan) -> list[Row] | None:
        """From the levels that slots began with, as it was calibrated; None where they are too few.

        Over slots that went by while the service was down the last level stands, so that forecasts go on at once.
        """
        level = pd.Series(planned_levels(self._store, plan.slot - HISTORY + 1, plan.slot)).ffill().to_numpy()
        quantiles = forecaster.predict(level_series(self._problem.network, level))[0]
        if np.isnan(quantiles).any():
            return None
        chances = [1.0 - float(np.interp(self._limit, row, QUANTILES, left=0.0, right=1.0)) for row in quantiles]
        return list(zip(forecaster.horizons, quantiles, chances, strict=True))
