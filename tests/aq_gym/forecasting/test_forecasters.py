"""Every forecaster: known answers, no look ahead, same seed same forecast, stored and read back."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from aq_gym.forecasting import storage
from aq_gym.forecasting.combined import Calibrated, Ensemble, for_few_errors
from aq_gym.forecasting.features import Features
from aq_gym.forecasting.forecaster import Chain, Drift, Forecaster, Persistence
from aq_gym.forecasting.series import Series, area_series, station_series

pytestmark = pytest.mark.xdist_group("forecasters")  # all in one worker, which fits them once
FEATURES = Features(lags=(1, 2, 3), windows=(4,))
HORIZONS, QUANTILES = (1, 3), (0.1, 0.5, 0.9)


def waves(n: int, seed: int = 0) -> Series:
    """A level that goes up and down [µg/m³]."""
    rng = np.random.default_rng(seed)
    level = 60.0 + 25.0 * np.sin(np.arange(n) / 7.0) + rng.normal(0.0, 2.0, n)
    return Series(level, level, np.full(n, 3.0))


def make(name: str) -> Forecaster:
    options = {"steps": 300} if name in ("perceptron", "deep-perceptron", "gru") else {}
    if name == "ensemble":
        return Ensemble([make("ridge"), make("perceptron")])
    return storage.make_forecaster(name, FEATURES, horizons=HORIZONS, quantiles=QUANTILES, **options)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Forecaster]:
    return {name: make(name).fit([waves(400), waves(300, 1)]) for name in storage.NAMES}


def test_the_level_is_the_mean_of_what_was_read() -> None:
    area, first, second = station_series([[1.0, 3.0], [np.nan, 5.0], [np.nan, np.nan]])
    assert np.array_equal(area.level, [2.0, 5.0, np.nan], equal_nan=True)
    assert np.array_equal(first.level, [1.0, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(second.area, area.level, equal_nan=True)
    assert area.spread.tolist() == [1.0, 0.0, 0.0]


def test_features_are_what_they_are_named() -> None:
    features = Features(lags=(1, 2), windows=(2,), clock=True)
    level = np.array([10.0, 14.0, 20.0] + [20.0] * 12)
    series = Series(level, level + 1.0, np.full(15, 2.0), np.arange(15.0))
    row = dict(zip(features.names, features.table(series)[2], strict=True))
    assert (row["level"], row["area"], row["spread"], row["lag_1"], row["lag_2"]) == (20, 1, 2, -6, -10)
    assert (row["mean_2"], row["deviation_2"], row["change_1"]) == (-3, 3, 2)
    assert row["hour_sin"] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="clock"):
        features.table(area_series(np.ones((5, 2))))


def test_persistence_and_drift_by_hand() -> None:
    level = np.array([50.0, 50.0, 50.0, 60.0])
    series = Series(level, level, np.zeros(4))
    calm = [Series(np.full(9, 50.0), np.full(9, 50.0), np.zeros(9))]
    assert Persistence((1,), (0.5,)).fit(calm).predict(series).item() == 60.0
    assert Drift((1,), (0.5,)).fit(calm).predict(series).item() == pytest.approx(60.0 + 0.3 * 10.0)


def test_the_chain_by_hand() -> None:
    level = np.array([5.0, 15.0] * 10)
    chain = Chain((1, 2), (0.25, 0.5, 0.75)).fit([Series(level, level, np.zeros(20))])
    assert np.allclose(chain.predict(Series(level[:1], level[:1], np.zeros(1)))[0], [[12.5, 15, 17.5], [2.5, 5, 7.5]])


@pytest.mark.parametrize("name", storage.NAMES)
def test_forecasts_are_ordered_and_do_not_look_ahead(fitted: dict[str, Forecaster], name: str) -> None:
    series = waves(200, 2)
    origins = np.array([60, 100, 150])
    forecast = fitted[name].predict(series, origins)
    assert forecast.shape == (3, 2, 3) and np.isfinite(forecast).all()
    assert (np.diff(forecast, axis=-1) >= 0).all() and (forecast >= 0).all()
    changed = series.level.copy()
    changed[151:] = 500.0
    assert np.array_equal(fitted[name].predict(Series(changed, changed, series.spread), origins), forecast)
    assert np.allclose(fitted[name].predict(series[:151]), forecast[-1:], rtol=1e-5)
    with pytest.raises(ValueError, match="origins"):
        fitted[name].predict(series, np.array([200]))


@pytest.mark.parametrize("name", ["ridge", "boosting", "perceptron", "deep-perceptron", "gru", "ensemble"])
def test_learned_forecasters_beat_persistence(fitted: dict[str, Forecaster], name: str) -> None:
    series, origins = waves(300, 3), np.arange(20, 290)
    error = {k: np.abs(fitted[k].predict(series, origins)[:, 1, 1] - series.level[origins + 3]).mean() for k in fitted}
    assert error[name] < 0.8 * error["persistence"]


@pytest.mark.parametrize("name", storage.NAMES)
def test_stored_and_read_back(fitted: dict[str, Forecaster], name: str, tmp_path: Path) -> None:
    series = waves(80, 4)
    forecaster = Calibrated(fitted[name], window=50, every=6)
    path = storage.save(tmp_path / "f.zip", forecaster, {"by": "a test"})
    again = storage.load(path)
    assert storage.card(path) == {"by": "a test"}
    assert np.array_equal(again.predict(series), forecaster.predict(series), equal_nan=True)
    first = path.read_bytes()
    assert storage.save(path, again, {"by": "a test"}).read_bytes() == first


def test_a_file_of_the_first_release_is_read(tmp_path: Path) -> None:
    base = {"name": "persistence", "settings": {"horizons": [1], "quantiles": [0.25, 0.5, 0.75]}}
    settings = {"base": base, "window": 1008, "every": 36, "rate": 0.002}
    files = {"base-errors.f64": np.array([-0.1, 0.0, 0.1]).tobytes(), "held_out.f64": np.arange(-7.0, 8.0).tobytes()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    about = {"version": 1, "forecaster": {"name": "calibrated", "settings": settings}, "card": {}, "sha256": hashes}
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as packed:
        for name, content in {"forecaster.json": json.dumps(about), **files}.items():
            packed.writestr(name, content)
    series = Series(np.full(1, 80.0), np.full(1, 80.0), np.zeros(1))
    forecast = storage.load(tmp_path / "old.zip").predict(series)[0, 0]
    assert forecast == pytest.approx([75.0, 80.0, 85.0])  # of the errors -7 to 7 µg/m³ the 3rd and the 13th


def test_series_shorter_than_the_lags_have_features_without_numbers() -> None:
    table = FEATURES.table(waves(1))
    assert table.shape == (1, len(FEATURES.names)) and np.isnan(table).any()
    for name in ("persistence", "drift", "ridge"):
        forecast = make(name).fit([waves(400), waves(1)]).predict(waves(1))
        assert np.isnan(forecast).all() == (name != "persistence")


@pytest.mark.parametrize("name", ["perceptron", "boosting"])
def test_same_seed_same_forecast(fitted: dict[str, Forecaster], name: str) -> None:
    again = make(name).fit([waves(400), waves(300, 1)])
    assert np.array_equal(again.predict(waves(80, 4)), fitted[name].predict(waves(80, 4)))


@pytest.mark.parametrize("name", ["chain", "ridge", "perceptron"])
def test_updates_learn_on(name: str) -> None:
    forecaster = make(name).fit([waves(200)])
    before = forecaster.predict(waves(80, 4))
    assert not np.array_equal(forecaster.update([waves(200, 7)]).predict(waves(80, 4)), before)


def test_gaps_are_not_forecast_from() -> None:
    level = waves(120).level.copy()
    level[100] = np.nan
    series = Series(level, level, np.full(120, 3.0))
    forecast = make("ridge").fit([waves(400)]).predict(series, np.arange(98, 108))
    assert np.isnan(forecast).any(axis=(1, 2)).tolist() == [False] * 2 + [True] * 4 + [False] * 4


def test_too_short_a_history_is_refused() -> None:
    with pytest.raises(ValueError, match="stretch of 7 slots"):
        make("ridge").fit([waves(6)])


def test_calibration_covers_what_it_claims_where_the_base_does_not() -> None:
    rng = np.random.default_rng(0)
    noise = np.concatenate([rng.normal(0.0, 1.0, 600), rng.normal(0.0, 6.0, 1_400)])  # the air changes its manners
    level = 80.0 + noise
    series = Series(level, level, np.zeros(2_000))
    base = Persistence((1,), (0.1, 0.5, 0.9)).fit([series[:600]])
    calibrated = Calibrated(Persistence((1,), (0.1, 0.5, 0.9)), window=300, every=10).fit([series[:600]])
    origins = np.arange(1_000, 1_999)

    def coverage(forecaster: Forecaster) -> float:
        q = forecaster.predict(series, origins)[:, 0]
        return float(((level[origins + 1] >= q[:, 0]) & (level[origins + 1] <= q[:, 2])).mean())

    assert coverage(base) < 0.4
    assert coverage(calibrated) == pytest.approx(0.8, abs=0.04)


def test_levels_are_adapted_where_the_last_errors_cover_too_little() -> None:
    rng = np.random.default_rng(0)
    level = 300.0 + rng.normal(0.0, 1.0, 2_000) * (1.0 + np.arange(2_000) / 100.0)  # ever wilder
    series, origins = Series(level, level, np.zeros(2_000)), np.arange(600, 1_999)

    def coverage(rate: float) -> float:
        forecaster = Calibrated(Persistence((1,), (0.1, 0.5, 0.9)), window=500, every=10, rate=rate).fit([series[:600]])
        q = forecaster.predict(series, origins)[:, 0]
        return float(((level[origins + 1] >= q[:, 0]) & (level[origins + 1] <= q[:, 2])).mean())

    assert coverage(0.0) < 0.75 and coverage(0.01) == pytest.approx(0.8, abs=0.015)
    with pytest.raises(ValueError, match="rate"):
        Calibrated(Persistence((1,)), rate=-0.1)


def test_a_step_of_the_levels_by_hand() -> None:
    forecaster = Calibrated(Persistence((1,), (0.1, 0.5, 0.9)), window=100, every=2, rate=0.01)
    errors, held_out = np.array([9.0, -9.0, 9.0, 9.0, np.nan, 0.0]), np.linspace(-1.0, 1.0, 21)
    found = list(forecaster._calibrations(errors, held_out, 2))
    assert [len(known) for known, _ in found] == [21, 22, 24]
    adapted = [0.1, 0.5, 0.9], [0.101, 0.505, 0.909], [0.093, 0.505, 0.917]
    # In slot 2 the error from slot 0 is known: above all. In slot 4 two more: below all, above all.
    for (known, levels), expected in zip(found, adapted, strict=True):
        assert levels == pytest.approx(for_few_errors(np.array(expected), 1, len(known) / 2))


def test_levels_of_few_errors_by_hand() -> None:
    levels = np.array([0.01, 0.25, 0.5, 0.75, 0.99])
    assert for_few_errors(levels, 2, 15.0) == pytest.approx([0.0, 0.2, 0.5, 0.8, 1.0])
    assert for_few_errors(levels, 2, 1e9) == pytest.approx(levels)
    assert for_few_errors(levels, 2, 0.1).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_few_errors_cover_what_is_claimed() -> None:
    rng = np.random.default_rng(0)
    levels, n = np.array([0.1, 0.5, 0.9]), 19
    errors, new = rng.random((20_000, n)), rng.random(20_000)

    def coverage(taken: np.ndarray) -> float:
        low, _, high = np.quantile(errors, taken, axis=1)
        return float(((low <= new) & (new <= high)).mean())

    assert coverage(levels) < 0.75 and coverage(for_few_errors(levels, 1, n)) == pytest.approx(0.8, abs=0.01)


def test_a_calibration_uses_no_error_before_it_is_known() -> None:
    calibrated = Calibrated(Persistence((18,), (0.1, 0.5, 0.9)), window=100, every=1).fit([waves(400)])
    series = waves(200, 5)
    forecast = calibrated.predict(series, np.array([150]))
    changed = series.level.copy()
    changed[151:] += 300.0
    assert np.array_equal(calibrated.predict(Series(changed, changed, series.spread), np.array([150])), forecast)
    changed[150] += 300.0  # the error of the forecast from slot 132, known now
    assert not np.array_equal(calibrated.predict(Series(changed, changed, series.spread), np.array([150])), forecast)


def test_damaged_files_are_refused_with_their_name(fitted: dict[str, Forecaster], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = storage.save(tmp_path / "f.zip", Calibrated(fitted["ensemble"]))
    whole = path.read_bytes()
    for _ in range(100):
        content = bytearray(whole)
        if rng.random() < 0.3:
            content = content[: rng.integers(len(content))]
        else:
            for at in rng.integers(len(content), size=rng.integers(1, 4)):
                content[at] = rng.integers(256)
        path.write_bytes(bytes(content))
        try:
            forecaster = storage.load(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert np.isfinite(forecaster.predict(waves(80, 4))).all()


def test_few_errors_calibrate_without_a_warning() -> None:
    series = waves(60)
    forecast = Calibrated(Persistence((1,)), window=100, every=6).fit([series[:40]]).predict(series, np.arange(20, 60))
    assert np.isfinite(forecast).all() and (np.diff(forecast, axis=-1) >= 0).all()
