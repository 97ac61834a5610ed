"""Scores by hand."""

import numpy as np
import pytest

from aq_gym.forecasting.evaluation import (
    Forecasts,
    exceedance_probability,
    interval_scores,
    intervals_of,
    pinball_losses,
    roll,
    score,
    skill_interval,
)
from aq_gym.forecasting.forecaster import Persistence
from aq_gym.forecasting.series import Series


def test_pinball_loss_by_hand() -> None:
    forecasts = Forecasts(np.array([[[[1.0, 2.0]]]]), np.array([[[4.0]]]))
    assert pinball_losses(forecasts, np.array([0.1, 0.5])).item() == pytest.approx((0.1 * 3 + 0.5 * 2) / 2)
    forecasts = Forecasts(np.array([[[[1.0, 2.0]]]]), np.array([[[0.0]]]))
    assert pinball_losses(forecasts, np.array([0.1, 0.5])).item() == pytest.approx((0.9 * 1 + 0.5 * 2) / 2)


def test_interval_score_by_hand() -> None:
    truth = np.array([5.0, 0.0, 12.0])
    assert np.allclose(interval_scores(truth, np.full(3, 1.0), np.full(3, 9.0), 0.8), [8.0, 18.0, 38.0])


@pytest.mark.parametrize("threshold, probability", [(5.0, 1.0), (10.0, 0.9), (15.0, 0.7), (20.0, 0.5), (30.0, 0.0)])
def test_exceedance_by_hand(threshold: float, probability: float) -> None:
    found = exceedance_probability(np.array([10.0, 20.0, 30.0]), np.array([0.1, 0.5, 0.9]), threshold)
    assert found == pytest.approx(probability)


def test_scores_by_hand() -> None:
    level = np.array([10.0, 12.0, 9.0, 8.0])
    series = [Series(level, level, np.zeros(4))]
    forecaster = Persistence((1,), (0.25, 0.5, 0.75)).fit([Series(np.full(9, 5.0), np.full(9, 5.0), np.zeros(9))])
    rolled = roll(forecaster, series)
    row = score(rolled, rolled, forecaster, naive_error=2.0, threshold=11.0, block=1).iloc[0]
    assert row.mae == pytest.approx(2.0) and row.mase == pytest.approx(1.0)
    assert row.rmse == pytest.approx(np.sqrt(14 / 3)) and row.coverage_50 == 0.0
    assert row.brier == pytest.approx(2 / 3) and row.skill == row.skill_low == row.skill_high == 0.0
    assert intervals_of(forecaster) == [(0.5, 0, 2)]


def test_skill_interval_holds_the_skill_and_says_when_it_cannot() -> None:
    rng = np.random.default_rng(0)
    reference = rng.uniform(1.0, 2.0, 300)
    low, high = skill_interval(0.8 * reference + rng.normal(0.0, 0.05, 300), reference, 10, 0)
    assert low < 0.2 < high and high - low < 0.02
    assert np.isnan(skill_interval(reference, reference, 150, 0)).all()
