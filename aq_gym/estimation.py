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

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.parameters import NetworkParameters

LEVELS_OF_COVERAGE = (0.5, 0.9, 0.95)
_NORMAL_QUANTILES = (0.6744897501960817, 1.6448536269514722, 1.959963984540054)  # of (1 + level) / 2


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
    network: NetworkParameters,
    sources: Sources,
    level: ArrayLike,
    *,
    fuse_measured: bool = False,
    wanted: ArrayLike | None = None,
) -> Estimate:
    """The paper's three steps (1) to (6) with real readings: a device says reading + a_ij e of location j.

    Args:
        network: the fitted parameters.
        sources: the last readings.
        level: (...) the area's level now, e [µg/m³].
        fuse_measured: see `inference.infer`.
        wanted: (W,) the locations j of the map; None: all.
    """
    e = np.asarray(level, dtype=np.float64)[..., None, None]
    where = np.arange(network.n_locations) if wanted is None else np.asarray(wanted)
    pairs = np.ix_(sources.devices, where)
    own = network.measurement_variance * np.square(sources.level_then)
    variance = (own + network.temporal_variance * sources.delay)[..., None]
    variance = variance + network.variance_relation[pairs] * np.square(e)
    implied = sources.reading[..., None] + network.mean_relation[pairs] * e
    precision = (1.0 / variance).sum(axis=-2)
    mean, deviation = (implied / variance).sum(axis=-2) / precision, np.sqrt(1.0 / precision)
    if not fuse_measured:
        for m, location in enumerate(sources.devices):
            measured = (sources.delay[..., m, None] == 0) & (where == location)
            mean = np.where(measured, sources.reading[..., m, None], mean)
            deviation = np.where(measured, np.sqrt(own[..., m, None]), deviation)
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
        weights, share, deviation = self._kriging_weights(sources, e, part, level_noise)
        innovation = sources.reading - part[sources.devices] * (e + share * (sources.level_then - e))
        return Estimate(e * part + (weights * innovation[..., None]).sum(axis=-2), deviation)

    def deviation(self, sources: Sources, level: ArrayLike, *, level_noise: float = 0.0) -> NDArray[np.float64]:
        """(..., N) what `estimate` claims of its map; the readings themselves do not matter."""
        e = np.asarray(level, dtype=np.float64)[..., None]
        return self._kriging_weights(sources, e, 1.0 + mean_deviation(self.network), level_noise)[2]

    def _kriging_weights(
        self, sources: Sources, e: NDArray[np.float64], part: NDArray[np.float64], level_noise: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(..., M, N) weights of the innovations, (..., M) shares of the levels then, (..., N) deviations."""
        own, c = sources.devices, self.covariance()
        then, delay = sources.level_then, sources.delay
        level_variance = np.asarray(np.square(level_noise * e))  # (..., 1) variance of the level now
        noise = np.square(level_noise) * (np.square(then) + np.square(e))  # of the difference of two known levels
        change, noise = np.broadcast_arrays(self.drift * delay, noise)
        share = np.divide(change, change + noise, out=np.zeros_like(noise), where=change + noise > 0)
        left: NDArray[np.float64] = np.asarray(share * noise)  # variance of the change of the level that stays unknown
        between = np.minimum(left[..., :, None], left[..., None, :]) + level_variance[..., None]
        between = between * np.outer(part[own], part[own]) + self.floor * np.eye(len(own))
        same = self.correlation(delay[..., :, None] - delay[..., None, :])
        between = between + c[np.ix_(own, own)] * same * then[..., :, None] * then[..., None, :]
        across = c[own] * (self.correlation(delay) * then)[..., None] * e[..., None]
        across = across + level_variance[..., None] * np.outer(part[own], part)  # (..., M, N)
        weights = np.linalg.solve(between, across)
        before = np.diag(c) * np.square(e) + level_variance * np.square(part)
        after = np.maximum(before - (weights * across).sum(axis=-2), 0.0)
        return weights, share, np.sqrt(after + self.floor)


def coverage(errors: ArrayLike, deviations: ArrayLike) -> tuple[float, ...]:
    """Shares of the errors within the 50, 90 and 95 % intervals that the deviations claim of a Gaussian."""
    size = np.abs(np.asarray(errors)) / np.asarray(deviations)
    return tuple(float((size <= z).mean()) for z in _NORMAL_QUANTILES)
