"""Forecasters of scikit-learn: ridge regression, and gradient-boosted quantiles, one model a horizon and quantile.

What was learned is stored and played as ONNX graphs, which hold numbers and no code.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aq_gym.forecasting.features import Features
from aq_gym.forecasting.forecaster import HORIZONS, QUANTILES, Files, Forecaster, PointForecaster, changes
from aq_gym.forecasting.onnx_models import OnnxModel
from aq_gym.forecasting.series import Series


def training_rows(
    series: Sequence[Series], features: Features, horizons: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What direct forecasts learn from: (R, F) features and (R, H) changes of `change_scale`, rows without a gap.

    Raises:
        ValueError: no such row.
    """
    inputs = np.concatenate([features.table(x) for x in series])
    targets = np.concatenate([np.stack([changes(x, h) for h in horizons], axis=1) for x in series])
    whole = ~np.isnan(inputs).any(axis=1) & ~np.isnan(targets).any(axis=1)
    if not whole.any():
        need = features.history + max(horizons) + 1
        raise ValueError(f"series: no stretch of {need} slots without a gap to learn from")
    return inputs[whole], targets[whole].astype(np.float32)


class RidgeForecaster(PointForecaster):
    """Ridge regression on standardised features, one for each horizon, and quantiles of its errors."""

    name = "ridge"

    def __init__(
        self,
        horizons: Sequence[int] = HORIZONS,
        quantiles: Sequence[float] = QUANTILES,
        features: Features | None = None,
        penalty: float = 10.0,
    ) -> None:
        super().__init__(horizons, quantiles)
        self.features, self.penalty = features or Features(), penalty

    def fit(self, series: Sequence[Series]) -> Self:
        """Learn the coefficients, then the quantiles of the errors."""
        inputs, targets = training_rows(series, self.features, self.horizons)
        weights = inputs[:, 0] + 20.0  # squared errors in µg/m³ count, rather than in units of the scale
        self.models = {}
        for k, horizon in enumerate(self.horizons):
            model = make_pipeline(StandardScaler(), Ridge(self.penalty))
            model.fit(inputs, targets[:, k], ridge__sample_weight=weights / weights.mean())
            self.models[f"h{horizon}.onnx"] = OnnxModel.of(model, inputs.shape[1])
        return super().fit(series)

    def points(self, series: Series) -> NDArray[np.float64]:
        """(T, H) changes in units of `change_scale`."""
        inputs = self.features.table(series)
        return np.stack([model.predict(inputs) for model in self.models.values()], axis=1)

    def to_files(self) -> dict[str, bytes]:
        """See `Forecaster.to_files`."""
        return {**super().to_files(), **{name: model.content for name, model in self.models.items()}}

    def from_files(self, files: Files) -> Self:
        """See `Forecaster.from_files`."""
        self.models = {f"h{h}.onnx": OnnxModel(files[f"h{h}.onnx"]) for h in self.horizons}
        return super().from_files(files)


class BoostingForecaster(Forecaster):
    """Histogram gradient boosting of quantiles, direct: one model for each horizon and quantile."""

    name = "boosting"
    options: ClassVar[dict[str, Any]] = {  # few large leaves: slots next to each other are nearly the same sample
        "learning_rate": 0.06,
        "max_iter": 120,
        "max_leaf_nodes": 15,
        "min_samples_leaf": 100,
        "l2_regularization": 10.0,
        "max_features": 0.5,
    }

    def __init__(
        self,
        horizons: Sequence[int] = HORIZONS,
        quantiles: Sequence[float] = QUANTILES,
        features: Features | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(horizons, quantiles)
        self.features, self.seed = features or Features(), seed

    def fit(self, series: Sequence[Series]) -> Self:
        """Learn every quantile of every horizon."""
        inputs, targets = training_rows(series, self.features, self.horizons)
        options = {"loss": "quantile", "random_state": self.seed, **self.options}
        targets_of = dict(zip(self.horizons, targets.T, strict=True))
        self.models = {}
        for name, (horizon, quantile) in self._models().items():
            model = HistGradientBoostingRegressor(quantile=quantile, **options)
            self.models[name] = OnnxModel.of(model.fit(inputs, targets_of[horizon]), inputs.shape[1])
        return self

    def _models(self) -> dict[str, tuple[int, float]]:
        """Horizon and quantile of every model, by the name of its file."""
        return {f"h{h}_q{1000 * q:03.0f}.onnx": (h, q) for h in self.horizons for q in self.quantiles}

    def quantile_changes(self, series: Series, origins: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Forecaster.quantile_changes`."""
        inputs = self.features.table(series)[origins]
        outputs = np.stack([model.predict(inputs) for model in self.models.values()], axis=1)
        return outputs.reshape(len(inputs), len(self.horizons), len(self.quantiles))

    def to_files(self) -> dict[str, bytes]:
        """See `Forecaster.to_files`."""
        return {name: model.content for name, model in self.models.items()}

    def from_files(self, files: Files) -> Self:
        """See `Forecaster.from_files`."""
        self.models = {name: OnnxModel(files[name]) for name in self._models()}
        return self


class BoostingDefaults(BoostingForecaster):
    """The same with scikit-learn's own settings: a yardstick."""

    name = "boosting-defaults"
    options: ClassVar[dict[str, Any]] = {}
