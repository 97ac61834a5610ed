"""The backtest where the level is hidden: reports of real readings, their maps, the command."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aq_gym import SensorNetwork
from aq_gym.adapted_intervals import adapted_factors
from aq_gym.estimation import LEVELS_OF_COVERAGE, Estimate, mean_deviation
from aq_gym.problem import Problem
from baselines.heuristics.index_tuning import best_threshold
from baselines.heuristics.relay import Relay
from baselines.playing import play_problem
from baselines.studies.backtest.replaying import Windows
from baselines.studies.backtest.reports import (
    Reports,
    backtest_reports,
    findings,
    hourly_lines,
    page,
    replay_reports,
    rmse_change,
    summary,
)
from baselines.studies.backtest.scores import adapted_coverage, judge
from scripts import backtest_hidden as command

NETWORK = SensorNetwork.load("pku2018-spring")
PROBLEM = Problem.create(NETWORK, [0, 10], 12, 3, 6, inference="hidden")


def air(slots: int = 100, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    level = 60.0 + 30.0 * np.sin(np.arange(slots) / 9.0)
    return np.rint(level[:, None] * (1.0 + 0.05 * rng.standard_normal((slots, 30))))


def maps_of(problem: Problem, reports: Reports) -> Estimate:
    return problem.hidden_level.estimate(problem.devices, reports.delay, reports.record)


DATA = Windows.cut(NETWORK, [air()], 12, 7)


def test_the_server_knows_the_age_of_each_report_and_what_the_reading_says_of_the_level() -> None:
    schedule = Relay(PROBLEM).schedule
    reports = replay_reports(Relay(PROBLEM), PROBLEM, DATA.readings)
    part = 1.0 + mean_deviation(NETWORK)
    for m, location in enumerate(PROBLEM.devices):
        last = 0
        for t in range(1, 13):
            last = t if schedule[t, m] else last
            assert (reports.delay[:, t - 1, m] == t - last).all()
            np.testing.assert_allclose(reports.record[:, t - 1, m], DATA.readings[:, last, location] / part[location])
    assert reports.sensings == 3.0


def test_readings_of_clean_air_are_reports_of_1() -> None:
    reports = replay_reports(Relay(PROBLEM), PROBLEM, np.zeros_like(DATA.readings))
    assert (reports.record == 1.0).all()


def test_lost_reports_cost_energy_and_are_the_same_for_all_policies() -> None:
    losing = Problem.create(NETWORK, [0, 10], 12, 6, 6, inference="hidden", loss=0.5)
    first = replay_reports(Relay(losing), losing, DATA.readings, seed=1)
    again = replay_reports(Relay(losing), losing, DATA.readings, seed=1)
    np.testing.assert_array_equal(first.delay, again.delay)
    assert first.sensings == 6.0
    arrived = (first.delay == 0).sum(axis=1).mean()
    assert 2.0 < arrived < 4.0


def test_a_policy_that_observes_sees_what_the_environment_shows() -> None:
    """On a network whose map is exact, a replay of imposed levels is the environment's episode."""
    path = np.array([[7, 7, 8, 9, 9, 8, 7, 6, 6, 5, 5, 6, 7]])
    readings = NETWORK.levels[path][..., None] * (1.0 + mean_deviation(NETWORK))
    policy = best_threshold(PROBLEM, decisions=20_000)
    reports = replay_reports(policy, PROBLEM, readings)
    played = play_problem(policy, PROBLEM, 1, 0, levels=path).joint_error[0]
    assert maps_of(PROBLEM, reports).deviation.mean() == pytest.approx(played, rel=1e-6)


def test_adapted_intervals_cover_what_they_claim_where_the_level_grows_less_than_believed() -> None:
    """The level as a random walk of small and of large steps, so that the belief is too wide and too narrow."""
    rng = np.random.default_rng(0)
    problem = Problem.create(NETWORK, [0, 6, 12, 18, 24], 300, 20, 60, inference="hidden")
    for share, narrower in ((0.4, True), (3.0, False)):
        steps = share * 4.0 * np.cumsum(rng.standard_normal(3_000))
        level = 60.0 + steps - np.linspace(0.0, steps[-1], 3_000)
        level = np.maximum(level, 20.0) + 10.0
        table = level[:, None] * (1.0 + mean_deviation(NETWORK)) * (1.0 + 0.045 * rng.standard_normal((3_000, 30)))
        data = Windows.cut(NETWORK, [table], 300, 97)
        reports = replay_reports(Relay(problem), problem, data.readings)
        maps = maps_of(problem, reports)
        given = problem, reports.delay, reports.record, maps, data
        plain, adapted = (np.array(adapted_coverage(*given, step)) for step in (0.0, 0.2))
        claimed = np.array(LEVELS_OF_COVERAGE)
        factors = adapted_factors(problem, reports.delay, reports.record)
        assert (factors[:, 0] == 1.0).all()
        assert (factors[:, -1, 0].mean() < 1.0) == narrower
        assert np.abs(adapted - claimed).max() < np.abs(plain - claimed).max()


def test_without_adapting_the_intervals_are_the_map_s() -> None:
    reports = replay_reports(Relay(PROBLEM), PROBLEM, DATA.readings)
    maps = maps_of(PROBLEM, reports)
    shares = adapted_coverage(PROBLEM, reports.delay, reports.record, maps, DATA, step=0.0)
    scores = judge(maps, DATA, PROBLEM.devices)
    assert shares == pytest.approx([scores[f"cover_{x}"] for x in (50, 90, 95)], abs=1e-9)


def test_hourly_readings_run_straight_between_the_hours() -> None:
    rng = np.random.default_rng(0)
    hours = 60.0 + np.cumsum(rng.normal(0.0, 5.0, 200))
    level = np.interp(np.arange(1194), np.arange(200) * 6, hours)
    exact = hourly_lines(level)
    assert exact[0] == pytest.approx(0.0, abs=1e-9)
    assert exact[1:].min() > 0.5
    noisy = hourly_lines(level + rng.normal(0.0, 0.5, len(level)))
    assert noisy[0] == noisy.min()


def test_changes_of_the_rmse_are_paired() -> None:
    base = np.random.default_rng(0).random(30) + 1.0
    np.testing.assert_allclose(rmse_change(base * 0.81, base, 0, 3), (-10.0, -10.0, -10.0))


def test_the_table_and_what_is_said_of_it() -> None:
    table = backtest_reports({name: name for name in ("relay", "retrying-relay")}, PROBLEM, DATA, stride=7)
    assert table.policy.tolist() == ["relay", "retrying-relay"]
    assert np.isnan(table.change[0])
    assert table.change_low[1] <= table.change[1] <= table.change_high[1]
    assert (table[["promised", "delivered", "claimed", "rmse"]] > 0).all(axis=None)
    table = table.assign(fitted="one", played="other", loss=0.2, windows=len(DATA))
    said = page(table, PROBLEM, 7, {"one": np.arange(6.0)})
    assert "20 % of the reports lost" in said
    assert "one, 20 % lost: " in findings(table)[0] and "anew after each loss" in findings(table)[0]
    assert "relay" in summary(table)


def test_the_command(pku_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_GYM_DATA", str(pku_data.parent))
    csv = tmp_path / "hidden.csv"
    given = ["--policies", "relay", "adaptive-relay", "--losses", "0.2", "--devices", "0", "6", "--horizon", "48"]
    given += ["--budget", "4", "--max-sleep", "24", "--stride", "997", "--quiet", "--csv", str(csv)]
    table = command.main(command.parse(given))
    assert table.fitted.unique().tolist() == ["pku2018-spring", "pku2018-summer"]
    assert len(pd.read_csv(csv)) == 4
    with pytest.raises(ValueError, match="common factor"):
        command.main(command.parse(["--stride", "6", "--csv", str(csv)]))
