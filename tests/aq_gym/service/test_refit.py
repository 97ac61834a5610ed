"""Fitting a network anew to what few devices read with gaps."""

import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.estimation import mean_deviation
from aq_gym.service import refit as module
from aq_gym.service.refit import refit

DEVICES = [0, 6, 12]


def made(network: SensorNetwork, n: int, high: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Readings in turn, the first device reading so much higher; the level a walk of so large steps."""
    rng = np.random.default_rng(0)
    levels = 80.0 + np.abs(np.cumsum(rng.normal(0.0, step, n)) % 100.0 - 50.0)
    share = 1.0 + mean_deviation(network)[DEVICES] + [high, 0.0, 0.0]
    noise = 1.0 + network.measurement_variance**0.5 * rng.normal(size=(n, 3))
    readings = levels[:, None] * share * noise
    return np.where(np.arange(n)[:, None] % 3 == np.arange(3), readings, np.nan), levels


def test_what_changed_is_found_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRIOR", 1.0)
    monkeypatch.setattr(module, "PRIOR_READINGS", 1.0)
    network = SensorNetwork.load("pku2018")
    readings, levels = made(network, 6000, high=0.3, step=3.0)
    fitted = refit(network, DEVICES, readings, levels)
    move = fitted.mean_relation - network.mean_relation
    assert move[1, 0] == pytest.approx(0.3, abs=0.01) and move[0, 1] == pytest.approx(-0.3, abs=0.01)
    assert np.abs(move[1:, 1:]).max() < 0.01 and np.diag(move).tolist() == [0.0] * network.n_locations
    assert fitted.temporal_variance == pytest.approx(9.0, rel=0.2)
    bins = np.abs(levels[:, None] - network.levels).argmin(axis=1)
    stays = ((bins[:-1] == 9) & (bins[1:] == 9)).sum() / (bins[:-1] == 9).sum()
    assert fitted.transition[9, 9] == pytest.approx(stays, abs=0.01)
    assert np.allclose(fitted.transition.sum(axis=1), 1.0)
    for name in ("measurement_variance", "variance_relation", "levels", "level_model"):
        assert np.array_equal(getattr(fitted, name), getattr(network, name))


def test_few_readings_change_little() -> None:
    network = SensorNetwork.load("pku2018")
    fitted = refit(network, DEVICES, *made(network, 12, high=0.3, step=3.0))
    assert 0.0 < np.abs(fitted.mean_relation - network.mean_relation).max() < 0.05
    assert np.abs(fitted.transition - network.transition).max() < 0.2
    assert fitted.temporal_variance == pytest.approx(network.temporal_variance, rel=0.3)


def test_gaps_in_the_level_are_not_counted_across() -> None:
    network = SensorNetwork.load("pku2018").coarsen(2)
    levels = np.array([network.levels[0], np.nan, network.levels[1]] * 50)
    fitted = refit(network, DEVICES, np.full((150, 3), 50.0), levels)
    forward = network.start[0] * module.PRIOR * network.transition[0]
    assert fitted.transition[0] == pytest.approx(forward / forward.sum())


def test_bad_tables_are_refused() -> None:
    network = SensorNetwork.load("pku2018")
    with pytest.raises(ValueError, match=r"expected some in a table of \(5, 3\)"):
        refit(network, DEVICES, np.ones((4, 3)), np.ones(5))
    with pytest.raises(ValueError, match="readings"):
        refit(network, DEVICES, np.full((5, 3), np.nan), np.ones(5))
