"""The placement door: its files, its errors, its resumption."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

import aq_gym
from aq_gym.placement import Fitness
from baselines.studies import placement
from scripts import select_locations

SMALL = ["--slots", "40", "--patience", "4", "--pool", "16", "--quiet"]


def run(*arguments: str) -> dict[str, Any]:
    return select_locations.main(select_locations.parse([*SMALL, *arguments]))


def test_what_it_writes_is_what_make_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = run("--devices", "2", "--methods", "all", "--folder", str(tmp_path))
    written = json.loads((tmp_path / "placement.json").read_text())
    assert written == json.loads(json.dumps(content))
    assert [x["method"] for x in written["found"]].count("exhaustive") == 1
    errors = {x["method"]: x["error"] for x in written["found"]}
    assert min(errors.values()) == errors["exhaustive"] == written["found"][0]["error"]
    env = gym.make("aq_gym/MultiDevice-v0", **written["env_kwargs"])
    assert env.unwrapped.problem.devices == tuple(written["env_kwargs"]["devices"])  # type: ignore[attr-defined]
    curves = pd.read_csv(tmp_path / "convergence.csv")
    assert set(curves.method) == set(select_locations.METHODS)
    for name in ("map.png", "convergence.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert "exhaustive" in capsys.readouterr().out


def test_placing_together_with_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "EPISODES", 64)
    given = ["--devices", "2", "--policy", "greedy", "--horizon", "12", "--budget", "3", "--max-sleep", "6"]
    content = run(*given, "--alternations", "1", "--folder", str(tmp_path))
    together = content["together"]
    assert content["env_kwargs"]["devices"] == together["stages"][-1]["devices"]
    low, mean, high = (together["change_percent"][i] for i in (1, 0, 2))
    assert low <= mean <= high and mean == pytest.approx(100 * (together["error"] / together["error_before"] - 1))


def test_an_interrupted_search_resumes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    whole = run("--devices", "3", "--folder", str(one))
    play = Fitness.__call__
    calls = iter(range(100))

    def interrupted(self: Fitness, sets: Any) -> Any:
        if next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return play(self, sets)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Fitness, "__call__", interrupted)
            run("--devices", "3", "--folder", str(two))
    finally:
        signal.signal(signal.SIGINT, before)
    assert "--resume continues" in capsys.readouterr().out and (two / "placement.json").exists()
    with pytest.raises(ValueError, match="holds a search: --resume continues it"):
        run("--devices", "3", "--folder", str(two))
    for other in (["--period", "7"], ["--network", "pku2018-spring"]):
        with pytest.raises(ValueError, match="was begun with"):
            run("--devices", "3", "--folder", str(two), "--resume", *other)
    with pytest.raises(ValueError, match="holds no search to continue"):
        run("--devices", "3", "--folder", str(tmp_path / "three"), "--resume")
    resumed = run("--devices", "3", "--folder", str(two), "--resume")
    assert resumed["found"] == whole["found"]


def test_readings_of_ones_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    level = 60 + 30 * np.sin(np.arange(300) / 20)[:, None]
    table = np.rint(level * (1 + rng.normal(0, 0.05, (300, 6)) + np.linspace(-0.1, 0.1, 6)))
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", fmt="%d")
    content = run("--readings", str(tmp_path / "a.csv"), "--devices", "2", "--folder", str(tmp_path / "out"))
    network = aq_gym.SensorNetwork.load(content["env_kwargs"]["network"])
    assert network.n_locations == 6 and len(content["env_kwargs"]["devices"]) == 2
    assert not (tmp_path / "out" / "map.png").exists(), "no coordinates, no map"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["--slots", "0"], "at least 1"), (["--period", "0.5"], "at least 1 slot"), (["--locations", "x"], "--readings")],
)
def test_bad_arguments_end_with_the_reason(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        select_locations.parse(arguments)
    assert why in capsys.readouterr().err
    with pytest.raises(ValueError, match="'pku2018' has 30 locations, got 31"):
        run("--devices", "31")
    with pytest.raises(ValueError, match="energy_budget x max_sleep must be at least horizon"):
        run("--devices", "3", "--policy", "greedy", "--budget", "2")
    with pytest.raises(ValueError, match=r"30 choose 15 are 155,117,520 sets.*leave exhaustive out"):
        run("--devices", "15", "--methods", "exhaustive")


def test_all_methods_are_those_that_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = run("--devices", "15", "--methods", "all", "--rounds", "1", "--folder", str(tmp_path))
    assert {x["method"] for x in content["found"]} == {"genetic", "greedy", "medoids", "random"}
    assert "exhaustive search is left out: 30 choose 15" in " ".join(capsys.readouterr().out.split())
