"""The commands that download the data and fit the networks."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from aq_gym import SensorNetwork, datasets
from aq_gym.network import INSTANCES
from scripts import download_data, fit_network


def fit(*arguments: object) -> None:
    fit_network.main(fit_network.parse([str(x) for x in arguments]))


def readings(path: Path, rows: int, low: int = 30, high: int = 90) -> Path:
    np.savetxt(path, np.random.default_rng(0).integers(low, high, (rows, 3)), fmt="%d", delimiter=",")
    return path


def test_bundled_networks_are_reproduced_byte_for_byte(
    pku_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit("--data", pku_data, "--output", tmp_path)
    for name in datasets.PERIODS:
        assert (tmp_path / f"{name}.npz").read_bytes() == (INSTANCES / f"{name}.npz").read_bytes(), name
        made, committed = (json.loads((d / f"{name}.json").read_text("utf-8")) for d in (tmp_path, INSTANCES))
        assert {**made, "commit": None} == {**committed, "commit": None}
    fit("--data", pku_data, "--check")
    assert "DIFFERENT" not in capsys.readouterr().out
    shutil.copy(tmp_path / "pku2018-spring.npz", tmp_path / "pku2018.npz")
    with pytest.raises(SystemExit) as end:
        fit("--data", pku_data, "--check", "--output", tmp_path)
    assert end.value.code == 1 and capsys.readouterr().out.count("DIFFERENT") == 1


def test_fit_of_own_readings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [readings(tmp_path / "a.csv", 50), readings(tmp_path / "b.csv", 20)]
    np.savetxt(tmp_path / "cal.csv", np.random.default_rng(0).integers(30, 90, (5, 40)), fmt="%d", delimiter=",")
    where = tmp_path / "where.csv"
    where.write_text("longitude,latitude\n1.0,45.0\n1.01,45.0\n1.0,45.01\n", encoding="utf-8")
    rest = ["--locations", where, "--name", "town", "--bin-width", 20, "--slot-minutes", 60, "--output", tmp_path]
    fit("--readings", *files, "--calibration", tmp_path / "cal.csv", *rest)
    network = SensorNetwork.load(tmp_path / "town.npz")
    assert (network.name, network.n_locations, network.levels[0], network.slot_minutes) == ("town", 3, 10.0, 60.0)
    assert network.coordinates is not None and "slot: 60 minutes" in capsys.readouterr().out
    card = json.loads((tmp_path / "town.json").read_text("utf-8"))
    assert card["slot_minutes"] == card["options"]["slot_minutes"] == 60.0 and card["options"]["bin_width"] == 20.0
    assert set(card["data"]["readings"]) == {"a.csv", "b.csv"}


def test_readings_from_a_pipe_and_above_the_largest(tmp_path: Path) -> None:
    source = readings(tmp_path / "a.csv", 30, 2500, 3000)
    out = ["--output", tmp_path, "--bin-width", 100]
    with pytest.raises(ValueError, match=r"a\.csv, row 1, column 1: \d+ is above 2000 µg/m³, .*raise `largest`"):
        fit("--readings", source, *out)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(source.read_bytes()), daemon=True).start()
    fit("--readings", pipe, "--largest", 4000, *out)
    assert json.loads((tmp_path / "custom.json").read_text("utf-8"))["data"]["readings"] == {"pipe": "a pipe"}


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    good, bad, where = readings(tmp_path / "good.csv", 9), tmp_path / "bad.csv", tmp_path / "where.csv"
    bad.write_text("40,50\n60,x\n")
    where.write_text("longitude,latitude\n1,2\n1,2.1\n")
    package = {path: path.stat().st_mtime_ns for path in INSTANCES.iterdir()}
    for arguments, message in (
        (["--readings", bad], "bad.csv, row 2, column 2: 'x' is not a number"),
        (["--readings", tmp_path / "none.csv"], "none.csv is missing"),
        (["--readings", good, "--locations", where], "where.csv has 2 locations, the readings 3 columns"),
        (["--readings", good, "--min-level", "900"], "lower it"),
        (["--readings", good, "--slot-minutes", "0"], "slot_minutes must be finite and positive"),
        (["--readings", good, "--name", "pku2018"], "--name: 'pku2018' names a bundled"),
        (["--readings", good, "--name", "../x"], "--name: '../x' names a bundled or synthetic network or a folder"),
        (["--readings", good, "--name", "synthetic-3-0"], "choose another"),
        (["--name", "town", "--locations", where], "--locations, --name: serves with --readings alone"),
        (["--data", tmp_path], "is missing: fetch it"),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            fit(*arguments, "--output", tmp_path / "out")
        assert message in str(caught.value)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="part of the package"):
        fit("--readings", good, "--output", INSTANCES)
    for more in (["--readings", good], ["--bin-width", "20"], ["--output", tmp_path]):
        with pytest.raises(ValueError, match="--bundled: writes the PKU networks of the default options"):
            fit("--bundled", *more)
    assert {path: path.stat().st_mtime_ns for path in INSTANCES.iterdir()} == package


def test_the_command_writes_beside_the_user(tmp_path: Path, root: Path) -> None:
    """Without --output a file goes to data/processed where the user is; an error is a line and status 2."""
    source = readings(tmp_path / "a.csv", 9)
    command = [sys.executable, "-m", "scripts.fit_network", "--readings", str(source)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert sorted(p.name for p in (tmp_path / "data" / "processed").iterdir()) == ["custom.json", "custom.npz"]
    source.write_text("")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "a.csv: 0 row(s)" in done.stderr and "Traceback" not in done.stderr


def test_field_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    fit("--field-statistics")
    assert "SPATIAL_RANGE            350" in capsys.readouterr().out


def test_download_data(
    pku_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    download_data.main(download_data.parse(["--folder", str(tmp_path / "raw")]))
    assert capsys.readouterr().out.count("intact") == 3
    assert {path.name for path in (tmp_path / "raw").iterdir()} == set(datasets.FILES)
    monkeypatch.setenv("AQ_GYM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="is missing"):
        download_data.main(download_data.parse([]))
