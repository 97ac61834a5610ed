"""Disturbed worlds: the undisturbed one is the environment's, and each disturbance does what it says."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aq_gym import SensorNetwork
from aq_gym.problem import Problem
from baselines.heuristics.index import Index
from baselines.heuristics.relay import Relay
from baselines.heuristics.simple import Random, Staggered
from baselines.learners.shipped import load_generalist
from baselines.playing import play_problem
from baselines.studies.robustness import CLEAN, COLUMNS, Disturbance, disturbances, page, play_disturbed, summary
from scripts import robustness as command

PROBLEM = Problem.create("pku2018-spring", [0, 10, 20], 12, 3, 6)
INDEX = Index(PROBLEM, -1.0, {"scarcity": 8.0})


@pytest.mark.parametrize(
    "make", [lambda: Random(PROBLEM, 0), lambda: Staggered(PROBLEM), lambda: INDEX, lambda: load_generalist(PROBLEM)]
)
def test_the_undisturbed_world_is_the_environment_s(make: Any) -> None:
    expected = play_problem(make(), PROBLEM, 12, 5).joint_error
    np.testing.assert_allclose(play_disturbed(make(), PROBLEM, Disturbance(), 12, 5), expected, rtol=1e-9)


def test_a_true_network_is_what_is_paid() -> None:
    other = Problem.create("pku2018-summer", PROBLEM.devices, 12, 3, 6)
    expected = play_problem(Staggered(other), other, 12, 5).joint_error
    summer = Disturbance(network=SensorNetwork.load("pku2018-summer"))
    np.testing.assert_allclose(play_disturbed(Staggered(PROBLEM), PROBLEM, summer, 12, 5), expected, rtol=1e-9)


def test_lost_readings_and_dead_devices_cost() -> None:
    clean = play_disturbed(Staggered(PROBLEM), PROBLEM, Disturbance(), 64, 0)
    for disturbance in (Disturbance(lost=0.3), Disturbance(dead=1)):
        assert play_disturbed(Staggered(PROBLEM), PROBLEM, disturbance, 64, 0).mean() > 1.02 * clean.mean()
    nothing = play_disturbed(Staggered(PROBLEM), PROBLEM, Disturbance(lost=1.0), 64, 0)
    never = Problem.create("pku2018-spring", PROBLEM.devices, 12, 1, 12)
    silent = play_disturbed(Staggered(never), never, Disturbance(lost=1.0), 64, 0)
    assert nothing.mean() > 1.5 * clean.mean() and silent.mean() >= nothing.mean()


def test_a_timetable_does_not_care_what_the_level_is_thought_to_be() -> None:
    clean = play_disturbed(Staggered(PROBLEM), PROBLEM, Disturbance(), 16, 0)
    for disturbance in (Disturbance(level_noise=0.3), Disturbance(late=True)):
        np.testing.assert_array_equal(play_disturbed(Staggered(PROBLEM), PROBLEM, disturbance, 16, 0), clean)
        assert (
            play_disturbed(INDEX, PROBLEM, disturbance, 16, 0) != play_disturbed(INDEX, PROBLEM, Disturbance(), 16, 0)
        ).any()


def test_half_the_variance() -> None:
    halved = disturbances(PROBLEM)["δ² x 0.5"].network
    assert halved is not None and halved.measurement_variance == 0.5 * PROBLEM.network.measurement_variance


def test_the_terminal_s_table_is_narrow_and_one_episode_has_no_interval() -> None:
    names = ("staggered", "greedy", "index", "generalist", "MultiDevice-v0's agent")
    rows = [
        (condition, name, 5.5, -16.2, *ends)
        for condition, ends in ((CLEAN, (0, 0)), ("x" * 26, (-99.1, 168.1)))
        for name in names
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(env_id="MultiDevice-v0", hidden=False, episodes=1000)
    lines = summary(table).splitlines()
    assert max(map(len, lines)) <= 80 and all(any(name in line for line in lines) for name in names)
    alone = table.assign(percent_low=np.nan, percent_high=np.nan)
    assert "nan" not in page(alone) + summary(alone)


HIDDEN = Problem.create("pku2018-spring", [0, 10, 20], 12, 3, 6, inference="hidden")


@pytest.mark.parametrize("make", [lambda: Relay(HIDDEN), lambda: Random(HIDDEN, 0), lambda: Index(HIDDEN, -1.0, {})])
def test_the_undisturbed_world_of_a_hidden_level_is_the_environment_s(make: Any) -> None:
    expected = play_problem(make(), HIDDEN, 12, 5).joint_error
    np.testing.assert_allclose(play_disturbed(make(), HIDDEN, Disturbance(), 12, 5), expected, rtol=1e-6)


def test_disturbances_of_a_hidden_level_cost() -> None:
    clean, network = play_disturbed(Relay(HIDDEN), HIDDEN, Disturbance(), 64, 0), HIDDEN.network
    belief = network.level_belief
    assert belief is not None
    other = dataclasses.replace(network, level_belief=belief * np.array([1, 1, 1, 1, 30, 1]))
    for disturbance in (Disturbance(lost=0.3), Disturbance(dead=1), Disturbance(level_noise=0.2), Disturbance(other)):
        assert play_disturbed(Relay(HIDDEN), HIDDEN, disturbance, 64, 0).mean() > 1.02 * clean.mean()
    with pytest.raises(ValueError, match="a known level where it is late"):
        play_disturbed(Relay(HIDDEN), HIDDEN, Disturbance(late=True), 2, 0)
    assert not {"σ² x 2", "level known one slot late"} & set(disturbances(HIDDEN))


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    given = ["--ids", "SingleDevice-v0", "SingleDevice-Hidden-v0", "--policies", "staggered", "greedy"]
    given += ["--episodes", "8", "--no-agent", "--quiet"]
    report = tmp_path / "r.md"
    table = command.main(command.parse([*given, "--csv", str(tmp_path / "r.csv"), "--markdown", str(report)]))
    assert len(table) == 2 * (12 + 7) and (table[table.condition == CLEAN].percent == 0).all()
    assert report.read_text().count("\n| ") == 2 * 2 + 12 + 7 and (tmp_path / "r.csv").exists()
