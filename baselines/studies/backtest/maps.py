"""The map by each method."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from aq_gym.estimation import Estimate, LevelAware, Sources, corrected_map, flat_map, mean_deviation, paper_map
from aq_gym.network import SensorNetwork

METHODS = ("paper", "flat", "corrected", "level-aware")
_SNAPSHOT = (0, 1, 3, 8)  # slots of one snapshot, which the Gaussian process sees together


def estimate(
    method: str,
    network: SensorNetwork,
    learned: LevelAware,
    sources: Sources,
    level: ArrayLike,
    level_noise: float = 0.0,
) -> Estimate:
    """The map by one of `METHODS`; ``level_noise`` is for the level-aware one."""
    if method == "paper":
        return paper_map(network, sources, level)
    if method == "level-aware":
        return learned.estimate(sources, level, level_noise=level_noise)
    return (flat_map if method == "flat" else corrected_map)(network, level)


def gaussian_process(network: SensorNetwork, tables: Sequence[ArrayLike], seed: int = 0) -> GaussianProcessRegressor:
    """A yardstick: scikit-learn's regression of the normalised deviations on place and time, fitted to snapshots."""
    rng, n = np.random.default_rng(seed), network.n_locations
    table = np.asarray(tables[0], dtype=np.float64)
    level = table.mean(axis=1)
    clear = np.flatnonzero(level[: -_SNAPSHOT[-1]] >= 30.0)
    slots = (rng.choice(clear, 5, replace=False)[:, None] + np.array(_SNAPSHOT)).ravel()
    apart = np.repeat(np.arange(5) * 1e4, len(_SNAPSHOT)) + np.tile(_SNAPSHOT, 5)
    deviation = table[slots] / level[slots, None] - 1.0 - mean_deviation(network)
    places = np.tile(network.coordinates / 100.0, (len(slots), 1))
    inputs = np.column_stack([places, np.repeat(apart, n)])
    kernel = ConstantKernel(1e-3, (1e-6, 1.0)) * RBF((3.0, 3.0, 12.0), (0.1, 1e3)) + WhiteKernel(1e-3, (1e-7, 1.0))
    return GaussianProcessRegressor(kernel, random_state=seed).fit(inputs, deviation.ravel())


def gaussian_process_map(
    fitted: GaussianProcessRegressor, network: SensorNetwork, sources: Sources, level: NDArray[np.float64]
) -> Estimate:
    """The map by `gaussian_process`; slow, since it is fitted to each slot's readings."""
    prior, places = mean_deviation(network), np.asarray(network.coordinates) / 100.0
    seen = sources.reading / sources.level_then - 1.0 - prior[sources.devices]
    regression = GaussianProcessRegressor(fitted.kernel_, optimizer=None)
    mean, deviation = np.empty((*level.shape, len(places))), np.empty((*level.shape, len(places)))
    target = np.column_stack([places, np.zeros(len(places))])
    for at in np.ndindex(level.shape):
        known = np.column_stack([places[sources.devices], -sources.delay[at].astype(np.float64)])
        mean[at], deviation[at] = regression.fit(known, seen[at]).predict(target, return_std=True)
    return Estimate(level[..., None] * (1.0 + prior + mean), level[..., None] * deviation)
