"""One-step lookahead against what saved states tell, and against its own base."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from aq_gym.problem import Problem
from baselines.exact.one_device import solve
from baselines.heuristics.index import Index
from baselines.heuristics.rollout import Rollout
from baselines.heuristics.simple import Staggered
from baselines.playing import play_problem

SMALL: dict[str, Any] = {"network": "pku2018", "devices": [0], "horizon": 12, "energy_budget": 3, "max_sleep": 5}
NUMBERS = (12, 3, 5)


def never(problem: Problem) -> Index:
    """Senses only when it must."""
    return Index(problem, 50.0, {})


def eager(problem: Problem) -> Index:
    """Senses at any real gain."""
    return Index(problem, np.log(0.5), {})


def test_gain_is_the_exact_one_of_its_base() -> None:
    """In the last slots of one device, where the base's future is short enough to be summed up by hand."""
    problem = Problem.create(**{**SMALL, "n_levels": 4})
    network, levels = problem.network, problem.network.levels
    state: dict[str, Any] = {"energy": [1], "delay": [3], "record": [levels[1]], "level": levels[2]}
    rollout = Rollout(problem, never(problem), futures=20_000)

    def error(delay: int, record: float, level: float) -> float:
        return float(network.joint_error([0], [delay], [record], level).mean())

    here = error(3, levels[1], levels[2]) - error(0, levels[2], levels[2])
    assert rollout.gain(12, 0, **state) == pytest.approx(here, rel=1e-9)
    after = [error(4, levels[1], e) - error(1, levels[2], e) for e in levels]
    spread = np.std(after)
    want = here + float(np.dot(network.transition[2], after))
    assert rollout.gain(11, 0, **state) == pytest.approx(want, abs=5 * spread / 20_000**0.5)


def test_it_improves_on_its_base_and_nears_the_optimum() -> None:
    problem = Problem.create(**SMALL)
    base = eager(problem)
    plain, better, best = (
        play_problem(policy, problem, 300, 0).joint_error
        for policy in (base, Rollout(problem, base), solve(problem.network, 0, *NUMBERS))
    )
    gain = plain - better
    assert gain.mean() > 4 * gain.std() / 300**0.5
    assert best.mean() <= better.mean() < best.mean() + 0.25 * (plain.mean() - best.mean())


def test_decisions_depend_on_the_state_and_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem.create(**{**SMALL, "devices": [0, 9]})
    errors = []
    for seed, threads, most in ((0, 1, 24), (0, 3, 7), (1, 1, 24)):
        monkeypatch.setattr("baselines.playing.side_by_side", lambda problem, most=most: most)
        errors.append(play_problem(Rollout(problem, eager(problem), 8, seed, threads), problem, 24, 0).joint_error)
    np.testing.assert_array_equal(errors[0], errors[1])
    assert not np.array_equal(errors[0], errors[2])
    env = gym.make("aq_gym/MultiDevice-v0", **{**SMALL, "devices": [0, 9]})
    observation, info = env.reset(seed=0)
    policy, over = Rollout(problem, eager(problem), 8), False
    while not over:
        observation, _, over, _, info = env.step(policy.act(observation, info))
    assert info["average_joint_error"] == pytest.approx(errors[0][0], rel=1e-12)


def test_nonsense_is_refused() -> None:
    problem = Problem.create(**SMALL)
    with pytest.raises(TypeError, match="base: expected an Index or a trained policy"):
        Rollout(problem, Staggered(problem))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="futures: expected an integer of at least 1"):
        Rollout(problem, eager(problem), 0)
    other = gym.make("aq_gym/MultiDevice-v0")
    observation, info = other.reset(seed=0)
    with pytest.raises(ValueError, match="built for 1 device"):
        Rollout(problem, eager(problem)).act(observation, info)


def test_a_hidden_level_is_refused() -> None:
    problem = Problem.create(**SMALL, inference="hidden")
    with pytest.raises(ValueError, match="level is hidden"):
        Rollout(problem, never(problem))
