"""The two commands on a small made-up town."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aq_gym.forecasting import storage
from aq_gym.forecasting.series import Series
from aq_gym.ingestion.loading import raw_readings
from aq_gym.service.outlook import load_forecaster
from baselines.studies.forecasts import build, file_split, hours_of_day
from scripts import evaluate_forecasters, train_forecaster


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Three stations, hourly, with times, a gap and a slipped exponent."""
    rng = np.random.default_rng(0)
    level = 50.0 + 20.0 * np.sin(np.arange(500) / 24.0 * 2.0 * np.pi) + rng.normal(0.0, 2.0, 500)
    table = level[:, None] + rng.normal(0.0, 1.0, (500, 3))
    table[40, 1], table[77, 2] = np.nan, 1e9
    times = pd.date_range("2026-01-01", periods=500, freq="h")
    path = tmp_path / "town.csv"
    pd.DataFrame(table.round(1), columns=["a", "b", "c"]).assign(time=times).set_index("time").to_csv(path)
    return path


def test_tables_come_with_their_clock(town: Path, tmp_path: Path) -> None:
    clock = hours_of_day(raw_readings([town])[0])
    assert clock is not None and len(clock) == 500 and clock[25] == 1.0
    hours = tmp_path / "hours.csv"
    hours.write_text("hour,a,b\n23,1,2\n24,3,4\n")
    assert (hours_of_day(raw_readings([hours])[0]) == [23.0, 0.0]).all()
    plain = tmp_path / "plain.csv"
    plain.write_text("1,2\n3,4\n")
    assert hours_of_day(pd.DataFrame(raw_readings([plain])[0])) is None


def test_bad_splits_are_refused(town: Path) -> None:
    with pytest.raises(ValueError, match="fit_slots"):
        file_split(town, 500, 60.0)
    with pytest.raises(SystemExit):
        train_forecaster.parse(["--target", "moon"])


def test_evaluate_writes_table_and_pictures(town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--readings", str(town), "--fit-slots", "300", "--slot-minutes", "60", "--quiet", "--phases", "2"]
    more = ["--forecasters", "drift", "ridge", "--folder", str(tmp_path / "out"), "--markdown", str(tmp_path / "x.md")]
    table = evaluate_forecasters.main(evaluate_forecasters.parse([*command, *more]))
    assert sorted(table.forecaster.unique()) == ["drift", "ridge"] and len(table) == 8
    ridge = table[table.forecaster == "ridge"].set_index("horizon")
    assert ridge.skill[6] > 0.5 and 0.6 < ridge.coverage_80[6] < 0.95
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"forecasts.csv", "phases.csv", "skill.png", "coverage.png", "fan.png", "ridge"} <= written
    out = capsys.readouterr().out
    assert "1 missing, 1 impossible" in out and "| 18 |" in (tmp_path / "x.md").read_text()


def test_a_peer_that_is_missing_is_named_with_its_extra(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "darts", None)
    monkeypatch.delitem(sys.modules, "baselines.studies.darts_peers", raising=False)
    args = evaluate_forecasters.parse(["--forecasters", "drift", "--peers", "--readings", str(town), "--quiet"])
    assert args.forecasters == ["drift", "darts-linear", "darts-boosting"]
    with pytest.raises(ValueError, match=r"darts-linear needs darts: pip install 'aq-gym\[peers\]'"):
        build("darts-linear", file_split(town, 300, 60.0))


def test_a_linear_regression_of_darts_continues_a_line() -> None:
    pytest.importorskip("darts", reason="needs pip install 'aq-gym[peers]'")
    from baselines.studies.darts_peers import LAGS, DartsLinear

    level = 50.0 + 10.0 * np.sin(np.arange(400) / 8.0)
    series = Series(level, level, np.zeros(400))
    forecast = DartsLinear((1, 6), (0.25, 0.5, 0.75)).fit([series[:300]]).predict(series, np.array([LAGS - 2, 320]))
    assert np.isnan(forecast[0]).all() and forecast[1, :, 1] == pytest.approx(level[[321, 326]], abs=0.1)


def test_train_stores_a_forecaster(town: Path, tmp_path: Path) -> None:
    output = tmp_path / "f.zip"
    arguments = ["--readings", str(town), "--slot-minutes", "60", "--forecaster", "ridge", "-o", str(output)]
    assert train_forecaster.main(train_forecaster.parse(arguments)) == output
    assert storage.card(output)["slot_minutes"] == 60.0
    assert storage.load(output).name == "calibrated"


def test_a_file_with_times_makes_a_forecaster_that_can_be_served(town: Path, tmp_path: Path) -> None:
    """The slots are as long as the file's; the hour of the day, which a service does not tell, can be left out."""
    output = tmp_path / "f.zip"
    arguments = ["--readings", str(town), "--forecaster", "ridge", "-o", str(output)]
    train_forecaster.main(train_forecaster.parse(arguments))
    assert storage.card(output)["slot_minutes"] == 60.0 and file_split(town, 200, 120.0).slot_minutes == 120.0
    with pytest.raises(ValueError, match=r"cannot be served; clock.*train one with --no-clock"):
        load_forecaster(output, 3600.0)
    train_forecaster.main(train_forecaster.parse([*arguments, "--no-clock"]))
    assert load_forecaster(output, 3600.0).name == "calibrated"
