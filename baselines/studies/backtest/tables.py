"""The map by each method, and the tables of the backtest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from aq_gym import estimation
from aq_gym.estimation import Estimate, LevelAware, Sources
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.evaluation.registry import build_policy
from baselines.studies.backtest.replaying import Faults, Replayed, Windows, replay, sources_of
from baselines.studies.backtest.scores import COVER, change, judge

METHODS = ("paper", "flat", "corrected", "level-aware")
_SNAPSHOT = (0, 1, 3, 8)  # slots of one snapshot, which the Gaussian process sees together
CLEAN = "clean"
NOISES = (0.05, 0.1, 0.2, 0.3)
CONDITIONS = {
    CLEAN: Faults(),
    **{f"level known to ±{100 * x:.0f} %": Faults(level_noise=x) for x in NOISES},
    "level known from the readings alone": Faults(level_from_readings=True),
    "readings with ±8 % of noise": Faults(measurement_noise=0.08),
    "5 % of the readings lost": Faults(lost=0.05),
    "20 % of the readings lost": Faults(lost=0.2),
    "a device dies halfway": Faults(dead=1),
}


def maps(
    network: SensorNetwork, learned: LevelAware, sources: Sources, level: ArrayLike, level_noise: float
) -> dict[str, Estimate]:
    """The map by each of `METHODS`; ``level_noise`` is what the level-aware one assumes."""
    return {
        "paper": estimation.paper_map(network, sources, level),
        "flat": estimation.flat_map(network, level),
        "corrected": estimation.corrected_map(network, level),
        "level-aware": learned.estimate(sources, level, level_noise=level_noise),
    }


def gaussian_process(network: SensorNetwork, tables: Sequence[ArrayLike], seed: int = 0) -> GaussianProcessRegressor:
    """A yardstick: scikit-learn's regression of the normalised deviations on place and time, fitted to snapshots."""
    rng, n = np.random.default_rng(seed), network.n_locations
    table = np.asarray(tables[0], dtype=np.float64)
    level = table.mean(axis=1)
    clear = np.flatnonzero(level[: -_SNAPSHOT[-1]] >= 30.0)
    slots = (rng.choice(clear, 5, replace=False)[:, None] + np.array(_SNAPSHOT)).ravel()
    apart = np.repeat(np.arange(5) * 1e4, len(_SNAPSHOT)) + np.tile(_SNAPSHOT, 5)
    deviation = table[slots] / level[slots, None] - 1.0 - estimation.mean_deviation(network)
    places = np.tile(network.coordinates / 100.0, (len(slots), 1))
    inputs = np.column_stack([places, np.repeat(apart, n)])
    kernel = ConstantKernel(1e-3, (1e-6, 1.0)) * RBF((3.0, 3.0, 12.0), (0.1, 1e3)) + WhiteKernel(1e-3, (1e-7, 1.0))
    return GaussianProcessRegressor(kernel, random_state=seed).fit(inputs, deviation.ravel())


def gaussian_process_map(
    fitted: GaussianProcessRegressor, network: SensorNetwork, sources: Sources, level: NDArray[np.float64]
) -> Estimate:
    """The map by `gaussian_process`; slow, since it is fitted to each slot's readings."""
    prior, places = estimation.mean_deviation(network), np.asarray(network.coordinates) / 100.0
    seen = sources.reading / sources.level_then - 1.0 - prior[sources.devices]
    regression = GaussianProcessRegressor(fitted.kernel_, optimizer=None)
    mean, deviation = np.empty((*level.shape, len(places))), np.empty((*level.shape, len(places)))
    target = np.column_stack([places, np.zeros(len(places))])
    for at in np.ndindex(level.shape):
        known = np.column_stack([places[sources.devices], -sources.delay[at].astype(np.float64)])
        mean[at], deviation[at] = regression.fit(known, seen[at]).predict(target, return_std=True)
    return Estimate(level[..., None] * (1.0 + prior + mean), level[..., None] * deviation)


class Delivered(NamedTuple):
    """The level-aware map of a policy on the windows."""

    absolute: NDArray[np.float64]  # (K,) mean absolute error over all slots and locations [µg/m³]
    rmse: float  # root of the mean squared one [µg/m³]
    promised: float  # average joint error by the problem's model [µg/m³]
    claimed: float  # mean of the deviations that the map claims [µg/m³]
    coverage: tuple[float, ...]  # of the 50, 90 and 95 % intervals


def deliver(
    policy: Any, problem: Problem, data: Windows, learned: LevelAware, level_noise: float, seed: int = 0
) -> Delivered:
    """Replay a policy where the level is known with an error, and compare the level-aware map with the readings.

    The server knows the level with ``level_noise``, and the map assumes the same.
    """
    faults = Faults(level_noise=level_noise)
    replayed = replay(policy, problem, data.levels)
    sources, level = sources_of(replayed, problem, data, faults, seed)
    found, truth = learned.estimate(sources, level, level_noise=level_noise), data.readings[:, 1:]
    error = found.mean - truth
    return Delivered(
        np.abs(error).mean(axis=(1, 2)),
        float(np.sqrt(np.square(error).mean())),
        float(replayed.joint_error.mean()),
        float(found.deviation.mean()),
        estimation.coverage(error, found.deviation),
    )


def backtest(
    policies: Mapping[str, Any],
    problem: Problem,
    data: Windows,
    learned: LevelAware,
    *,
    conditions: Mapping[str, Faults],
    seed: int = 0,
    watch: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Every policy under every condition, its map by every method.

    Returns:
        A row for each condition, policy and method: those names, ``promised`` (the model's average joint error),
        ``sensings`` of a device in a window, and what `judge` returns.
    """
    rows = []
    for name, policy in policies.items():
        replayed = replay(policy, problem, data.levels)
        for condition, faults in conditions.items():
            watch(f"{name}, {condition}")
            sources, level = sources_of(replayed, problem, data, faults, seed)
            for method, found in maps(problem.network, learned, sources, level, faults.assumed_noise).items():
                rows.append(_row(condition, name, method, replayed) | judge(found, data, problem.devices, seed))
    return pd.DataFrame(rows)


def _row(condition: str, policy: str, method: str, replayed: Replayed) -> dict[str, Any]:
    promised, sensings = float(replayed.joint_error.mean()), float(replayed.sensed.sum(axis=1).mean())
    return {"condition": condition, "policy": policy, "method": method, "promised": promised, "sensings": sensings}


def with_gaussian_process(
    name: str, policy: Any, problem: Problem, data: Windows, train: Sequence[ArrayLike], seed: int
) -> pd.DataFrame:
    """The row of `backtest` of one policy's map by a Gaussian process that is fitted to the tables ``train``."""
    replayed = replay(policy, problem, data.levels)
    fitted = gaussian_process(problem.network, train, seed)
    found = gaussian_process_map(fitted, problem.network, *sources_of(replayed, problem, data))
    row = _row(CLEAN, name, "Gaussian process", replayed) | judge(found, data, problem.devices, seed)
    return pd.DataFrame([row])


def planned(words: Sequence[str], problem: Problem, data: Windows, learned: LevelAware, seed: int = 0) -> pd.DataFrame:
    """Level-aware maps of policies that plan with the paper's inference, and with level-aware inference.

    Returns:
        Two rows for each of `NOISES` and each policy: ``noise``, ``policy``, ``inference``, ``mae``; ``change`` of the
        mae in per cent with ``change_low`` and ``change_high`` (NaN where the maps are the same); ``rmse``,
        ``promised``, ``claimed`` as in `Delivered`, and ``cover_50``, ``cover_90``, ``cover_95`` (shares).
    """
    shape = problem.network, problem.devices, problem.horizon, problem.energy_budget, problem.max_sleep
    before = {word: build_policy(word, problem)[0] for word in words}
    rows = []
    for noise in NOISES:
        aware = Problem.create(*shape, inference="level-aware", level_noise=noise)
        for word, paper in before.items():
            old = deliver(paper, problem, data, learned, noise, seed)
            new = deliver(build_policy(word, aware)[0], aware, data, learned, noise, seed)
            same = np.array_equal(new.absolute, old.absolute)
            moved = (np.nan,) * 3 if same else change(new.absolute, old.absolute, seed)
            for inference, x, changed in (("paper", old, (np.nan,) * 3), ("level-aware", new, moved)):
                numbers = float(x.absolute.mean()), *changed, x.rmse, x.promised, x.claimed
                rows.append((noise, word, inference, *numbers, *x.coverage))
    changes = ("change", "change_low", "change_high")
    columns = ["noise", "policy", "inference", "mae", *changes, "rmse", "promised", "claimed", *COVER]
    return pd.DataFrame(rows, columns=columns)
