"""docs/your-own-data.md: its commands run, one after another, on made-up towns in place of the cities' files."""

import json
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aq_gym import SensorNetwork

PAGE = Path(__file__).parents[1] / "docs" / "your-own-data.md"
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
SHORTER = {"--seconds": "1", "--devices": "2"}  # the page's own numbers would take minutes
TUNED = {"greedy", "index"}  # policies that are tuned for many seconds


def town(readings: Path, n: int, times: pd.Index, places: Path | None = None, gaps: float = 0.02) -> None:
    """Readings with gaps of n stations, and where they stand: around Taipei, the second one in Singapore."""
    rng = np.random.default_rng(n)
    level = 50.0 + 25.0 * np.sin(np.arange(len(times)) / 12.0)[:, None]
    table = level * rng.uniform(0.8, 1.2, n) * rng.normal(1.0, 0.1, (len(times), n))
    frame = pd.DataFrame(table.round(1), index=times, columns=[f"s{k}" for k in range(n)])
    readings.parent.mkdir(exist_ok=True)
    frame.mask(rng.random(frame.shape) < gaps).to_csv(readings)
    if places is not None:
        where = pd.DataFrame({"latitude": rng.uniform(24.95, 25.15, n), "longitude": rng.uniform(121.4, 121.6, n)})
        where.index = pd.Index(frame.columns, name="station")
        where.iloc[1] = [1.3, 103.9]
        where.to_csv(places)


def readings_of_a_service(arguments: list[str]) -> list[dict[str, object]]:
    """Serve as a process of its own until the first devices have reported."""
    pytest.importorskip("flask_openapi3", reason="the service needs pip install 'aq-gym[service]'")
    command = [sys.executable, "-m", "scripts.serve", *arguments, "--port", "0", "--slot-seconds", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = next(line.split()[1] for line in process.stdout if line.startswith("serving"))
            found: list[dict[str, object]] = []
            while not found:
                with urllib.request.urlopen(url + "/api/v1/history", timeout=30) as answer:
                    found = json.load(answer)["readings"]
                assert process.poll() is None
                time.sleep(0.1)
            return found
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the page supposes, with small towns in it; the working directory."""
    monkeypatch.chdir(tmp_path)
    hours = pd.date_range("2024-01-01", periods=160, freq="h", name="time")
    town(tmp_path / "readings.csv", 10, hours, tmp_path / "stations.csv")
    town(tmp_path / "beijing2017" / "pm25.csv", 12, hours)
    town(tmp_path / "2023.csv", 10, hours)
    town(tmp_path / "2024.csv", 10, hours + pd.Timedelta(days=7), gaps=0.001)
    counted = pd.Index(range(160), name="hour")
    town(tmp_path / "airbox2017" / "readings.csv", 64, counted, tmp_path / "airbox2017" / "stations.csv")
    return tmp_path


@pytest.mark.slow
@pytest.mark.xdist_group("own data page")
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_commands_run(number: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = []
    for line in BLOCKS[number].replace("\\\n", " ").splitlines():
        python, option, module, *arguments = shlex.split(line)
        assert (python, option) == ("python", "-m")
        if module == "scripts.serve":
            assert readings_of_a_service(arguments)
            ran.append("serve")
            continue
        for k, argument in enumerate(arguments[:-1]):
            arguments[k + 1] = SHORTER.get(argument, arguments[k + 1])
        arguments = [word for word in arguments if word not in TUNED]
        extra = {
            "scripts.evaluate": ["--episodes", "20"],
            "scripts.train_dqn": ["--decisions", "2000", "--quiet"],
            "scripts.backtest": ["--policies", "staggered", "generalist", "--planned", "--quiet"],
        }
        command = import_module(module)
        command.main(command.parse([*arguments, *extra.get(module, [])]))
        ran.append(module.rpartition(".")[2])
    (path,) = folder.glob("*.npz")
    if path.stem == "town-2023":
        assert ran == ["calibrate", "backtest"] and Path("results/backtest.csv").exists()
        return
    assert ran == ["calibrate", "select_locations", "train_dqn", "evaluate", *(["serve"] if number == 0 else [])]
    network = SensorNetwork.load(path)
    assert network.slot_minutes == 60.0 and network.n_locations in (9, 12, 63)  # Singapore is left out
    out = capsys.readouterr().out
    assert "missing" in out and f"dqn {path.stem}-dqn" in out and (network.n_locations == 12 or "left out: s1:" in out)


def test_python_runs(folder: Path) -> None:
    for code in PYTHON:
        names: dict[str, object] = {}
        exec(compile(code, "docs/your-own-data.md", "exec"), names)
        assert isinstance(names["network"], SensorNetwork) and names["network"].n_locations == 10


def test_there_are_commands_for_both_cities() -> None:
    assert (
        len(BLOCKS) == 4 and "beijing2017/pm25.csv" in BLOCKS[2] and "airbox2017/stations.csv" in BLOCKS[3] and PYTHON
    )
