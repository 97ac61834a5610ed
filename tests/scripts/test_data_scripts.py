"""The commands that download the data and fit the networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from aq_gym import SensorNetwork, datasets
from aq_gym.network import INSTANCES
from scripts import download_data, fit_network


def test_bundled_networks_are_reproduced_byte_for_byte(
    pku_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit_network.main(["--data", str(pku_data), "--output", str(tmp_path)]) == 0
    for name in datasets.PERIODS:
        assert (tmp_path / f"{name}.npz").read_bytes() == (INSTANCES / f"{name}.npz").read_bytes(), name
        made, committed = (json.loads((d / f"{name}.json").read_text("utf-8")) for d in (tmp_path, INSTANCES))
        assert {**made, "commit": None} == {**committed, "commit": None}
    assert fit_network.main(["--data", str(pku_data), "--check"]) == 0
    assert "DIFFERENT" not in capsys.readouterr().out
    shutil.copy(tmp_path / "pku2018-spring.npz", tmp_path / "pku2018.npz")
    assert fit_network.main(["--data", str(pku_data), "--check", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("DIFFERENT") == 1


def test_fit_of_own_readings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("a.csv", (50, 3)), ("b.csv", (20, 3)), ("cal.csv", (5, 40))):
        np.savetxt(tmp_path / name, rng.integers(30, 90, shape), fmt="%d", delimiter=",")
    where = tmp_path / "where.csv"
    where.write_text("longitude,latitude\n1.0,45.0\n1.01,45.0\n1.0,45.01\n", encoding="utf-8")
    files = ["--readings", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--calibration", str(tmp_path / "cal.csv")]
    rest = ["--locations", str(where), "--name", "town", "--bin-width", "20", "--output", str(tmp_path / "out")]
    assert fit_network.main(files + rest) == 0
    network = SensorNetwork.load(tmp_path / "out" / "town.npz")
    assert (network.name, network.n_locations) == ("town", 3)
    assert network.levels[0] == 10.0
    assert network.coordinates is not None
    card = json.loads((tmp_path / "out" / "town.json").read_text("utf-8"))
    assert card["options"]["bin_width"] == 20.0
    assert set(card["data"]["readings"]) == {"a.csv", "b.csv"}


def test_bad_readings_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, where = tmp_path / "good.csv", tmp_path / "bad.csv", tmp_path / "where.csv"
    good.write_text("40,50\n60,70\n")
    bad.write_text("40,50\n60,x\n")
    where.write_text("longitude,latitude\n1,2\n1,3\n1,4\n")
    out = tmp_path / "out"
    for arguments, message in (
        (["--readings", str(bad)], "bad.csv, row 2, column 2: 'x' is not a number"),
        (["--readings", str(tmp_path / "none.csv")], "none.csv is missing"),
        (["--readings", str(good), "--locations", str(where)], "where.csv has 3 locations, the readings 2 columns"),
        (["--readings", str(good), "--min-level", "900"], "lower it"),
        (["--data", str(tmp_path)], "is missing: fetch it"),
    ):
        assert fit_network.main([*arguments, "--output", str(out)]) == 1
        assert message in capsys.readouterr().err
        assert not out.exists()


def test_field_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_network.main(["--field-statistics"]) == 0
    assert "SPATIAL_RANGE            350" in capsys.readouterr().out


def test_download_data(
    pku_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert download_data.main(["--folder", str(tmp_path / "raw")]) == 0
    assert capsys.readouterr().out.count("intact") == 3
    assert {path.name for path in (tmp_path / "raw").iterdir()} == set(datasets.FILES)
    monkeypatch.setenv("AQ_GYM_DATA", str(tmp_path))
    assert download_data.main([]) == 1
    assert "is missing" in capsys.readouterr().err
