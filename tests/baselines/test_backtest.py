"""The backtest: what is replayed, what goes wrong, how it is judged."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aq_gym import SensorNetwork
from aq_gym.estimation import Estimate, LevelAware
from aq_gym.problem import Problem
from baselines.heuristics.simple import Random, Staggered
from baselines.studies.backtest import page
from baselines.studies.backtest.replaying import Faults, Windows, own_readings, replay, sources_of
from baselines.studies.backtest.scores import block_interval, change, judge
from baselines.studies.backtest.tables import (
    CLEAN,
    CONDITIONS,
    METHODS,
    NOISES,
    backtest,
    deliver,
    gaussian_process,
    gaussian_process_map,
)
from baselines.studies.files import pyplot
from scripts import backtest as command
from scripts import calibrate

NETWORK = SensorNetwork.load("pku2018-spring")
PROBLEM = Problem.create(NETWORK, [0, 10], 12, 3, 6)
LEARNED = LevelAware(NETWORK, lasting=0.4, short=0.6, memory=14.0, long=0.2, floor=0.4, drift=30.0)


def air(slots: int = 100, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    level = 60.0 + 30.0 * np.sin(np.arange(slots) / 9.0)
    return np.rint(level[:, None] * (1.0 + 0.05 * rng.standard_normal((slots, 30))))


DATA = Windows.cut(NETWORK, [air()], 12)


def test_a_replay_is_the_timetable_with_what_the_rules_force() -> None:
    policy = Staggered(PROBLEM)
    replayed = replay(policy, PROBLEM, DATA.levels)
    np.testing.assert_array_equal(replayed.sensed, np.broadcast_to(policy.schedule[1:], replayed.sensed.shape))
    assert replayed.joint_error.shape == (len(DATA),) == (7,)
    single = replay(policy, PROBLEM, DATA.levels[:1])
    assert single.joint_error[0] == replayed.joint_error[0]


def test_the_last_readings_are_those_of_the_real_slots() -> None:
    replayed = replay(Random(PROBLEM, 0), PROBLEM, DATA.levels)
    sources, level = sources_of(replayed, PROBLEM, DATA)
    np.testing.assert_allclose(level, DATA.readings[:, 1:].mean(axis=2))
    for k in range(len(DATA)):
        last = [0, 0]
        for t in range(1, 13):
            for m, location in enumerate((0, 10)):
                if replayed.sensed[k, t - 1, m]:
                    last[m] = t
                assert sources.delay[k, t - 1, m] == t - last[m]
                assert sources.reading[k, t - 1, m] == DATA.readings[k, last[m], location]
                assert sources.level_then[k, t - 1, m] == pytest.approx(DATA.readings[k, last[m]].mean())


def test_faults_do_what_they_say() -> None:
    replayed = replay(Staggered(PROBLEM), PROBLEM, DATA.levels)
    clean, level = sources_of(replayed, PROBLEM, DATA)
    lost, _ = sources_of(replayed, PROBLEM, DATA, Faults(lost=1.0))
    np.testing.assert_array_equal(lost.delay[0], np.arange(1, 13)[:, None] * [1, 1])
    dead, _ = sources_of(replayed, PROBLEM, DATA, Faults(dead=1))
    assert (dead.delay[:, :6] == clean.delay[:, :6]).all() and (dead.delay[:, 6:, 1] == clean.delay[:, 6:, 1]).all()
    assert (np.diff(dead.delay[:, 5:, 0], axis=1) == 1).all()
    noisy, seen = sources_of(replayed, PROBLEM, DATA, Faults(level_noise=0.2))
    assert 0.1 < (seen / level - 1.0).std() < 0.3 and (noisy.reading == clean.reading).all()
    read, _ = sources_of(replayed, PROBLEM, DATA, Faults(measurement_noise=0.1))
    assert 0.05 < (read.reading / clean.reading - 1.0).std() < 0.15
    _, known = sources_of(replayed, PROBLEM, DATA, Faults(level_from_readings=True))
    assert not np.allclose(known, level) and np.abs(known / level - 1.0).mean() < 0.5
    assert Faults(level_from_readings=True).assumed_noise == 1.0 and Faults(level_noise=0.1).assumed_noise == 0.1


def test_judging_a_map_that_is_known() -> None:
    truth = DATA.readings[:, 1:]
    off = np.zeros_like(truth)
    off[..., 0], off[..., 5] = 100.0, 3.0  # location 0 has a device
    found = judge(Estimate(truth + off, np.full_like(truth, 1.0)), DATA, [0, 10])
    assert found["rmse"] == pytest.approx((9.0 / 28) ** 0.5) and found["bias"] == pytest.approx(3.0 / 28)
    assert found["rmse_all"] == pytest.approx(((9.0 + 1e4) / 30) ** 0.5) and found["claimed"] == 1.0
    assert found["cover_50"] == found["cover_95"] == pytest.approx(27 / 28)
    assert found["rmse_low"] == pytest.approx(found["rmse"]) == found["rmse_high"]
    assert np.isnan(found["rmse_from_150"]) and found["rmse_from_35"] == pytest.approx(found["rmse"])


def test_blocks_widen_intervals_of_series_that_stay() -> None:
    rng = np.random.default_rng(0)
    series = np.repeat(rng.standard_normal(60), 5)
    (a, b), (c, d) = block_interval(series, 0, block=1), block_interval(series, 0, block=5)
    assert (d - c) > 1.7 * (b - a) and c < series.mean() < d


def test_changes_are_paired() -> None:
    base = np.linspace(1.0, 9.0, 40)
    assert change(1.1 * base, base, 0) == pytest.approx((10.0, 10.0, 10.0)), "the same everywhere: no spread"
    noisy = base * np.where(np.arange(40) % 2, 1.5, 1.0)
    moved, low, high = change(noisy, base, 0)
    assert low < moved < high
    assert moved == pytest.approx(100.0 * (noisy.sum() / base.sum() - 1.0))


def test_what_is_delivered_is_the_level_aware_map_of_the_replay() -> None:
    aware = Problem.create(NETWORK, [0, 10], 12, 3, 6, inference="level-aware", level_noise=0.2)
    found = deliver(Staggered(aware), aware, DATA, LEARNED, 0.2, seed=3)
    sources, level = sources_of(replay(Staggered(aware), aware, DATA.levels), aware, DATA, Faults(level_noise=0.2), 3)
    judged = judge(LEARNED.estimate(sources, level, level_noise=0.2), DATA, [0, 10], 0)
    assert found.rmse == pytest.approx(judged["rmse_all"], rel=1e-12)
    assert found.absolute.shape == (len(DATA),)
    assert np.all(np.diff(found.coverage) > 0)
    same = deliver(Staggered(PROBLEM), PROBLEM, DATA, LEARNED, 0.2, seed=3)
    np.testing.assert_array_equal(same.absolute, found.absolute)  # a timetable plans nothing
    levels = np.asarray(NETWORK.levels)[DATA.levels]  # the same everywhere, as the chain has it
    exact = Windows(np.repeat(levels[..., None], 30, axis=2), DATA.levels, 0)
    own = deliver(Staggered(aware), aware, exact, LevelAware.of(NETWORK), 0.0)
    quiet = Problem.create(NETWORK, [0, 10], 12, 3, 6, inference="level-aware")
    promised = replay(Staggered(quiet), quiet, exact.levels).joint_error.mean()
    assert own.claimed == pytest.approx(promised, rel=1e-9), "what the environment promises is what the map claims"


def test_the_whole_table() -> None:
    policies = {"staggered": Staggered(PROBLEM), "random": Random(PROBLEM, 0)}
    conditions = {"clean": Faults(), "lost": Faults(lost=0.5)}
    table = backtest(policies, PROBLEM, DATA, LEARNED, conditions=conditions)
    assert len(table) == 2 * 2 * len(METHODS) and set(table.method) == set(METHODS)
    flat = table[table.method.isin(["flat", "corrected"])].groupby("method").rmse
    assert (flat.nunique() == 1).all(), "a map that reads nothing cares for no policy"
    assert (table.sensings <= 3).all() and table.groupby("policy").promised.nunique().eq(1).all()


def test_windows_of_other_devices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"readings: expected \(T, 30\), a column for each location"):
        Windows.cut(NETWORK, [np.zeros((100, 4))], 12)
    with pytest.raises(ValueError, match="longer than the period of 10 slots"):
        Windows.cut(NETWORK, [air(10)], 12)


def test_windows_are_cut_where_every_device_was_read() -> None:
    table = air(40)
    table[13, 4] = table[20, 0] = np.nan  # 13, 6 and 19 whole slots in a row
    data = Windows.cut(NETWORK, [table], 12)
    np.testing.assert_array_equal(data.readings, [table[:13], table[21:34]])
    with pytest.raises(ValueError, match="in no 21 slots in a row was every device read"):
        Windows.cut(NETWORK, [table], 20)


def test_own_readings_are_those_of_the_network_s_stations(tmp_path: Path) -> None:
    hours = pd.date_range("2024-01-01", periods=90, freq="h", name="time")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(20, 90, (90, 4)).round(1), hours, ["c", "a", "abroad", "b"])
    frame.to_csv(tmp_path / "first.csv")
    options = ["--leave-out", "abroad", "-o", str(tmp_path / "town.npz")]
    calibrate.main(calibrate.parse([str(tmp_path / "first.csv"), *options]))
    frame.iloc[5, 0] = 9999.5
    frame[["abroad", "b", "c", "a"]].to_csv(tmp_path / "second.csv")
    network, (table,), lines = own_readings(tmp_path / "town.npz", [tmp_path / "second.csv"])
    assert network.slot_minutes == 60.0 and np.isnan(table[5, 0]) and np.isnan(table).sum() == 1
    np.testing.assert_array_equal(np.delete(table, 5, axis=0), np.delete(frame[["c", "a", "b"]].to_numpy(), 5, axis=0))
    assert "1 implausible" in lines[0] and len(lines) == 1
    assert "fitted to these readings" in own_readings(tmp_path / "town.npz", [tmp_path / "first.csv"])[2][-1]
    frame[["abroad", "b", "c"]].to_csv(tmp_path / "less.csv")
    with pytest.raises(ValueError, match=r"'a', a station of .*town.npz, has none: no file has a column"):
        own_readings(tmp_path / "town.npz", [tmp_path / "less.csv"])


def test_scikit_learn_s_gaussian_process_makes_a_map() -> None:
    fitted = gaussian_process(NETWORK, [air(400)], 0)
    replayed = replay(Staggered(PROBLEM), PROBLEM, DATA.levels[:2])
    data = Windows(DATA.readings[:2], DATA.levels[:2], 0)
    sources, level = sources_of(replayed, PROBLEM, data)
    found = gaussian_process_map(fitted, NETWORK, sources, level)
    assert found.mean.shape == found.deviation.shape == (2, 12, 30) and (found.deviation > 0).all()


def test_where_two_lines_cross() -> None:
    assert page.crossing([0.0, 0.1, 0.2], [-1.0, -0.5, 0.5]) == pytest.approx(0.15)
    assert np.isnan(page.crossing([0.0, 0.1], [-1.0, -0.5]))


def findings_of(paper: list[float], flat: list[float]) -> str:
    rows = []
    for (condition, faults), one, two in zip(list(CONDITIONS.items())[:5], paper, flat, strict=True):
        assert faults.level_noise or condition == CLEAN
        for method, rmse in (("paper", one), ("flat", two), ("corrected", two), ("level-aware", 1.0)):
            row = {"condition": condition, "policy": "staggered", "method": method, "rmse": rmse}
            rows.append(row | {"cover_50": 0.5, "cover_90": 0.9, "cover_95": 0.85})
    return "\n".join(page.findings(pd.DataFrame(rows)))


def test_findings_say_who_is_ahead_and_where() -> None:
    assert "beats the flat one where the level is known to ±8 % or worse" in findings_of([6.0] * 5, [4, 5, 7, 9, 20])
    assert "beats the flat one at no error up to 30 %" in findings_of([60.0] * 5, [4, 5, 7, 9, 20])
    text = findings_of([2.0] * 5, [4, 5, 7, 9, 20])
    assert "beats the corrected one at every error of the level" in text
    assert "paper map: off by more than 5 points" in text and "at every error of the level (staggered)" in text


@pytest.mark.slow
def test_the_command_on_the_real_readings(tmp_path: Path, pku_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--policies", "staggered", "synchronised", "--csv", str(tmp_path / "b.csv"), "--quiet"]
    report = tmp_path / "b.md"
    given += ["--planned", "staggered"]
    table = command.main(command.parse([*given, "--no-gaussian-process", "--markdown", str(report)]))
    clean = table[(table.condition == "clean") & (table.policy == "staggered")].set_index("method")
    assert clean.rmse["paper"] == pytest.approx(6.57, abs=0.01) and clean.rmse["flat"] == pytest.approx(4.26, abs=0.01)
    assert clean.rmse["level-aware"] < 3.19
    for share in (50, 90, 95):
        assert abs(100 * clean[f"cover_{share}"]["level-aware"] - share) < 5
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(tmp_path / "b.csv")) == len(table) == 2 * 10 * 4
    text = report.read_text()
    assert "Intervals of the level-aware map: within 5 points" in text and "Intervals of the paper map: off by" in text
    assert "The paper's map beats the corrected one where the level is known to ±" in text
    assert "## Planning with the inference that makes the map" in text and "| ±10 % | staggered | level-aware |" in text
    assert "written to" in capsys.readouterr().out


def test_the_picture_shows_all_of_any_towns_errors() -> None:
    numbers = {"rmse_low": 20.0, "rmse_high": 60.0, "cover_50": 0.5, "cover_90": 0.9, "cover_95": 0.95}
    names = [CLEAN, *(f"level known to ±{100 * x:.0f} %" for x in NOISES)]
    rows = [
        {"condition": name, "policy": "staggered", "method": method, "rmse": 25.0 + 8.0 * i, **numbers}
        for i, name in enumerate(names)
        for method in METHODS
    ]
    figure = page.draw(pyplot(), pd.DataFrame(rows), ["staggered"])
    left, middle, right = figure.axes
    low, high = right.get_ylim()
    assert 20 < low < 25 and 57 < high < 80, "neither cut off nor pressed together"
    assert sum(low <= tick <= high for tick in right.get_yticks()) >= 2
    assert left.get_legend() is middle.get_legend() is None and len(figure.legends[0].get_texts()) == 1 + len(METHODS)
