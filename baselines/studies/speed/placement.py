"""The fitness of the placement search beside pymoo's genetic algorithm with a fitness in NumPy."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym import SensorNetwork, inference
from aq_gym.placement import Fitness, level_path
from aq_gym.placement.search import random_sets
from aq_gym.schedules import staggered
from baselines.studies.speed.comparison import Comparison, Rate, named, peer, timed

DEVICES, SLOTS = 5, 1_000


def instance() -> tuple[SensorNetwork, NDArray[np.bool_], NDArray[np.float64]]:
    """Campus, schedule of five devices that sense every sixth slot, and a level path."""
    network = SensorNetwork.load("pku2018")
    schedule = staggered(DEVICES, SLOTS, SLOTS // 6)
    return network, schedule, level_path(network, SLOTS, seed=0)


def numpy_fitness(network: SensorNetwork, schedule: NDArray[np.bool_], path: NDArray[np.float64], places: Any) -> float:
    """The average joint error of one set, all slots at once in NumPy."""
    slots = np.arange(SLOTS + 1)
    last = np.maximum.accumulate(np.where(np.pad(schedule, ((0, 0), (1, 0)), constant_values=True), slots, 0), axis=1)
    delay, record = (slots - last)[:, 1:].T, path[last][:, 1:].T
    return float(inference.joint_error(network, np.sort(places), delay, record, path[1:]).mean())


def pymoo_rate(given: tuple[Any, ...], evaluations: int) -> Rate:
    """Evaluations a second of pymoo's genetic algorithm."""
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.pntx import SinglePointCrossover
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    class Sets(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=DEVICES, n_obj=1, xl=0, xu=given[0].n_locations - 1, vtype=int)

        def _evaluate(self, x: Any, out: dict[str, Any]) -> None:
            places = np.unique(np.asarray(x, dtype=np.int64))
            out["F"] = 1e6  # a location twice
            if places.size == DEVICES:
                out["F"] = numpy_fitness(*given, places)
                evaluated.append(out["F"])

    evaluated: list[float] = []

    def rate() -> float:
        evaluated.clear()
        start = time.perf_counter()
        operators = {"crossover": SinglePointCrossover(), "mutation": PM(vtype=float, repair=RoundingRepair())}
        minimize(
            Sets(), GA(pop_size=40, sampling=IntegerRandomSampling(), **operators), ("n_eval", evaluations), seed=0
        )
        return len(evaluated) / (time.perf_counter() - start)

    return rate


def comparisons() -> Iterator[Comparison]:
    """Evaluations of sets a second, on one thread."""
    given = instance()
    network, schedule, path = given
    fitness = Fitness(network, schedule, path, threads=1)
    sets = random_sets(network.n_locations, DEVICES, 2_000, np.random.default_rng(0))
    if abs(fitness(sets[:1])[0] - numpy_fitness(*given, sets[0])) > 1e-9:
        raise AssertionError("our fitness and NumPy's differ")
    if peer("pymoo"):
        yield Comparison(
            f"placement, N=30 M={DEVICES} T={SLOTS:,}",
            "evaluations/s",
            timed(lambda: fitness(sets), len(sets)),
            f"{named('pymoo')} GA, fitness in NumPy",
            pymoo_rate(given, 200),
            40.0,
        )
