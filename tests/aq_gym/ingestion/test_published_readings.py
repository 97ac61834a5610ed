"""Readings as cities publish them: one small town in every format, and what is refused."""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aq_gym.calibration import fit
from aq_gym.datasets import load_locations, load_readings

TIMES = pd.date_range("2016-03-26 21:00", periods=6, freq="h", name="time")
TOWN = pd.DataFrame(
    {"East": [40.5, 41.25, np.nan, 43.0, 44.0, 1.0], "Zoo 2": [30.0, 31.5, 32.0, 33.0, 34.0, 35.0]}, index=TIMES
)
LONG = TOWN.reset_index().melt("time", var_name="station", value_name="value").dropna()
PLAIN = TOWN.to_csv()


def load(folder: Path, content: str | bytes, name: str = "a.csv", **options: object) -> pd.DataFrame:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (table,) = load_readings([path], **options)
    return table


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream)
    return stream.getvalue()


def written(form: str) -> str:
    """The town with its times in another format."""
    return TOWN.set_axis(TIMES.strftime(form).rename("time")).to_csv()


GERMAN = TOWN.set_axis(TIMES.strftime("%d.%m.%Y %H:%M").rename("Zeit")).to_csv(sep=";", decimal=",", na_rep="-")
CHINESE = "date,hour,type,East,Zoo 2\n" + "".join(
    f"{t:%Y%m%d},{t.hour},{kind},{'' if np.isnan(x) else x},{y}\n"
    for t, x, y in TOWN.itertuples()
    for kind in ("PM2.5", "PM10")
)
AMERICAN = "Site Name,Date Local,Time Local,Parameter Name,Sample Measurement,Units of Measure\n" + "".join(
    f"{r.station},{r.time:%Y-%m-%d},{r.time:%H:%M},PM2.5 - Local Conditions,{r.value},Micrograms/cubic meter (LC)\n"
    for r in LONG.itertuples()
)
OPENAQ = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value\n" + "".join(
    f'"{r.station}",7,Town,{r.time:%Y-%m-%dT%H:%M:%S}+08:00,2.9,120.2,{what},µg/m³,{r.value if what == "pm25" else 9}\n'
    for r in LONG.itertuples()
    for what in ("pm10", "pm25")
)
PARTS = "No,year,month,day,hour,PM2.5,SO2,station\n" + "".join(
    f"{k},{r.time.year},{r.time.month},{r.time.day},{r.time.hour},{r.value},7,{r.station}\n"
    for k, r in enumerate(LONG.itertuples())
)


@pytest.mark.parametrize(
    "content",
    [
        *(
            PLAIN,
            "\ufeff" + PLAIN,
            PLAIN.replace("\n", "\r\n"),
            gzip.compress(PLAIN.encode(), mtime=0),
            PLAIN.encode("utf-16"),
        ),
        *(PLAIN.replace(",", "\t"), PLAIN.replace(",", ";"), PLAIN.replace("time,", ",", 1), GERMAN),
        *(PLAIN.replace(",,", f",{code},") for code in ("NA", "-", "-999", "-9999.0", " ")),
        "Readings of the town,\n\nµg/m³; station list: see web\n" + PLAIN,
        PLAIN.replace("\n", "\n,µg/m³,µg/m³\n", 1),
        *(
            written(form)
            for form in ("%Y/%m/%d %H:%M", "%m/%d/%Y %I:%M %p", "%d/%m/%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y%m%d%H")
        ),
        *(parquet(TOWN), parquet(TOWN.reset_index()), parquet(LONG)),
        *(
            LONG.to_csv(index=False),
            LONG.sample(frac=1.0, random_state=0).to_csv(index=False),
            CHINESE,
            AMERICAN,
            PARTS,
        ),
        LONG.to_csv(index=False) + LONG.to_csv(index=False, header=False),  # everything twice
        PLAIN.replace("2016-03-26 23:00:00,,32.0\n", "") + "2016-03-26 23:00:00,,32.0\n",  # out of order
    ],
)
def test_one_town_in_many_formats(tmp_path: Path, content: str | bytes) -> None:
    table = load(tmp_path, content)
    pd.testing.assert_frame_equal(table[TOWN.columns], TOWN, check_freq=False, check_index_type=False)
    assert table.index.tz is None and fit([table], min_level=0.0).slot_minutes == 60.0


def test_times_keep_their_zone(tmp_path: Path) -> None:
    newfoundland = written("%d.%m.%Y %H:%M -0330")
    for text, zone in ((OPENAQ, "UTC+08:00"), (written("%Y-%m-%d %H:%MZ"), "UTC"), (newfoundland, "UTC-03:30")):
        table = load(tmp_path, text)
        assert str(table.index.tz) == zone and table.index.tz_localize(None).equals(TOWN.index.as_unit("us"))
        np.testing.assert_array_equal(table[TOWN.columns], TOWN)
    epoch = "timestamp,a,b\n" + "".join(f"{1459026000 + 3600 * k},{k},9\n" for k in range(4))
    assert load(tmp_path, epoch).index[0] == pd.Timestamp("2016-03-26 21:00", tz="UTC")
    # Clocks go forward: 01:30+01:00 is followed by 03:30+02:00, an hour later.
    summer = "time,a,b\n2016-03-27T00:30+01:00,1,2\n2016-03-27T01:30+01:00,1,2\n2016-03-27T03:30+02:00,3,4\n"
    table = load(tmp_path, summer)
    assert len(table) == 3 and str(table.index[-1]) == "2016-03-27 01:30:00+00:00"
    hours = load(tmp_path, "hour,a,b\n0,1,2\n1,3,4\n4,5,6\n")
    assert hours.index[-1] == pd.Timedelta("4h") and np.isnan(hours.to_numpy()).sum() == 4


def test_names_and_days_that_are_digits(tmp_path: Path) -> None:
    for head in ("time", ""):
        table = load(tmp_path, f"{head},8152,8153\n01-03-2016,1,2\n02-03-2016,3,4\n")
        assert list(table.columns) == ["8152", "8153"] and table.index.tz is None
        assert [str(day.date()) for day in table.index] == ["2016-03-01", "2016-03-02"]


def test_a_header_without_times(tmp_path: Path) -> None:
    table = load(tmp_path, "a,b\n1,2\n3,\n")
    assert list(table.columns) == ["a", "b"] and table.to_numpy()[1, 0] == 3.0 and np.isnan(table.to_numpy()[1, 1])
    (tmp_path / "b.csv").write_text("b,a\n1,2\n3,4\n")
    with pytest.raises(ValueError, match=r"b\.csv, row 1: other columns than .*a\.csv"):
        load_readings([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_files_come_on_one_axis(tmp_path: Path) -> None:
    """Months after each other, stations beside each other, a file a station: one frame, NaN between."""
    names = {"jan": "time,a,b\n2020-01-01 00:00,1,2\n2020-01-01 01:00,3,4\n", "c": "time,PM2.5\n2020-01-01 01:00,9\n"}
    names |= {"d.csv": "time,pm25\n2020-01-01 03:00,7\n"}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    (table,) = load_readings([tmp_path / name for name in names])
    assert list(table.columns) == ["a", "b", "c", "d"] and len(table) == 4
    np.testing.assert_array_equal(table["c"], [np.nan, 9.0, np.nan, np.nan])
    np.testing.assert_array_equal(table["d"], [np.nan, np.nan, np.nan, 7.0])
    (tmp_path / "zone.csv").write_text("time,a,b\n2020-01-01 00:00Z,1,2\n2020-01-01 01:00Z,3,4\n")
    with pytest.raises(ValueError, match=r"zone\.csv, row 1: its times are with a zone, those of .*jan without a zone"):
        load_readings([tmp_path / "jan", tmp_path / "zone.csv"])
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    with pytest.raises(ValueError, match=r"bare\.csv, row 1: no column of times, but .*jan has one"):
        load_readings([tmp_path / "jan", tmp_path / "bare.csv"])


def test_slots_of_a_length_that_is_asked_for_are_averages(tmp_path: Path) -> None:
    text = "time,a,b\n2020-01-01 00:03,10,1\n2020-01-01 00:41,20,\n2020-01-01 01:59,5,2\n2020-01-01 03:00,,4\n"
    table = load(tmp_path, text, slot_minutes=60)
    np.testing.assert_array_equal(table, [[15.0, 1.0], [5.0, 2.0], [np.nan, np.nan], [np.nan, 4.0]])
    assert table.index[0] == pd.Timestamp("2020-01-01 00:00") and fit([table.ffill()], min_level=0).slot_minutes == 60
    for minutes in (0, 1e300, "x"):
        with pytest.raises(ValueError, match="slot_minutes must be"):
            load(tmp_path, text, slot_minutes=minutes)


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path, "1,2\n3,4\n")
    monkeypatch.setitem(sys.modules, "aq_gym.ingestion.readings", None)
    with pytest.raises(ImportError, match=r"a\.csv has a header or times, .*pip install 'aq-gym\[train\]'"):
        load(tmp_path, PLAIN)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"a\.csv: Parquet needs pandas and pyarrow: pip install"):
        load(tmp_path, _SEEDS[-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,a,b\n2020-01-01 00:00,1,2\n2020-01-01 01:00,x,4\n", "row 3, column 2: 'x' is not a number"),
        ("time,a,b\n2020-01-01 00:00,1,2\n2020-01-01 01:00,3,-4\n", "row 3, column 3: '-4' is not a concentration"),
        ("time,a,b\n2020-01-01 00:00,1,2\n2020-01-01 01:00,3,9e9\n", "row 3, column 3: 9e[+]09 is above 2000"),
        ("time,a,b\n2020-01-01 00:00,1,2\n2020-13-01 01:00,3,4\n", "row 3, column 1: '2020-13-01 01:00' is no date"),
        ("time,a,b\n2020-01-01 00:00,1,2\n,3,4\n", "row 3, column 1: the time is missing"),
        ("time,a,b\n2020-01-01 00:00,1,2\n2020-01-01 01:00,3\n", "row 3: 2 columns, row 1 has 3"),
        (
            "time,a,b\n2020-01-01 00:00,1,2\n2020-01-01 00:00,1,3\n",
            "row 3: 3 was read where .*row 2 has 2 for the same",
        ),
        ("time,a,b\n1/2/2020 0:00,1,2\n3/2/2020 1:00,3,4\n", "row 2, column 1: .* may be day/month or month/day"),
        ("time,a,b\n2020-01-01 00:00+99:00,1,2\n2020-01-01 01:00+99:00,3,4\n", "row 2, column 1: .* from UTC"),
        ("time,a,b\n2020-01-01 00:00Z,1,2\n2020-01-01 01:00,3,4\n", "row 3, column 1: .* has no time zone, other"),
        (
            "time,a,b\n" + "".join(f"2020-01-01 0{k}:{7 * (k == 3):02},1,2\n" for k in range(9)),
            "row 5: 67 minutes after",
        ),
        (
            "time,a,b\n2020-01-01 00:00,1,2\n2020-01-01 01:00,3,4\n2920-01-01 00:00,3,4\n",
            "row 4: 328717 days, 23:00:00 after",
        ),
        ("time,a,b\n2020-01-01 00:00,1,2\n", "row 2: there is no other time; at least 2 slots"),
        ("time,a,b\n", r"a\.csv: 0 row\(s\) below the header"),
        ("time,a,a\n2020-01-01 00:00,1,2\n2020-01-01 01:00,1,2\n", "column 3: it is named 'a' like another"),
        ("time,a,\n2020-01-01 00:00,1,2\n2020-01-01 01:00,1,2\n", "column 3: it has no name"),
        ("time\n2020-01-01 00:00\n2020-01-01 01:00\n", "no column beside the time"),
        ("station,time,value\na,2020-01-01 00:00,1\n,2020-01-01 00:00,1\n", "row 3, column 1: the station has no name"),
        ("station,time,value,unit\na,2020-01-01 00:00,1,ppb\n", "row 2, column 4: 'ppb' is another unit than µg/m³"),
        ("station,time,value,parameter\na,2020-01-01 00:00,1,no2\n", "column 4: no row of 'pm25'; there are no2"),
        ("no,a\n" + "".join(f"{k},{k % 7}\n" for k in range(30)), "column 1: every row is 1 more than the row before"),
        ("time;a;b\n2020-01-01 00:00;1.234,5;2\n", "row 2, column 2: '1.234,5' is not a number"),
        (b"PAR1 and no table PAR1", r"a\.csv: the Parquet file is damaged or holds no table"),
    ],
)
def test_what_is_refused_says_where(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, text)
    assert "a.csv" in str(caught.value)


# ---------------------------------------------------------------------------------------------- anything at all

_TEXTS = (PLAIN, LONG.to_csv(index=False), GERMAN, CHINESE, OPENAQ, AMERICAN, PARTS, "hour,a,b\n0,1,2\n1,3,4\n")
_SEEDS = [*(text.encode() for text in _TEXTS), parquet(TOWN)]
_CELLS = st.sampled_from(
    ["", "1", "2.5", "1,5", "-999", "NA", "x", "time", "station", "value", "µg/m³", "2020-01-01"]
) | (st.text(max_size=6) | st.floats().map(str) | st.datetimes().map(str))


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Bytes, a table of anything, or a published file with a slip in it."""
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return draw(st.sampled_from([b"", b"PAR1", b"\x1f\x8b", b"\xff\xfe"])) + draw(st.binary(max_size=60))
    if kind == 1:
        width, mark = draw(st.integers(1, 4)), draw(st.sampled_from(",;\t"))
        rows = draw(st.lists(st.lists(_CELLS, min_size=width, max_size=width), max_size=6))
        return "\n".join(mark.join(row) for row in rows).encode("utf-8", "surrogatepass")
    content = bytearray(draw(st.sampled_from(_SEEDS)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 4))] = draw(_CELLS).encode("utf-8", "surrogatepass")
    return gzip.compress(content, mtime=0) if draw(st.booleans()) else bytes(content)


@given(content=contents())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A table of plausible readings on a regular axis, or a ValueError that names the file."""
    path = tmp_path_factory.getbasetemp() / "soup.csv"
    path.write_bytes(content)
    try:
        (table,) = load_readings([path])
    except ValueError as error:
        assert "soup.csv" in str(error)
    else:
        values = np.asarray(table)
        assert values.dtype == np.float64 and values.shape[0] >= 2 and values.shape[1] >= 2
        assert (np.isnan(values) | ((values >= 0) & (values <= 2000))).all()
        if isinstance(table, pd.DataFrame) and not isinstance(table.index, pd.RangeIndex):
            assert len(set(np.diff(table.index.asi8))) == 1
    try:
        assert np.isfinite(load_locations(path)).all()
    except ValueError as error:
        assert "soup.csv" in str(error)
