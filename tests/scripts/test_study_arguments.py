"""What the commands of the studies refuse, each in a line and before the work begins."""

from pathlib import Path

import pytest

from scripts import ablation, backtest, benchmark, evaluate, reproduce_paper, robustness, zero_shot


@pytest.mark.parametrize("command", [ablation, backtest, reproduce_paper, robustness, zero_shot])
def test_seeds_are_not_negative(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    refused(command, ["--seed", "-1"], "--seed: expected at least 0, got -1", capsys)
    refused(command, ["--seed", "1.5"], "--seed: expected an integer, got '1.5'", capsys)


@pytest.mark.parametrize(
    ("command", "given", "reason"),
    [
        (robustness, ["--episodes", "0"], "--episodes: expected at least 1, got 0"),
        (zero_shot, ["--train", "nan"], "--train: expected at least 0, got nan"),
        (zero_shot, ["--train-at", "MultiDevice-v0"], "--train-at: says where --train applies"),
        (ablation, ["--seconds", "-3"], "--seconds: expected at least 0, got -3"),
        (backtest, ["--horizon", "0"], "--horizon: expected at least 1, got 0"),
        (backtest, ["--csv", "{folder}"], "--csv: expected a file, but {folder} is a folder"),
        (backtest, ["--readings", "x.csv"], "--network and --readings belong together"),
        (backtest, ["--readings", "x.csv", "--network", "x.npz", "--markdown", "x.md"], "about pku2018's readings"),
        (evaluate, ["--csv", "{folder}"], "--csv: expected a file, but {folder} is a folder"),
        (benchmark, ["--seconds", "soon"], "--seconds: expected a number above 0, got soon"),
        (reproduce_paper, ["--folder", __file__], "--folder: expected a folder, but"),
        (reproduce_paper, ["--markdown", "{folder}"], "--markdown: expected a file, but {folder} is a folder"),
    ],
)
def test_numbers_and_files(
    command: object, given: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [x.format(folder=tmp_path) for x in given]
    refused(command, given, reason.format(folder=tmp_path), capsys)


def refused(command: object, given: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.parse(given)  # type: ignore[attr-defined]
    assert end.value.code == 2 and reason in capsys.readouterr().err


def test_without_the_readings_the_backtest_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_GYM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"scripts\.download_data.*AQ_GYM_DATA"):
        backtest.main(backtest.parse(["--quiet", "--csv", str(tmp_path / "b.csv")]))
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_a_policy_named_twice_plays_once() -> None:
    args = backtest.parse(["--policies", "index", "staggered", "index", "--planned", "greedy", "greedy"])
    assert (args.policies, args.planned) == (["index", "staggered"], ["greedy"])
    assert robustness.parse(["--policies", "index", "index"]).policies == ["index"]
    assert zero_shot.parse(["--instances", "MultiDevice-v0", "MultiDevice-v0"]).instances == ["MultiDevice-v0"]
