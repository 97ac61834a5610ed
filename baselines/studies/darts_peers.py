"""Forecasters of darts as yardsticks: its regressions on the last slots, with intervals as ours have them.

Needs `pip install "aq-gym[peers]"`.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from darts import TimeSeries
from darts.models import LinearRegressionModel, SKLearnModel
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from aq_gym.forecasting.features import change_scale
from aq_gym.forecasting.forecaster import PointForecaster
from aq_gym.forecasting.series import Series

LAGS = 48  # slots, as far as our features reach back


class DartsLinear(PointForecaster):
    """One linear regression a horizon on the last levels."""

    name = "darts-linear"

    def fit(self, series: Sequence[Series]) -> Self:
        """Learn from the stretches without a gap."""
        self.model = self.make_model(max(self.horizons))
        self.model.fit([part for x in series for part in self._stretches(x.level)])
        return super().fit(series)

    def make_model(self, farthest: int) -> SKLearnModel:
        """The model of darts; what a variant overrides."""
        return LinearRegressionModel(lags=LAGS, output_chunk_length=farthest)

    def _stretches(self, level: NDArray[np.float64]) -> list[TimeSeries]:
        """The stretches that are long enough to learn from."""
        parts = [level[x] for x in np.ma.clump_unmasked(np.ma.masked_invalid(level))]
        return [TimeSeries.from_values(x) for x in parts if len(x) >= LAGS + max(self.horizons)]

    def points(self, series: Series) -> NDArray[np.float64]:
        """(T, H) changes in units of `change_scale`; gaps that the lags reach hold the level before them."""
        found = np.full((len(series), len(self.horizons)), np.nan)
        level = pd.Series(series.level).ffill().bfill().to_numpy()
        if len(level) >= LAGS and not np.isnan(level).any():
            made = self.model.historical_forecasts(
                TimeSeries.from_values(level),
                forecast_horizon=max(self.horizons),
                retrain=False,
                last_points_only=False,
                overlap_end=True,
                verbose=False,
            )
            values = np.stack([x.values(copy=False)[:, 0] for x in made])  # the first from slot LAGS - 1 on
            found[LAGS - 1 :] = values[:, np.array(self.horizons) - 1]
        return (found - series.level[:, None]) / change_scale(series.level)[:, None]


class DartsBoosting(DartsLinear):
    """The same with scikit-learn's gradient boosting at its defaults."""

    name = "darts-boosting"

    def make_model(self, farthest: int) -> SKLearnModel:
        """The model of darts."""
        return SKLearnModel(
            lags=LAGS, output_chunk_length=farthest, model=HistGradientBoostingRegressor(random_state=0)
        )


DARTS = {kind.name: kind for kind in (DartsLinear, DartsBoosting)}
