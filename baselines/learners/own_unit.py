"""A unit of its own for each problem, so that one network serves problems whose errors differ a hundredfold.

The model has no scale: with all levels times f and σ² times f², every error is f times as large. `in_own_unit` picks
the f for which greedy sensing's best threshold is `THRESHOLD`. The generalist learns on such problems,
and `in_units_of` makes its network read the observations of any problem: what it reads is ratios, and two logarithms
that a change of unit moves by a constant.
"""

import copy
import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from agents import GreedyPolicy
from aq_gym.episodes import Layers
from aq_gym.network import SensorNetwork
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from aq_gym.problem import Problem
from baselines.heuristics.index import AT, NAMES, WIDTHS, Index, Simulator, greedy_index
from baselines.packing import pack, set_gap
from baselines.playing import FIRST_TUNING_SEED

THRESHOLD = 0.5  # [µg/m³]
DECISIONS = 400_000  # played to find a threshold: less than a second
_SEED = FIRST_TUNING_SEED + 2**22
_BLENDS = (1.0, 0.75, 0.5, 0.25)  # shares of the policy, beside greedy sensing
_SHIFTS = (0.0, -0.2, 0.2, 0.4, 0.6)  # of the logarithm of the threshold
_NAMES = [name for name, _, _ in (*COMPACT_FEATURES, *DEVICE_FEATURES)]
LOGARITHMS = _NAMES.index("error_log"), _NAMES.index("level_log")
UNREAD = tuple(  # logarithms of 1 + x µg/m³, which no constant turns into another unit
    i
    for i, name in enumerate(_NAMES)
    if name in ("gain_absolute_log", "gain_later_log", "record_distance", "freshest_distance")
)


def greedy_threshold(problem: Problem, decisions: int = DECISIONS) -> float:
    """The decrease of the average error that greedy sensing should ask of a sensing, times PD² [µg/m³].

    The vertex of the parabola through the best of twelve thresholds and its neighbours, all on the same episodes.
    """
    mean_level = float(problem.network.start @ problem.network.levels)
    constants = math.log(mean_level) - math.log(2.0) * np.arange(12.0)
    candidates = [Index(problem, constant, {"scarcity": 16.0}) for constant in constants]
    episodes = decisions // (len(candidates) * problem.horizon * problem.n_devices)
    errors = Simulator(problem).errors(candidates, min(256, max(2, episodes)), _SEED).mean(axis=1)
    best = int(np.clip(errors.argmin(), 1, len(candidates) - 2))
    left, middle, right = errors[best - 1 : best + 2]
    bend = left - 2.0 * middle + right
    move = float(np.clip((left - right) / (2.0 * bend), -1.0, 1.0)) if bend > 0.0 else 0.0
    return math.exp(constants[best] - move * math.log(2.0))


def in_own_unit(problem: Problem, decisions: int = DECISIONS) -> Problem:
    """The same problem in the unit in which `greedy_threshold` is `THRESHOLD`."""
    factor = THRESHOLD / greedy_threshold(problem, decisions)
    return Problem.create(**problem.arguments | {"network": scaled(problem.network, factor)})


def scaled(network: SensorNetwork, factor: float) -> SensorNetwork:
    """The same network in another unit of concentration, `factor` to a µg/m³."""
    model = network.level_model
    return dataclasses.replace(
        network,
        levels=network.levels * factor,
        temporal_variance=network.temporal_variance * factor**2,
        level_model=None if model is None else model * np.array([1.0, 1.0, 1.0, 1.0, factor**2, factor**2]),
    )


def in_units_of(policy: GreedyPolicy, problem: Problem, decisions: int = DECISIONS) -> GreedyPolicy:
    """A policy that was learned on problems in their own units, for a problem as it is; its network is a copy.

    A linear one is also blended with greedy sensing and its threshold moved, by whichever choice does best in a short
    simulation: with many devices its coefficients leave the range that they were tuned in.

    Args:
        policy: what was learned.
        problem: what it will play.
        decisions: played to find the unit, and twice as many to find the blend and the threshold.
    """
    network, threshold = copy.deepcopy(policy.network), greedy_threshold(problem, decisions)
    shift = math.log(THRESHOLD / threshold) / 8.0
    for place in LOGARITHMS:
        network.input_center[place] -= shift
    layers = pack(network).weights if policy.observation == "compact" else np.empty(0)
    if len(layers) == len(NAMES) + 1:
        network.input_center.zero_()
        network.input_scale.fill_(1.0)
        set_gap(network, _blended(problem, layers.astype(np.float64), threshold, 2 * decisions))
    bound = GreedyPolicy(network, policy.q_values, observation=policy.observation, card=policy.card)
    bound.training_seconds = policy.training_seconds
    return bound


def _blended(problem: Problem, weights: NDArray[np.float64], threshold: float, decisions: int) -> NDArray[np.float64]:
    """(33,) weights of a linear policy, blended with greedy sensing and shifted; all choices play the same episodes."""
    simulator, seed = Simulator(problem), _SEED + 2**20
    weights = weights * 8.0 / weights[AT["gain_log"]]  # scores of both are then ln(decrease) less a threshold
    greedy = greedy_index(problem, threshold).weights.astype(np.float64)
    choices = len(_BLENDS) + len(_SHIFTS)
    episodes = min(256, max(2, decisions // (choices * problem.horizon * problem.n_devices)))

    def best(candidates: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        layers = [Layers(WIDTHS, x.astype(np.float32)) for x in candidates]
        return candidates[int(simulator.errors(layers, episodes, seed).mean(axis=1).argmin())]

    blend = best([share * weights + (1.0 - share) * greedy for share in _BLENDS])
    return best([blend - np.append(np.zeros(len(blend) - 1), move) for move in _SHIFTS])
