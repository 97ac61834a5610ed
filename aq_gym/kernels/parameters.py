"""From a problem to the arrays that compiled code reads."""

from __future__ import annotations

import os

import numba
import numpy as np
from numpy.typing import NDArray

from aq_gym.dynamics import DEVICE, EPISODE, PARAMETERS, Parameters, State
from aq_gym.estimation import LevelAware, mean_deviation
from aq_gym.kernels.level_aware import CORRELATION, COVARIANCE, PART, PRIOR_VARIANCE
from aq_gym.kernels.precision import FRESH, MEAN, MORE1, S0, VARIANCE
from aq_gym.observation import error_bound, traits
from aq_gym.problem import Problem

_PADDING = 16  # rows of locations are padded to multiples of so many numbers, which vector registers divide evenly


def parameters_of(problem: Problem) -> Parameters:
    """What does not change from episode to episode."""
    network, aware = problem.network, problem.inference == "level-aware"
    numbers = _records((1,), PARAMETERS)
    about = {
        "n_locations": problem.n_locations,
        "horizon": problem.horizon,
        "energy_budget": problem.energy_budget,
        "max_sleep": problem.max_sleep,
        "keep_measured": not aware and not problem.fuse_measured,
        "measurement_variance": network.measurement_variance,
        "temporal_variance": network.temporal_variance,
        "fresh_error": network.measurement_variance**0.5,
        "error_bound": error_bound(problem),
        "top_level": network.levels[-1],
    }
    if aware:
        model = LevelAware.of(network)
        about |= {"noise": problem.level_noise**2, "drift": model.drift, "floor": model.floor}
    for name, value in about.items():
        numbers[name] = value
    relation, prior = (_level_aware if aware else _paper)(problem)
    return Parameters(numbers, relation, prior, traits(problem))


def _paper(problem: Problem) -> tuple[NDArray[np.float64], None]:
    network, rows, n = problem.network, np.asarray(problem.devices), problem.n_locations
    relation = np.zeros((3, len(rows), _padded(n)))
    relation[MEAN, :, :n] = network.mean_relation[rows]
    relation[VARIANCE] = 1.0  # of the padding, so that nothing is divided by zero
    relation[VARIANCE, :, :n] = network.variance_relation[rows]
    relation[FRESH] = 1.0 / (network.measurement_variance + relation[VARIANCE])
    return relation, None


def _level_aware(problem: Problem) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    model, rows, n = LevelAware.of(problem.network), np.asarray(problem.devices), problem.n_locations
    covariance, lags = model.covariance(), np.arange(problem.max_sleep + 1)
    relation = np.zeros((3, len(rows), _padded(n)))
    relation[COVARIANCE, :, :n] = covariance[rows]
    prior = np.zeros((3, max(_padded(n), len(lags))))
    prior[PRIOR_VARIANCE, :n] = np.diag(covariance)
    prior[PART, :n] = 1.0 + mean_deviation(problem.network)
    prior[CORRELATION, : len(lags)] = model.correlation(lags)
    return relation, prior


def state_of(problem: Problem, n_episodes: int) -> State:
    """K episodes that have not begun.

    Raises:
        ValueError: they would take more memory than the machine has.
    """
    row = 8 * (problem.horizon + 1 + 7 * _padded(problem.n_locations)) + problem.n_devices * DEVICE.itemsize
    if n_episodes * row > _memory():
        raise ValueError(
            f"num_envs: {n_episodes:,} episodes of {row:,} bytes each are more than this machine holds, "
            f"{_memory():,} bytes"
        )
    device = _records((n_episodes, problem.n_devices), DEVICE)
    device["location"] = problem.devices
    path = np.zeros((n_episodes, problem.horizon + 1))
    maps = np.zeros((n_episodes, MORE1 + 1, _padded(problem.n_locations)))
    maps[:, S0:] = 1.0  # so that nothing is divided by zero before an episode begins
    return State(_records((n_episodes,), EPISODE), device, path, maps)


def _records(shape: tuple[int, ...], kind: np.dtype[np.void]) -> NDArray[np.void]:
    """Zeros; where nothing is compiled, as a record array, whose fields are attributes as they are in compiled code."""
    array = np.zeros(shape, kind)
    return array.view(np.recarray) if getattr(numba.config, "DISABLE_JIT", 0) else array


def _memory() -> int:
    """Bytes of this machine, or what any has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**40


def _padded(n: int) -> int:
    """P, the length of a row of n locations."""
    return -(-n // _PADDING) * _PADDING
