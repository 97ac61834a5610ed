"""Which columns hold times, stations and readings, in which unit; what is no station and no air."""

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aq_gym.datasets import load_locations, load_readings
from aq_gym.ingestion.loading import raw_readings

TIMES = pd.date_range("2024-03-25 22:00", periods=30, freq="h", name="time")
TOWN = pd.DataFrame(np.random.default_rng(0).uniform(20, 90, (30, 2)).round(1), TIMES, ["East", "Zoo 2"])
LONG = TOWN.reset_index().melt("time", var_name="station", value_name="value")
BEFORE = TIMES - pd.Timedelta("1h")
GERMAN = TOWN.assign(Datum=BEFORE.strftime("%d.%m.%Y"), Uhrzeit=[f"{hour + 1}:00" for hour in BEFORE.hour])  # to 24:00
PARTS = TOWN.assign(year=TIMES.year, month=TIMES.month, day=TIMES.day, hour=TIMES.hour, minute=0)
PM25 = LONG.rename(columns={"value": "PM2.5"})


def load(folder: Path, text: str, name: str = "a.csv", **options: object) -> pd.DataFrame:
    (folder / name).write_text(text)
    (table,) = load_readings([folder / name], **options)
    return table


def refused(folder: Path, text: str, **options: object) -> str:
    with pytest.raises(ValueError) as caught:
        load(folder, text, **options)
    return str(caught.value)


def timed(name: str, cells: object) -> str:
    """The town with these cells as its times."""
    return TOWN.set_axis(pd.Index(cells, name=name)).to_csv()


@pytest.mark.parametrize(
    "text",
    [
        *(timed(name, TIMES) for name in ("Messzeitpunkt", "Timestamp (UTC)")),
        *(
            LONG.rename(columns={"time": name}).iloc[:, [1, 2, 0]].to_csv(index=False)
            for name in ("created_at", "Stand")
        ),
        GERMAN.set_index(["Datum", "Uhrzeit"]).to_csv(sep=";", decimal=","),
        GERMAN.to_csv(index=False),
        PARTS.to_csv(index=False),
        TOWN.assign(day=TIMES.strftime("%Y-%m-%d"), hour=TIMES.hour).to_csv(index=False),
        timed("timestamp", TIMES.strftime("%Y%m%d%H%M")),  # no milliseconds of 1976
        timed("time", TIMES.strftime("%Y.%m.%d %H:%M")),
        timed("time", [f"{t.year}-{t.month}-{t.day} {t.hour}:00" for t in TIMES]),
        TOWN.to_csv(sep="|"),
        *(TOWN.rename(columns=form.format).to_csv() for form in ("{} (µg/m³)", "{} [ug/m3]")),
        LONG.rename(columns={"value": "Value (µg/m³)"}).to_csv(index=False),
        PM25.assign(**{"PM2.5 AQI": 9, "PM10": 8}).iloc[:, [3, 4, 0, 1, 2]].to_csv(index=False),
        PM25.assign(**{"PM2.5 (AQI)": 9}).iloc[:, [3, 0, 1, 2]].to_csv(index=False),
        PM25.rename(columns={"PM2.5": "PM₂.₅ (µg/m³)"}).to_csv(index=False),
        PM25.rename(columns={"PM2.5": "Feinstaub (PM2,5) in µg/m³"}).assign(Status="R").to_csv(index=False, sep=";"),
        LONG.assign(serial=123456789).iloc[:, [3, 0, 1, 2]].rename(columns={"time": "Stand"}).to_csv(index=False),
    ],
)
def test_one_town_in_more_formats(tmp_path: Path, text: str) -> None:
    table = load(tmp_path, text)
    assert table.index.tz is None
    pd.testing.assert_frame_equal(table[TOWN.columns], TOWN, check_freq=False, check_index_type=False)


@pytest.mark.parametrize(
    ("cells", "zone"),
    [
        (TIMES.strftime("%Y-%m-%d %H:%M:%S+08"), "UTC+08:00"),  # as PostgreSQL writes it
        (TIMES.strftime("%Y%m%dT%H%M%S-0300"), "UTC-03:00"),
        *((TIMES.astype("datetime64[s]").astype(np.int64) * unit, "UTC") for unit in (1, 1000)),
    ],
)
@pytest.mark.parametrize("name", ["time", "date", "ts"])
def test_zones_and_seconds_since_1970(tmp_path: Path, name: str, cells: pd.Index, zone: str) -> None:
    table = load(tmp_path, timed(name, cells))
    assert str(table.index.tz) == zone and (table.index.tz_localize(None) == TIMES).all()
    np.testing.assert_array_equal(table, TOWN)


def test_zones_that_change_become_utc(tmp_path: Path) -> None:
    local = pd.date_range("2024-03-30 20:00", periods=30, freq="h", tz="Europe/Berlin")
    table = load(tmp_path, timed("time", [str(time)[:-3] for time in local]))
    assert str(table.index.tz) == "UTC" and (table.index == local).all()


def test_a_zone_in_letters_is_refused_and_how_to_write_it_is_said(tmp_path: Path) -> None:
    message = refused(tmp_path, timed("time", TIMES.strftime("%Y-%m-%d %H:%M CEST")))
    assert "'2024-03-25 22:00 CEST' is no date and time; write it like 2016-03-01 13:00+08:00" in message


def test_other_quantities_are_no_stations(tmp_path: Path) -> None:
    one = TOWN[["East"]].rename(columns={"East": "PM2.5"}).assign(PM10=80.0, NO2=7, temp=21.5)
    (tmp_path / "a.csv").write_text(one.to_csv())
    (tmp_path / "PM2.5 St. Mary.csv.gz").write_text(one.to_csv())
    (table,) = load_readings([tmp_path / "a.csv", tmp_path / "PM2.5 St. Mary.csv.gz"])
    assert list(table.columns) == ["a", "PM2.5 St. Mary"] and (table["a"] == TOWN["East"]).all()
    (tmp_path / "b.csv").write_text(one[["PM2.5"]].assign(status="R", unit="ugm-3").to_csv())
    (table,) = load_readings([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert list(table.columns) == ["a", "b"] and (table["b"] == TOWN["East"]).all()
    two = TOWN.rename(columns="PM2.5 {}".format).assign(**{"PM10 East": 80.0})
    assert list(load(tmp_path, two.to_csv()).columns) == ["PM2.5 East", "PM2.5 Zoo 2"]
    both = PM25.assign(PM10=2 * PM25["PM2.5"])
    assert (load(tmp_path, both.to_csv(index=False), parameter="pm10")["East"] == 2 * TOWN["East"]).all()
    for name in ("PM10", "humidity", "PM2.5 AQI"):
        message = refused(tmp_path, TOWN.assign(**{name: 50.5}).to_csv().replace("PM2.5 AQI", name))
        assert "a.csv" in message and name in message
    for text in (TOWN.reset_index().rename_axis("No").to_csv(), TOWN.reset_index(drop=True).rename_axis("No").to_csv()):
        assert "column 1: every row is 1 more than the row before" in refused(tmp_path, text)
    assert "column 1: it has no name (if it numbers the rows, delete it)" in refused(
        tmp_path, TOWN.reset_index().to_csv()
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            TOWN.rename(columns="{} (mg/m3)".format).to_csv(),
            "column 2: 'East (mg/m3)' is in another unit (mg/m3) than µg",
        ),
        (
            PM25.rename(columns={"PM2.5": "PM2.5 mg/m³"}).to_csv(index=False),
            "column 3: 'PM2.5 mg/m³' is in another unit",
        ),
        (
            LONG.rename(columns={"value": "value [ppb]"}).to_csv(index=False),
            "column 3: 'value [ppb]' is in another unit",
        ),
        (TOWN.to_csv().replace("\n", "\n,µg/m³,mg/m³\n", 1), "column 3: 'Zoo 2' is in another unit (mg/m³)"),
        (PM25.rename(columns={"station": "站点"}).to_csv(index=False), "column 2: '站点' holds words such as 'East'"),
        (LONG.rename(columns={"value": "P2"}).to_csv(index=False), "'station' names the stations, but which column"),
        (LONG.assign(type="urban").to_csv(index=False), "column 4: no row of 'pm25'; there are urban; choose one"),
    ],
)
def test_units_and_columns_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    said = refused(tmp_path, text)
    assert "a.csv" in said and message in said


@pytest.mark.parametrize(
    "names",
    [
        ["PM2.5 County Hall", "PM2.5 Countryside"],
        ["PM2.5 A", "PM2.5 B (validated)"],
        ["PM2.5 Altona", "PM2.5 Alter Markt"],
        ["North pm2.5_atm", "South pm2.5_atm"],
        ["Temple", "Reading Rd"],
    ],
)
def test_no_station_is_lost_for_a_part_of_its_name(tmp_path: Path, names: list[str]) -> None:
    table = load(tmp_path, TOWN.set_axis(names, axis=1).to_csv())
    assert list(table.columns) == names
    np.testing.assert_array_equal(table, TOWN)


def test_the_parameter_chooses_among_estimates(tmp_path: Path) -> None:
    sensor = PM25.assign(**{"pm2.5_cf_1": 1.5}).rename(columns={"PM2.5": "pm2.5_atm"})
    one = sensor[sensor.station == "East"].drop(columns="station")
    for text in (sensor.to_csv(index=False), one.to_csv(index=False)):
        (tmp_path / "East.csv").write_text(text)
        for name, readings in (("pm2.5_atm", TOWN.East), ("PM2.5_CF_1", 1.5)):
            (table,) = raw_readings([tmp_path / "East.csv"], parameter=name)
            assert (table.East.to_numpy() == readings).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOWN.rename(columns={"East": "Reading"}).to_csv(), "column 3: whether 'Zoo 2' is a station beside 'Reading'"),
        (TOWN.rename(columns={"East": "PM2.5 East"}).to_csv(), "whether 'Zoo 2' is a station beside 'PM2.5 East'"),
        (PM25.assign(**{"PM2.5_std": 1.0}).rename(columns={"PM2.5": "PM2.5_mean"}).to_csv(index=False), "which of '"),
        (TOWN.set_axis(["pm2.5_atm", "pm2.5_cf_1"], axis=1).to_csv(), "'pm2.5_atm' and 'pm2.5_cf_1' are estimates of"),
        (TOWN.set_axis(["PM2.5_CF1_ug/m3", "PM2.5_ATM_ug/m3"], axis=1).to_csv(), "(--parameter 'PM2.5_CF1_ug/m3')"),
        (TOWN.set_axis(["North pm2.5_atm", "North pm2.5_cf_1"], axis=1).to_csv(), "delete all but one of each sensor"),
        (TOWN.set_axis(["pm2.5_alt_a", "pm2.5_alt_b"], axis=1).to_csv(), "estimates of the same readings, not two"),
        (
            TOWN.reset_index(names="sent").assign(observed=TIMES).to_csv(index=False),
            "'sent' and 'observed' both hold times; call the one that counts `time`",
        ),
        (LONG.drop(columns="time").to_csv(index=False), "add its time, in a column called `time`"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, text: str, message: str) -> None:
    said = refused(tmp_path, text)
    assert "a.csv, row 1" in said and message in said


def test_times_since_1970_without_a_name_are_no_station(tmp_path: Path) -> None:
    """Also where the steps differ, and where nothing is too large since all is still to be screened."""
    table = TOWN.set_axis(1.52e9 + 600 * np.cumsum(np.arange(30) % 3 + 1)).to_csv(header=False)
    (tmp_path / "a.csv").write_text(table)
    with pytest.raises(ValueError, match=r"a\.csv, column 1: its numbers look like times since 1970"):
        raw_readings([tmp_path / "a.csv"])


def test_the_second_is_a_part_of_the_time(tmp_path: Path) -> None:
    table = load(tmp_path, PARTS.assign(second=0).to_csv(index=False))
    assert list(table.columns) == ["East", "Zoo 2"] and (table.index == TIMES).all()


def test_a_file_a_station_with_points_in_their_names(tmp_path: Path) -> None:
    paths = [tmp_path / "sensor.east.csv", tmp_path / "sensor.west.CSV"]
    for path in paths:
        path.write_text(TOWN[["East"]].rename(columns={"East": "PM2.5"}).to_csv())
    (table,) = load_readings(paths)
    assert list(table.columns) == ["sensor.east", "sensor.west"]


def test_codes_do_not_enter_averages(tmp_path: Path) -> None:
    """9999 among six readings of an hour would make 1,700 µg/m³ of it, which looks like air."""
    minutes = pd.date_range("2024-01-01", periods=18, freq="10min", name="time")
    table = pd.DataFrame({"a": np.arange(18.0) + 40, "b": 50.0}, minutes)
    table.iloc[2, 0], table.iloc[8, 0], table.iloc[12:, 0] = 9999.0, -1.0, 9999.0
    table.to_csv(tmp_path / "a.csv")
    (hours,) = raw_readings([tmp_path / "a.csv"], slot_minutes=60)
    good = table["a"].where(table["a"].between(0, 2000)).resample("h").mean()
    np.testing.assert_allclose(hours["a"], good.fillna(9999.0))  # alone it stays, to be counted by the screening
    assert hours.attrs["not_averaged"] == 2
    (hours,) = raw_readings([tmp_path / "a.csv"], slot_minutes=60, plausible=10_000)
    assert hours.attrs["not_averaged"] == 1 and hours["a"].iloc[0] == pytest.approx(table["a"].iloc[:6].mean())


def test_slots_shorter_than_the_steps_are_refused(tmp_path: Path) -> None:
    assert "row 2: from here a row every 60 minutes, but slots of 10 are" in refused(
        tmp_path, TOWN.to_csv(), slot_minutes=10
    )


def test_names_that_look_alike_are_alike(tmp_path: Path) -> None:
    names = unicodedata.normalize("NFD", "station,lat,lon\nMünchen,48.1,11.5\nZoo\u00a02,48.2,11.6\n")
    (tmp_path / "where.csv").write_text(names)
    assert load_locations(tmp_path / "where.csv", ["Zoo 2", "München"])[0, 0] > 0.0
    decomposed = unicodedata.normalize("NFD", "München")
    TOWN.set_axis(["Zoo\u00a02", decomposed], axis=1).to_parquet(tmp_path / "a.parquet")
    (table,) = load_readings([tmp_path / "a.parquet"])
    assert list(table.columns) == ["Zoo 2", "München"]


@pytest.mark.parametrize("extra", ["no", "floor"])
def test_columns_without_a_header_stand_where_the_rows_say(tmp_path: Path, extra: str) -> None:
    """The names 0, 1, ... only count the columns: numbers in the table of stations are no names."""
    (tmp_path / "where.csv").write_text(f"{extra},lat,lon\n1,48.1,11.5\n2,48.2,11.6\n")
    (tmp_path / "ordered.csv").write_text("lat,lon\n48.1,11.5\n48.2,11.6\n")
    expected = load_locations(tmp_path / "ordered.csv", ["0", "1"])
    np.testing.assert_array_equal(load_locations(tmp_path / "where.csv", ["0", "1"]), expected)
