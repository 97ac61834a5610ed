"""Synthetic networks of any size, with the field statistics of the PKU network.

`python -m scripts.fit_network --field-statistics` prints the constants.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.network_checks import as_integer
from aq_gym.parameters import NetworkParameters

LOCATIONS_PER_KM2 = 32.9  # 30 in the box that holds them all, 0.82 km by 1.11 km
MEAN_DEVIATION = 0.0321  # standard deviation of the locations' mean deviations m, a_ij = m_j - m_i [1]
NUGGET_LOG_MEAN = -6.61  # a location's own part of b, b_ij = g_i + g_j + spatial part: mean of log g
NUGGET_LOG_DEVIATION = 0.35  # and the standard deviation of log g
SPATIAL_VARIANCE = 3.37e-4  # spatial part of b: SPATIAL_VARIANCE (1 - exp(-distance / SPATIAL_RANGE)) on average [1]
SPATIAL_RANGE = 350.0  # [m]
SPATIAL_FACTORS = 2  # hidden fields in the spatial part: 2 give it the spread that PKU's has about its average
MEAN_SPATIAL_SHARE = 0.25  # part of m's variance that is a smooth field: as much as PKU allows (-0.19 + 2 x 0.24)
MOST_LOCATIONS = 10_000  # two matrices of N² numbers: 1.6 GB, and as much again while they are made
_WAVES = 64  # random waves in each field


def synthetic_fields(n_locations: int, seed: int) -> dict[str, Any]:
    """Name, coordinates and relations of a synthetic network; `SensorNetwork.synthetic` explains them.

    Raises:
        ValueError: a wrong `n_locations` or `seed`.
    """
    n, seed = as_integer("n_locations", n_locations), as_integer("seed", seed)
    if n < 2:
        raise ValueError(f"n_locations must be at least 2, got {n}")
    if n > MOST_LOCATIONS:
        raise ValueError(f"n_locations must be at most {MOST_LOCATIONS}, since memory grows with its square; got {n}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if seed >= 2**128:
        raise ValueError(f"seed must be below 2**128, got a number of {seed.bit_length()} bits")
    rng = np.random.default_rng(seed)
    side = 1000.0 * math.sqrt(n / LOCATIONS_PER_KM2)  # [m]
    xy = rng.uniform(0.0, side, (n, 2))
    xy = np.round(xy - xy.mean(axis=0), 8)
    field = _random_fields(xy, 1 + SPATIAL_FACTORS, rng)  # (1 + SPATIAL_FACTORS, N), unit variance
    own = rng.standard_normal((2, n))
    # Rounded far above a cosine's last bit: the plain sums and products after it are then the same everywhere.
    m = math.sqrt(MEAN_SPATIAL_SHARE) * field[0] + math.sqrt(1.0 - MEAN_SPATIAL_SHARE) * own[0]
    m = np.round(MEAN_DEVIATION * m, 10)
    g = np.round(np.exp(NUGGET_LOG_MEAN + NUGGET_LOG_DEVIATION * own[1]), 10)
    factors = np.round(math.sqrt(SPATIAL_VARIANCE / (2.0 * SPATIAL_FACTORS)) * field[1:], 10)
    b = g[:, None] + g
    for f in factors:
        b += np.square(f[:, None] - f)
    np.fill_diagonal(b, 0.0)
    name = f"synthetic-{n}-{seed}"
    return {"name": name, "coordinates": xy, "mean_relation": m - m[:, None], "variance_relation": b}


def _random_fields(xy: NDArray[np.float64], n_fields: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random fields of unit variance at `xy` (N, 2) [m], correlation exp(-distance / SPATIAL_RANGE): (n_fields, N).

    Waves whose numbers follow a bivariate Cauchy distribution have just that correlation.
    """
    fields = np.zeros((n_fields, len(xy)))
    for field in fields:
        wave = rng.standard_normal((_WAVES, 2)) / np.abs(rng.standard_normal((_WAVES, 1))) / SPATIAL_RANGE  # [1/m]
        phase = rng.uniform(0.0, 2.0 * math.pi, _WAVES)
        for k in range(_WAVES):
            field += np.cos(wave[k, 0] * xy[:, 0] + wave[k, 1] * xy[:, 1] + phase[k])
    return fields * math.sqrt(2.0 / _WAVES)


def field_statistics(network: NetworkParameters) -> dict[str, float]:
    """The statistics that `SensorNetwork.synthetic` is made from, named as its constants; coordinates are needed.

    b is fitted by least squares as b_ij = g_i + g_j + c (1 - exp(-distance / range)), over ranges from 50 to 2,000 m;
    `residual` is the spread that this leaves (K hidden fields leave about c sqrt(2 / K)). m are the locations' mean
    deviations, a_ij = m_j - m_i; `mean_spatial_share` is the part of their variance that varies with distance as b's
    does (the slope of m_i m_j / var(m) on exp(-distance / range)), and `mean_spatial_share_error` its standard
    deviation over random permutations of m.

    Raises:
        ValueError: the network has no coordinates, or fewer than 3 locations.
    """
    xy, n = network.coordinates, network.n_locations
    if xy is None or n < 3:
        raise ValueError(f"{network.name!r} needs coordinates and at least 3 locations for field statistics")
    i, j = np.triu_indices(n, 1)
    distance = np.hypot(*(xy[i] - xy[j]).T)  # (pairs,)
    b, m = network.variance_relation[i, j], network.mean_relation.mean(axis=0)
    design = np.zeros((len(i), n + 1))
    design[np.arange(len(i)), i] = design[np.arange(len(i)), j] = 1.0
    fits = []
    for length in np.arange(50.0, 2001.0, 50.0):
        design[:, n] = 1.0 - np.exp(-distance / length)
        solution = np.linalg.lstsq(design, b, rcond=None)[0]
        fits.append((float(np.std(b - design @ solution)), float(length), solution))
    residual, scale, solution = min(fits, key=lambda fit: fit[0])
    nugget, spatial = solution[:n], float(solution[n])
    near = np.exp(-distance / scale)
    near -= near.mean()

    def share(values: NDArray[np.float64]) -> float:
        values = values - values.mean()
        return float(near @ (values[i] * values[j]) / (near @ near) / values.var(ddof=1))

    rng = np.random.default_rng(0)
    return {
        "LOCATIONS_PER_KM2": float(n / np.prod(np.ptp(xy, axis=0) / 1000.0)),
        "MEAN_DEVIATION": float(m.std(ddof=1)),
        "NUGGET_LOG_MEAN": float(np.log(nugget).mean()),
        "NUGGET_LOG_DEVIATION": float(np.log(nugget).std(ddof=1)),
        "SPATIAL_VARIANCE": spatial,
        "SPATIAL_RANGE": scale,
        "residual": residual,
        "mean_spatial_share": share(m),
        "mean_spatial_share_error": float(np.std([share(rng.permutation(m)) for _ in range(1000)])),
    }
