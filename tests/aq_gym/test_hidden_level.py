"""MODEL.md's reference values of the map with a hidden level."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.belief import ChainBelief, GrownBelief, belief_of
from aq_gym.hidden_level import HiddenLevel

GROWN = np.array([5.3, 0.9, 0.037, 1.47, 0.004, 70.0])  # of MODEL.md's reference values


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
