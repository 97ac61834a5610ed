"""Tuning the index policy by the cross-entropy method, and the coefficients that were found for the registered ids."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.network_checks import as_count
from aq_gym.problem import Problem
from baselines.heuristics.index import AT, Index, Simulator
from baselines.heuristics.problems import committed, entry_problem, field, finite, tuned_fields
from baselines.playing import FIRST_TUNING_SEED

TUNED = Path(__file__).with_name("index.json")
FEATURES = (  # the numbers that the threshold may depend on
    "scarcity",
    "scarcity_pooled",
    "scarcity_later",
    "energy_inverse",
    "level_log",
    "error_log",
    "delay_log",
    "patience_log",
    "record_distance",
    "record_ratio",
    "freshest_delay_log",
    "freshest_distance",
    "gain_later_log",
    "remaining",
    "gain_absolute_log",
)
GRID_DECISIONS = 2_500_000  # played by all candidates of `best_threshold` together
QUICK_DECISIONS = 25_000_000  # played when an instance is tuned on demand: about a minute
SHIFTS = (0.0, -4.0, -3.0, -2.0, -1.0, -0.5, 0.5, 1.0)  # of the constant of committed coefficients
_FLOOR = 0.03  # least spread of a coefficient in the search, see Budget.step
_CONSTANT = 1e-6  # a number of less spread is taken for a constant


@dataclass(frozen=True)
class Budget:
    """What a tuning may play.

    ``step`` is the first standard deviation of each coefficient, in units of what the logarithm of the threshold
    changes by when its number changes by one standard deviation.
    """

    generations: int = 24
    population: int = 64  # candidates in a generation, at least 8
    episodes: int = 256  # that each candidate plays
    step: float = 0.5

    def __post_init__(self) -> None:
        for name, minimum in (("generations", 1), ("population", 8), ("episodes", 1)):
            as_count(name, getattr(self, name), minimum)
        if not self.step > 0:
            raise ValueError(f"step: expected a positive number, got {self.step!r}")


QUICK = Budget(generations=10, population=32, step=0.25)  # when an instance is tuned on demand


def tune(
    problem: Problem,
    budget: Budget = Budget(),
    seed: int = FIRST_TUNING_SEED,
    starts: Sequence[Index] = (),
    report: Callable[[str], None] = lambda line: None,
) -> tuple[Index, float]:
    """Find the coefficients by the cross-entropy method.

    The mean starts from the best of ``starts`` and of a grid of thresholds c · PD_own^a · PD_pooled^b. Coefficients are
    searched in units in which every number has the spread that it has under that policy. All candidates of a generation
    play the same episodes, each generation plays new ones; the best quarter move mean and covariance, smoothly, and the
    spread of each coefficient is kept above a floor. In the end the means of the later generations, their average and
    the start are compared on eight times as many new episodes. It is a function of its arguments.

    Args:
        seed: of the first episode; by convention at least `FIRST_TUNING_SEED`.
        starts: policies (of any problem) whose coefficients are tried first, see `shifted`.

    Returns:
        The policy and its average joint error on the last episodes [µg/m³].

    Raises:
        ValueError: a wrong seed.
    """
    began, seed = time.perf_counter(), as_count("seed", seed, 0)
    simulator, rng, episodes = Simulator(problem), np.random.default_rng(seed), budget.episodes
    first = [Index(problem, start.constant, start.coefficients) for start in starts] + thresholds(problem)
    found = simulator.errors(first, episodes, seed).mean(axis=1)
    start = first[int(found.argmin())]
    report(f"start: {found.min():.4f} µg/m³, {start}")
    seed += episodes

    space = Space(start, FEATURES, simulator.observations(start, max(1, min(episodes, 64)), seed))

    def errors(policies: list[Index], number: int) -> NDArray[np.float64]:
        return simulator.errors(policies, episodes, seed + number * episodes).mean(axis=1)

    means = cross_entropy(space, errors, budget, rng, stay=(0.2, 0.5), floor=_FLOOR, report=report, unit="µg/m³")
    late = means[-max(1, len(means) // 3) :]
    finalists = [start, space.policy(np.mean(late, axis=0)), *map(space.policy, late[:: -max(1, len(late) // 4)])]
    found = simulator.errors(finalists, 8 * episodes, seed + budget.generations * episodes).mean(axis=1)
    chosen, seconds = finalists[int(found.argmin())], time.perf_counter() - began
    report(f"best: {found.min():.4f} µg/m³, {chosen}; {simulator.decisions:,} decisions in {seconds:.0f} s")
    return Index(problem, chosen.constant, chosen.coefficients, training_seconds=seconds), float(found.min())


def thresholds(problem: Problem) -> list[Index]:
    """A grid of policies that need no tuning: the threshold is c · PD_own^a · PD_pooled^b, the decrease in µg/m³."""
    shares = ((16.0, 0.0), (8.0, 8.0), (0.0, 16.0))
    return [
        Index(problem, float(np.log(0.02 * 2.0**k)), {"scarcity": own_share, "scarcity_pooled": pooled_share})
        for own_share, pooled_share in shares
        for k in range(10)
    ]


def best_threshold(problem: Problem, seed: int = FIRST_TUNING_SEED, decisions: int = GRID_DECISIONS) -> Index:
    """The best of `thresholds` on the episodes of seeds ``seed`` and on: greedy sensing, tuned in a second or two."""
    began, candidates = time.perf_counter(), thresholds(problem)
    plays = decisions // (len(candidates) * problem.horizon * problem.n_devices)
    errors = Simulator(problem).errors(candidates, min(512, max(4, plays)), seed).mean(axis=1)
    best = candidates[int(errors.argmin())]
    return Index(problem, best.constant, best.coefficients, training_seconds=time.perf_counter() - began)


def shifted(problem: Problem, numbers: Mapping[str, Any], shifts: Sequence[float] = SHIFTS) -> list[Index]:
    """Committed coefficients with the constant moved, since another number of devices wants another one."""
    constant, coefficients = (field(numbers, name, "numbers") for name in ("constant", "coefficients"))
    return [Index(problem, finite("constant", constant) + shift, coefficients) for shift in shifts]


class Space:
    """Where the search takes place: the threshold at the numbers' means, and its change per standard deviation."""

    def __init__(self, start: Index, features: Sequence[str], seen: NDArray[np.float32]) -> None:
        if not len(seen):  # every decision is forced: nothing to search
            seen = np.zeros((1, *seen.shape[1:]), np.float32)
        columns = seen[:, [AT[name] for name in features]].astype(np.float64)
        spread = columns.std(axis=0)
        self.used = [name for name, x in zip(features, spread, strict=True) if x > _CONSTANT]
        self.start, self._spread = start, spread[spread > _CONSTANT]
        self._center = columns.mean(axis=0)[spread > _CONSTANT]
        self._fixed = {name: x for name, x in start.coefficients.items() if name not in self.used}

    def point(self, policy: Index) -> NDArray[np.float64]:
        """Where a policy lies, (1 + features,)."""
        given = np.array([policy.coefficients.get(name, 0.0) for name in self.used])
        return np.concatenate([[policy.constant + given @ self._center], given * self._spread])

    def policy(self, point: NDArray[np.float64]) -> Index:
        """The policy of a point."""
        given = point[1:] / self._spread
        constant = float(point[0] - given @ self._center)
        return Index(self.start.problem, constant, self._fixed | dict(zip(self.used, given.tolist(), strict=True)))


def cross_entropy(
    space: Space,
    errors: Callable[[list[Index], int], NDArray[np.float64]],
    budget: Budget,
    rng: np.random.Generator,
    *,
    stay: tuple[float, float],
    floor: float,
    report: Callable[[str], None],
    unit: str,
) -> list[NDArray[np.float64]]:
    """The means of the generations, points of ``space``; the search begins at its start.

    Of mean and covariance the shares ``stay`` are left in each generation; its best quarter makes up the rest.
    """
    began, mean, means = time.perf_counter(), space.point(space.start), []
    covariance, least = np.eye(len(mean)) * budget.step**2, np.eye(len(mean)) * floor**2
    for generation in range(budget.generations):
        points = rng.multivariate_normal(mean, covariance, budget.population)
        points[0] = mean
        found = errors([space.policy(x) for x in points], generation)
        order = found.argsort()[: budget.population // 4]
        report(
            f"generation {generation + 1}: mean {found[0]:.4f}, elite {found[order].mean():.4f} {unit}, "
            f"spread {np.sqrt(np.diag(covariance)).mean():.3f}, {time.perf_counter() - began:.0f} s"
        )
        mean = stay[0] * mean + (1.0 - stay[0]) * points[order].mean(axis=0)
        new = 1.0 - stay[1]
        covariance = stay[1] * covariance + new * np.cov(points[order].T, bias=True) + new * least
        means.append(mean)
    return means


def index_policy(problem: Problem) -> Index:
    """The index policy of a problem: read from `TUNED` for the registered ids, else tuned now.

    A problem that has no committed coefficients is tuned with `QUICK_DECISIONS` decisions, starting from the best of
    the committed ones, as a rule within a per cent of a full tuning; `scripts.tune_index` spends more.
    """
    if found := tuned_fields(TUNED, problem, "constant", "coefficients", "training_seconds"):
        return Index(problem, *found[:2], training_seconds=found[2])
    starts = committed_starts(problem)
    budget = replace(QUICK, episodes=max(2, quick_episodes(problem, starts, QUICK_DECISIONS)))
    return tune(problem, budget, starts=starts)[0]


def committed_starts(problem: Problem) -> list[Index]:
    """The committed coefficients for the same inference, each with several constants."""
    tuned = committed(TUNED)
    alike = [name for name in tuned if entry_problem(name).inference == problem.inference]
    return [start for name in alike for start in shifted(problem, tuned[name])]


def quick_episodes(problem: Problem, starts: Sequence[Index], decisions: int) -> int:
    """How many episodes, at most 512, each candidate of a `QUICK` tuning may play."""
    plays = QUICK.generations * QUICK.population + len(starts) + 30 + 7 * 8  # the grid and the finalists
    return min(512, decisions // (plays * problem.horizon * problem.n_devices))
