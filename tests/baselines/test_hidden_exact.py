"""Exact values under a hidden level: docs/model.md's reference values, brute force, and play."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.hidden_level import HiddenLevel
from aq_gym.problem import Problem
from baselines.dynamic_programming import HiddenSolution, evaluate_exactly, solve, solve_joint
from baselines.exact.hidden_devices import States, cost_from, induce
from baselines.heuristics.simple import Staggered, Synchronised
from baselines.playing import play_problem

NETWORK = dataclasses.replace(
    SensorNetwork.load("pku2018"), level_belief=np.array([5.3, 0.9, 0.037, 1.47, 0.004, 70.0])
)
TINY, SIX = NETWORK.coarsen(3), NETWORK.coarsen(6)
TWO = (SIX, [0, 15], 24, 4, 8)


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((0, 60, 10, 12), {"belief": "chain"}, 9.370158),
        ((0, 60, 10, 12), {}, 8.374459),
        ((13, 60, 10, 12), {"belief": "chain"}, 9.084261),
        ((13, 60, 10, 12), {}, 8.099533),
        ((0, 144, 24, 24), {}, 8.502005),
        ((0, 60, 10, 12), {"belief": "chain", "loss": 0.05}, 9.582688),
        ((0, 60, 10, 12), {"belief": "chain", "loss": 0.2}, 10.326106),
        ((0, 60, 10, 12), {"belief": "chain", "loss": 0.4}, 11.666909),
    ],
)
def test_reference_values_of_one_device(shape: Any, options: dict[str, Any], expected: float) -> None:
    assert solve(NETWORK, *shape, inference="hidden", **options).expected_error == pytest.approx(expected, abs=1e-6)


def brute_force(problem: Problem, costs: Any, t: int, energy: int, age: int, record: int) -> float:
    """The cost from slot t on by trying everything, of one device; costs: (ages, levels)."""
    if t > problem.horizon:
        return 0.0

    def ahead(p: int, d: int, u: int) -> float:
        chance = problem.harvest[0] if p < problem.harvest[1] else 0.0
        later = (1.0 - chance) * brute_force(problem, costs, t + 1, p, d + 1, u)
        return later + (chance * brute_force(problem, costs, t + 1, p + 1, d + 1, u) if chance else 0.0)

    off = costs[age, record] + ahead(energy, age, record)
    if energy == 0:
        return float(off)
    row = np.linalg.matrix_power(problem.network.transition, age)[record]
    heard = sum(chance * (costs[0, e] + ahead(energy - 1, 0, e)) for e, chance in enumerate(row))
    lost = costs[age, record] + ahead(energy - 1, age, record)
    on = problem.loss * lost + (1.0 - problem.loss) * heard
    return float(on if age >= problem.max_sleep else min(on, off))


@pytest.mark.parametrize("options", [{"loss": 0.3}, {"harvest": (0.25, 3)}, {"loss": 0.2, "harvest": (0.5, 2)}])
def test_brute_force_agrees(options: dict[str, Any]) -> None:
    problem = Problem.create(TINY, [7], 4, 2, 2, inference="hidden", belief="chain", **options)
    age, record = np.indices((6, 3))
    maps = HiddenLevel.of(TINY, "chain").estimate([7], age[..., None], TINY.levels[record][..., None])
    costs = maps.deviation.mean(axis=-1)
    expected = sum(chance * brute_force(problem, costs, 1, 2, 1, u) for u, chance in enumerate(TINY.start.tolist()))
    found = solve(TINY, 7, 4, 2, 2, inference="hidden", belief="chain", **options)
    assert found.expected_error == pytest.approx(expected / 4, abs=1e-9)


def test_reference_values_of_the_tiny_instance() -> None:
    hidden = {"inference": "hidden", "belief": "chain"}
    assert solve(TINY, 0, 6, 2, 3, **hidden).expected_error == pytest.approx(11.157078, abs=1e-6)
    assert solve(TINY, 13, 6, 2, 3, **hidden).expected_error == pytest.approx(10.893670, abs=1e-6)
    assert solve(TINY, 0, 6, 2, 3, loss=0.3, **hidden).expected_error == pytest.approx(13.658270, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("belief", "optimum", "staggered", "synchronised"),
    [("chain", 9.619237, 9.849336, 13.395), ("grown", 5.731626, 5.827995, 7.322)],
)
def test_reference_values_of_two_devices(belief: str, optimum: float, staggered: float, synchronised: float) -> None:
    hidden = {"inference": "hidden", "belief": belief}
    solution = solve_joint(*TWO, **hidden)
    assert solution.expected_error == pytest.approx(optimum, abs=1e-6)
    assert evaluate_exactly(solution, *TWO, **hidden) == pytest.approx(solution.expected_error, abs=1e-9)
    problem = Problem.create(*TWO, **hidden)
    assert evaluate_exactly(Staggered(problem), *TWO, **hidden) == pytest.approx(staggered, abs=1e-6)
    assert evaluate_exactly(Synchronised(problem), *TWO, **hidden) == pytest.approx(synchronised, abs=1e-3)


def test_deciding_in_turn_is_better_than_deciding_together() -> None:
    hidden = {"inference": "hidden", "belief": "chain"}
    shape = (SIX, [0, 15], 6, 4, 3)
    assert solve_joint(*shape, **hidden).expected_error == pytest.approx(3.762462, abs=1e-6)
    together = solve_joint(*shape, view="joint", **hidden)
    assert together.expected_error == pytest.approx(3.763150, abs=1e-6)
    played = play_problem(together, Problem.create(*shape, **hidden), 1000, 0).joint_error
    assert together.expected_error == pytest.approx(played.mean(), abs=4 * played.std() / 1000**0.5)


@pytest.mark.parametrize("options", [{}, {"loss": 0.2}, {"harvest": (0.1, 5)}])
def test_the_optimum_earns_its_value(options: dict[str, Any]) -> None:
    shape = (NETWORK, 0, 60, 10, 12)
    solution = solve(*shape, inference="hidden", **options)
    exact = evaluate_exactly(solution, *shape, inference="hidden", **options)
    assert exact == pytest.approx(solution.expected_error, abs=1e-9)
    problem = Problem.create(*shape, inference="hidden", **options)
    played = play_problem(solution, problem, 1000, 0).joint_error
    assert solution.expected_error == pytest.approx(played.mean(), abs=4 * played.std() / 1000**0.5)


def test_unequal_energies_and_losses_of_two_devices() -> None:
    options = {"inference": "hidden", "loss": 0.3, "energy_budgets": [1, 3]}
    shape = (TINY, [0, 15], 6, 2, 6)
    solution = solve_joint(*shape, **options)
    assert evaluate_exactly(solution, *shape, **options) == pytest.approx(solution.expected_error, abs=1e-9)
    played = play_problem(solution, Problem.create(*shape, **options), 1000, 0).joint_error
    assert solution.expected_error == pytest.approx(played.mean(), abs=4 * played.std() / 1000**0.5)


def test_one_device_by_products_of_matrices_is_one_of_any_number() -> None:
    problem = Problem.create(SIX, [0], 8, 3, 4, inference="hidden", loss=0.1)
    tables = induce(problem)
    age, record = (x.ravel()[:, None] for x in np.meshgrid(np.arange(1, 4), np.arange(6), indexing="ij"))
    for energy in (0, 1, 3):
        states = States(np.full_like(age, energy), age, record)
        stored = tables.after[4, energy, age[:, 0] * 6 + record[:, 0]]
        np.testing.assert_allclose(cost_from(tables, 4, states), stored, rtol=1e-12)


def test_the_policy_reads_nothing_of_the_level() -> None:
    solution = solve(NETWORK, 0, 60, 10, 12, inference="hidden")
    assert isinstance(solution, HiddenSolution)
    delay = np.arange(1, 12)
    info = {
        "slot": np.full(11, 20),
        "turn": np.zeros(11, np.int64),
        "energy": np.full((11, 1), 6),
        "delay": delay[:, None],
        "record": np.full((11, 1), 55.0),
    }
    actions = solution.act(None, info)
    np.testing.assert_array_equal(actions, solution.act(None, info | {"level": np.full(11, 300.0)}))
    assert actions.tolist() == sorted(actions.tolist())  # once it is worth it, it stays worth it
    assert 0 < actions.sum() < 11
    values = solution.action_values(20, 6, delay, 55.0)
    np.testing.assert_array_equal(values.argmax(axis=-1), actions)
    np.testing.assert_array_equal(solution.value(20, 6, delay, 55.0), values.max(axis=-1))
    assert solution.action_values(20, 6, 12, 55.0)[0] == -np.inf  # forced
    assert solution.action_values(20, 0, 3, 55.0)[1] == -np.inf


def test_what_cannot_be_solved_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bytes of memory.*coarsen"):
        solve_joint(NETWORK, [0, 15], 24, 4, 8, inference="hidden")
    with pytest.raises(ValueError, match=r"inference='hidden' alone"):
        solve(NETWORK, 0, 12, 3, 6, harvest=(0.1, 5))
    with pytest.raises(ValueError, match="more than 10 states"):
        policy = solve(NETWORK, 0, 12, 3, 6, inference="hidden")
        evaluate_exactly(policy, NETWORK, 0, 12, 3, 6, inference="hidden", max_bytes=2000)


def test_a_dozen_devices_are_evaluated_exactly() -> None:
    """Their states are more than a number of 64 bits counts."""
    how: dict[str, Any] = {"devices": list(range(12)), "horizon": 6, "energy_budget": 2, "max_sleep": 3}
    problem = Problem.create(TINY, **how, inference="hidden")
    policy = Staggered(problem)
    errors = play_problem(policy, problem, 2000, 0).joint_error
    exact = evaluate_exactly(policy, **problem.arguments)
    assert abs(exact - errors.mean()) < 4.0 * errors.std() / len(errors) ** 0.5
