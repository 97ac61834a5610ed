"""Forecasters made of others: a mean of several, and one whose intervals are calibrated."""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from crepes import ConformalPredictiveSystem
from numpy.typing import NDArray

from aq_gym.forecasting.features import change_scale, lagged
from aq_gym.forecasting.forecaster import Files, Forecaster, numbers, ordered, origins_of
from aq_gym.forecasting.series import Series

HELD_OUT = 0.2  # of each series, its end: errors for the first calibration
FARTHEST_LEVEL = 0.6  # how far a level may be adapted, as a share of its distance to 0 or 1
LEAST_WIDTH = 0.01  # of `change_scale`: what an interval's width is taken for at least


def _subfiles(prefix: str, files: Files) -> dict[str, bytes]:
    return {name.removeprefix(prefix): x for name, x in files.items() if name.startswith(prefix)}


def for_few_errors(levels: NDArray[np.float64], median: int, count: float) -> NDArray[np.float64]:
    """Levels (Q,) of quantiles that cover what they claim when taken from a sample, at most 0 or 1.

    The finite-sample correction of conformal prediction: of n errors the quantile at (1 + 1/n) times the level (Romano,
    Patterson and Candès 2019, section 3). Levels below the median are mirrored; the median stays.

    Args:
        levels: ascending.
        median: index of the median among them.
        count: n. Forecasts over h slots that overlap make errors that are alike, so of n errors only n / h count.
    """
    farther = 1.0 + 1.0 / max(1.0, count)
    corrected = np.where(
        levels > 0.5, np.minimum(farther * levels, 1.0), np.maximum(1.0 - farther * (1.0 - levels), 0.0)
    )
    corrected[median] = levels[median]
    return np.asarray(corrected)


class Ensemble(Forecaster):
    """The mean of several forecasters' quantiles.

    Raises:
        ValueError: members of other horizons or quantiles, or none.
    """

    name = "ensemble"

    def __init__(self, members: Sequence[Forecaster]) -> None:
        if not members:
            raise ValueError("members: expected at least one forecaster, got none")
        super().__init__(members[0].horizons, members[0].quantiles)
        if any((m.horizons, m.quantiles) != (self.horizons, self.quantiles) for m in members):
            raise ValueError("members: expected the same horizons and quantiles in all")
        self.members = list(members)

    def fit(self, series: Sequence[Series]) -> Self:
        """Fit each member."""
        for member in self.members:
            member.fit(series)
        return self

    def update(self, series: Sequence[Series]) -> Self:
        """Update each member."""
        for member in self.members:
            member.update(series)
        return self

    def predict(self, series: Series, origins: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """See `Forecaster.predict`."""
        return ordered(np.mean([m.predict(series, origins) for m in self.members], axis=0))

    def to_files(self) -> dict[str, bytes]:
        """See `Forecaster.to_files`."""
        return {f"{k}-{name}": x for k, m in enumerate(self.members) for name, x in m.to_files().items()}

    def from_files(self, files: Files) -> Self:
        """See `Forecaster.from_files`."""
        for k, member in enumerate(self.members):
            member.from_files(_subfiles(f"{k}-", files))
        return self


class Calibrated(Forecaster):
    """Quantiles moved so that they would have covered what they claim over the last slots: conformal prediction.

    Each horizon is calibrated on its own last errors, in units of the base's interval width. The error of a forecast
    over h slots is known h slots later, not before. Before a series has enough errors of its own, those of the held-out
    end of the training series stand in.

    Two things keep the last errors from covering what they claim:

    - They are few. See `for_few_errors`.
    - The air changes. So the quantiles' levels are adapted: adaptive conformal inference, Gibbs and Candès (2021),
      equation (2), a step for each error once it is known.

    Args:
        base: what is calibrated.
        window: errors that count, at most.
        every: slots between two calibrations.
        rate: size of the steps; 0: levels stay. Every slot makes one, so fewer slots a day need larger ones.

    Raises:
        ValueError: no positive numbers of slots, or a negative rate.
    """

    name = "calibrated"

    def __init__(self, base: Forecaster, window: int = 2016, every: int = 36, rate: float = 0.0017) -> None:
        super().__init__(base.horizons, base.quantiles)
        if window < 1 or every < 1:
            raise ValueError(f"window, every: expected positive numbers of slots, got {window} and {every}")
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"rate: expected a number from 0 to 1, got {rate}")
        self.base, self.window, self.every, self.rate = base, window, every, rate
        self.held_out = np.zeros((len(self.horizons), 0))

    def fit(self, series: Sequence[Series]) -> Self:
        """Fit the base without the ends, for errors to begin with, then on everything."""
        cuts = [round((1.0 - HELD_OUT) * len(x)) for x in series]
        self.base.fit([x[:cut] for x, cut in zip(series, cuts, strict=True)])
        errors = [self._errors(x, np.arange(cut, len(x)))[2] for x, cut in zip(series, cuts, strict=True)]
        pooled = np.concatenate(errors, axis=0)
        pooled = pooled[~np.isnan(pooled).any(axis=1)]
        step = max(1, len(pooled) // self.window)
        self.held_out = pooled[::step][-self.window :].T
        self.base.fit(series)
        return self

    def update(self, series: Sequence[Series]) -> Self:
        """Update the base; recent errors are read from the series that is forecast anyway."""
        self.base.update(series)
        return self

    def _errors(
        self, series: Series, origins: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Medians (O, H), widths (O, H) and errors in units of the width (O, H), NaN where not known yet."""
        quantiles = self.base.predict(series, origins)
        median = quantiles[:, :, self.median]
        least = LEAST_WIDTH * change_scale(series.level[origins])[:, None]
        width = np.maximum(quantiles[:, :, -2] - quantiles[:, :, 1], least)
        truth = np.stack([lagged(series.level, -h)[origins] for h in self.horizons], axis=1)
        return median, width, (truth - median) / width

    def predict(self, series: Series, origins: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """See `Forecaster.predict`."""
        chosen = origins_of(series, origins)
        if not chosen.size:
            return np.empty((0, len(self.horizons), len(self.quantiles)))
        median, width, errors = self._errors(series, np.arange(int(chosen.max()) + 1))
        forecast = np.full((len(chosen), len(self.horizons), len(self.quantiles)), np.nan)
        for k, horizon in enumerate(self.horizons):
            for block, (known, levels) in enumerate(self._calibrations(errors[:, k], self.held_out[k], horizon)):
                rows = np.flatnonzero(chosen // self.every == block)
                rows = rows[~np.isnan(median[chosen[rows], k])]
                if known.size and rows.size:
                    at = chosen[rows]
                    forecast[rows, k] = self._move(known, levels, median[at, k], width[at, k])
        forecast[:, :, self.median] = median[chosen]  # the base's best guess; what is calibrated is its doubt
        return ordered(forecast)

    def _calibrations(
        self, errors: NDArray[np.float64], held_out: NDArray[np.float64], horizon: int
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """For each block of slots the errors that are known when it begins, and the levels (Q,) to take of them."""
        claimed = np.array(self.quantiles)
        farthest = FARTHEST_LEVEL * np.minimum(claimed, 1.0 - claimed)
        levels, counted = claimed, 0
        said = np.full((len(errors), len(claimed)), np.nan)  # the quantiles' errors
        for begin in range(0, len(errors), self.every):
            last = max(0, begin - horizon + 1)
            new = slice(counted, last)
            missed = claimed - (errors[new, None] <= said[new])
            whole = ~np.isnan(errors[new]) & ~np.isnan(said[new, 0])
            levels = np.clip(levels + self.rate * missed[whole].sum(axis=0), claimed - farthest, claimed + farthest)
            own = errors[max(0, last - self.window) : last]
            known = np.concatenate([held_out, own[~np.isnan(own)]])[-self.window :]
            taken = for_few_errors(levels, self.median, len(known) / horizon)
            if known.size:
                said[begin : begin + self.every] = np.quantile(known, taken)
            counted = last
            yield known, taken

    def _move(
        self,
        errors: NDArray[np.float64],
        levels: NDArray[np.float64],
        median: NDArray[np.float64],
        width: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(R, Q) quantiles of (Q,) levels around (R,) medians, from errors in units of the width."""
        system = ConformalPredictiveSystem().fit(errors, np.ones_like(errors))
        least = 1.001 / (len(errors) + 1)  # what so few errors can tell; crepes warns beyond
        low, high = np.split(100.0 * np.clip(levels, least, max(least, 1.0 - least)), [self.median])
        moved = system.predict_percentiles(
            median, width, lower_percentiles=list(low), higher_percentiles=list(high), y_min=0.0
        )
        largest = np.maximum(median + width * errors.max(), 0.0)  # a percentile beyond all errors is infinite
        return np.asarray(np.minimum(moved, largest[:, None]))

    def to_files(self) -> dict[str, bytes]:
        """See `Forecaster.to_files`."""
        base = {f"base-{name}": x for name, x in self.base.to_files().items()}
        return {**base, "held_out.f64": self.held_out.astype("<f8").tobytes()}

    def from_files(self, files: Files) -> Self:
        """See `Forecaster.from_files`."""
        self.base.from_files(_subfiles("base-", files))
        count = len(files.get("held_out.f64", b"")) // 8 // len(self.horizons)
        self.held_out = numbers(files, "held_out.f64", (len(self.horizons), count))
        return self
