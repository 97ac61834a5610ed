"""What the user can mend ends a command with a line."""

from __future__ import annotations

import argparse

import pytest

from scripts.door import TRACEBACK, enter, json_object


def parse(arguments: object) -> argparse.Namespace:
    return argparse.Namespace()


@pytest.mark.parametrize("error", [ValueError("horizon: expected more"), FileNotFoundError("/x: no such file")])
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
