"""What a forecast of the level costs policies: known answers, and the command's table on real levels."""

from pathlib import Path

import numpy as np
import pytest

from aq_gym.problem import Problem
from baselines.evaluation import build_policy
from baselines.studies.in_the_loop import one_slot_ahead, play
from scripts import evaluate_forecasters


def test_forecasts_are_made_in_the_slot_before() -> None:
    level = np.array([10.0, 20.0, 30.0, 40.0])
    assert one_slot_ahead(np.array([np.nan, 25.0, 35.0, 45.0]), level).tolist() == [10.0, 10.0, 25.0, 35.0]


def test_what_is_seen_decides_and_the_truth_counts() -> None:
    problem = Problem.create("pku2018", [0, 6], 12, 2, 6)
    levels = np.random.default_rng(0).integers(0, 20, size=(6, 13))
    truth = problem.network.levels[levels]
    policy, blind = (build_policy(word, problem)[0] for word in ("greedy", "staggered"))
    base = play(policy, problem, levels, None)
    assert np.array_equal(play(policy, problem, levels, truth), base)
    assert not np.array_equal(play(policy, problem, levels, truth[:, ::-1]), base)
    assert np.array_equal(play(blind, problem, levels, truth[:, ::-1]), play(blind, problem, levels, None))


def test_the_command_adds_a_table(pku_data: Path, tmp_path: Path) -> None:
    command = ["--in-the-loop", "--forecasters", "drift", "--quiet", "--folder", str(tmp_path)]
    evaluate_forecasters.main(evaluate_forecasters.parse(command))
    rows = (tmp_path / "in_the_loop.csv").read_text().splitlines()
    assert len(rows) == 1 + 4 * 3 and any(row.startswith("index,drift,5.") for row in rows)
    with pytest.raises(ValueError, match="in-the-loop"):
        evaluate_forecasters.main(evaluate_forecasters.parse([*command, "--phases", "6"]))
