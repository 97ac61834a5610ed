"""Which stations and readings make a network, and why the others do not."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aq_gym.datasets import load_locations
from aq_gym.ingestion.screening import Rules, screen
from aq_gym.ingestion.stations import Stations, read_stations

SLOTS = 100
NAMES = ["a", "b", "zero", "stuck", "wild", "abroad"]


def raw() -> pd.DataFrame:
    """Six stations: one reads zero, one sticks for 40 slots, one has three impossible readings and two gaps."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(50.0 + rng.normal(0.0, 3.0, (SLOTS, 6)), columns=NAMES)
    table.loc[5:, "zero"] = 0.4
    table.loc[10:49, "stuck"] = 47.0
    table.loc[[1, 2, 3], "wild"] = [-4.0, 1e9, 0.0]
    table.loc[[7, 8], "wild"] = np.nan
    return table


def places(**moved: tuple[float, float]) -> Stations:
    degrees = {name: (120.0 + k / 100, 23.0) for k, name in enumerate(NAMES)} | moved
    lines = [f"where.csv, row {k + 2}" for k in range(len(degrees))]
    return Stations(Path("where.csv"), lines, list(degrees), np.array(list(degrees.values())))


def test_what_cannot_be_air_is_counted_and_said() -> None:
    table = raw()
    before = table.copy()
    got = screen([table], places(abroad=(103.9, 1.3)))
    pd.testing.assert_frame_equal(table, before)
    assert list(got.tables[0].columns) == ["a", "b", "stuck", "wild"]
    assert got.counts.loc["wild"].to_dict() == {"used": 95, "missing": 2, "implausible": 3, "stuck": 0}
    assert got.counts.loc["stuck"].to_dict() == {"used": 60, "missing": 0, "implausible": 0, "stuck": 40}
    assert (got.counts.sum(axis=1) == SLOTS).all() and got.tables[0].notna().sum().tolist() == [100, 100, 60, 95]
    assert got.left_out["zero"] == "95 of its 100 readings cannot be right"
    assert "km from the stations' median place" in got.left_out["abroad"]
    said = got.summary()
    assert (
        "400 of 4 stations, 355 used (88.8%); 2 missing, 3 implausible, 40 stuck" in said and "left out: zero" in said
    )
    assert got.record()["counts"] == {"used": 355, "missing": 2, "implausible": 3, "stuck": 40}


def test_the_user_decides() -> None:
    everything = Rules(largest=1e10, stuck_slots=0, near_zero=False, least_share=0.0)
    got = screen([raw()], rules=everything)
    assert not got.left_out and got.counts.used.sum() == 6 * SLOTS - 3  # two gaps, one negative
    got = screen([raw()], leave_out=["a", "b"], rules=everything)
    assert got.left_out == {"a": "as asked", "b": "as asked"} and len(got.counts) == 4
    box = (22.9, 119.995, 23.1, 120.015)
    assert list(screen([raw()], places(), within=box).counts.index) == ["a", "b"]
    line = places(a=(179.9, 23.0), b=(-179.9, 23.0))
    assert list(screen([raw()[["a", "b"]]], line, within=(22, 179, 24, -179)).counts.index) == ["a", "b"]
    for options, message in (
        ({"leave_out": ["c"]}, "there is no station 'c'; the first ones are a, b"),
        ({"leave_out": NAMES[1:]}, r"1 station\(s\) stay, at least 2 are needed; left out are b: as asked"),
        ({"within": box}, "give a table of stations"),
    ):
        with pytest.raises(ValueError, match=message):
            screen([raw()], **options)


@pytest.mark.parametrize(("minutes", "stuck"), [(1, 0), (10, 100), (60, 100)])
def test_six_hours_and_36_slots_are_stuck(minutes: int, stuck: int) -> None:
    index = pd.timedelta_range(0, periods=400, freq=f"{minutes}min")
    table = pd.DataFrame({"a": np.arange(400) % 7 + 30.0, "b": np.arange(400) % 5 + 30.0}, index=index)
    table.iloc[50:150, 0] = 40.0
    table.iloc[200:235, 1] = 40.0  # 35 slots
    assert screen([table]).counts.stuck.tolist() == [stuck, 0]


def test_a_station_that_was_seldom_read_stays_unless_asked() -> None:
    table = raw()[["a", "b", "stuck"]]
    table.iloc[:80, 1] = np.nan
    assert screen([table]).counts.loc["b"].to_dict() == {"used": 20, "missing": 80, "implausible": 0, "stuck": 0}
    assert screen([table], rules=Rules(least_share=0.3)).left_out == {"b": "only 20 readings in 100 slots"}
    assert screen([table.assign(b=np.nan)]).left_out == {"b": "only 0 readings in 100 slots"}


def test_places_in_the_order_of_the_columns() -> None:
    unnamed = dataclasses.replace(places(), names=None)
    assert screen([raw()], unnamed, leave_out=["a", "zero"]).degrees[0, 0] == 120.01
    plain = pd.DataFrame(raw().to_numpy())
    assert screen([plain], places(), leave_out=["0", "2"]).degrees[0, 0] == 120.01
    with pytest.raises(ValueError, match="has 6 locations, the readings 5 columns"):
        screen([raw().drop(columns="a")], unnamed)


def test_a_station_in_another_unit_stays_and_is_named() -> None:
    table = raw()[["a", "b", "stuck", "wild"]]
    assert screen([table]).odd_stations() == {}
    got = screen([table.assign(b=10 * table["b"], wild=table["wild"] / 8)])
    assert got.odd_stations() == pytest.approx({"b": 10.0, "wild": 1 / 8}, rel=0.3)
    assert "warning: b reads" in got.summary() and "warning: wild reads" in got.summary()
    assert got.record()["odd"] == got.odd_stations() and len(got.tables[0].columns) == 4


def test_clean_air_is_no_fault() -> None:
    table = pd.DataFrame(np.full((SLOTS, 3), 0.5) + np.arange(SLOTS)[:, None] % 5 / 10, columns=["a", "b", "c"])
    assert screen([table]).counts.used.tolist() == [SLOTS] * 3


def test_a_station_at_0_0_has_no_position() -> None:
    got = screen([raw()], places(b=(0.0, 0.0)))
    assert got.left_out["b"].endswith("(0, 0 is no position)") and "zero" in got.left_out


@pytest.mark.parametrize(
    "text",
    [
        "station,latitude,longitude\nb,23.0,120.01\nspare,1,2\na,23.0,120.0\n",
        "id;Lat;Lon\na;23,0;120,0\nb;23,0;120,01\n",
        "Name\tlng\tlat\na\t120.0\t23.0\nb\t120.01\t23.0\na\t120.0\t23.0\n",
    ],
)
def test_stations_are_found_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "where.csv").write_text(text)
    stations = read_stations(tmp_path / "where.csv")
    np.testing.assert_array_equal(stations.degrees[stations.rows_of(["b", "a"])], [[120.01, 23.0], [120.0, 23.0]])
    xy = load_locations(tmp_path / "where.csv", ["a", "b"])
    assert xy[1, 0] - xy[0, 0] == pytest.approx(1023.6, abs=0.1) and xy[0, 1] == xy[1, 1] == 0.0
    with pytest.raises(ValueError, match=r"1 of the 2 stations that were read are not in the table, the first is 'c'"):
        stations.rows_of(["a", "c"])


@pytest.mark.parametrize(
    "text",
    [
        "name,id,lat,lon\nEast,b,23.0,120.01\nWest,a,23.0,120.0\n",
        "station_code,station_name,lat,lon\nb,East,23.0,120.01\na,West,23.0,120.0\n",
        "where,lat,lon\nb,23.0,120.01\na,23.0,120.0\n",  # in another order, below a name that says nothing
    ],
)
def test_the_column_that_has_the_stations_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "where.csv").write_text(text)
    assert load_locations(tmp_path / "where.csv", ["a", "b"])[0, 0] < 0.0
    got = screen([raw()[["a", "b"]]], read_stations(tmp_path / "where.csv"))
    np.testing.assert_array_equal(got.degrees, [[120.0, 23.0], [120.01, 23.0]])
    assert got.summary().endswith("places: latitude 23.000 to 23.000, longitude 120.000 to 120.010")
    with pytest.raises(ValueError, match=r"the first is 'c'; add it, .* \(the table begins with 'b', 'a'\)"):
        load_locations(tmp_path / "where.csv", ["a", "c"])


def test_swapped_degrees_are_guessed(tmp_path: Path) -> None:
    (tmp_path / "where.csv").write_text("station,lat,lon\na,120.0,23.0\nb,120.1,23.0\n")
    with pytest.raises(ValueError, match=r"row 2, column 2: '120.0' is not .*\(are latitude and longitude swapped\?\)"):
        read_stations(tmp_path / "where.csv")


def test_places_that_contradict_each_other(tmp_path: Path) -> None:
    (tmp_path / "where.csv").write_text("station,lat,lon\na,1,2\nb,1,2\na,1,3\n")
    with pytest.raises(ValueError, match=r"where\.csv, row 4: 'a' stands elsewhere than in .*where\.csv, row 2"):
        load_locations(tmp_path / "where.csv", ["a", "b"])
    (tmp_path / "where.csv").write_text("lat,lon\n1,2\n1,2.1\n")
    with pytest.raises(ValueError, match="has 2 locations, the readings 3 columns"):
        load_locations(tmp_path / "where.csv", ["a", "b", "c"])
