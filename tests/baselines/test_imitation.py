"""An agent that imitates a policy acts like it, and is stored like any other."""

from pathlib import Path

import numpy as np
import pytest

from agents import export
from baselines import build_policy, problem_of
from baselines.learners.imitation import imitate
from baselines.learners.shipped import load_trained
from scripts import imitate as command

HIDDEN = "aq_gym/SingleDevice-Hidden-v0"
SMALL = {"horizon": 24, "energy_budget": 4, "max_sleep": 8}


def test_a_timetable_is_learned_and_survives_its_file(tmp_path: Path) -> None:
    expert, _ = build_policy("staggered", problem_of(HIDDEN, **SMALL))
    found = imitate(expert, HIDDEN, rounds=3, updates=600, episodes=8, **SMALL)
    assert found.errors.mean() == pytest.approx(found.expert_errors.mean(), rel=0.03)
    export(tmp_path / "policy.safetensors", found.agent, observation="compact")
    policy = found.agent.policy("compact")
    observations = np.random.default_rng(0).random((50, 32), dtype=np.float32)
    info = {"action_mask": np.ones((50, 2), np.int8)}
    np.testing.assert_array_equal(load_trained(tmp_path).act(observations, info), policy.act(observations, info))


def test_the_same_seed_learns_the_same() -> None:
    expert, _ = build_policy("staggered", problem_of(HIDDEN, **SMALL))
    one, other = (imitate(expert, HIDDEN, rounds=1, updates=20, episodes=4, **SMALL) for _ in range(2))
    np.testing.assert_array_equal(one.errors, other.errors)


def test_the_command_says_how_near_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--env", HIDDEN, "--expert", "staggered", "--rounds", "1", "--updates", "20", "--episodes", "4"]
    args += ["--folder", str(tmp_path), "--env-kwargs", '{"horizon": 24, "energy_budget": 4, "max_sleep": 8}']
    command.main(command.parse(args))
    assert "the expert" in capsys.readouterr().out
    assert load_trained(tmp_path).card["policy_is"] == "imitation of staggered"
