"""Forecasters of scikit-learn: ridge regression, and gradient-boosted quantiles, one model a horizon and quantile.

What was learned is stored and played as ONNX graphs, which hold numbers and no code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self
from unittest.mock import patch

import numpy as np
import onnx.helper
import onnxruntime
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aq_gym.forecasting.features import Features
from aq_gym.forecasting.forecaster import HORIZONS, QUANTILES, Files, Forecaster, PointForecaster, changes
from aq_gym.forecasting.series import Series

_make_attribute = onnx.helper.make_attribute


def _make_plain_attribute(key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
    """skl2onnx 1.20 passes NumPy's integers and booleans on, which protobuf 7 refuses."""
    if isinstance(value, list):
        value = [int(x) if isinstance(x, np.integer | np.bool_ | bool) else x for x in value]
    return _make_attribute(key, value, *args, **kwargs)


class OnnxModel:
    """A regression as an ONNX graph; raises what onnxruntime raises if ``content`` is none."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    @classmethod
    def of(cls, model: Any, n_inputs: int) -> OnnxModel:
        """The graph of a fitted model of scikit-learn that reads so many float32 inputs."""
        with patch("onnx.helper.make_attribute", _make_plain_attribute):
            return cls(to_onnx(model, np.zeros((1, n_inputs), np.float32)).SerializeToString())

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(R,) outputs of (R, F) inputs; NaN where an input is."""
        whole = ~np.isnan(inputs).any(axis=1)
        outputs = np.full(len(inputs), np.nan)
        if whole.any():
            outputs[whole] = self._session.run(None, {self._input: inputs[whole]})[0].reshape(-1)
        return outputs


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
        raise ValueError(f"series: no stretch of {need} slots without a gap to learn from; add slots")
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
