"""The universal index: one set of coefficients for all instances, each in its own unit. It is the shipped generalist.

An index policy (`baselines.heuristics.index`) whose threshold depends on ratios and on two logarithms alone, so that a
change of unit is a change of its constant. It starts from what MultiDevice-v0's index policy does on sampled instances,
and the cross-entropy method then lowers its mean error, relative to greedy sensing's, on all of them at once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.problem import Problem
from aq_gym.sampler import InstanceSampler
from baselines.heuristics.index import AT, NAMES, Index, Simulator, greedy_index
from baselines.heuristics.index_tuning import Budget, Space, cross_entropy, index_policy
from baselines.heuristics.problems import entry_problem
from baselines.learners.own_unit import LOGARITHMS, THRESHOLD, UNREAD, greedy_threshold, in_own_unit, scaled
from baselines.playing import FIRST_TUNING_SEED

READ = tuple(name for i, name in enumerate(NAMES) if i not in UNREAD)
_DOUBT = 0.5  # scores of such size still count by half in the imitation
_STEP, _FLOOR = 0.15, 0.02  # spread of the search at first and at least, see `index_tuning.Budget`


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
