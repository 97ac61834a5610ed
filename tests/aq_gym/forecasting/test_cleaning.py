"""Cleaning finds what cannot be air, says why, and alters nothing that it was given."""

import numpy as np
import pytest

from aq_gym.forecasting.cleaning import REASONS, CleaningRules, clean


@pytest.fixture
def readings() -> np.ndarray:
    """(200, 4) plausible readings [µg/m³]."""
    rng = np.random.default_rng(0)
    return 60.0 + np.cumsum(rng.normal(0.0, 1.5, (200, 1)), axis=0) + rng.normal(0.0, 2.0, (200, 4))


def test_plausible_readings_stay(readings: np.ndarray) -> None:
    cleaned = clean(readings)
    assert np.array_equal(cleaned.readings, readings) and not cleaned.reason.any()


def test_every_reason_is_found_once_and_reported(readings: np.ndarray) -> None:
    readings[5, 0] = np.nan
    readings[6, 0], readings[7, 0], readings[8, 0] = -3.0, 1e20, np.inf
    readings[20:60, 1] = 42.0
    readings[100, 2] = 300.0
    before = readings.copy()
    cleaned = clean(readings)
    assert np.array_equal(readings, before, equal_nan=True)
    by_device = [(cleaned.reason == k + 1).sum(axis=0).tolist() for k in range(len(REASONS))]
    assert by_device == [[1, 0, 0, 0], [3, 0, 0, 0], [0, 40, 0, 0], [0, 0, 1, 0]]
    assert cleaned.counts() == {"missing": 1, "impossible": 3, "stuck": 40, "outlier": 1}
    assert np.isnan(cleaned.readings).sum() == 45


def test_clean_air_that_stands_still_is_not_stuck() -> None:
    assert not clean(np.full((100, 2), 3.0)).reason.any()


def test_a_plume_is_no_outlier(readings: np.ndarray) -> None:
    readings[80:110] += 150.0
    assert not clean(readings).reason.any()


@pytest.mark.parametrize("name, value", [("window", 4), ("largest", 0.0), ("stuck_slots", 1), ("outlier_score", -1.0)])
def test_rules_are_checked(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        CleaningRules(**{name: value})


def test_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="table"):
        clean(np.zeros(3))
