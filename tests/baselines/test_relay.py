"""Relays under a hidden level."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.problem import Problem
from baselines.dynamic_programming import evaluate_exactly, solve
from baselines.evaluation.registry import build_policy
from baselines.heuristics.relay import AdaptiveRelay, BestTimetable, Relay, RetryingRelay, best_times
from baselines.playing import play_problem

NETWORK = dataclasses.replace(
    SensorNetwork.load("pku2018"), level_belief=np.array([5.3, 0.9, 0.037, 1.47, 0.004, 70.0])
)
ONE = (NETWORK, [0], 60, 10, 12)
TWO = (NETWORK.coarsen(6), [0, 15], 24, 4, 8)


def hidden(shape: Any, **options: Any) -> Problem:
    return Problem.create(*shape, inference="hidden", **options)


def test_a_relay_reports_at_even_intervals_and_the_devices_take_turns() -> None:
    slots, device = np.nonzero(Relay(hidden(TWO)).schedule)
    assert slots.tolist() == [3, 5, 8, 11, 13, 16, 19, 21]
    assert device.tolist() == [0, 1] * 4
    slots, device = np.nonzero(Relay(hidden(TWO, energy_budgets=[5, 3])).schedule)
    assert np.bincount(device).tolist() == [5, 3]
    assert device[:3].tolist() == [0, 0, 1]  # the one with more goes first


def test_the_best_timetable_has_the_known_regret() -> None:
    """docs/model.md's instance; 0.47 % above the adaptive optimum."""
    options: dict[str, Any] = {"inference": "hidden", "belief": "chain"}
    best = evaluate_exactly(BestTimetable(hidden(ONE, belief="chain")), *ONE, **options)
    assert 100.0 * (best / 9.370158 - 1.0) == pytest.approx(0.4687, abs=1e-3)


def test_no_other_timetable_of_a_tiny_instance_is_better() -> None:
    shape = (NETWORK.coarsen(3), [7], 6, 2, 6)
    problem, found = hidden(shape), {}
    for first in range(1, 6):
        for second in range(first + 1, 7):
            policy = Relay(problem)
            schedule = np.zeros((7, 1), np.bool_)
            schedule[[first, second]] = True
            policy.schedule = schedule
            found[first, second] = evaluate_exactly(policy, *shape, inference="hidden")
    assert tuple(best_times(problem)) == min(found, key=lambda pair: found[pair])


@pytest.mark.parametrize("options", [{"loss": 0.0}, {"harvest": (0.1, 5)}])
def test_an_adaptive_relay_of_one_device_is_the_optimum(options: dict[str, Any]) -> None:
    problem = hidden((NETWORK, [0], 30, 3, 12), **options)
    error = evaluate_exactly(AdaptiveRelay(problem), NETWORK, 0, 30, 3, 12, inference="hidden", **options)
    optimum = solve(NETWORK, 0, 30, 3, 12, inference="hidden", **options).expected_error
    assert error == pytest.approx(optimum, rel=1e-9)


def test_an_adaptive_relay_need_not_wake_before_the_end() -> None:
    """The air is clean, then it is not: a report would only bring the map a larger error."""
    transition, start = np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([1.0, 0.0])
    network = dataclasses.replace(NETWORK.coarsen(2), levels=np.array([5.0, 400.0]), transition=transition, start=start)
    shape = (network, [0], 3, 1, 5)
    error = evaluate_exactly(AdaptiveRelay(hidden(shape)), *shape, inference="hidden")
    assert error == pytest.approx(solve(network, 0, 3, 1, 5, inference="hidden").expected_error, rel=1e-12)


def test_an_adaptive_relay_of_two_devices_is_close_to_the_joint_optimum() -> None:
    error = evaluate_exactly(AdaptiveRelay(hidden(TWO, belief="chain")), *TWO, inference="hidden", belief="chain")
    assert 9.619237 < error < 9.619237 * 1.0015


def test_a_retrying_relay_is_even_without_losses_and_better_with() -> None:
    problem = hidden(ONE)
    policies: list[Any] = [Relay(problem), RetryingRelay(problem)]
    even, retrying = (evaluate_exactly(policy, *ONE, inference="hidden") for policy in policies)
    assert retrying == pytest.approx(even, rel=2e-3)
    even, retrying = (evaluate_exactly(policy, *ONE, inference="hidden", loss=0.3) for policy in policies)
    assert retrying < 0.97 * even


@pytest.mark.parametrize("word", ["relay", "retrying-relay", "timetable", "adaptive-relay"])
def test_words_build_them_and_batches_play_as_single_episodes_do(word: str) -> None:
    problem = hidden(TWO, loss=0.2)
    policy, _ = build_policy(word, problem)
    together = play_problem(policy, problem, 6, 3).joint_error
    alone = [play_problem(policy, problem, 1, 3 + k).joint_error[0] for k in range(6)]
    np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_an_adaptive_relay_knows_all_energy_that_devices_with_unequal_budgets_can_hold() -> None:
    """Device 0 keeps its five while the others harvest up to three."""
    problem = hidden((NETWORK.coarsen(3), [0, 7, 15], 8, 3, 8), energy_budgets=[5, 2, 2], harvest=(1.0, 3), loss=0.5)
    state = {"slot": 4, "turn": 0, "energy": [5, 3, 3], "delay": [2, 2, 2], "record": [20.0] * 3, "level": 20.0}
    info = {name: np.array(x) for name, x in state.items()} | {"action_mask": np.array([1, 1], np.int8)}
    assert AdaptiveRelay(problem).act(None, info) == 1, "plenty"
    assert 0.0 < play_problem(AdaptiveRelay(problem), problem, 4, 0).joint_error.mean() < 100.0


def test_a_known_level_is_refused() -> None:
    problem = Problem.create(*TWO)
    for policy in (BestTimetable, AdaptiveRelay):
        with pytest.raises(ValueError, match="inference='hidden'"):
            policy(problem)
