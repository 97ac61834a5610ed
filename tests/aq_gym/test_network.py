"""SensorNetwork: reference values, validation, files, coarsening and synthetic networks."""

import copy
import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_gym import SensorNetwork
from aq_gym.network import INSTANCES, bundled_names, round_significant

BUNDLED = ["pku2018", "pku2018-spring", "pku2018-summer", "tainan2017", "taipei2017"]


@pytest.fixture(scope="module")
def pku() -> SensorNetwork:
    return SensorNetwork.load("pku2018")


def parts() -> dict[str, Any]:
    """A valid network of 3 locations and 2 levels."""
    return {
        "measurement_variance": 0.01,
        "temporal_variance": 4.0,
        "mean_relation": np.array([[0.0, 0.1, 0.2], [-0.1, 0.0, 0.1], [-0.2, -0.1, 0.0]]),
        "variance_relation": np.full((3, 3), 0.02) - 0.02 * np.eye(3),
        "levels": np.array([5.0, 15.0]),
        "transition": np.array([[0.75, 0.25], [0.5, 0.5]]),
        "start": np.array([0.6, 0.4]),
        "coordinates": np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 20.0]]),
        "name": "tiny",
    }


# ------------------------------------------------------------------------------------------- bundled networks


def test_reference_values(pku: SensorNetwork) -> None:
    off = ~np.eye(30, dtype=bool)
    assert pku.n_locations == 30
    assert pku.n_levels == 47
    assert pku.measurement_variance == pytest.approx(0.006407624097265345, rel=1e-11)
    assert pku.temporal_variance == pytest.approx(22.38749941976512, rel=1e-11)
    assert pku.mean_relation.max() == pytest.approx(0.14486832829245766, rel=1e-11)
    assert pku.variance_relation[off].min() == pytest.approx(0.0015669606682049819, rel=1e-11)
    assert pku.variance_relation.max() == pytest.approx(0.007029930648721169, rel=1e-11)
    np.testing.assert_array_equal(pku.levels, 5.0 + 10.0 * np.arange(47))
    assert SensorNetwork.load("pku2018-spring").temporal_variance == pytest.approx(22.05030169683635, rel=1e-11)
    assert SensorNetwork.load("pku2018-summer").temporal_variance == pytest.approx(22.67956802956803, rel=1e-11)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_network_and_card(name: str) -> None:
    network = SensorNetwork.load(name)
    assert network.name == name
    np.testing.assert_array_equal(network.mean_relation, -network.mean_relation.T)
    np.testing.assert_array_equal(network.variance_relation, network.variance_relation.T)
    assert np.abs(network.transition.sum(axis=1) - 1.0).max() < 1e-12
    assert abs(network.start.sum() - 1.0) < 1e-12
    for field in ("mean_relation", "variance_relation", "coordinates"):
        np.testing.assert_array_equal(round_significant(getattr(network, field)), getattr(network, field))
    card = json.loads((INSTANCES / f"{name}.json").read_text("utf-8"))
    assert card["sha256"] == hashlib.sha256((INSTANCES / f"{name}.npz").read_bytes()).hexdigest()
    assert {"name", "data", "options", "commit", "made_by"} <= set(card)


def test_coordinates_are_metres(pku: SensorNetwork) -> None:
    assert pku.coordinates is not None
    assert pku.coordinates.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-6)
    # The south gate (27) is about 800 m south of the lake's north bank (13), and west of nothing much else.
    east, north = pku.coordinates[13] - pku.coordinates[27]
    assert 900.0 < north < 1050.0
    assert -250.0 < east < -100.0


def test_bundled_names_and_loading_twice() -> None:
    assert bundled_names() == BUNDLED
    assert SensorNetwork.load("pku2018") is SensorNetwork.load("pku2018")


def test_import_is_light() -> None:
    code = (
        "import sys; from aq_gym.network import SensorNetwork; SensorNetwork.load('pku2018').coarsen(6);"
        "print(*({'pandas', 'numba', 'scipy', 'torch', 'pooch', 'matplotlib'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ""


# ------------------------------------------------------------------------------------------------ validation

BAD: list[tuple[dict[str, Any], str]] = [
    ({"measurement_variance": -0.1}, "measurement_variance must be positive"),
    ({"measurement_variance": 0.0}, "measurement_variance must be positive"),
    ({"measurement_variance": float("nan")}, "measurement_variance must be finite"),
    ({"measurement_variance": "0.1"}, "measurement_variance must be one real number"),
    ({"measurement_variance": True}, "measurement_variance must be one real number"),
    ({"temporal_variance": -1.0}, "temporal_variance must not be negative"),
    ({"temporal_variance": [1.0, 2.0]}, "temporal_variance must be one real number"),
    ({"mean_relation": np.zeros((3, 2))}, "mean_relation must be square"),
    ({"mean_relation": np.zeros(3)}, "mean_relation must have 2 dimension"),
    ({"mean_relation": np.eye(3)}, r"mean_relation\[0, 0\] is 1.0: the diagonal must be zero"),
    ({"mean_relation": np.full((3, 3), np.nan)}, r"mean_relation\[0, 0\] is nan"),
    ({"mean_relation": [[0, 1], [1, "x"]]}, "mean_relation must be an array of real numbers"),
    ({"mean_relation": [[0, 1], [1]]}, "mean_relation must be an array of real numbers"),
    ({"mean_relation": np.zeros((4, 4))}, r"variance_relation has shape \(3, 3\), mean_relation \(4, 4\)"),
    ({"mean_relation": np.zeros((1, 1))}, "at least 2"),
    ({"variance_relation": np.full((3, 3), 0.1)}, r"variance_relation\[0, 0\] is 0.1: the diagonal"),
    (
        {"variance_relation": np.array([[0, 1, 1], [1, 0, -2], [1, 1, 0]])},
        r"variance_relation\[1, 2\] is -2.0: a variance must not be negative",
    ),
    ({"levels": np.array([5.0, 5.0])}, r"levels\[1\] is 5.0 after 5.0: levels must strictly increase"),
    ({"levels": np.array([0.0, 5.0])}, r"levels\[0\] is 0.0: levels must be positive"),
    ({"levels": np.array([])}, "levels is empty"),
    ({"levels": np.array([5.0, np.inf])}, r"levels\[1\] is inf"),
    ({"levels": np.array([5.0, 15.0, 25.0])}, r"transition has shape \(2, 2\): with 3 levels it must be \(3, 3\)"),
    ({"transition": np.array([[0.75, 0.25], [0.5, 0.4]])}, "transition row 1 sums to 0.9: every row must sum to 1"),
    ({"transition": np.array([[1.25, -0.25], [0.5, 0.5]])}, r"transition\[0, 1\] is -0.25: a probability"),
    ({"transition": np.array([[np.nan, 1.0], [0.5, 0.5]])}, r"transition\[0, 0\] is nan"),
    ({"transition": np.ones((2, 3)) / 3}, "transition must be square"),
    ({"start": np.array([0.5, 0.4])}, "start sums to 0.9: it must sum to 1"),
    ({"start": np.array([1.5, -0.5])}, r"start\[1\] is -0.5: a probability"),
    ({"start": np.array([1.0])}, r"start has shape \(1,\): with 2 levels it must be \(2,\)"),
    ({"coordinates": np.zeros((2, 2))}, r"coordinates has shape \(2, 2\): it must be \(3, 2\)"),
    ({"coordinates": np.full((3, 2), np.inf)}, r"coordinates\[0, 0\] is inf"),
    ({"level_model": [0.4, 0.5]}, r"level_model has shape \(2,\)"),
    ({"level_model": [1.4, 0.5, 9.0, 0.2, 0.3, 18.0]}, "level_model: lasting is 1.4"),
    ({"level_model": [0.4, 0.5, 9.0, 0.6, 0.3, 18.0]}, r"level_model: short \+ long is 1.1"),
    ({"level_model": [0.4, 0.5, 0.0, 0.2, 0.3, 18.0]}, "level_model: memory is 0.0"),
    ({"level_model": [0.4, 0.5, 9.0, 0.2, 0.0, 18.0]}, "level_model: floor is 0.0"),
    ({"level_model": [0.4, 0.5, 9.0, 0.2, 0.3, np.nan]}, r"level_model\[5\] is nan"),
    ({"level_belief": [5.0, 0.7]}, r"level_belief has shape \(2,\)"),
    ({"level_belief": [5.0, 0.7, 0.03, 5.0, 0.003, 77.0]}, "level_belief: h is 5.0"),
    ({"name": ""}, "name must be a non-empty string"),
    ({"name": 3}, "name must be a non-empty string"),
    ({"name": "two\nlines"}, "name must be a non-empty string of printable characters"),
    ({"slot_minutes": 0.0}, "slot_minutes is .*must be from"),
    ({"slot_minutes": True}, "slot_minutes must be one real number"),
    ({"levels": np.array([1e-20, 2e-20])}, r"levels\[0\] is 1e-20: levels must be from 1e-09 to 1e\+09"),
    ({"levels": np.array([5.0, 1e12])}, r"levels\[1\] is 1\d+.0: levels must be from"),
    ({"levels": np.array([1e-9, 1e9])}, "the highest must be at most 100000 times the lowest"),
    ({"measurement_variance": 1e30}, "measurement_variance is 1e.30: .*must be from 1e-12 to 10000"),
    ({"measurement_variance": 1e-12, "temporal_variance": 1e6}, "temporal_variance is too large"),
    ({"measurement_variance": 1e-12, "levels": np.array([5.0, 5e3])}, "variance_relation is too large"),
    ({"temporal_variance": 1e30}, "temporal_variance is too large"),
    ({"mean_relation": [[0, 1e9], [0, 0]]}, r"mean_relation\[0, 1\] is 1\d+.0: at most 10000"),
    ({"variance_relation": [[0, 1e9], [0, 0]]}, r"variance_relation\[0, 1\] is 1\d+.0: at most 1e\+06"),
    ({"coordinates": np.full((3, 2), 1e30)}, r"coordinates\[0, 0\] is 1e\+30: at most 1e\+08 metres"),
    ({"transition": np.full((2, 2), 1e308)}, "transition row 0 sums to inf"),
    ({"levels": np.ma.array([5.0, 15.0], mask=[False, True])}, r"levels\[1\] is 15.0: it is masked"),
    ({"levels": np.array([5.0, 15.0 + 1j])}, "levels must be an array of real numbers"),
    ({"levels": np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")}, "levels must be an array of real"),
    ({"start": np.array([True, False])}, "start must be an array of real numbers"),
    ({"temporal_variance": np.ma.masked}, "temporal_variance must be one real number"),
    ({"temporal_variance": np.longdouble("1e400")}, "temporal_variance must be finite"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_validation_names_the_field(change: dict[str, Any], message: str) -> None:
    SensorNetwork(**parts())
    with pytest.raises(ValueError, match=message):
        SensorNetwork(**{**parts(), **change})


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e3, 1e6])
def test_other_units_are_no_mistake(pku: SensorNetwork, unit: float) -> None:
    model = None if pku.level_model is None else pku.level_model * [1, 1, 1, 1, unit**2, unit**2]
    belief = None if pku.level_belief is None else pku.level_belief * [unit**2, unit, 1, 1, 1, unit]
    changed = {"levels": pku.levels * unit, "temporal_variance": pku.temporal_variance * unit**2}
    scaled = dataclasses.replace(pku, **changed, level_model=model, level_belief=belief)
    for how in ("paper", "level-aware"):
        want = pku.joint_error([3, 7], [0, 5], [55.0, 80.0], 55.0, inference=how) * unit
        got = scaled.joint_error([3, 7], [0, 5], [55.0 * unit, 80.0 * unit], 55.0 * unit, inference=how)
        np.testing.assert_allclose(got, want, rtol=1e-9)


def test_arrays_are_read_only_copies() -> None:
    given_parts = parts()
    network = SensorNetwork(**given_parts)
    given_parts["levels"][0] = 1.0
    assert network.levels[0] == 5.0
    with pytest.raises(ValueError, match="read-only"):
        network.levels[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.name = "other"  # type: ignore[misc]
    assert SensorNetwork(**{**parts(), "levels": [5, 15]}).levels.dtype == np.float64


def test_equality_hash_pickle_and_copies() -> None:
    network = SensorNetwork(**parts())
    assert network == SensorNetwork(**parts())
    assert hash(network) == hash(SensorNetwork(**parts()))
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network), copy.copy(network)):
        assert other == network
        assert not other.levels.flags.writeable
    for field, value in {
        "temporal_variance": 5.0,
        "name": "x",
        "coordinates": None,
        "start": np.array([0.5, 0.5]),
    }.items():
        assert dataclasses.replace(network, **{field: value}) != network, field
    assert network != "tiny"
    assert "tiny" in repr(network)
    assert len(repr(network)) < 250


# -------------------------------------------------------------------------------------------------- coarsening


def test_coarsen_reference(pku: SensorNetwork) -> None:
    six = pku.coarsen(6)
    np.testing.assert_allclose(six.levels, [5.0, 18.8464, 39.4885, 64.2147, 98.0595, 194.8211], rtol=1e-5)
    assert six.name == "pku2018/6"
    assert six.n_levels == 6
    np.testing.assert_array_equal(six.mean_relation, pku.mean_relation)
    assert six.coordinates is not None


def test_coarsen_by_hand() -> None:
    network = SensorNetwork(
        **{
            **parts(),
            "levels": np.array([1.0, 2.0, 4.0, 8.0]),
            "start": np.array([0.1, 0.3, 0.2, 0.4]),
            "transition": np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.25, 0, 0, 0.75]]),
        }
    )
    two = network.coarsen(2)  # mid masses 0.05, 0.25, 0.5, 0.8: groups {0, 1}, {2, 3}
    np.testing.assert_allclose(two.start, [0.4, 0.6], rtol=1e-14)
    np.testing.assert_allclose(two.levels, [(0.1 + 0.6) / 0.4, (0.8 + 3.2) / 0.6], rtol=1e-14)
    np.testing.assert_allclose(two.transition, [[1.0, 0.0], [0.4 * 0.25 / 0.6, (0.2 + 0.4 * 0.75) / 0.6]], rtol=1e-14)
    lopsided = dataclasses.replace(network, start=np.array([0.8, 0.1, 0.05, 0.05]))  # mid mass of level 0: 0.4
    with pytest.raises(ValueError, match="n_levels=3 leaves group 0 of 'tiny' without probability"):
        lopsided.coarsen(3)


@pytest.mark.parametrize("n", [0, -1, 48, 2.0, "6", None, True])
def test_coarsen_refuses(pku: SensorNetwork, n: Any) -> None:
    with pytest.raises(ValueError, match="n_levels must be"):
        pku.coarsen(n)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 12), groups=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_coarsen_keeps_masses(seed: int, levels: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.dirichlet(np.ones(levels))
    chain = {
        "levels": np.cumsum(rng.uniform(0.5, 2.0, levels)),
        "transition": rng.dirichlet(np.ones(levels), levels),
        "start": start / start.sum(),
    }
    network = SensorNetwork(**{**parts(), **chain})
    if groups > levels:
        with pytest.raises(ValueError, match="n_levels must be"):
            network.coarsen(groups)
        return
    try:
        coarse = network.coarsen(groups)
    except ValueError as error:
        assert "without probability" in str(error)
        return
    assert coarse.start @ coarse.levels == pytest.approx(network.start @ network.levels)
    # One step from the start: the group's mass flows to where its members' mass flows.
    step = (network.start @ network.transition).sum()
    assert (coarse.start @ coarse.transition).sum() == pytest.approx(step)
    below = np.concatenate([[0.0], np.cumsum(network.start)[:-1]])
    member = np.minimum(groups - 1, np.floor(groups * (below + network.start / 2))).astype(int)
    flows = np.bincount(member, network.start @ network.transition, minlength=groups)
    np.testing.assert_allclose(coarse.start @ coarse.transition, flows, atol=1e-12)
