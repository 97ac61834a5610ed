"""The walls of the house: which room may import which, and what may lie at the top of the repository."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOMS = ("aq_gym", "agents", "baselines", "scripts")

# Room -> top-level packages that it must not import.
FORBIDDEN = {
    "aq_gym": {"agents", "baselines", "scripts", "tests"},
    "agents": {"aq_gym", "baselines", "scripts", "tests"},
    "baselines": {"scripts", "tests"},
    "scripts": {"tests"},
}
# The equations know no environment interface and no file format beyond NumPy's.
PURE = {"inference.py", "kernels.py", "network.py"}
NOT_IN_PURE = {"gymnasium", "pettingzoo", "pandas", "matplotlib", "torch"}

TOP_LEVEL = {
    *("aq_gym", "agents", "baselines", "scripts", "data", "tests", "docs", ".ci", ".github"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "requirements.lock"),
    *("setup.cfg", "pyproject.toml", ".gitignore", ".gitattributes", ".pre-commit-config.yaml"),
}


def imported(source: str, package: tuple[str, ...]) -> dict[str, int]:
    """Absolute dotted names that a module of `package` imports, at its top or inside functions, each with its line."""
    names: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update({alias.name: node.lineno for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names.update({f"{stem}.{alias.name}": node.lineno for alias in node.names})
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "import_module":
            names[ast.unparse(node.args[0]).strip("'\".")] = node.lineno
    return names


def violations(room: str, path: Path, source: str) -> list[str]:
    """What a module (path relative to the root) imports against the arrows."""
    banned = set(FORBIDDEN[room])
    if room == "aq_gym" and path.parts[1] != "forecasting":
        banned.add("torch")
    if room == "aq_gym" and path.name in PURE and len(path.parts) == 2:
        banned |= NOT_IN_PURE
    found = imported(source, path.parts[:-1])
    return [f"{path}:{line} imports {name}" for name, line in found.items() if name.partition(".")[0] in banned]


def test_the_check_sees_every_kind_of_import() -> None:
    source = (
        "import torch\ndef f():\n    from agents.dqn import DQN\n    importlib.import_module('scripts.benchmark')\n"
    )
    assert len(violations("aq_gym", Path("aq_gym/envs/x.py"), source)) == 3
    assert not violations(
        "aq_gym", Path("aq_gym/forecasting/x.py"), "import torch\nfrom ..network import SensorNetwork"
    )
    assert violations("aq_gym", Path("aq_gym/kernels.py"), "from gymnasium import Env")
    assert imported("from .. import network\nfrom .x import y", ("aq_gym", "envs")) == {
        "aq_gym.network": 1,
        "aq_gym.envs.x.y": 2,
    }


@pytest.mark.parametrize("room", ROOMS)
def test_arrows(root: Path, room: str) -> None:
    modules = sorted((root / room).rglob("*.py"))
    assert modules, f"no module in {room}/"
    bad = [line for path in modules for line in violations(room, path.relative_to(root), path.read_text("utf-8"))]
    assert not bad, "imports against the arrows:\n" + "\n".join(bad)


def test_top_level(root: Path) -> None:
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: ignored files cannot be told from the project's")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    extra = {line.strip('"').partition("/")[0] for line in files} - TOP_LEVEL
    assert not extra, f"new entries at the top: {sorted(extra)}; move them into a room, or add them to TOP_LEVEL"


def test_tests_mirror_the_rooms(root: Path) -> None:
    names = [path.name for path in (root / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), "two test files share a name"
    assert not list((root / "tests").rglob("__init__.py")), "tests are no packages"
