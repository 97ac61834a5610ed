"""The commands of the yardsticks, with tiny settings."""

import json
from pathlib import Path

import pandas as pd
import pytest

from aq_gym.registration import ENTRIES
from baselines.heuristics.index import Index
from baselines.playing import FIRST_TUNING_SEED, problem_of
from baselines.saved import save_policy
from scripts import evaluate, reference_scores, render_episode, tune_greedy

TINY = '{"horizon": 8, "energy_budget": 2, "max_sleep": 5}'


def test_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv = tmp_path / "new" / "table.csv"
    given = [
        "--env",
        "aq_gym/TwoDevices-v0",
        "--policies",
        "staggered",
        "random",
        "--episodes",
        "20",
        "--csv",
        str(csv),
    ]
    table = evaluate.main(evaluate.parse([*given, "--env-kwargs", TINY]))
    written = pd.read_csv(csv)
    assert written.policy.tolist() == table.policy.tolist() == ["staggered", "random"]
    asked = written[["env_id", "env_kwargs", "episodes", "seed"]].drop_duplicates().to_numpy().tolist()
    assert asked == [["aq_gym/TwoDevices-v0", TINY, 20, 0]] and {"commit", "sources_sha256"} <= set(written)
    assert "20 episodes from seed 0" in capsys.readouterr().out
    problem = problem_of("TwoDevices-v0", **json.loads(TINY))
    save_policy(Index(problem, -1.0, {"scarcity": 8.0}), problem, tmp_path / "own")
    table = evaluate.main(evaluate.parse([*given, "--env-kwargs", TINY, "--saved", str(tmp_path / "own")]))
    assert table.policy.tolist() == ["staggered", "random", "saved own"]
    with pytest.raises(ValueError, match="made for"):
        evaluate.main(evaluate.parse([*given, "--saved", str(tmp_path / "own")]))
    with pytest.raises(SystemExit):
        evaluate.parse(["--policies", "greed"])


def test_an_episode_is_drawn_where_no_agent_is_shipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(tmp_path / "x.gif"), "--env", "SingleDevice-v0", "--env-kwargs", TINY, "--width", "200"]
    render_episode.main(render_episode.parse(given))
    assert (tmp_path / "x.gif").read_bytes().startswith(b"GIF")
    said = capsys.readouterr()
    assert "greedy decides" in said.out and "drawing" in said.err and "100%" in said.err
    with pytest.raises(SystemExit):
        render_episode.parse([str(tmp_path / "x.png")])
    assert "expected a name that ends in .gif" in capsys.readouterr().err
    render_episode.main(render_episode.parse([*given, "--quiet"]))
    assert capsys.readouterr().err == ""


def test_reference_scores(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    given = ["--episodes", "3", "--policies", "random", "staggered", "--output", str(path), "--ids"]
    reference_scores.main(reference_scores.parse([*given, "MultiDevice-v0", "JointDevices-v0"]))
    reference_scores.main(reference_scores.parse([*given, "TwoDevices-v0"]))
    written = json.loads(path.read_text())
    scores = written["ids"]
    assert list(scores) == ["TwoDevices-v0", "MultiDevice-v0", "JointDevices-v0"]  # the order of registration
    assert scores["MultiDevice-v0"] == scores["JointDevices-v0"]
    multi, two = scores["MultiDevice-v0"], scores["TwoDevices-v0"]
    assert multi["optimum"] is None and multi["best_known"] == min(
        row["joint_error"] for row in multi["sampled"].values()
    )
    assert two["optimum"] == two["best_known"] == pytest.approx(7.991332889842734, rel=1e-8)
    assert multi["episodes"] == 3 and set(two["sampled"]) == {"random", "staggered", "optimal"}
    assert "MultiDevice" in written["runs"]["MultiDevice-v0"]["command"]
    assert set(written) == {"ids", "runs"} and "scripts.reference_scores" in written["runs"]["TwoDevices-v0"]["command"]
    assert not list(tmp_path.glob(".*"))
    given = ["--episodes", "3", "--policies", "synchronised", "--output", str(path), "--ids", "TwoDevices-v0"]
    reference_scores.main(reference_scores.parse(given))
    written = json.loads(path.read_text())
    again, run = written["ids"]["TwoDevices-v0"], written["runs"]["TwoDevices-v0"]
    assert again["sampled"].pop("synchronised")["joint_error"] > 0 and again == two
    assert "random" in run["command"] and "synchronised" in run["added"]["command"]


def test_tune_greedy(tmp_path: Path) -> None:
    path = tmp_path / "greedy.json"
    tune_greedy.main(tune_greedy.parse(["--ids", "TwoDevices-v0", "--episodes", "2", "--output", str(path)]))
    numbers = json.loads(path.read_text())["ids"]["TwoDevices-v0"]
    assert numbers["threshold"] > 0 and numbers["episodes"] == 2 and numbers["seed"] == FIRST_TUNING_SEED
    assert set(tune_greedy.NAMES) == {entry.name for entry in ENTRIES} - {"JointDevices-v0"}


@pytest.mark.slow
@pytest.mark.xdist_group("sb3")
def test_train_sb3_then_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("stable_baselines3")
    from scripts import train_sb3

    small = '{"n_envs": 2, "model": {"n_steps": 32, "batch_size": 64, "n_epochs": 1}}'
    common = ["--env", "aq_gym/TwoDevices-v0", "--env-kwargs", TINY]
    given = [*common, "--steps", "64", "--folder", str(tmp_path / "agent"), "--quiet", "--overrides", small]
    train_sb3.main(train_sb3.parse(given))
    assert "64 decisions" in capsys.readouterr().out
    assert json.loads((tmp_path / "agent" / "card.json").read_text())["command"].startswith(
        "python -m scripts.train_sb3"
    )
    played = [*common, "--policies", "staggered", "--sb3", str(tmp_path / "agent"), "--episodes", "5"]
    table = evaluate.main(evaluate.parse(played))
    assert table.policy.tolist() == ["staggered", "sb3 agent"] and table.training_seconds[1] > 0
