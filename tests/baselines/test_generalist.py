"""One agent for any instance: what is shipped, and the commands that make and measure it."""

from pathlib import Path

import pytest

from baselines.heuristics.problems import entry_problem
from baselines.heuristics.simple import Staggered
from baselines.learners.shipped import load_generalist
from baselines.packing import errors_of
from baselines.playing import play_problem
from scripts import tune_generalist, zero_shot


def test_the_shipped_agent_beats_staggered_sensing_where_it_never_trained() -> None:
    for name in ("SingleDevice-v0", "MultiDevice-v0", "Tainan-v0"):
        problem = entry_problem(name)
        agent = load_generalist(problem)
        found = errors_of(agent, problem, 512, 0)
        uniform = play_problem(Staggered(problem), problem, 512, 0).joint_error
        gain = uniform - found
        assert gain.mean() > 4 * gain.std() / 512**0.5


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = tmp_path / "agent.safetensors"
    small = ["--instances", "2", "--generations", "1", "--population", "8", "--episodes", "1"]
    tune_generalist.main(tune_generalist.parse([*small, "--output", str(agent)]))
    said = capsys.readouterr().out
    assert " of greedy sensing, " in said and f"written to {agent}" in said
    given = ["--agent", str(agent), "--episodes", "64", "--instances", "SingleDevice-v0", "TwoDevices-v0"]
    given += ["--markdown", str(tmp_path / "z.md")]
    table = zero_shot.main(zero_shot.parse([*given, "--csv", str(tmp_path / "z.csv")]))
    assert table.policy.tolist() == ["staggered", "index", "trained there", "generalist"] * 2
    assert table.percent.isna().tolist() == [False, True, False, False] * 2
    rows = table[table.policy == "generalist"]
    assert (rows.percent_low < rows.percent).all() and (rows.percent < rows.percent_high).all()
    assert (tmp_path / "z.csv").read_text().startswith("instance,policy,joint_error,percent")
    page = (tmp_path / "z.md").read_text()
    assert page.count("\n| ") == 2 + 8 and "| 64 |" in page and "python -m scripts.tune_generalist" in page
