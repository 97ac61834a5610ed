"""The interface of every forecaster, and the three that need no learning library: persistence, drift and the chain."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from aq_gym.forecasting.features import change_scale, lagged
from aq_gym.forecasting.series import Series

HORIZONS = (1, 3, 6, 18)  # slots
QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)  # intervals of 50, 80 and 95 %

Files = Mapping[str, bytes]


class Forecaster(ABC):
    """Quantiles of the level some slots ahead.

    A new kind stores every argument of its ``__init__`` as an attribute of the same name, and overrides `predict` or
    `quantile_changes`.

    Args:
        horizons: slots ahead, ascending.
        quantiles: ascending, the median among them.

    Raises:
        ValueError: bad horizons or quantiles.
    """

    name: ClassVar[str]

    def __init__(self, horizons: Sequence[int] = HORIZONS, quantiles: Sequence[float] = QUANTILES) -> None:
        self.horizons, self.quantiles = tuple(horizons), tuple(quantiles)
        if not self.horizons or any(int(h) != h for h in self.horizons) or not (np.diff([0, *self.horizons]) > 0).all():
            raise ValueError(f"horizons: expected ascending numbers of slots from 1, got {self.horizons}")
        if 0.5 not in self.quantiles or not (np.diff([0.0, *self.quantiles, 1.0]) > 0).all():
            raise ValueError(f"quantiles: expected ascending shares between 0 and 1 with 0.5, got {self.quantiles}")

    @abstractmethod
    def fit(self, series: Sequence[Series]) -> Self:
        """Learn from scratch; all series share one model."""

    def predict(self, series: Series, origins: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Forecast from each of some slots, of which nothing later is read.

        Args:
            series: history up to the last origin or beyond.
            origins: (O,) slots that forecasts start from; None: the last one.

        Returns:
            (O, H, Q) quantiles [µg/m³], ascending, not below 0; NaN where the history is too short or has a gap.
        """
        chosen = origins_of(series, origins)
        level = series.level[chosen][:, None, None]
        return ordered(level + change_scale(level) * self.quantile_changes(series, chosen))

    def quantile_changes(self, series: Series, origins: NDArray[np.int64]) -> NDArray[np.float64]:
        """(O, H, Q) quantiles of the level's change from each slot, in units of `change_scale`; for `predict`."""
        raise NotImplementedError

    def update(self, series: Sequence[Series]) -> Self:
        """Learn from what came in since; models that cannot learn on do so from scratch."""
        return self.fit(series)

    def settings(self) -> dict[str, Any]:
        """The arguments that it was made with; each is an attribute of the same name."""
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    @abstractmethod
    def to_files(self) -> dict[str, bytes]:
        """What was learned; no file holds code."""

    @abstractmethod
    def from_files(self, files: Files) -> Self:
        """Take over what was learned."""

    @property
    def median(self) -> int:
        """The index of the median among the quantiles."""
        return self.quantiles.index(0.5)


def origins_of(series: Series, origins: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The origins, the last slot if none are given.

    Raises:
        ValueError: a slot that the series does not have.
    """
    chosen = np.array([len(series) - 1]) if origins is None else np.asarray(origins, dtype=np.int64)
    if chosen.size and (chosen.min() < 0 or chosen.max() >= len(series)):
        raise ValueError(f"origins: expected slots from 0 to {len(series) - 1}, got {chosen.min()} to {chosen.max()}")
    return chosen


def ordered(quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles (..., Q) put in order and cut at 0: forecasts of several models may cross."""
    return np.maximum(np.sort(quantiles, axis=-1), 0.0)


def changes(series: Series, horizon: int) -> NDArray[np.float64]:
    """(T,) change of the level over a horizon, in units of `change_scale`; NaN where either end is missing."""
    return (lagged(series.level, -horizon) - series.level) / change_scale(series.level)


class PointForecaster(Forecaster):
    """A point forecast, and quantiles of the errors that it made, in units of `change_scale`."""

    @abstractmethod
    def points(self, series: Series) -> NDArray[np.float64]:
        """(T, H) changes of the level forecast from every slot, in units of `change_scale`."""

    def fit(self, series: Sequence[Series]) -> Self:
        """Learn the quantiles of the errors, (H, Q)."""
        points = [self.points(x) for x in series]
        self.errors = np.empty((len(self.horizons), len(self.quantiles)))
        for k, horizon in enumerate(self.horizons):
            error = np.concatenate([changes(x, horizon) - p[:, k] for x, p in zip(series, points, strict=True)])
            error = error[~np.isnan(error)]
            if not error.size:
                need = max(self.horizons) + 1
                raise ValueError(f"series: no stretch of {need} slots without a gap to learn from; add slots")
            self.errors[k] = np.quantile(error, self.quantiles)
        return self

    def quantile_changes(self, series: Series, origins: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Forecaster.quantile_changes`."""
        return self.points(series)[origins][:, :, None] + self.errors

    def to_files(self) -> dict[str, bytes]:
        """See `Forecaster.to_files`."""
        return {"errors.f64": self.errors.astype("<f8").tobytes()}

    def from_files(self, files: Files) -> Self:
        """See `Forecaster.from_files`."""
        self.errors = numbers(files, "errors.f64", (len(self.horizons), len(self.quantiles)))
        return self


class Persistence(PointForecaster):
    """The level stays as it is: the yardstick of every skill."""

    name = "persistence"

    def points(self, series: Series) -> NDArray[np.float64]:
        """No change."""
        return np.zeros((len(series), len(self.horizons)))


class Drift(PointForecaster):
    """The level goes on as it went over as many slots as the forecast looks ahead, damped."""

    name = "drift"
    damping = 0.3

    def points(self, series: Series) -> NDArray[np.float64]:
        """A share of the last change."""
        change = np.stack([series.level - lagged(series.level, h) for h in self.horizons], axis=1)
        return self.damping * change / change_scale(series.level)[:, None]


def mass_quantiles(
    mass: NDArray[np.float64], edges: NDArray[np.floating[Any]], quantiles: Sequence[float]
) -> NDArray[np.float64]:
    """(Q,) quantiles of a distribution over bins (L,) that is even within each, between (L + 1,) edges."""
    return np.asarray(np.interp(quantiles, np.concatenate([[0.0], np.cumsum(mass)]), edges))


class Chain(Forecaster):
    """The level as the environments' Markov chain, equation (8): rows of P^h, a level spread evenly over its bin."""

    name = "chain"
    bin_width = 10.0  # µg/m³

    def fit(self, series: Sequence[Series]) -> Self:
        """Count transitions between bins; bins that are never left stay where they are."""
        top = max(float(np.nanmax(x.level)) for x in series)
        self.counts = np.zeros((int(top // self.bin_width) + 1,) * 2)
        return self.update(series)

    def update(self, series: Sequence[Series]) -> Self:
        """Count more transitions."""
        for x in series:
            both = ~np.isnan(x.level[:-1]) & ~np.isnan(x.level[1:])
            np.add.at(self.counts, (self._bins(x.level[:-1][both]), self._bins(x.level[1:][both])), 1.0)
        return self

    def _bins(self, level: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.minimum(level // self.bin_width, len(self.counts) - 1).astype(np.int64)

    def predict(self, series: Series, origins: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """See `Forecaster.predict`."""
        chosen = origins_of(series, origins)
        counts = self.counts + np.diag((self.counts.sum(axis=1) == 0).astype(float))
        transition = counts / counts.sum(axis=1, keepdims=True)
        edges = self.bin_width * np.arange(len(counts) + 1)
        level = series.level[chosen]
        bins = self._bins(np.where(np.isnan(level), 0.0, level))
        forecast = np.empty((len(chosen), len(self.horizons), len(self.quantiles)))
        for k, horizon in enumerate(self.horizons):
            power = np.linalg.matrix_power(transition, horizon)
            rows = np.stack([mass_quantiles(row, edges, self.quantiles) for row in power])
            forecast[:, k] = rows[bins]
        forecast[np.isnan(level)] = np.nan
        return ordered(forecast)

    def to_files(self) -> dict[str, bytes]:
        """See `Forecaster.to_files`."""
        return {"counts.f64": self.counts.astype("<f8").tobytes()}

    def from_files(self, files: Files) -> Self:
        """See `Forecaster.from_files`."""
        side = round((len(files.get("counts.f64", b"")) / 8) ** 0.5)
        self.counts = numbers(files, "counts.f64", (side, side))
        return self


def numbers(files: Files, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Double-precision numbers of a file.

    Raises:
        ValueError: the file is missing, of another size, or holds numbers that are not finite.
    """
    found = files.get(name)
    if found is None or len(found) != 8 * int(np.prod(shape)):
        there = "no such file" if found is None else f"{len(found)} bytes"
        raise ValueError(f"{name}: expected {int(np.prod(shape))} numbers, found {there}")
    values = np.frombuffer(found, "<f8").reshape(shape).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: holds numbers that are not finite")
    return values
