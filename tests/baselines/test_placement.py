"""Placement under a policy: what a set is worth, and the alternation of the two."""

import numpy as np
import pytest

from aq_gym.problem import Problem
from baselines.heuristics.index import Index, Simulator
from baselines.learners.shipped import load_generalist
from baselines.packing import errors_of
from baselines.placement import PolicyFitness, Stage, moved, place_together, player

PROBLEM = Problem.create("synthetic-20-1", [0, 1, 2], 12, 3, 6)


def test_a_set_is_worth_what_the_policy_makes_of_it() -> None:
    for policy in (Index(PROBLEM, -1.0, {"scarcity": 8.0}), load_generalist(PROBLEM)):
        fitness = PolicyFitness(PROBLEM, policy, episodes=16, seed=7)
        found = fitness(np.array([[4, 9, 2], [2, 4, 9], [5, 6, -1]]))
        assert found[0] == found[1] != found[2]
        there = moved(PROBLEM, [2, 4, 9])
        if isinstance(policy, Index):
            expected = Simulator(there).errors([policy], 16, 7)[0]
        else:
            expected = errors_of(policy, there, 16, 7)
        assert found[0] == expected.mean()
        np.testing.assert_array_equal(fitness.episode_errors([2, 4, 9]), expected)


def test_placing_together_never_makes_it_worse_and_ends() -> None:
    seen: list[Stage] = []
    stages = place_together(PROBLEM, "greedy", rounds=3, episodes=64, watch=seen.append)
    assert seen == stages and 2 <= len(stages) <= 4
    errors = [stage.error for stage in stages]
    assert errors == sorted(errors, reverse=True) and stages[0].devices == (0, 1, 2)
    assert all(len(set(stage.devices)) == 3 for stage in stages)
    assert len(place_together(PROBLEM, "greedy", rounds=0, episodes=8)) == 1


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="policy: expected one of greedy, index, generalist, got 'magic'"):
        player("magic", PROBLEM)
    with pytest.raises(ValueError, match="episodes: expected an integer of at least 1, got 0"):
        PolicyFitness(PROBLEM, load_generalist(PROBLEM), episodes=0)
    with pytest.raises(ValueError, match="20"):
        PolicyFitness(PROBLEM, load_generalist(PROBLEM))(np.array([[0, 1, 20]]))
