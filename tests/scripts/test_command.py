"""What the user can mend ends a command with a line."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.arguments import at_least, check_arguments, json_object
from scripts.command import TRACEBACK, enter


def parse(arguments: object) -> argparse.Namespace:
    return argparse.Namespace()


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A command leaves its signals' handlers behind: its process ends."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "error", [ValueError("horizon: expected more"), FileNotFoundError("/x: no such file"), OverflowError("too large")]
)
def test_a_line_and_status_2(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(args: argparse.Namespace) -> None:
        raise error

    monkeypatch.delenv(TRACEBACK, raising=False)
    with pytest.raises(SystemExit) as end:
        enter(main, parse)
    said = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and said == [f"error: {error}", f"(set {TRACEBACK}=1 to see where)"]
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(type(error)):
        enter(main, parse)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (MemoryError("Unable to allocate"), 2, "error: not enough memory"),
        (ValueError("two\n  lines"), 2, "error: two lines\n"),
    ],
)
def test_other_ends(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(args: argparse.Namespace) -> None:
        raise error

    monkeypatch.delenv(TRACEBACK, raising=False)
    with pytest.raises(SystemExit) as end:
        enter(main, parse)
    assert end.value.code == status and capsys.readouterr().err.startswith(said)


def test_sigterm_ends_like_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        enter(lambda args: os.kill(os.getpid(), signal.SIGTERM), parse)
    assert end.value.code == 130 and capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("stdout", ["closed", "full"])
def test_results_that_nobody_can_read_are_no_traceback(stdout: str, root: Path) -> None:
    code = "from scripts.command import enter; enter(lambda args: print('x' * 100_000), lambda given: None)"
    reader, writer = os.pipe()
    os.close(reader)
    target = os.fdopen(writer, "w") if stdout == "closed" else open("/dev/full", "w")  # noqa: SIM115
    with target:
        run = subprocess.run([sys.executable, "-c", code], stdout=target, stderr=subprocess.PIPE, text=True, cwd=root)
    assert run.returncode == {"closed": 141, "full": 2}[stdout]
    assert "Traceback" not in run.stderr and "Exception ignored" not in run.stderr


def test_arguments() -> None:
    assert at_least(0, float)("2.5") == 2.5 and at_least(0, float)("inf") == float("inf")
    for text, said in (("-1", "at least 0"), ("nan", "at least 0"), ("soon", "a number")):
        with pytest.raises(argparse.ArgumentTypeError, match=f"expected {said}"):
            at_least(0, float)(text)
    with pytest.raises(ValueError, match="--env-kwargs: seed is no argument of an environment"):
        check_arguments("--env-kwargs", {"horizon": 3, "seed": 1}, lambda env_id, seed: None)


def test_our_own_mistakes_keep_their_traceback() -> None:
    def main(args: argparse.Namespace) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        enter(main, parse)


@pytest.mark.parametrize("text", ["[1]", "5", "null", "{bad", "{'a': 1}", ""])
def test_settings_are_a_json_object(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--overrides", type=json_object)
    assert parser.parse_args(["--overrides", '{"a": [1, 2.5]}']).overrides == {"a": [1, 2.5]}
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--overrides", text])
    assert end.value.code == 2
    assert f"""--overrides: expected a JSON object like '{{"name": 1}}', got {text!r}""" in capsys.readouterr().err
