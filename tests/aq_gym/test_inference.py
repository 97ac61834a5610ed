"""The equations: errors worked out by hand, the remarks of the paper as properties, and the documented side effect."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_gym import SensorNetwork
from aq_gym.estimation import LevelAware
from aq_gym.inference import infer, joint_error, single_source


@pytest.fixture(scope="module")
def line() -> SensorNetwork:
    """Three locations; round numbers, so that errors can be worked out on paper."""
    return SensorNetwork(
        measurement_variance=0.01,
        temporal_variance=4.0,
        mean_relation=np.array([[0.0, 0.1, 0.2], [-0.1, 0.0, 0.1], [-0.2, -0.1, 0.0]]),
        variance_relation=np.full((3, 3), 0.02) - 0.02 * np.eye(3),
        levels=np.array([80.0, 100.0]),
        transition=np.full((2, 2), 0.5),
        start=np.array([0.5, 0.5]),
    )


@pytest.fixture(scope="module")
def pku() -> SensorNetwork:
    return SensorNetwork.load("pku2018")


def test_one_source_by_hand(line: SensorNetwork) -> None:
    # Location 0: 0.01 x 80² + 3 x 4 = 76 (no spatial part), mean 80. Others: + 0.02 x 100² = 276, means 90 and 100.
    mean, variance = single_source(line, [0], [3], [80.0], 100.0)
    np.testing.assert_allclose(mean, [[80.0, 90.0, 100.0]], rtol=1e-14)
    np.testing.assert_allclose(variance, [[76.0, 276.0, 276.0]], rtol=1e-14)
    for fuse in (False, True):
        got = infer(line, [0], [3], [80.0], 100.0, fuse_measured=fuse)
        np.testing.assert_allclose(got.mean, [80.0, 90.0, 100.0], rtol=1e-14)
        np.testing.assert_allclose(got.joint_error, np.sqrt([76 + 20**2, 276 + 10**2, 276]), rtol=1e-14)
        assert not got.measured.any()


def test_two_sources_one_fresh_by_hand(line: SensorNetwork) -> None:
    # Device 0 as above; device 2 fresh: variances 100 at home, 100 + 200 elsewhere; means 80, 90, 100.
    v0, v1 = 1 / (1 / 76 + 1 / 300), 1 / (1 / 276 + 1 / 300)
    own = infer(line, [0, 2], [3, 0], [80.0, 100.0], 100.0)
    np.testing.assert_allclose(own.mean, [80.0, 90.0, 100.0], rtol=1e-14)
    np.testing.assert_allclose(own.standard_deviation, np.sqrt([v0, v1, 100.0]), rtol=1e-14)
    np.testing.assert_allclose(own.joint_error, np.sqrt([v0 + 400, v1 + 100, 100.0]), rtol=1e-14)
    assert own.measured.tolist() == [False, False, True]

    fused = infer(line, [0, 2], [3, 0], [80.0, 100.0], 100.0, fuse_measured=True)
    np.testing.assert_allclose(fused.joint_error[:2], own.joint_error[:2], rtol=1e-14)
    assert fused.joint_error[2] == pytest.approx(np.sqrt(1 / (1 / 100 + 1 / 276)), rel=1e-14)
    assert fused.measured.tolist() == [False, False, True]


def test_a_weighted_mean_by_hand(line: SensorNetwork) -> None:
    # Location 1 from devices 0 (mean 90, variance 276) and 2 with an old record of 50 (mean 40, 25 + 4 + 200 = 229).
    want = (90 / 276 + 40 / 229) / (1 / 276 + 1 / 229)
    got = infer(line, [0, 2], [3, 1], [80.0, 50.0], 100.0)
    assert got.mean[1] == pytest.approx(want, rel=1e-14)
    assert got.joint_error[1] == pytest.approx(np.sqrt(1 / (1 / 276 + 1 / 229) + (want - 100) ** 2), rel=1e-14)


def test_a_fresh_reading_alone(line: SensorNetwork) -> None:
    for fuse in (False, True):
        assert joint_error(line, [1], [0], [80.0], 80.0, fuse_measured=fuse)[1] == pytest.approx(8.0, rel=1e-14)


@pytest.mark.parametrize("devices", [[30], [-1], [0.0], [True], [[0]], 0, ["a"]])
def test_devices_are_locations(pku: SensorNetwork, devices: Any) -> None:
    for how in ("paper", "level-aware"):
        with pytest.raises(ValueError, match=r"devices: expected a list of locations in 0\.\.29, each once, got"):
            pku.joint_error(devices, [0], [50.0], 50.0, inference=how)


def test_batch_axes(pku: SensorNetwork) -> None:
    rng = np.random.default_rng(0)
    devices = [3, 1, 20]
    delay, record = rng.integers(0, 5, (4, 2, 3)), rng.choice(pku.levels, (4, 2, 3))
    level = rng.choice(pku.levels, (4, 2))
    batch = infer(pku, devices, delay, record, level)
    assert all(field.shape == (4, 2, 30) for field in batch)
    for i in np.ndindex(4, 2):
        one = infer(pku, devices, delay[i], record[i], level[i])
        for got, want in zip((field[i] for field in batch), one, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-14)
    np.testing.assert_array_equal(batch.row(2).mean, batch.mean[2])
    np.testing.assert_array_equal(pku.joint_error(devices, delay, record, level), batch.joint_error)
    fused = infer(pku, devices, delay, record, level, fuse_measured=True)
    np.testing.assert_array_equal(pku.joint_error(devices, delay, record, level, fuse_measured=True), fused.joint_error)


@st.composite
def readings(draw: st.DrawFn) -> tuple[list[int], np.ndarray, np.ndarray, float]:
    devices = draw(st.lists(st.integers(0, 29), min_size=1, max_size=30, unique=True))
    delay = draw(st.lists(st.integers(0, 40), min_size=len(devices), max_size=len(devices)))
    record = draw(st.lists(st.floats(1.0, 500.0), min_size=len(devices), max_size=len(devices)))
    return devices, np.array(delay), np.array(record), draw(st.floats(1.0, 500.0))


@settings(max_examples=60, deadline=None)
@given(readings())
def test_remark_1_the_fused_mean_lies_among_the_sources(case: tuple[list[int], np.ndarray, np.ndarray, float]) -> None:
    network = SensorNetwork.load("pku2018")
    mean, _ = single_source(network, *case)
    fused = infer(network, *case, fuse_measured=True).mean
    slack = 1e-12 * np.abs(mean).max()
    assert (fused >= mean.min(axis=0) - slack).all()
    assert (fused <= mean.max(axis=0) + slack).all()


@settings(max_examples=60, deadline=None)
@given(readings())
def test_remark_2_fusing_never_loosens(case: tuple[list[int], np.ndarray, np.ndarray, float]) -> None:
    network = SensorNetwork.load("pku2018")
    devices, delay, record, level = case
    _, variance = single_source(network, *case)
    fused = infer(network, *case, fuse_measured=True)
    assert (fused.standard_deviation**2 <= variance.min(axis=0) * (1 + 1e-12)).all()
    fewer = infer(network, devices[1:], delay[1:], record[1:], level, fuse_measured=True) if devices[1:] else None
    if fewer is not None:
        assert (fused.standard_deviation <= fewer.standard_deviation * (1 + 1e-12)).all()


@settings(max_examples=60, deadline=None)
@given(readings())
def test_the_rule_of_inference_touches_fresh_locations_only(
    case: tuple[list[int], np.ndarray, np.ndarray, float],
) -> None:
    network = SensorNetwork.load("pku2018")
    devices, delay, record, level = case
    record = np.where(delay == 0, level, record)
    own = infer(network, devices, delay, record, level)
    fused = infer(network, devices, delay, record, level, fuse_measured=True)
    fresh = np.isin(np.arange(30), np.array(devices)[delay == 0])
    np.testing.assert_array_equal(own.measured, fresh)
    np.testing.assert_array_equal(own.joint_error[~fresh], fused.joint_error[~fresh])
    np.testing.assert_allclose(own.joint_error[fresh], np.sqrt(network.measurement_variance) * level, rtol=1e-12)
    assert (fused.standard_deviation[fresh] <= own.standard_deviation[fresh] * (1 + 1e-12)).all()


@pytest.mark.parametrize("inference", ["paper", "level-aware", "hidden"])
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"devices": [4, 4]}, r"devices: expected .* each once, got \[4, 4\]"),
        ({"delay": [1, np.nan]}, "delay: expected finite numbers of at least 0, got"),
        ({"delay": [1, -1]}, "delay: expected finite numbers of at least 0, got"),
        ({"delay": None}, "delay: expected finite numbers of at least 0, got None"),
        ({"record": "60"}, "record: expected finite numbers of at least 0, got '60'"),
        ({"record": [60.0, np.inf]}, "record: expected finite numbers"),
        ({"record": [60.0, -3.0]}, "record: expected finite numbers"),
        ({"delay": [1, 2, 3]}, r"expected the shapes \(..., 2\) of 2 device\(s\) and \(...\) of a level, got \(3,\)"),
        ({"devices": [4]}, r"expected the shapes \(..., 1\) of 1 device\(s\) and \(...\) of a level, got \(2,\)"),
        ({"fuse_measured": "False"}, "fuse_measured: expected True or False, got 'False'"),
    ],
)
def test_a_state_that_is_none_is_refused(pku: SensorNetwork, inference: str, wrong: dict[str, Any], why: str) -> None:
    state: dict[str, Any] = {"devices": [4, 7], "delay": [1, 0], "record": [60.0, 50.0], "level": 50.0}
    assert np.isfinite(infer(pku, **state, inference=inference).joint_error).all()
    with pytest.raises(ValueError, match=why):
        infer(pku, **(state | wrong), inference=inference)


def test_a_level_that_is_none_is_refused(pku: SensorNetwork) -> None:
    for level in (np.nan, np.inf, -1.0, "50", None):
        with pytest.raises(ValueError, match="level: expected finite numbers of at least 0, got"):
            pku.joint_error([4, 7], [1, 0], [60.0, 50.0], level)  # type: ignore[arg-type]


def test_one_level_aware_source_by_hand(pku: SensorNetwork) -> None:
    model = LevelAware.of(pku)
    c, e, u = float(model.covariance()[4, 4]), 80.0, 50.0
    same = float(model.short * np.exp(-3 / model.memory) + model.long)
    want = np.sqrt(c * e**2 - (c * same * u * e) ** 2 / (c * u**2 + model.floor) + model.floor)
    got = infer(pku, [4], [3], [u], e, inference="level-aware")
    assert got.joint_error[4] == got.standard_deviation[4] == pytest.approx(want, rel=1e-12)
    np.testing.assert_allclose(got.mean, e * (1.0 + pku.mean_relation.mean(axis=0)), rtol=1e-12)
    assert not got.measured.any()
    prior = np.sqrt(np.diag(model.covariance()) * e**2 + model.floor)
    assert (got.joint_error <= prior * (1 + 1e-12)).all()
    noisy = infer(pku, [4], [3], [u], e, inference="level-aware", level_noise=0.2)
    assert (noisy.joint_error > got.joint_error).all()


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_level_aware_readings_only_help(pku: SensorNetwork, noise: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        m = int(rng.integers(1, 8))
        devices, level = rng.choice(30, m, replace=False), float(rng.uniform(5, 400))
        delay, record = rng.integers(0, 13, m), rng.uniform(5, 400, m)
        how = {"inference": "level-aware", "level_noise": noise}
        whole = infer(pku, devices, delay, record, level, **how)  # type: ignore[arg-type]
        fewer = infer(pku, devices[1:], delay[1:], record[1:], level, **how)  # type: ignore[arg-type]
        assert (whole.joint_error <= fewer.joint_error * (1 + 1e-9)).all(), "nor does a device more ever harm"


def test_the_side_effect_of_keeping_measurements(pku: SensorNetwork) -> None:
    """Fresh devices everywhere: 0.055 e with 10 and 0.080 e with 30; one slot later 0.045 e and 0.033 e.

    At a level of 100 µg/m³ (fresh errors are proportional to it, later ones are not), and with 10 devices on average
    over where they stand.
    """
    level = 100.0

    def relative(devices: np.ndarray, delay: int, fuse: bool = False) -> float:
        m = len(devices)
        errors = pku.joint_error(devices, np.full(m, delay), np.full(m, level), level, fuse_measured=fuse)
        return float(errors.mean() / level)

    rng = np.random.default_rng(0)
    tens = [rng.choice(30, 10, replace=False) for _ in range(400)]
    everywhere = np.arange(30)
    assert np.mean([relative(d, 0) for d in tens]) == pytest.approx(0.055, abs=5e-4)
    assert np.mean([relative(d, 1) for d in tens]) == pytest.approx(0.045, abs=5e-4)
    assert relative(everywhere, 0) == pytest.approx(np.sqrt(pku.measurement_variance), rel=1e-12)
    assert relative(everywhere, 0) == pytest.approx(0.080, abs=5e-4)
    assert relative(everywhere, 1) == pytest.approx(0.033, abs=5e-4)
    # Fused readings have no such effect: fresh is better than a slot old, and more devices are better.
    assert all(relative(d, 0, True) < relative(d, 1, True) for d in [*tens, everywhere])
    assert relative(everywhere, 0, True) < min(relative(d, 0, True) for d in tens)
