"""Problem.create: what it accepts, what it refuses, and that it says why."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.problem import Problem, resolve_network

GOOD: dict[str, Any] = {"network": "pku2018", "devices": [0, 6], "horizon": 12, "energy_budget": 3, "max_sleep": 4}


def test_accepts() -> None:
    problem = Problem.create(**GOOD)
    assert (problem.n_devices, problem.n_locations, problem.devices) == (2, 30, (0, 6))
    assert problem.fuse_measured is False
    assert Problem.create(**{**GOOD, "devices": 7}).devices == (7,)
    assert Problem.create(**{**GOOD, "devices": np.int64(7)}).devices == (7,)
    assert Problem.create(**{**GOOD, "devices": np.array([5, 2])}).devices == (5, 2)
    assert Problem.create(**{**GOOD, "devices": range(30)}).n_devices == 30
    assert Problem.create(**{**GOOD, "horizon": np.int32(12)}).horizon == 12
    assert type(Problem.create(**{**GOOD, "horizon": np.int32(12)}).horizon) is int


def test_energy_must_cover_the_horizon() -> None:
    assert Problem.create(**{**GOOD, "horizon": 12}).horizon == 12  # 3 x 4, exactly enough
    with pytest.raises(ValueError, match=r"energy_budget x max_sleep .* horizon.*energy_budget to 4 or max_sleep to 5"):
        Problem.create(**{**GOOD, "horizon": 13})
    # What the message proposes is accepted.
    assert Problem.create(**{**GOOD, "horizon": 13, "energy_budget": 4}).energy_budget == 4
    assert Problem.create(**{**GOOD, "horizon": 13, "max_sleep": 5}).max_sleep == 5


BAD: list[tuple[str, Any]] = [
    *(("horizon", x) for x in (0, -1, 1.0, 1.5, "60", None, True, float("nan"), [60], 13, 10**15)),
    *(("energy_budget", x) for x in (0, -3, 2.5, "3", None, False, 2)),
    *(("max_sleep", x) for x in (0, -4, 4.0, "4", None, True, 3)),
    *(
        ("devices", x)
        for x in ([], (), "01", b"01", None, 1.5, [0, 0], [0, 30], [0, -1], [0, 1.0], [0, "1"], [0, None])
    ),
    *(("devices", x) for x in ([True, False], [[0, 1]], np.array(3), np.array([[0, 1]]), np.array([0.0]), [0, 10**30])),
    *(("devices", x) for x in ({3, 0}, {0: "a", 3: "b"})),  # no order to decide in
    *(("n_levels", x) for x in (0, -1, 2.0, "6", True, 48)),
    *(("fuse_measured", x) for x in (1, 0, None, "yes", [])),
    *(("inference", x) for x in ("kriging", None, True, [])),
    *(("level_noise", x) for x in (-0.1, 1.5, float("nan"), "0.1", None, True, 0.1)),  # the paper's takes none
    *(("belief", x) for x in ("chain", "normal", None, [])),  # the paper's has none
    *(("loss", x) for x in (-0.1, 1.0, float("nan"), "0.1", None, True, 0.2)),  # the paper's loses none
    *(
        ("energy_budgets", x)
        for x in ([3], [3, 4], [3, 3, 3], [2, 4], "33", 6, [3, 3.0], [4, True], [[3], 3], np.array(6))
    ),
    *(("harvest", x) for x in ("ab", 3, (0.5,), (0.5, 0), (0.5, 5.0), (2, 5), (None, 5), (float("nan"), 5), [[1], 2])),
    *(("network", x) for x in ("atlantis", "", "synthetic-9", "PKU2018")),
    *(("network", x) for x in (None, 5, 1.5, [], {}, b"pku2018", object)),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda x: repr(x)[:30])
def test_refuses(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        Problem.create(**{**GOOD, name: value})
    assert len(str(caught.value)) > len(name) + 20, "the message says what would be right"


def test_level_aware_inference_needs_a_level_model() -> None:
    aware: dict[str, Any] = {**GOOD, "inference": "level-aware", "level_noise": 0.1}
    problem = Problem.create(**aware)
    assert problem.options == {"fuse_measured": False, "inference": "level-aware", "level_noise": 0.1}
    assert Problem.create(**{**aware, "fuse_measured": True}).options == problem.options, (
        "every reading is fused anyway"
    )
    bare = dataclasses.replace(problem.network, level_model=None, name="bare")
    with pytest.raises(ValueError, match=r"'bare' has no level_model.*fit_network"):
        Problem.create(**{**aware, "network": bare})
    b = np.array(problem.network.variance_relation)
    b[0, 1:] = b[1:, 0] = 1e-9  # nearly the same air as everywhere, which differs from place to place
    odd = dataclasses.replace(problem.network, variance_relation=b, name="odd")
    with pytest.raises(ValueError, match=r"variance_relation of 'odd' is no variogram"):
        Problem.create(**{**aware, "network": odd})
    b = np.array(problem.network.variance_relation)
    b[0, 1] *= 1.5
    lopsided = dataclasses.replace(problem.network, variance_relation=b, name="lopsided")
    with pytest.raises(ValueError, match=r"variance_relation of 'lopsided' is no variogram.*symmetric"):
        Problem.create(**{**aware, "network": lopsided})


def test_unequal_budgets_and_harvest() -> None:
    least = "the least of energy_budgets"
    with pytest.raises(ValueError, match=f"{least} x max_sleep must be at least horizon.*Raise {least} to 3 or"):
        Problem.create(**GOOD, energy_budgets=[4, 2])
    with pytest.raises(ValueError, match=r"got 2 that add up to 8 \(energy_budget=4 would fit\)$"):
        Problem.create(**GOOD, energy_budgets=[5, 3])
    with pytest.raises(ValueError, match=r"expected 2 integers, one a device, that add up to 6.*; got 1.*up to 8$"):
        Problem.create(**GOOD, energy_budgets=[8])
    problem = Problem.create(**{**GOOD, "energy_budget": 4}, energy_budgets=np.array([5, 3]), harvest=[0.5, 7])
    assert (problem.energies, problem.most_energy, problem.harvest) == ((5, 3), 7, (0.5, 7))
    again = Problem.create(*(getattr(problem, n) for n in ("network", "devices")), 12, 4, 4, **problem.options)
    assert (again.energies, again.harvest) == (problem.energies, problem.harvest)
    plain = Problem.create(**GOOD, harvest=(0, 0))
    assert (plain.energies, plain.most_energy, plain.harvest) == (
        (3, 3),
        3,
        (0.0, 0),
    ) and "harvest" not in plain.options


def test_a_hidden_level_needs_a_belief() -> None:
    hidden: dict[str, Any] = {**GOOD, "inference": "hidden"}
    problem = Problem.create(**hidden, loss=0.2)
    assert problem.options == {
        **{"fuse_measured": False, "inference": "hidden", "level_noise": 0.0},
        **{"belief": "grown", "loss": 0.2},
    }
    assert (problem.longest_delay, Problem.create(**GOOD).longest_delay) == (13, 4)
    bare = dataclasses.replace(problem.network, level_belief=None, name="bare")
    with pytest.raises(ValueError, match=r"'bare' has no level_belief.*belief='chain'"):
        Problem.create(**{**hidden, "network": bare})
    assert Problem.create(**{**hidden, "network": bare}, belief="chain").belief == "chain"
    with pytest.raises(ValueError, match="level_noise: the level is hidden"):
        Problem.create(**hidden, level_noise=0.1)
    with pytest.raises(ValueError, match="no level_model"):
        Problem.create(**{**hidden, "network": dataclasses.replace(problem.network, level_model=None)})


def test_a_hidden_level_in_another_unit_is_refused_before_rounding_spoils_it() -> None:
    """In g/m³ the map's errors were off by up to a half per cent, or NaN."""
    pku = SensorNetwork.load("pku2018")
    model, belief = np.array(pku.level_model), np.array(pku.level_belief)
    other = dataclasses.replace(
        pku,
        levels=pku.levels * 1e-6,
        temporal_variance=pku.temporal_variance * 1e-12,
        level_model=model * np.array([1, 1, 1, 1, 1e-12, 1e-12]),
        level_belief=belief * np.array([1e-12, 1e-6, 1, 1, 1, 1e-6]),
    )
    assert Problem.create(**{**GOOD, "network": other}, inference="level-aware").inference == "level-aware"
    for belief_word in ("grown", "chain"):
        with pytest.raises(ValueError, match=r"has a floor of .* expected at least 1e-05: check .* in µg/m³"):
            Problem.create(**{**GOOD, "network": other}, inference="hidden", belief=belief_word)


@pytest.mark.parametrize("value", [-1, 30, True, 10**30])
def test_refuses_a_single_location(value: int) -> None:
    with pytest.raises(ValueError, match="device"):
        Problem.create(**{**GOOD, "devices": value})


def test_an_unknown_network_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"atlantis.*pku2018, pku2018-spring, pku2018-summer"):
        resolve_network("atlantis")


def test_a_synthetic_network_needs_two_locations() -> None:
    with pytest.raises(ValueError, match="n_locations must be at least 2"):
        resolve_network("synthetic-1-0")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=r"none\.npz"):
        resolve_network(tmp_path / "none.npz")


def test_networks_by_name_path_and_value(tmp_path: Path) -> None:
    pku = SensorNetwork.load("pku2018")
    assert resolve_network("pku2018") == pku
    assert resolve_network(pku) is pku
    assert resolve_network("pku2018", 6).n_levels == 6
    assert resolve_network(pku, 6) == pku.coarsen(6) == resolve_network("pku2018", 6)
    assert resolve_network("synthetic-12-3") == SensorNetwork.synthetic(12, seed=3)
    small = SensorNetwork.synthetic(4, seed=1)
    small.save(tmp_path / "mine.npz")
    assert resolve_network(tmp_path / "mine.npz").n_locations == 4
    assert resolve_network(str(tmp_path / "mine.npz"), 2).n_levels == 2
    SensorNetwork.synthetic(5, seed=1).save(tmp_path / "mine.npz")
    assert resolve_network(tmp_path / "mine.npz").n_locations == 5, "a file may change: it is read anew"
