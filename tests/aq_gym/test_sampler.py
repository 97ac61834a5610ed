from __future__ import annotations

from typing import Any

import pytest

from aq_gym.sampler import InstanceSampler


def test_draws_are_feasible_varied_and_reproducible() -> None:
    sampler, twin = InstanceSampler(3), InstanceSampler(3)
    problems = [sampler.draw() for _ in range(60)]
    for problem in problems:
        assert problem.energy_budget * problem.max_sleep >= problem.horizon
        assert 20 <= problem.horizon <= 168 and problem.n_devices not in (5, 10)
        assert 2.2 <= problem.horizon / problem.energy_budget <= 16
    key = [(p.network.name, p.devices, p.horizon, p.energy_budget, p.max_sleep) for p in problems]
    assert key == [
        (p.network.name, p.devices, p.horizon, p.energy_budget, p.max_sleep) for p in (twin.draw() for _ in range(60))
    ]
    assert len(set(key)) == 60
    assert {p.n_devices for p in problems} == {1, 2, 3, 4, 6, 7, 8, 9, 11, 12}
    assert sum(p.network.name.startswith("synthetic") for p in problems) > 15
    assert any("/" in p.network.name for p in problems), "coarsened ones are among them"


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_devices", ()), ("n_devices", (0,)), ("n_devices", (40,)), ("horizon", (50, 20)), ("period", (0.5, 3.0))],
)
def test_impossible_ranges_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        InstanceSampler(0, **{name: value})
