"""Sequential policies in the joint view: the same decisions, the same errors."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import aq_gym  # noqa: F401
from aq_gym.problem import Problem
from baselines import InTurn, load_generalist, load_pretrained, play_problem
from baselines.heuristics.index import Index
from baselines.heuristics.simple import Random, Staggered

PROBLEM = Problem.create("pku2018", [0, 10, 20], 12, 3, 6)


@pytest.mark.parametrize(
    "make",
    [lambda: Index(PROBLEM, -1.0, {"scarcity": 8.0}), lambda: Staggered(PROBLEM), lambda: load_generalist(PROBLEM)],
)
def test_the_joint_view_gives_the_same_errors(make: Any) -> None:
    expected = play_problem(make(), PROBLEM, 9, 3)
    found = play_problem(InTurn(make(), PROBLEM), PROBLEM, 9, 3)
    np.testing.assert_allclose(found.joint_error, expected.joint_error, rtol=1e-9)
    np.testing.assert_array_equal(found.sensings, expected.sensings)


def test_one_line_for_the_joint_id() -> None:
    agent = load_pretrained("aq_gym/JointDevices-v0")
    assert agent.card == load_pretrained("MultiDevice-v0").card
    env = gym.make("aq_gym/JointDevices-v0")
    observation, info = env.reset(seed=4)
    while "average_joint_error" not in info:
        observation, _, _, _, info = env.step(agent.act(observation, info))
    sequential = play_problem(load_pretrained("MultiDevice-v0"), env.unwrapped.problem, 1, 4)  # type: ignore[attr-defined]
    assert info["average_joint_error"] == pytest.approx(sequential.joint_error[0], rel=1e-9)


def test_beginnings_are_passed_on_and_nonsense_refused() -> None:
    one, two = (InTurn(Random(PROBLEM, 0), PROBLEM) for _ in range(2))
    assert (
        play_problem(one, PROBLEM, 4, 7).joint_error.tolist() == play_problem(two, PROBLEM, 4, 7).joint_error.tolist()
    )
    with pytest.raises(TypeError, match="expected an object with a method act"):
        InTurn(3, PROBLEM)


def test_the_trace_has_the_agent_of_its_chain() -> None:
    one, other = load_pretrained("aq_gym/MultiDevice-Trace-v0"), load_pretrained("MultiDevice-v0")
    assert one.card == other.card
