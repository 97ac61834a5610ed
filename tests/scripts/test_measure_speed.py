"""The speed report runs end to end with tiny settings, and its peers solve the same problems as we do."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import DQNConfig
from aq_gym.placement import Fitness
from baselines.exact.one_device import solve
from baselines.exact.several_devices import solve_joint
from baselines.studies import stored_trainings
from baselines.studies.speed import against, learning, placement, report, solvers, start_up, worker
from baselines.studies.speed.comparison import Comparison, timed
from scripts import measure_speed


def test_ratios_are_taken_within_each_turn() -> None:
    ours, theirs = iter([2.0, 30.0, 4.0]), iter([1.0, 10.0, 1.0])
    found = Comparison("a", "b/s", lambda: next(ours), "c", lambda: next(theirs), 2.5).run(3)
    assert (found["ratio"], found["least"], found["most"]) == (3.0, 2.0, 4.0)
    assert (found["ours"], found["theirs"], found["rounds"]) == (4.0, 1.0, 3)
    assert report.row(found)["reached"] == "yes"
    assert report.row(found | {"goal": 3.5})["reached"] == "no"


def test_rates_count_all_the_work() -> None:
    calls: list[int] = []
    assert timed(lambda: calls.append(1), 5.0)() > 0
    assert worker.rate(lambda: calls.append(1) or 2.0, 0.001) > 0
    assert len(calls) > 2


def test_quantecon_agrees_with_ours() -> None:
    pytest.importorskip("quantecon", reason="quantecon is not installed: pip install 'aq-gym[peers]'")
    network = solvers.banded(4)
    solvers.check(solve(network, 0, 12, 3, 5).expected_error, solvers.quantecon_solver(network, [0], 12, 3, 5)())
    ours = solve_joint(network, (0, 15), 8, 2, 4).expected_error
    solvers.check(ours, solvers.quantecon_solver(network, (0, 15), 8, 2, 4)())


def test_the_numpy_fitness_agrees_with_ours() -> None:
    given = placement.instance()
    sets = np.array([[0, 6, 12, 18, 24], [1, 2, 3, 4, 29]])
    want = [placement.numpy_fitness(*given, places) for places in sets]
    np.testing.assert_allclose(Fitness(*given, threads=1)(sets), want, rtol=1e-12)


def test_pymoo_searches_with_that_fitness() -> None:
    pytest.importorskip("pymoo", reason="pymoo is not installed: pip install 'aq-gym[peers]'")
    assert placement.pymoo_rate(placement.instance(), 40)() > 0


@pytest.mark.slow
def test_writes_every_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def few() -> Iterator[Comparison]:
        yield Comparison("solved", "1/s", lambda: 4.0, "peer", lambda: 2.0)

    def large() -> list[dict[str, Any]]:
        return [{"what": "large", "seconds": 1.0, "gib": 0.1}]

    monkeypatch.setattr(start_up, "start_up", lambda: [0.02, 3.0, 0.4, 0.3])  # compiling anew takes seconds
    monkeypatch.setattr(solvers, "comparisons", few)
    monkeypatch.setattr(report, "measure_large", large)
    monkeypatch.setattr(learning, "comparisons", lambda decisions, seconds, seeds: iter(()))
    monkeypatch.setattr(placement, "comparisons", few)
    output, page = tmp_path / "new" / "speed.csv", tmp_path / "speed.md"
    tiny = ["--rounds=1", "--seconds=0", "--start-rounds=1", f"--output={output}", f"--markdown={page}"]
    measure_speed.main(measure_speed.parse(tiny))
    assert sum(line.startswith("| ---") for line in page.read_text(encoding="utf-8").splitlines()) == 3
    assert "MultiDevice, M=10, gym.make" in capsys.readouterr().out
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["ours"]) > 0 and row["numba"] for row in rows)
    assert {row["what"] for row in rows} >= {"solved", "large", "first use, compiled anew, over numba"}
    assert sorted(path.name for path in output.parent.iterdir()) == ["speed.csv"]


def test_an_error_is_reached_by_the_first_validation_that_found_it() -> None:
    curve = [(1.0, 6.0), (2.0, 7.0), (3.0, 5.0)]
    assert learning.reached([], 9.0) == math.inf
    assert [learning.reached(curve, error) for error in (7.0, 6.0, 5.5, 5.0, 4.9)] == [1.0, 1.0, 3.0, 3.0, math.inf]


@pytest.mark.slow
@pytest.mark.xdist_group("sb3")
def test_a_race_to_the_same_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    guided = {"start": "guide", "improve_from": "guide", "input_scaling": "standard", "hidden": [4]}
    tiny = {"n_environments": 2, "start_decisions": 1, "total_decisions": 1, "start_updates": 1, "improvements": 2}
    settings = {**guided, **tiny, "pairs": 2_000, "pair_updates": 50, "replay_capacity": 2_000}
    short = {"config": "default", "settings": settings}
    monkeypatch.setattr(stored_trainings, "recipe", lambda env_id, seconds=0.0: short)
    monkeypatch.setattr(learning, "VALIDATION_EPISODES", 4)
    monkeypatch.setattr(learning, "EVALUATION_EPISODES", 4)
    race = learning.reach(0.3, [0])  # of PPO: it has hardly begun, and any sensible policy is as good
    found = race.run(5)
    assert (found["rounds"], race.goal) == (1, 10.0)
    assert found["theirs"] > 0 and found["ours"] >= 0
    assert "4 other episodes" in capsys.readouterr().out


def test_a_dqn_is_stopped_where_it_is_good_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "VALIDATION_EPISODES", 4)
    config = DQNConfig(n_environments=2, hidden=(4,), start_decisions=1, total_decisions=3_000, start_updates=1)
    policy, curve = learning.train_ours(config, 0, math.inf, 1_000.0)
    assert len(curve) == 1 and hasattr(policy, "act")
    assert len(learning.train_ours(config, 0, math.inf, 0.0)[1]) == 5  # rounds of 600 decisions


def test_both_learners_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "N_ENVIRONMENTS", 2)
    for comparison in learning.comparisons(200):
        assert comparison.run(1)["ratio"] > 0


def test_a_checkout_is_measured_beside_another(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_up, "FIRST_USE", "import aq_gym")  # the real one compiles for seconds
    output, names = tmp_path / "speed.csv", ["gym.make"]
    given = ["--against", str(root), "--rounds=1", "--seconds=0", "--start-rounds=1", "--output", str(output)]
    measure_speed.main(measure_speed.parse([*given, "--measurements", *names]))
    with output.open(newline="") as file:
        rows = {row["what"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*names, *start_up.WHAT]
    assert all(float(row["new"]) > 0 and 0.01 < float(row["ratio"]) < 100 for row in rows.values())
    assert "above 1 the new one is faster" in capsys.readouterr().out


def test_a_training_is_measured_by_names_that_old_commits_have_too() -> None:
    assert worker.training(1)() == 64 * 300  # a round


def test_ratios_against_are_above_one_where_new_is_faster() -> None:
    rates, seconds = np.array([[30.0, 10.0], [20.0, 10.0], [10.0, 10.0]]), np.array([[0.5, 2.0]])
    found = against._row("a", "b/s", rates)
    assert (found["ratio"], found["least"], found["most"]) == (2.0, 1.0, 3.0)
    assert against._row("a", "s", seconds)["ratio"] == 4.0
    assert report.against_row({"what": "a", "reason": "lacks it"})["unit"] == "lacks it"


def test_a_folder_without_a_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no checkout of this project"):
        list(against.compare(tmp_path, ["gym.make"], 1, 0.0, 0))
