"""docs/model.md's reference values of the map with a hidden level."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from aq_gym import SensorNetwork, datasets
from aq_gym.belief import ChainBelief, GrownBelief, belief_of
from aq_gym.estimation import coverage
from aq_gym.hidden_level import HiddenLevel

GROWN = np.array([5.3, 0.9, 0.037, 1.47, 0.004, 70.0])  # of docs/model.md's reference values


@pytest.fixture(scope="module")
def network() -> SensorNetwork:
    return dataclasses.replace(SensorNetwork.load("pku2018"), level_belief=GROWN)


@pytest.mark.parametrize(
    ("belief", "delay", "cost"),
    [("chain", 0, 3.684397), ("grown", 0, 3.684397), ("chain", 6, 14.191072), ("grown", 6, 11.739191)],
)
def test_cost_of_a_slot_with_one_device(network: SensorNetwork, belief: str, delay: int, cost: float) -> None:
    deviation = HiddenLevel.of(network, belief).estimate([0], [delay], [55.0]).deviation
    assert deviation.mean() == pytest.approx(cost, abs=1e-6)


def test_fresh_reports_leave_the_level_known_and_batches_are_rows(network: SensorNetwork) -> None:
    model = HiddenLevel.of(network)
    delay, record = np.array([[3, 0, 9], [4, 4, 4]]), np.array([[55.0, 65.0, 45.0], [55.0, 55.0, 55.0]])
    together = model.estimate([0, 7, 15], delay, record)
    for row in range(2):
        alone = model.estimate([0, 7, 15], delay[row], record[row])
        np.testing.assert_allclose(together.mean[row], alone.mean, rtol=1e-12)
        np.testing.assert_allclose(together.deviation[row], alone.deviation, rtol=1e-12)


def test_chain_belief_is_the_distribution_of_the_chain(network: SensorNetwork) -> None:
    belief = ChainBelief(network.levels, network.transition, 5)
    row = np.linalg.matrix_power(network.transition, 4)[7]
    mean, variance = belief.moments(4, network.levels[7])
    assert mean == pytest.approx(row @ network.levels)
    assert variance == pytest.approx(row @ np.square(network.levels - mean))
    assert belief.moments(0, network.levels[7] + 1.0) == (network.levels[7], 0.0)


def test_grown_belief_by_hand() -> None:
    belief = GrownBelief(4.0, 1.0, 0.1, 2.0, 0.0, 50.0)
    assert belief.moments(3, 20.0) == (20.0, 4.0 + 9.0 * 9.0)
    assert belief.moments(0, 20.0) == (20.0, 0.0)


def test_a_network_without_a_belief_says_so(network: SensorNetwork) -> None:
    with pytest.raises(ValueError, match="level_belief"):
        belief_of(dataclasses.replace(network, level_belief=None), "grown", 10)
    with pytest.raises(ValueError, match="grown, chain"):
        belief_of(network, "normal", 10)


def test_fit_finds_what_a_noisy_random_walk_is_made_of() -> None:
    rng, step, noise = np.random.default_rng(3), 0.5, 2.0
    walks = 60.0 + np.cumsum(rng.normal(0.0, step, (300, 200)), axis=1) + rng.normal(0.0, noise, (300, 200))
    belief = GrownBelief.fit(list(walks))
    assert belief is not None
    assert belief.k < 0.02  # it forgets nothing; the noise alone returns to the mean
    for lag in (1, 6, 36):  # from a noisy reading: its noise, the later one's, and the walk between them
        assert belief.moments(lag, 60.0)[1] == pytest.approx(2.0 * noise**2 + lag * step**2, rel=0.1)


def test_fit_reads_pairs_within_periods_and_none_across_what_is_unknown() -> None:
    rng = np.random.default_rng(4)
    one, other = 50.0 + np.cumsum(rng.normal(size=(2, 600)), axis=1)
    other += 1000.0
    apart = GrownBelief.fit([one, other])
    joined = GrownBelief.fit([np.concatenate([one, np.full(36, np.nan), other])])
    assert apart is not None
    assert joined == pytest.approx(apart, rel=1e-6)
    assert apart.moments(1, one[0])[1] < 20.0  # a jump of 1000 would be seen
    assert GrownBelief.fit([one[:100], other[:100]]) is None


@pytest.mark.parametrize("level", [0.0, 50.0])
def test_a_level_that_never_moves_has_a_belief_too(level: float) -> None:
    belief = GrownBelief.fit([np.full(1000, level)])
    assert belief is not None
    assert np.isfinite(belief).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pku2018-spring", (5.887, 0.728, 0.0346, 1.471, 0.0026, 77.19)),
        ("pku2018", (5.197, 0.9159, 0.0375, 1.4715, 0.00394, 69.04)),
    ],
)
def test_bundled_networks_have_the_belief_of_their_readings(name: str, expected: tuple[float, ...]) -> None:
    belief = SensorNetwork.load(name).level_belief
    assert belief is not None
    np.testing.assert_allclose(belief, expected, rtol=0.02)


def test_intervals_of_springs_belief_cover_summer(pku_data: Path) -> None:
    """docs/model.md: 51-57 / 88-92 / 92-94 % for lags of 1 to 36 slots."""
    tables, _ = datasets.load_pku2018("pku2018-summer", pku_data)
    level = np.asarray(tables[0]).mean(axis=1)
    belief = belief_of(SensorNetwork.load("pku2018-spring"), "grown", 36)
    found = []
    for lag in range(1, 37):
        mean, variance = belief.moments(lag, level[:-lag])
        found.append(100.0 * np.array(coverage(level[lag:] - mean, np.sqrt(variance))))
    assert np.round(found).min(axis=0).tolist() == [51.0, 88.0, 92.0]
    assert np.round(found).max(axis=0).tolist() == [57.0, 92.0, 94.0]
