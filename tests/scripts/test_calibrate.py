"""From published files to a network, by the command."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aq_gym import SensorNetwork, datasets
from aq_gym.calibration import fit, fit_files
from scripts import calibrate, fit_network


def run(*arguments: object) -> SensorNetwork:
    return calibrate.main(calibrate.parse([str(x) for x in arguments]))


@pytest.fixture
def town(tmp_path: Path) -> pd.DataFrame:
    """Five stations, hourly, with gaps; written as readings.csv and stations.csv."""
    rng = np.random.default_rng(0)
    level = 60.0 + 30.0 * np.sin(np.arange(300) / 9.0)[:, None]
    table = pd.DataFrame((level * rng.normal(1.0, 0.1, (300, 5))).round(1), columns=list("abcde"))
    table = table.mask(rng.random(table.shape) < 0.03)
    table.index = pd.date_range("2024-01-01", periods=300, freq="h", name="time", tz="Asia/Taipei")
    table.to_csv(tmp_path / "readings.csv")
    where = pd.DataFrame({"station": list("edcba"), "latitude": 23.0, "longitude": np.linspace(120.0, 120.04, 5)})
    where.to_csv(tmp_path / "stations.csv", index=False)
    return table


def test_a_network_with_its_card(town: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "town.npz"
    network = run(tmp_path / "readings.csv", "--stations", tmp_path / "stations.csv", "-o", out, "--leave-out", "c")
    assert SensorNetwork.load(out) == network and (network.name, network.slot_minutes) == ("town", 60.0)
    want = fit([town.drop(columns="c")])
    np.testing.assert_allclose(network.mean_relation, want.mean_relation, rtol=1e-11)
    np.testing.assert_array_equal(network.transition, want.transition)
    assert network.coordinates is not None and (np.diff(network.coordinates[:, 0]) < 0).all()  # by name: a lies east
    whole = fit_files("town", [tmp_path / "readings.csv"], None, tmp_path / "stations.csv", {})
    assert whole.coordinates is not None and (np.diff(whole.coordinates[:, 0]) < 0).all() and whole.slot_minutes == 60
    card = json.loads(out.with_suffix(".json").read_text("utf-8"))
    read = int(town.drop(columns="c").notna().sum().sum())
    assert card["counts"] == {"used": read, "missing": 1200 - read, "implausible": 0, "stuck": 0}
    assert card["origin"] == pytest.approx({"longitude": 120.02, "latitude": 23.0})
    assert list(card["stations"]) == ["a", "b", "d", "e"] and card["left_out"] == {"c": "as asked"}
    assert card["slots"]["slots"] == 300 and card["slots"]["zone"] == "UTC+08:00"
    assert set(card["data"]["locations"]) == {"stations.csv"} and card["options"]["slot_minutes"] == 60.0
    said = capsys.readouterr().out
    assert f"{read:,} used" in said and "left out: c: as asked" in said and "assumed to be that of pku2018's" in said


def test_plain_files_without_gaps_give_the_network_of_fit_network(pku_data: Path, tmp_path: Path) -> None:
    """Byte for byte, up to the name: nothing in pku2018 is left out, and nothing is counted otherwise."""
    files = [pku_data / name for name in datasets.PERIODS["pku2018"]]
    network = run(*files, "--calibration", pku_data / datasets.CALIBRATION, "-o", tmp_path / "a.npz")
    more = ["--calibration", pku_data / datasets.CALIBRATION, "--name", "a", "--output", tmp_path / "other"]
    fit_network.main(fit_network.parse([str(x) for x in ("--readings", *files, *more)]))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "other" / "a.npz").read_bytes()
    assert network.slot_minutes == 10.0


def test_an_archive_with_a_file_a_location(tmp_path: Path) -> None:
    """As OpenAQ's: long, gzipped, several parameters, coordinates in every row, zones, minutes that differ."""
    files = []
    for place, minute in ((225, 0), (226, 7), (227, 30)):
        rows = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value\n" + "".join(
            f'{place},9,"T, {place}",2024-01-{1 + h // 24:02}T{h % 24:02}:{minute:02}:00-05:00,4.6,-74.{place},{what}\n'
            for h in range(72)
            for what in (f"pm25,µg/m³,{60 + h % 9 + place % 3 * 5}", "no2,ppb,0.3")
        )
        files.append(tmp_path / f"location-{place}.csv.gz")
        files[-1].write_bytes(gzip.compress(rows.encode()))
    with pytest.raises(ValueError, match=r"minutes after the time before.*give slot_minutes"):
        run(*files, "-o", tmp_path / "town.npz")
    network = run(*files, "--stations", *files, "--slot-minutes", 60, "-o", tmp_path / "town.npz")
    assert network.n_locations == 3 and network.coordinates is not None and network.slot_minutes == 60.0
    card = json.loads((tmp_path / "town.json").read_text("utf-8"))
    assert list(card["stations"]) == ["225", "226", "227"] and card["counts"]["used"] == 216
    assert card["slots"]["begin"] == "2024-01-01 00:00:00-05:00"


def test_files_of_one_name_both_stand_on_the_card(tmp_path: Path) -> None:
    for folder, day in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        rows = "".join(f"2024-01-0{day} {h:02}:00,{50 + h},{60 - h}\n" for h in range(24))
        (tmp_path / folder / "x.csv").write_text("time,p,q\n" + rows)
    files = [tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv"]
    run(*files, "-o", tmp_path / "town.npz")
    card = json.loads((tmp_path / "town.json").read_text("utf-8"))
    assert set(card["data"]["readings"]) == {str(x) for x in files} and card["slots"]["slots"] == 48


def test_what_is_refused_leaves_nothing(town: pd.DataFrame, tmp_path: Path) -> None:
    source, out = tmp_path / "readings.csv", tmp_path / "out.npz"
    (tmp_path / "few.csv").write_text("station,lat,lon\na,1,2\nb,1,2.1\n")
    for arguments, message in (
        ([source, "-o", tmp_path / "pku2018.npz"], "--output: expected a file ending in .npz, not named as a bundled"),
        ([source, "-o", tmp_path / "town.txt"], "--output: expected a file ending in .npz"),
        ([source, "-o", calibrate.INSTANCES / "town.npz"], "part of the package"),
        ([tmp_path / "none.csv", "-o", out], "none.csv is missing"),
        (
            [source, "-o", out, "--stations", tmp_path / "few.csv"],
            "few.csv: 3 of the 5 stations that were read are not",
        ),
        ([source, "-o", out, "--leave-out", "z"], "there is no station 'z'"),
        ([source, "-o", out, "--min-level", "900"], "min_level=900 leaves 0 slot"),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            run(*arguments)
        assert message in str(caught.value)
    assert not out.exists() and sorted(x.name for x in tmp_path.glob("*.npz")) == []
