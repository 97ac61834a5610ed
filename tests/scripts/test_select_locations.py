"""The placement command: its files, its errors, its resumption."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

from aq_gym import SensorNetwork
from aq_gym.placement import Fitness, GeneticConfig, GeneticSearch, Placement, level_path
from aq_gym.problem import Problem
from aq_gym.schedules import staggered
from baselines.placement import Stage
from baselines.studies import placement
from baselines.studies.placement_searches import asked_of, resume
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
    assert content["env_kwargs"]["devices"] == together["devices"]
    assert content["env_kwargs"] == {
        **{"network": "pku2018", "devices": together["devices"]},
        **{"horizon": 12, "energy_budget": 3, "max_sleep": 6},
    }
    low, mean, high = (together["change_percent"][i] for i in (1, 0, 2))
    assert low <= mean <= high and mean == pytest.approx(100 * (together["error"] / together["error_before"] - 1))


@pytest.mark.parametrize("change", [-1.0, +1.0])
def test_devices_placed_together_are_taken_where_they_are_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: float
) -> None:
    monkeypatch.setattr(placement, "EPISODES", 8)
    new = (5, 6)

    class Fitness:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def episode_errors(self, devices: Any) -> Any:
            return np.linspace(9, 10, 8) + (change if tuple(devices) == new else 0.0)

    def together(problem: Problem, *_: Any, **__: Any) -> list[Stage]:
        return [Stage(tuple(problem.devices), None, 9.0), Stage(new, None, 8.0)]  # type: ignore[arg-type]

    monkeypatch.setattr(placement, "PolicyFitness", Fitness)
    monkeypatch.setattr(placement, "place_together", together)
    content = run("--devices", "2", "--methods", "medoids", "--policy", "greedy", "--folder", str(tmp_path))
    kept = content["found"][0]["locations"]
    assert content["env_kwargs"]["devices"] == (list(new) if change < 0 else kept)
    assert (f"so {kept} are kept" in " ".join(capsys.readouterr().out.split())) == (change > 0)


def test_an_interrupted_search_resumes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    whole = run("--devices", "3", "--folder", str(one))
    play = Fitness.__call__
    calls = iter(range(100))

    def interrupted(self: Fitness, sets: Any) -> Any:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return play(self, sets)

    with monkeypatch.context() as patch:
        patch.setattr(Fitness, "__call__", interrupted)
        run("--devices", "3", "--folder", str(two))
    assert "--resume continues" in capsys.readouterr().out and (two / "placement.json").exists()
    with pytest.raises(ValueError, match="holds a search: --resume continues it"):
        run("--devices", "3", "--folder", str(two))
    with pytest.raises(ValueError, match="--resume: continues the genetic search; name genetic"):
        run("--devices", "3", "--folder", str(two), "--resume", "--methods", "random")
    for other in (["--period", "7"], ["--network", "pku2018-spring"]):
        with pytest.raises(ValueError, match="was begun with"):
            run("--devices", "3", "--folder", str(two), "--resume", *other)
    with pytest.raises(ValueError, match="holds no search to continue"):
        run("--devices", "3", "--folder", str(tmp_path / "three"), "--resume")
    resumed = run("--devices", "3", "--folder", str(two), "--resume")
    assert resumed["found"] == whole["found"]


def test_readings_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    level = 60 + 30 * np.sin(np.arange(300) / 20)[:, None]
    table = np.rint(level * (1 + rng.normal(0, 0.05, (300, 6)) + np.linspace(-0.1, 0.1, 6)))
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", fmt="%d")
    monkeypatch.chdir(tmp_path)
    content = run("--readings", "a.csv", "--devices", "2", "--folder", "out")
    again = run("--network", "out/network.npz", "--devices", "2", "--rounds", "1", "--folder", "again")
    monkeypatch.chdir("/")
    assert again["env_kwargs"]["network"] == content["env_kwargs"]["network"] == str(tmp_path / "out" / "network.npz")
    network = SensorNetwork.load(content["env_kwargs"]["network"])
    assert network.n_locations == 6 and len(content["env_kwargs"]["devices"]) == 2
    assert not (tmp_path / "out" / "map.png").exists(), "no coordinates, no map"
    with pytest.raises(ValueError, match="6 locations, got 7"):
        run("--readings", str(tmp_path / "a.csv"), "--devices", "7", "--folder", str(tmp_path / "refused"))
    assert not (tmp_path / "refused").exists(), "a refusal leaves no trace"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--slots", "0"], "--slots: expected 1 to 1,000,000, got 0"),
        (["--pool", "9999999"], "--pool: expected 2 to"),
        (["--period", "0.5"], "--period: expected at least 1, got 0.5"),
        (["--locations", "x"], "--readings"),
    ],
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


TINY = ["--devices=2", "--slots=24", "--start=random", "--pool=6", "--patience=2", "--rounds=3"]
SMALLEST = select_locations.parse(TINY)


def search_of(seed: int = 0) -> GeneticSearch:
    network = SensorNetwork.load("pku2018")
    fitness = Fitness(network, staggered(2, 24, 4), level_path(network, 24, 0), threads=1)
    config = GeneticConfig(kept=3, drawn=3, patience=2, rounds=3, start="random")
    return GeneticSearch(fitness, 30, 2, config, seed=seed)


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    """What a search's file holds."""
    search = search_of()
    search.run()
    asked = asked_of(SensorNetwork.load("pku2018"), SMALLEST)
    return dict(json.loads(json.dumps({"asked": asked, "search": search.state()})))


def taken_up(path: Path, text: str) -> None:
    """Take up a search from a file: it is refused with the file's name, or goes on to a valid end."""
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    search = search_of()
    try:
        resume(path, search, asked_of(SensorNetwork.load("pku2018"), SMALLEST))
    except ValueError as error:
        assert str(path) in str(error) and len(str(error)) < 1500
        raise
    found = search.run()
    assert 0 < found.error < 100 and 1 <= len(found.locations) <= 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: s.update(genes=[]), "zero-size array"),
        (lambda s: s.update(genes=s["genes"][:-1]), "values: not what a search writes"),
        (lambda s: s.update(genes=[[0, 30]]), "no state of a search"),
        (lambda s: s.update(genes=[[5, 2]]), "no state of a search"),
        (lambda s: s["known"].append(s["known"][0]), "known: not what"),
        (lambda s: s.update(values=[0.001] * len(s["values"])), "values: not what"),
        (lambda s: next(x for x in s["known"] if x[0] not in s["genes"]).__setitem__(1, 50.5), "known: errors that"),
        (lambda s: s["known"][0].__setitem__(1, float("nan")), "known: errors that"),
        (lambda s: s.update(history=[[1, 2.0]]), "history: out of range"),
        (lambda s: s.update(rounds=4), "rounds, idle"),
        (lambda s: s.update(idle=-1), "rounds, idle"),
        (lambda s: s.update(evaluations=1), "evaluations: not what"),
        (lambda s: s.update(seconds=10**400), "no state of a search: OverflowError"),
        (lambda s: s.update(generator={}), "state must be for a PCG64"),
        (lambda s: s["generator"]["state"].update(state=-1), "no state of a search"),
        (lambda s: s.update(seed=1), "begun with other settings: seed was 1, here 0"),
        (lambda s: s.pop("known"), "no state of a search: KeyError 'known'"),
    ],
)
def test_a_changed_search_is_refused(tmp_path: Path, saved: dict[str, Any], change: Any, why: str) -> None:
    content = copy.deepcopy(saved)
    change(content["search"])
    with pytest.raises(ValueError, match=why):
        taken_up(tmp_path / "genetic.json", json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, '{"asked": 1, "search"', "\udcff"])
def test_what_is_no_search_at_all_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="holds no search that can be resumed"):
        taken_up(tmp_path / "genetic.json", text)


def test_mutations_are_refused_or_valid(tmp_path: Path, saved: dict[str, Any]) -> None:
    rng, text, refused = random.Random(0), json.dumps(saved), 0
    odd = [None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "x", [], {}, [[]], 3, 2.5, [0, 1], [1, 0]]
    for number in range(500):
        if number % 2:
            at = rng.randrange(len(text))
            piece = rng.choice(["", "0", "9", "-", "e", "]", "}", '"', ",", " ", "\udc80", text[: rng.randrange(60)]])
            mutated = text[:at] + piece + text[at + rng.randrange(1, 4) :]
        else:
            content = copy.deepcopy(saved)
            place: Any = content
            while True:
                key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
                if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.2:
                    break
                place = place[key]
            if rng.random() < 0.2:
                del place[key]
            else:
                place[key] = rng.choice(odd)
            mutated = json.dumps(content)
        try:
            taken_up(tmp_path / "genetic.json", mutated)
        except ValueError:
            refused += 1
    assert refused > 375


def test_plots_of_one_point_and_of_many_clusters(tmp_path: Path) -> None:
    network = SensorNetwork.synthetic(30, 0)
    one = Placement("medoids", (3,), 7.0, 1, 0.0, ((1, 7.0),))
    placement.draw_convergence(tmp_path / "one.png", [one])
    placement.draw_map(tmp_path / "map.png", network, [3], np.arange(30) % 16)
    for name in ("one.png", "map.png"):
        assert (tmp_path / name).stat().st_size > 10_000
