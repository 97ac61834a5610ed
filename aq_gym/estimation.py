"""Maps from real readings, beside maps that use no reading at all.

The planning model of `inference` replaces every reading by the area's level. Here the readings themselves enter, and a
map can be compared with the truth. Four maps:

- `paper_map`: the paper's three steps, (1) to (6);
- `flat_map`: every location is at the area's level;
- `corrected_map`: every location is at the level and its own mean deviation from it;
- `LevelAware`: the corrected map is the prior; readings move it by the correlations that were learned over time and
  between locations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.parameters import NetworkParameters
from aq_gym.slot_levels import slot_levels

LEVELS_OF_COVERAGE = (0.5, 0.9, 0.95)
_NORMAL_QUANTILES = (0.6744897501960817, 1.6448536269514722, 1.959963984540054)  # of (1 + level) / 2
_MINUTES_OF_A_DAY = 1440.0


class Sources(NamedTuple):
    """The last reading of each device; with any leading batch axes."""

    devices: NDArray[np.int64]  # (M,) locations
    reading: NDArray[np.float64]  # (..., M) [µg/m³]
    delay: NDArray[np.int64]  # (..., M) slots since then; 0: in this slot
    level_then: NDArray[np.float64]  # (..., M) the area's level in that slot, as the server knew it [µg/m³]


class Estimate(NamedTuple):
    """A map with what it claims about itself."""

    mean: NDArray[np.float64]  # (..., N) [µg/m³]
    deviation: NDArray[np.float64]  # (..., N) standard deviation of what is really there [µg/m³]


def mean_deviation(network: NetworkParameters) -> NDArray[np.float64]:
    """(N,) mean of (x_j - level) / level: the column means of a, since the level is the mean of all locations."""
    return np.asarray(network.mean_relation.mean(axis=0))


def deviation_covariance(network: NetworkParameters) -> NDArray[np.float64]:
    """(N, N) covariance of the normalised deviations (x_j - level) / level, whose variogram is b.

    b_ij = C_ii + C_jj - 2 C_ij, and the deviations of all locations sum to zero.

    Raises:
        ValueError: the network's b is no variogram, so that a variance would be negative.
    """
    b = network.variance_relation
    variance = b.mean(axis=0) - b.mean() / 2.0
    variance[np.abs(variance) < 1e-12] = 0.0  # rounding
    if (variance < 0).any():
        raise ValueError(
            f"variance_relation of {network.name!r} is no variogram: location {int(variance.argmin())} would have a "
            "negative variance about the level"
        )
    return np.asarray((variance[:, None] + variance - b) / 2.0)


def suffice(levels: Sequence[NDArray[np.float64]], n_locations: int, min_level: float = 30.0) -> bool:
    """Whether periods of these levels (T,) [µg/m³] are enough to learn from: 4 N slots of the least level in each."""
    return all(int((e >= max(min_level, 1e-9)).sum()) >= 4 * n_locations for e in levels)


def flat_map(network: NetworkParameters, level: ArrayLike) -> Estimate:
    """Every location at the area's level (...)."""
    e = np.asarray(level, dtype=np.float64)[..., None]
    variance = np.diag(deviation_covariance(network)) + np.square(mean_deviation(network))
    return Estimate(e + np.zeros(network.n_locations), e * np.sqrt(variance))


def corrected_map(network: NetworkParameters, level: ArrayLike) -> Estimate:
    """Every location at the area's level (...) and its own mean deviation."""
    e = np.asarray(level, dtype=np.float64)[..., None]
    return Estimate(e * (1.0 + mean_deviation(network)), e * np.sqrt(np.diag(deviation_covariance(network))))


def paper_map(
    network: NetworkParameters, sources: Sources, level: ArrayLike, *, fuse_measured: bool = False
) -> Estimate:
    """The paper's three steps (1) to (6) with real readings: a device says reading + a_ij e of location j."""
    e = np.asarray(level, dtype=np.float64)[..., None, None]
    own = network.measurement_variance * np.square(sources.level_then)
    variance = (own + network.temporal_variance * sources.delay)[..., None]
    variance = variance + network.variance_relation[sources.devices] * np.square(e)
    says = sources.reading[..., None] + network.mean_relation[sources.devices] * e
    precision = (1.0 / variance).sum(axis=-2)
    mean, deviation = (says / variance).sum(axis=-2) / precision, np.sqrt(1.0 / precision)
    if not fuse_measured:
        fresh = sources.delay == 0
        for m, location in enumerate(sources.devices):
            mean[..., location] = np.where(fresh[..., m], sources.reading[..., m], mean[..., location])
            deviation[..., location] = np.where(fresh[..., m], np.sqrt(own[..., m]), deviation[..., location])
    return Estimate(mean, deviation)


@dataclass(frozen=True)
class LevelAware:
    """The corrected map as a prior, moved by readings as far as learned correlations say (simple kriging).

    A normalised deviation from the level, less its mean, has covariance C_ij rho(lag); correlations between locations
    are shrunk by the share of them that was found to last. Where the server knows the level with an error only, a
    reading also informs about the level: that of its own slot, and less and less about later ones.

    Attributes:
        network: its a and b.
        lasting: share of the correlation between locations that lasts from the first third of the readings to the last.
        short, memory: part of a deviation that fades, and in how many slots to 1/e.
        long: part that stays for a day and more.
        floor: variance that no level explains, such as the rounding of readings [(µg/m³)²].
        drift: mean squared change of the level from slot to slot [(µg/m³)²].
    """

    network: NetworkParameters
    lasting: float
    short: float
    memory: float
    long: float
    floor: float
    drift: float

    @classmethod
    def of(cls, network: NetworkParameters) -> LevelAware:
        """What was learned of a network, from its ``level_model``.

        Raises:
            ValueError: it has none.
        """
        if network.level_model is None:
            raise ValueError(f"level_model: {network.name!r} has none; scripts.fit_network learns it")
        return cls(network, *network.level_model.tolist())

    @property
    def parameters(self) -> tuple[float, ...]:
        """The six numbers of a network's ``level_model``."""
        return (self.lasting, self.short, self.memory, self.long, self.floor, self.drift)

    @classmethod
    def fit(cls, network: NetworkParameters, readings: Sequence[ArrayLike], *, min_level: float = 30.0) -> LevelAware:
        """Learn what lasts, how long, and the floor from the readings that the network was fitted to.

        Args:
            network: fitted to the same readings.
            readings: a (T, N) table for each period [µg/m³], NaN where nothing was read.
            min_level: slots of lower level say nothing of correlations [µg/m³].

        Raises:
            ValueError: too few slots above `min_level`, or tables of another number of locations.
        """
        tables = [np.asarray(table, dtype=np.float64) for table in readings]
        for number, table in enumerate(tables):
            if table.ndim != 2 or table.shape[1] != network.n_locations:
                raise ValueError(
                    f"readings[{number}]: expected (T, {network.n_locations}), a column for each location of "
                    f"{network.name!r}, got shape {table.shape}"
                )
        levels = slot_levels(tables, min_level)
        residuals = [x - e[:, None] * (1.0 + mean_deviation(network)) for x, e in zip(tables, levels, strict=True)]
        clear = [e >= max(min_level, 1e-9) for e in levels]
        if not suffice(levels, network.n_locations, min_level):
            raise ValueError(f"readings: fewer than {4 * network.n_locations} slots of at least {min_level:g} µg/m³")
        parts = [r / np.maximum(e, 1e-9)[:, None] for r, e in zip(residuals, levels, strict=True)]
        together = np.concatenate([z[used] for z, used in zip(parts, clear, strict=True)])
        longest = int(np.clip(round(_MINUTES_OF_A_DAY / network.slot_minutes), 24, 1440))
        short, memory, long = _fading(parts, clear, longest)
        residual = np.concatenate(residuals)
        variance = np.outer(np.square(np.concatenate(levels)), np.diag(deviation_covariance(network)))
        read = ~np.isnan(residual)
        steps = np.concatenate([np.diff(e) for e in levels])
        drift = float(np.square(steps[~np.isnan(steps)]).mean())
        return cls(network, _lasting(together), short, memory, long, _floor(residual[read], variance[read]), drift)

    def correlation(self, lag: ArrayLike) -> NDArray[np.float64]:
        """Correlation of a location's deviation with itself ``lag`` slots later; 1 at lag 0."""
        d = np.abs(np.asarray(lag, dtype=np.float64))
        return np.where(d == 0, 1.0, self.short * np.exp(-d / self.memory) + self.long)

    def covariance(self) -> NDArray[np.float64]:
        """(N, N) covariance of the deviations at one time, correlations between locations shrunk."""
        full = deviation_covariance(self.network)
        return self.lasting * full + (1.0 - self.lasting) * np.diag(np.diag(full))

    def estimate(self, sources: Sources, level: ArrayLike, *, level_noise: float = 0.0) -> Estimate:
        """The map at levels (...), from the last readings.

        Args:
            sources: the last readings, and the level as the server knew it when they were taken.
            level: (...) the level now, as the server knows it [µg/m³].
            level_noise: standard deviation of what the server knows of the level, as a share of it.
        """
        e = np.asarray(level, dtype=np.float64)[..., None]  # (..., 1)
        part = 1.0 + mean_deviation(self.network)
        weights, share, deviation = self._weighed(sources, e, part, level_noise)
        seen = sources.reading - part[sources.devices] * (e + share * (sources.level_then - e))
        return Estimate(e * part + (weights * seen[..., None]).sum(axis=-2), deviation)

    def deviation(self, sources: Sources, level: ArrayLike, *, level_noise: float = 0.0) -> NDArray[np.float64]:
        """(..., N) what `estimate` claims of its map; the readings themselves do not matter."""
        e = np.asarray(level, dtype=np.float64)[..., None]
        return self._weighed(sources, e, 1.0 + mean_deviation(self.network), level_noise)[2]

    def _weighed(
        self, sources: Sources, e: NDArray[np.float64], part: NDArray[np.float64], level_noise: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(..., M, N) weights of what is seen, (..., M) shares of the levels then, (..., N) deviations."""
        own, c = sources.devices, self.covariance()
        then, delay = sources.level_then, sources.delay
        unsure = np.asarray(np.square(level_noise * e))  # (..., 1) variance of the level now
        noise = np.square(level_noise) * (np.square(then) + np.square(e))  # of the difference of two known levels
        walked, noise = np.broadcast_arrays(self.drift * delay, noise)
        share = np.divide(walked, walked + noise, out=np.zeros_like(noise), where=walked + noise > 0)
        left: NDArray[np.float64] = np.asarray(share * noise)  # variance of the change of the level that stays unknown
        between = np.minimum(left[..., :, None], left[..., None, :]) + unsure[..., None]
        between = between * np.outer(part[own], part[own]) + self.floor * np.eye(len(own))
        same = self.correlation(delay[..., :, None] - delay[..., None, :])
        between = between + c[np.ix_(own, own)] * same * then[..., :, None] * then[..., None, :]
        across = c[own] * (self.correlation(delay) * then)[..., None] * e[..., None]
        across = across + unsure[..., None] * np.outer(part[own], part)  # (..., M, N)
        weights = np.linalg.solve(between, across)
        before = np.diag(c) * np.square(e) + unsure * np.square(part)
        after = np.maximum(before - (weights * across).sum(axis=-2), 0.0)
        return weights, share, np.sqrt(after + self.floor)


def coverage(errors: ArrayLike, deviations: ArrayLike) -> tuple[float, ...]:
    """Shares of the errors within the 50, 90 and 95 % intervals that the deviations claim of a Gaussian."""
    size = np.abs(np.asarray(errors)) / np.asarray(deviations)
    return tuple(float((size <= z).mean()) for z in _NORMAL_QUANTILES)


def _lasting(deviations: NDArray[np.float64]) -> float:
    """Slope of the correlations in the last third of the slots on those in the first, between 0 and 1."""
    third = len(deviations) // 3
    upper = np.triu_indices(deviations.shape[1], 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # of a location that never deviates: no correlation
        both = [_correlations(part)[upper] for part in (deviations[:third], deviations[-third:])]
    one, two = (np.nan_to_num(x, nan=0.0) for x in both)
    return float(np.clip((one @ two) / (one @ one), 0.0, 1.0)) if one.any() else 0.0


def _correlations(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, N) correlations of the columns, each pair over the slots (T, N) in which both were read."""
    read = ~np.isnan(deviations)
    if read.all():
        return np.asarray(np.corrcoef(deviations.T))
    z, there = np.where(read, deviations, 0.0), read.astype(np.float64)
    count = there.T @ there
    mean, square = z.T @ there / count, np.square(z).T @ there / count  # of the row's device, over the pair's slots
    variance = square - np.square(mean)
    return np.asarray((z.T @ z / count - mean * mean.T) / np.sqrt(variance * variance.T))


def _fading(
    parts: Sequence[NDArray[np.float64]], clear: Sequence[NDArray[np.bool_]], longest: int
) -> tuple[float, float, float]:
    """Least squares of short exp(-lag / memory) + long to the mean autocorrelation up to the longest lag [slots]."""
    lags = [lag for lag in range(1, longest + 1) if all(len(z) > lag for z in parts)]
    found = []
    for lag in lags:
        product, square = 0.0, 0.0
        for z, used in zip(parts, clear, strict=True):
            both = used[lag:] & used[:-lag]
            later, earlier = z[lag:][both], z[:-lag][both]
            read = ~np.isnan(later * earlier)
            later, earlier = np.where(read, later, 0.0), np.where(read, earlier, 0.0)
            product += float((later * earlier).sum())
            square += float((np.square(later) + np.square(earlier)).sum()) / 2.0
        found.append(product / square if square else 0.0)
    best = (np.inf, 0.0, 1.0, 0.0)
    for memory in np.geomspace(1.0, 100.0, 60):
        design = np.stack([np.exp(-np.array(lags) / memory), np.ones(len(lags))], axis=1)
        (short, long), *_ = np.linalg.lstsq(design, np.array(found), rcond=None)
        short, long = max(float(short), 0.0), max(float(long), 0.0)
        error = float(np.square(design @ [short, long] - found).sum())
        if short + long <= 1.0 and error < best[0]:
            best = (error, short, float(memory), long)
    return best[1:]


def _floor(residual: NDArray[np.float64], variance: NDArray[np.float64]) -> float:
    """The variance to add with which intervals of 50, 90 and 95 % cover as much as they say, as nearly as can be."""
    candidates = np.concatenate([[0.01], np.geomspace(0.05, 20.0, 40), np.geomspace(25.0, 500.0, 15)])
    # Never 0: exact readings make kriging singular.
    miss = [
        max(abs(x - y) for x, y in zip(coverage(residual, np.sqrt(variance + q)), LEVELS_OF_COVERAGE, strict=True))
        for q in candidates
    ]
    return float(candidates[int(np.argmin(miss))])
