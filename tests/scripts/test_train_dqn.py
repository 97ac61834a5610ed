"""The command that trains, with tiny settings."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from agents import PairedDQN, load
from baselines.learners.resumption import CHECKPOINT, POLICY
from baselines.learners.shipped import load_trained
from scripts import evaluate, train_dqn

KWARGS = {"devices": [0, 15], "horizon": 8, "energy_budget": 2, "max_sleep": 5, "n_levels": 4}
ROUND = 16 * 8 * 2
SETTINGS = {
    "n_environments": 16,
    "start_decisions": ROUND,
    "start_updates": 5,
    "replay_capacity": 3 * ROUND,
    "replay_ratio": 1.0,
    "batch_size": 32,
    "hidden": [8],
    "pairs": 200,
    "pair_updates": 10,
}


def given(folder: Path, rounds: int = 3, *more: str) -> list[str]:
    return [
        *("--env", "aq_gym/MultiDevice-v0", "--decisions", str(rounds * ROUND), "--improvements", "1"),
        *("--env-kwargs", json.dumps(KWARGS), "--overrides", json.dumps(SETTINGS), "--folder", str(folder)),
        *more,
    ]


def error_in(said: str) -> float:
    return float(said.split("dqn on aq_gym/MultiDevice-v0:")[1].split()[0])


def test_trains_resumes_and_is_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "run"
    policy = train_dqn.main(train_dqn.parse(given(folder, 3, "--quiet", "--seed", "5")))
    said = capsys.readouterr().out
    assert re.search(rf"{3 * ROUND} decisions and [2-4]\d\d pairs", said) and f"written to {folder}" in said
    assert 3.0 < error_in(said) < 30.0 and "improvement step" not in said
    assert {path.name for path in folder.iterdir()} >= {CHECKPOINT, POLICY, "random", "staggered", "synchronised"}
    card = load_trained(folder).card
    assert card["command"].startswith("python -m scripts.train_dqn --env aq_gym/MultiDevice-v0")
    assert card["seed"] == 5 and card["training_seconds"] == policy.training_seconds > 0 and "commit" in card

    more = given(folder, 4, "--quiet", "--seed", "5", "--resume")
    train_dqn.main(train_dqn.parse(more))
    said = capsys.readouterr().out
    assert f"{4 * ROUND:,} decisions" in said
    train_dqn.main(train_dqn.parse(more))
    assert error_in(capsys.readouterr().out) == error_in(said), "nothing was left to do"
    with pytest.raises(ValueError, match=r"other settings.*seed was 5, here 0"):
        train_dqn.main(train_dqn.parse(given(folder, 4, "--quiet", "--resume")))

    arguments = ["--policies", "staggered", "--dqn", str(folder), "--episodes", "20", "--env-kwargs"]
    table = evaluate.main(evaluate.parse([*arguments, json.dumps(KWARGS)]))
    assert table.policy.tolist() == ["staggered", "dqn run"]
    assert table.training_seconds[1] == load_trained(folder).training_seconds


def test_more_seconds_go_on_with_the_settings_of_the_first_start(tmp_path: Path) -> None:
    """The id's recipe for 20 seconds is not that for 200."""
    train_dqn.main(train_dqn.parse(given(tmp_path, 1, "--quiet", "--seconds", "20")))
    resumed = ["--folder", str(tmp_path), "--env-kwargs", json.dumps(KWARGS), "--decisions", str(2 * ROUND)]
    again = train_dqn.parse([*resumed, "--seconds", "200", "--resume"])
    first = load(tmp_path / CHECKPOINT, agent_class=PairedDQN).config
    assert train_dqn.configure(again, tmp_path) == first.replace(total_decisions=2 * ROUND)
    train_dqn.main(again)
    assert load(tmp_path / CHECKPOINT, agent_class=PairedDQN).decisions == 2 * ROUND


def test_stops_in_time_with_the_present_policys_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_dqn.main(train_dqn.parse(given(tmp_path, 300, "--seconds", "0")))
    said = capsys.readouterr().out
    assert f"{ROUND:,} decisions and 0 pairs" in said
    assert 3.0 < error_in(said) < 30.0
    assert "--seconds 0 were over after 0 of 1 improvement steps" in said


def test_the_progress_bar_counts_as_the_last_line_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_dqn.main(train_dqn.parse(given(tmp_path, 1)))
    said = capsys.readouterr()
    counted = re.findall(r"[\d,]+ decisions and [\d,]+ pairs", " ".join(said.out.split()))
    assert counted and counted[0] in " ".join(said.err.split())


def test_settings_come_from_the_recipe_the_configuration_or_the_command_line() -> None:
    def configured(*arguments: str) -> object:
        return train_dqn.configure(train_dqn.parse(arguments), Path("nowhere"))

    default = configured()
    assert default.input_scaling == "standard" and default.duelling
    paper = configured("--config", "paper", "--decisions", "7")
    assert paper.returns == "one_step" and paper.total_decisions == 7
    ours = configured("--improvements", "3", "--overrides", '{"hidden": [5], "trace_decay": 0.5}')
    assert (ours.improvements, ours.hidden, ours.trace_decay) == (3, (5,), 0.5)
    assert ours.input_scaling == "standard"
    with pytest.raises(ValueError, match="unknown setting 'hiden'"):
        configured("--overrides", '{"hiden": [5]}')
    with pytest.raises(ValueError, match=r"DQNConfig.hidden must be a list of int, got 5 \(int\)"):
        configured("--overrides", '{"hidden": 5}')
    with pytest.raises(SystemExit):
        train_dqn.parse(["--config", "no-such"])


@pytest.mark.slow
def test_control_c_leaves_a_checkpoint_that_continues_as_if_nothing_had_happened(tmp_path: Path, root: Path) -> None:
    """SIGINT to a real process, in the midst of whatever it is doing."""
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.train_dqn", *given(stopped, 100_000, "--quiet")],
        cwd=root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(stopped.glob("staggered/events*")):  # the last thing written before the first round
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    assert "interrupted: what was learned so far is kept" in said and "Traceback" not in said

    agent = load(stopped / CHECKPOINT, agent_class=PairedDQN)
    done = agent.decisions // ROUND
    assert agent.decisions == done * ROUND >= ROUND and agent.updates > 0
    rounds = done + 3
    # Where training ends is part of its schedules, so the uninterrupted twin is one that was to be as long, and is cut.
    for folder, more in ((stopped, ["--resume"]), (whole, [])):
        _train_to(train_dqn.parse(given(folder, 100_000, *more)), rounds)
    mine, theirs = load_file(stopped / POLICY), load_file(whole / POLICY)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


def _train_to(args: object, rounds: int) -> None:
    """As `scripts.train_dqn.main`, but stopped after so many rounds in all."""
    from baselines import dqn

    run = dqn.Training(
        args.env, train_dqn.configure(args, args.folder), args.seed, args.folder, resume=args.resume, **KWARGS
    )

    def watch(step: dqn.Step) -> None:
        if step.decisions >= rounds * ROUND:
            raise KeyboardInterrupt

    dqn.train(run, watch=watch)
