"""The wheel: what it holds, that its core alone gives working environments, and that the lock covers the extras."""

import configparser
import ctypes
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# All in one worker, which builds the wheel and its environment once.
pytestmark = pytest.mark.xdist_group("packaging")

HEAVY = ("torch", "pandas", "matplotlib", "flask", "numba", "scipy.stats", "stable_baselines3", "sklearn", "pettingzoo")

PLAY = """
import importlib.metadata, json, os, pathlib, sys, tempfile
import gymnasium as gym
try:
    with tempfile.TemporaryFile(dir=pathlib.Path(gym.__file__).parent):
        writable = True
except OSError:
    writable = False
import aq_gym
steps = {}
readings = "AQ_GYM_DATA" in os.environ  # which Trace ids replay
ids = sorted(name for name in gym.registry if name.startswith("aq_gym/") and (readings or "Trace" not in name))
ids = sys.argv[1:] or ids
for name in ids:
    env = gym.make(name)
    env.reset(seed=0)
    env.action_space.seed(0)
    rewards = [env.step(env.action_space.sample())[1] for _ in range(2)]
    assert all(isinstance(reward, float) and reward == reward for reward in rewards), (name, rewards)
    steps[name] = len(rewards)
    env.close()
envs = gym.make_vec("aq_gym/MultiDevice-v0", num_envs=4, vectorization_mode="vector_entry_point")
envs.reset(seed=0)
envs.step(envs.action_space.sample())
packages = sorted(d.metadata["Name"].lower() for d in importlib.metadata.distributions())
print(json.dumps({"steps": steps, "writable": writable, "where": aq_gym.__file__, "packages": packages}))
"""


def run(*command: object, **kwargs: object) -> str:
    """Run a command and return what it printed; its errors become the test's."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **kwargs)  # type: ignore[call-overload]
    assert done.returncode == 0, (
        f"{' '.join(map(str, command[:4]))} ended with {done.returncode}:\n{done.stderr[-4000:]}"
    )
    return str(done.stdout)


def clean_environment(home: Path) -> dict[str, str]:
    """The present environment without anything that leads Python or numba back to the checkout or to an old cache."""
    drop = {"PYTHONPATH", "PYTHONHOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "VIRTUAL_ENV"}
    return {k: v for k, v in os.environ.items() if k not in drop} | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="session")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that the checkout stays clean and no stale build folder leaks into it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    for room in ("aq_gym", "agents", "baselines", "scripts", "tests"):
        shutil.copytree(root / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, source)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def core_venv(root: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment that holds the wheel and what its core requires, at the locked versions."""
    folder = tmp_path_factory.mktemp("core")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "-c", root / "requirements.lock", wheel)
    return folder


@pytest.fixture
def read_only(core_venv: Path) -> Iterator[None]:
    """The virtual environment without write permission, as a system-wide installation is to its users."""
    paths = [core_venv, *(p for p in core_venv.rglob("*") if not p.is_symlink())]
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    yield
    for path, mode in modes.items():
        path.chmod(mode)


def without_override() -> Callable[[], None] | None:
    """For root, who may write anywhere: give up that capability in the child, so that permissions count again."""
    if os.getuid() != 0 or sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


def test_wheel_holds_the_world_alone(root: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"aq_gym", f"aq_gym-{version('aq-gym')}.dist-info"}
    assert "aq_gym/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)
    package = root / "aq_gym"
    wanted = {*package.rglob("*.py"), package / "py.typed"}
    wanted |= {p for p in (package / "instances").iterdir() if p.suffix in {".npz", ".json", ".csv"}}
    data = ("static", "templates", "deploy")
    wanted |= {p for name in data for p in (package / "service" / name).rglob("*") if p.is_file()}
    assert {p.stem for p in wanted if p.suffix == ".npz"} >= {"pku2018", "pku2018-spring", "pku2018-summer"}
    assert {str(p.relative_to(root)) for p in wanted} == {n for n in names if n.startswith("aq_gym/")}


def test_the_rooms_are_imported_from_any_folder(root: Path, tmp_path: Path) -> None:
    code = "import agents, baselines, scripts; print(agents.__file__, baselines.__file__, scripts.__file__)"
    where = run(sys.executable, "-c", code, cwd=tmp_path, env=clean_environment(tmp_path)).split()
    assert [Path(x).parent.parent for x in where] == [root] * 3


@pytest.mark.slow
def test_core_alone_plays_every_id(core_venv: Path, tmp_path: Path) -> None:
    import gymnasium as gym

    import aq_gym  # noqa: F401

    plain = clean_environment(tmp_path) | {"NUMBA_DISABLE_JIT": "1"}  # the next test compiles
    out = run(core_venv / "bin" / "python", "-c", PLAY, cwd=tmp_path, env=plain)
    found = json.loads(out.splitlines()[-1])
    assert Path(found["where"]).is_relative_to(core_venv)
    ids = {name for name in gym.registry if name.startswith("aq_gym/")}
    assert set(found["steps"]) == {name for name in ids if "AQ_GYM_DATA" in os.environ or "Trace" not in name}
    assert len(found["steps"]) >= 7
    core = {"aq-gym", "gymnasium", "numpy", "numba", "llvmlite", "cloudpickle", "farama-notifications"}
    assert set(found["packages"]) <= core | {"typing_extensions"}, "the core needs numpy, numba and gymnasium"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("home", ["writable", "read-only"])
def test_read_only_installation_works(core_venv: Path, read_only: None, tmp_path: Path, home: str) -> None:
    """numba caches beside the code, else in the home folder; where it can do neither, it must still compile."""
    if home == "read-only":
        tmp_path.chmod(0o500)
    # with a cache, another kind of inference too: what numba compiles may need other packages (the joint view: none)
    more = ("aq_gym/MultiDevice-Lossy-Week-v0",) if home == "writable" else ()
    out = run(
        *(core_venv / "bin" / "python", "-c", PLAY, "aq_gym/MultiDevice-v0", *more),
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        preexec_fn=without_override(),
    )
    found = json.loads(out.splitlines()[-1])
    if found["writable"]:
        pytest.skip("this machine lets the child write into a read-only folder")
    assert found["steps"] == dict.fromkeys(("aq_gym/MultiDevice-v0", *more), 2)


def test_import_is_light(root: Path, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """`import aq_gym` adds its own modules and some of the standard library's to gymnasium's, and nothing else."""
    code = (
        "import json, sys, time, gymnasium; before = set(sys.modules); start = time.perf_counter(); import aq_gym;"
        "print(json.dumps([sorted(sys.modules), sorted(set(sys.modules) - before), time.perf_counter() - start]))"
    )
    everything, new, seconds = json.loads(run(sys.executable, "-c", code, cwd=root))
    record_property("import_milliseconds", 1000 * seconds)
    assert [name for name in HEAVY if name in everything] == []
    foreign = {name.partition(".")[0] for name in new} - {"aq_gym"} - set(sys.stdlib_module_names)
    assert not foreign, f"import aq_gym also imports {sorted(foreign)}"


def test_a_group_of_tests_shares_a_worker(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("tests are only grouped with -n 2 --dist loadgroup")
    assert request.node.nodeid.endswith("@packaging"), "this pytest-xdist does not group tests with this pytest"


def test_lock_covers_the_extras(root: Path) -> None:
    pins = {}
    for line in (root / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9A-Za-z.]+", line), f"not name==version: {line!r}"
            name, _, pin = line.partition("==")
            pins[canonicalize_name(name)] = pin
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg")
    wanted = config["options"]["install_requires"].split()
    for extra in ("render", "train", "placement", "forecasting", "service", "dev"):
        wanted += config["options.extras_require"][extra].split()
    for requirement in map(Requirement, wanted):
        assert canonicalize_name(requirement.name) in pins, f"{requirement.name} is not in requirements.lock"
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, f"the lock is below {requirement}"
        assert "<" not in str(requirement.specifier), f"{requirement}: floors only"
