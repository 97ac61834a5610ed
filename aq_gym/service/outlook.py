"""The level as it may become: by a calibrated forecaster where one is given, else by the network's own chain."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.estimation import deviation_covariance, mean_deviation
from aq_gym.forecasting.forecaster import QUANTILES, Forecaster
from aq_gym.forecasting.series import Series
from aq_gym.network import SensorNetwork
from aq_gym.service.database import Plan
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

FARTHEST = 18  # slots ahead
HISTORY = 2100  # slots that a forecaster reads: two weeks for its calibration, and its own lags


def load_forecaster(path: Path, air_seconds: float) -> Forecaster:
    """A stored forecaster for slots of so many seconds of air.

    Raises:
        ValueError: no forecaster, one for other slots, or one that needs to know the hour of the day.
    """
    from aq_gym.forecasting import storage  # loads torch, which a service without a forecaster does not need

    minutes = storage.card(path).get("slot_minutes")
    if minutes != air_seconds / 60.0:
        raise ValueError(f"{path}: made for slots of {minutes} minutes, but the service's take {air_seconds / 60.0:g}")
    forecaster = storage.load(path)
    try:
        forecaster.predict(Series(*[np.full(HISTORY, np.nan)] * 3))
    except ValueError as error:
        raise ValueError(f"{path}: it cannot be served; {error}") from None
    return forecaster


def level_quantiles(network: SensorNetwork, level: float, farthest: int = FARTHEST) -> NDArray[np.float64]:
    """Quantiles of the level by the network's own chain, equation (8): rows of P^h, each level spread over its bin.

    A level between two of the network's levels begins in both, the more in the nearer one.

    Returns:
        (farthest, Q) for 1, 2, ... slots ahead [µg/m³].
    """
    mass = start_mass(network.levels, level)
    middles = (network.levels[1:] + network.levels[:-1]) / 2.0
    first, last = 2 * network.levels[0] - middles[0], 2 * network.levels[-1] - middles[-1]
    edges = np.array([max(0.0, first), *middles, last])
    rows = np.empty((farthest, len(QUANTILES)))
    for row in rows:
        mass = mass @ network.transition
        row[:] = np.interp(QUANTILES, np.concatenate([[0.0], np.cumsum(mass)]), edges)
    return rows


def start_mass(levels: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """(L,) weights of the levels beside a level; their mean is the level."""
    above = int(np.clip(np.searchsorted(levels, level), 1, len(levels) - 1))
    share = float(np.clip((level - levels[above - 1]) / (levels[above] - levels[above - 1]), 0.0, 1.0))
    mass = np.zeros(len(levels))
    mass[above - 1 : above + 1] = 1.0 - share, share
    return mass


def chance_above(network: SensorNetwork, level: float, limit: float, farthest: int = FARTHEST) -> list[float]:
    """The chance that the level is above a limit, 1, 2, ... slots ahead."""
    mass, chances = start_mass(network.levels, level), []
    for _ in range(farthest):
        mass = mass @ network.transition
        chances.append(round(float(mass[network.levels > limit].sum()), 4))
    return chances


class Outlook:
    """Forecasts of the area's level, made once a slot.

    Args:
        settings: of the service.
        store: where the levels are.
        forecaster: None: the network's chain.
    """

    def __init__(self, settings: Settings, store: Store, forecaster: Forecaster | None = None) -> None:
        self._settings, self._store, self._forecaster = settings, store, forecaster
        network = settings.problem.network
        variance = np.diag(deviation_covariance(network)) + np.square(mean_deviation(network))
        self._spread = float(np.sqrt(variance.mean()))  # of the locations about the level, as a share of it
        self._lock = Lock()
        self._made: tuple[int, dict[str, Any]] | None = None

    def of(self, plan: Plan) -> dict[str, Any] | None:
        """The forecast from a plan's level; None before the first reading."""
        with self._lock:
            if self._made is None or self._made[0] != plan.slot:
                if not self._store.levels(0, 1):
                    return None
                self._made = plan.slot, self._make(plan)
            return self._made[1]

    def _make(self, plan: Plan) -> dict[str, Any]:
        network, limit = self._settings.problem.network, self._settings.alert_level
        rows = None if self._forecaster is None else self._by_forecaster(self._forecaster, plan)
        model = "chain" if rows is None or self._forecaster is None else self._forecaster.name
        if rows is None:
            chances = chance_above(network, plan.level, limit)
            rows = list(zip(range(1, FARTHEST + 1), level_quantiles(network, plan.level), chances, strict=True))
        forecast = [
            {"ahead": h, "slot": plan.slot + h, "values": [round(float(x), 2) for x in row], "exceedance": chance}
            for h, row, chance in rows
        ]
        about = {"slot": plan.slot, "level": plan.level, "unit": "µg/m³", "model": model, "alert_level": limit}
        return {**about, "quantiles": list(QUANTILES), "forecast": forecast}

    def _by_forecaster(self, forecaster: Forecaster, plan: Plan) -> list[tuple[int, NDArray[np.float64], float]] | None:
        """(slots ahead, quantiles, chance above the alert level); None where the history is too short or has gaps."""
        level = np.full(HISTORY, np.nan)
        for slot, value, _ in self._store.levels(max(0, plan.slot - HISTORY + 1), HISTORY):
            level[slot - plan.slot - 1] = value
        quantiles = forecaster.predict(Series(level, level, self._spread * level))[0]
        if np.isnan(quantiles).any():
            return None
        limit = self._settings.alert_level
        chances = [1.0 - float(np.interp(limit, row, QUANTILES, left=0.0, right=1.0)) for row in quantiles]
        return [(h, row, round(x, 4)) for h, row, x in zip(forecaster.horizons, quantiles, chances, strict=True)]
