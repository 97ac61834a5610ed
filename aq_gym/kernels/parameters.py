"""From a problem to the arrays that compiled code reads."""

import os

import numba
import numpy as np
from numpy.typing import NDArray

from aq_gym.belief import GrownBelief
from aq_gym.chance import columns_of
from aq_gym.estimation import LevelAware, mean_deviation
from aq_gym.kernels.level_aware import CORRELATION, COVARIANCE, PART, PRIOR_VARIANCE
from aq_gym.kernels.precision import CHANGE1, FRESH, MEAN, S0, VARIANCE
from aq_gym.observation import constants, deviation_bound, error_bound, level_bound
from aq_gym.problem import Problem
from aq_gym.records import DEVICE, EPISODE, PARAMETERS, Parameters, State

_PADDING = 16  # rows of locations are padded to multiples of so many numbers, which vector registers divide evenly


def parameters_of(problem: Problem) -> Parameters:
    """What does not change from episode to episode."""
    network, aware = problem.network, problem.inference != "paper"
    losses, harvests, _ = columns_of(problem)
    numbers = _records((1,), PARAMETERS)
    about = {
        "n_locations": problem.n_locations,
        "horizon": problem.horizon,
        "energy_budget": problem.energy_budget,
        "most_energy": problem.most_energy,
        "max_sleep": problem.max_sleep,
        "longest_delay": problem.longest_delay,
        "losses": losses,
        "harvests": harvests,
        "harvest_cap": problem.harvest[1],
        "keep_measured": not aware and not problem.fuse_measured,
        "measurement_variance": network.measurement_variance,
        "temporal_variance": network.temporal_variance,
        "fresh_error": network.measurement_variance**0.5,
        "error_bound": error_bound(problem),
        "top_level": level_bound(problem),
        "deviation_bound": deviation_bound(problem),
        "hidden": problem.inference == "hidden",
        "chain": problem.belief == "chain",
    }
    if aware:
        model = LevelAware.of(network)
        about |= {"noise": problem.level_noise**2, "drift": model.drift, "floor": model.floor}
    if problem.inference == "hidden" and problem.belief == "grown":
        about |= {f"belief_{name}": getattr(problem.hidden_level.belief, name) for name in ("q0", "q1", "q2", "m")}
    for name, value in about.items():
        numbers[name] = value
    relation, prior = (_level_aware if aware else _paper)(problem)
    return Parameters(numbers, relation, prior, constants(problem))


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
    covariance, lags = model.covariance(), np.arange(problem.longest_delay + 1)
    relation = np.zeros((3, len(rows), _padded(n)))
    relation[COVARIANCE, :, :n] = covariance[rows]
    belief = _belief(problem, lags) if problem.inference == "hidden" else []
    prior = np.zeros((3 + len(belief), max(_padded(n), len(lags), *map(len, belief))))
    prior[PRIOR_VARIANCE, :n] = np.diag(covariance)
    prior[PART, :n] = 1.0 + mean_deviation(problem.network)
    prior[CORRELATION, : len(lags)] = model.correlation(lags)
    for row, values in enumerate(belief, CORRELATION + 1):
        prior[row, : len(values)] = values
    return relation, prior


def _belief(problem: Problem, lags: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """More rows of ``prior``, see `kernels.hidden`."""
    belief = problem.hidden_level.belief
    if isinstance(belief, GrownBelief):
        return [np.exp(-belief.k * lags), np.power(lags, belief.h)]
    levels = problem.network.levels
    means, variances = belief.moments(lags, levels[:, None])
    return [(levels[1:] + levels[:-1]) / 2.0, *means, *variances]


def state_of(problem: Problem, n_episodes: int) -> State:
    """K episodes that have not begun.

    Raises:
        ValueError: they would take more memory than the machine has.
    """
    columns = columns_of(problem)[-1]
    row = 8 * (columns + 7 * _padded(problem.n_locations)) + problem.n_devices * DEVICE.itemsize
    if n_episodes * row > _memory():
        raise ValueError(
            f"num_envs: {n_episodes:,} episodes of {row:,} bytes each are more than this machine holds, "
            f"{_memory():,} bytes"
        )
    device = _records((n_episodes, problem.n_devices), DEVICE)
    device["location"], device["budget"] = problem.devices, problem.energies
    path = np.zeros((n_episodes, columns))
    maps = np.zeros((n_episodes, CHANGE1 + 1, _padded(problem.n_locations)))
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
