from typing import Any

import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.belief import GrownBelief
from aq_gym.sampler import RANGES, InstanceSampler, extent, random_network, with_belief


def test_draws_are_feasible_varied_and_reproducible() -> None:
    sampler, twin = InstanceSampler(3), InstanceSampler(3)
    problems = [sampler.draw() for _ in range(40)]
    for problem in problems:
        assert problem.energy_budget * problem.max_sleep >= problem.horizon
        assert 20 <= problem.horizon <= 300 and problem.n_devices not in (5, 10, 20)
        assert 2.2 <= problem.horizon / problem.energy_budget <= 16
        assert problem.horizon * problem.n_devices * problem.n_locations <= 2e6
    key = [(p.network.name, p.devices, p.horizon, p.energy_budget, p.max_sleep) for p in problems]
    assert key == [
        (p.network.name, p.devices, p.horizon, p.energy_budget, p.max_sleep) for p in (twin.draw() for _ in range(40))
    ]
    assert len(set(key)) == 40
    assert min(p.n_devices for p in problems) == 1 and max(p.n_devices for p in problems) > 20
    assert {p.inference for p in problems} == {"paper", "level-aware", "hidden"}
    assert max(p.loss for p in problems) > 0.1
    names = {p.network.name for p in problems}
    assert any(name.startswith("pku2018") for name in names) and not names & {"tainan2017", "taipei2017"}


def test_a_belief_is_fitted_to_the_network_s_own_chain() -> None:
    """At one slot its mean and variance are close to the chain's own."""
    rng = np.random.default_rng(2)
    network = with_belief(random_network(rng), rng)
    assert network.level_belief is not None
    mean, variance = GrownBelief(*network.level_belief).moments(1, network.levels)
    drift = network.transition @ network.levels - network.levels
    own = network.transition @ np.square(network.levels) - np.square(network.levels + drift)
    assert network.start @ variance == pytest.approx(network.start @ own, rel=0.5)
    assert network.start @ np.abs(mean - network.levels - drift) < 0.5 * np.sqrt(network.start @ own)


@pytest.mark.parametrize("name", ["pku2018", "pku2018-spring", "pku2018-summer", "tainan2017", "taipei2017"])
def test_real_networks_lie_inside(name: str) -> None:
    for key, value in extent(SensorNetwork.load(name)).items():
        assert RANGES[key][0] <= value <= RANGES[key][1], key


def test_random_networks_fill_the_ranges() -> None:
    rng = np.random.default_rng(1)
    found = [extent(random_network(rng)) for _ in range(40)]
    for key, (least, most) in RANGES.items():
        values = [x[key] for x in found]
        assert least * 0.999 <= min(values) and max(values) <= most * 1.001, key
        assert min(values) < least * (most / least) ** 0.2 and max(values) > least * (most / least) ** 0.8, key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inferences", ("hidden?",)),
        ("most_work", 10.0),
    ],
)
def test_impossible_ranges_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        InstanceSampler(0, **{name: value})
