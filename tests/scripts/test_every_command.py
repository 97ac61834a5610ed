"""Every command can be imported and says what it does."""

import importlib
import pkgutil

import pytest

import scripts

COMMANDS = sorted(
    {module.name for module in pkgutil.iter_modules(scripts.__path__)} - {"arguments", "command", "served"}
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = importlib.import_module(f"scripts.{name}")
    with pytest.raises(SystemExit) as end:
        command.parse(["--help"])
    assert end.value.code == 0 and f"python -m scripts.{name}" in capsys.readouterr().out
