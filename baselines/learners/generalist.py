"""The generalist: one set of coefficients for all instances, each in a unit of its own.

The model has no scale: with all levels times f and σ² times f², every error is f times as large. `in_own_unit` picks
the f for which greedy sensing's best threshold is `THRESHOLD`. The generalist is tuned on such problems,
and `in_units_of` makes its network read the observations of any problem: what it reads is ratios, and two logarithms
that a change of unit moves by a constant.

It is an index policy (`baselines.heuristics.index`) whose threshold depends on ratios and on two logarithms alone, so
that a change of unit is a change of its constant. It starts from what MultiDevice-v0's index policy does on sampled
instances, and the cross-entropy method then lowers its mean error, relative to greedy sensing's, on all at once.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import GreedyPolicy
from aq_gym.episodes import Layers
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.sampler import InstanceSampler
from baselines.heuristics.index import AT, NAMES, WIDTHS, Index, Simulator, greedy_index
from baselines.heuristics.index_tuning import Budget, Space, cross_entropy, index_policy
from baselines.heuristics.problems import entry_problem
from baselines.packing import pack, set_gap
from baselines.playing import FIRST_TUNING_SEED

THRESHOLD = 0.5  # [µg/m³]
DECISIONS = 400_000  # played to find a threshold: less than a second
_SEED = FIRST_TUNING_SEED + 2**22
_BLENDS = (1.0, 0.75, 0.5, 0.25)  # shares of the policy, beside greedy sensing
_SHIFTS = (0.0, -0.2, 0.2, 0.4, 0.6)  # of the logarithm of the threshold
LOGARITHMS = AT["error_log"], AT["level_log"]
# Logarithms of 1 + x µg/m³, which no constant turns into another unit
UNREAD = ("gain_absolute_log", "gain_later_log", "record_distance", "freshest_distance")
READ = tuple(name for name in NAMES if name not in UNREAD)
_DOUBT = 0.5  # scores of such size still count by half in the imitation
_STEP, _FLOOR = 0.15, 0.02  # spread of the search at first and at least, see `index_tuning.Budget`


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


def imitated(problems: Sequence[Problem], states: int = 4_000) -> Index:
    """The index in own units whose scores are closest to those of MultiDevice-v0's index policy, near zero above all.

    The problems are in their own units; so many ``states`` of each are read.
    """
    model = entry_problem("MultiDevice-v0")
    tuned, factor = index_policy(model), greedy_threshold(model) / THRESHOLD
    places, inputs, scores = [AT[name] for name in READ], [], []
    for problem in problems:
        shape = problem.horizon, problem.energy_budget, problem.max_sleep
        there = Problem.create(scaled(problem.network, factor), problem.devices, *shape)
        policy = Index(there, tuned.constant, tuned.coefficients)
        episodes = max(2, states // (problem.horizon * problem.n_devices))
        seen = Simulator(there).observations(policy, episodes, FIRST_TUNING_SEED)[:states].astype(np.float64)
        scores.append(policy.score(seen))
        seen[:, LOGARITHMS] -= np.log(factor) / 8.0
        inputs.append(np.append(seen[:, places], np.ones((len(seen), 1)), axis=1))
    x, y = np.concatenate(inputs), np.concatenate(scores)
    weight = (1.0 + (y / _DOUBT) ** 2) ** -0.5
    ridge = 1e-6 * len(x) * np.diag([1.0] * len(READ) + [0.0])
    given = np.linalg.solve((x * weight[:, None] ** 2).T @ x + ridge, (x * weight[:, None] ** 2).T @ y)
    coefficients = dict(zip(READ, (-given[:-1]).tolist(), strict=True))
    for name in ("gain_log", "level_log"):  # an index has them in ln(decrease)
        coefficients[name] += 8.0
    return Index(problems[0], -8.0 - float(given[-1]), coefficients)


def relative_errors(policies: Sequence[Index], problems: Sequence[Problem], episodes: int, seed: int) -> NDArray[Any]:
    """(policies, problems) mean error of each over that of greedy sensing, on the same episodes."""
    found = [
        Simulator(problem).errors([greedy_index(problem, THRESHOLD), *policies], episodes, seed).mean(axis=1)
        for problem in problems
    ]
    return np.stack([errors[1:] / errors[0] for errors in found], axis=1)


def tune_for_all(
    problems: Sequence[Problem],
    start: Index,
    *,
    generations: int = 12,
    population: int = 32,
    episodes: int = 8,
    seed: int = FIRST_TUNING_SEED,
    report: Callable[[str], None] = lambda line: None,
) -> Index:
    """Lower the mean relative error by the cross-entropy method; the best on fresh episodes of the start and the means.

    The problems are in their own units, and the start has coefficients of `READ`. Each candidate plays so many
    ``episodes`` of each problem, new ones in each generation; the first has the seed ``seed``.
    """
    seen = np.concatenate([Simulator(p).observations(start, 4, seed)[:2_000] for p in problems])
    space, budget = Space(start, READ, seen), Budget(generations, population, episodes, _STEP)

    def errors(policies: list[Index], number: int) -> NDArray[np.float64]:
        return relative_errors(policies, problems, episodes, seed + (number + 1) * episodes).mean(axis=1)

    how: dict[str, Any] = {"stay": (0.3, 0.6), "floor": _FLOOR, "report": report, "unit": "of greedy sensing"}
    means = cross_entropy(space, errors, budget, np.random.default_rng(seed), **how)
    late = means[-max(1, generations // 3) :]
    finalists = [start, space.policy(np.mean(late, axis=0)), space.policy(means[-1])]
    seed += generations * episodes
    found = relative_errors(finalists, problems, 4 * episodes, seed + episodes).mean(axis=1)
    report(f"start {found[0]:.4f}, mean of the last {found[1]:.4f}, last {found[2]:.4f} of greedy sensing")
    return finalists[int(found.argmin())]


def training_sampler(seed: int) -> InstanceSampler:
    """What the generalist is tuned on: instances with the paper's inference, none too large to play quickly."""
    return InstanceSampler(seed, inferences=("paper",), most_work=3e5)


def sampled(sampler: InstanceSampler, count: int, decisions: int = 100_000) -> list[Problem]:
    """Instances in their own units."""
    return [in_own_unit(sampler.draw(), decisions) for _ in range(count)]
