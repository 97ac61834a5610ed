"""The walls of the house: which room may import which, and what may lie at the top of the repository."""

import ast
import subprocess
from graphlib import CycleError, TopologicalSorter
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
PURE = {"inference.py", "dynamics.py", "network.py"}
NOT_IN_PURE = {"gymnasium", "pettingzoo", "pandas", "matplotlib", "torch"}

# The most lines that a file may have, by the folder that it lies in; the longest matching folder counts.
MOST_LINES = {
    **{"aq_gym": 300, "agents": 300, "baselines": 300, "scripts": 120},
    **{"aq_gym/dynamics.py": 200, "aq_gym/kernels": 280, "agents/dqn.py": 260},
    **{"baselines/exact": 280, "baselines/studies": 250},
}

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
    assert violations("aq_gym", Path("aq_gym/dynamics.py"), "from gymnasium import Env")
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


def module_name(path: Path) -> str:
    """The dotted name of a module, from its path relative to the root."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circle(sources: dict[Path, str]) -> list[str]:
    """The modules of one import circle, or nothing; imports inside functions and for type checkers count."""
    modules = {module_name(path) for path in sources}
    graph: dict[str, set[str]] = {}
    for path, source in sources.items():
        imports = graph.setdefault(module_name(path), set())
        for name in imported(source, path.parts[:-1]):
            while name and name not in modules:  # `from package.module import name` imports package.module
                name = name.rpartition(".")[0]
            imports |= {name} - {"", module_name(path)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_check_sees_circles() -> None:
    a, b, package = Path("agents/a.py"), Path("agents/b.py"), Path("agents/__init__.py")
    assert not circle({a: "from agents import b", b: "import numpy", package: "from agents.a import x"})
    assert circle({a: "def f():\n    from agents import b", b: "from .a import x", package: ""})
    assert circle({a: "from agents import x", b: "", package: "from agents.a import x"})


def test_no_import_circle(root: Path) -> None:
    sources = {p.relative_to(root): p.read_text("utf-8") for room in ROOMS for p in (root / room).rglob("*.py")}
    found = circle(sources)
    assert not found, "import circle: " + " -> ".join(found)


def test_no_circle_between_the_rooms_of_baselines(root: Path) -> None:
    sources: dict[Path, str] = {}
    for path in (root / "baselines").glob("*/**/*.py"):
        room = Path("baselines", path.relative_to(root).parts[1] + ".py")
        names = imported(path.read_text("utf-8"), path.relative_to(root).parts[:-1])
        rooms = {name.split(".")[1] for name in names if name.startswith("baselines.")} - {room.stem}
        sources[room] = sources.get(room, "") + "".join(f"import baselines.{name}\n" for name in sorted(rooms))
    found = circle(sources)
    assert not found, "rooms that need each other: " + " -> ".join(found)


def most_lines(path: Path) -> int:
    """The limit for a file, from its path relative to the root."""
    return next(MOST_LINES[str(place)] for place in (path, *path.parents) if str(place) in MOST_LINES)


def test_the_limit_of_the_nearest_folder_counts() -> None:
    assert most_lines(Path("aq_gym/kernels/maps.py")) == MOST_LINES["aq_gym/kernels"] < MOST_LINES["aq_gym"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_is_long(root: Path, room: str) -> None:
    lines = {p.relative_to(root): len(p.read_text("utf-8").splitlines()) for p in (root / room).rglob("*.py")}
    long = [f"{path}: {n} lines, at most {most_lines(path)}" for path, n in lines.items() if n > most_lines(path)]
    assert not long, "files with two subjects:\n" + "\n".join(long)


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
