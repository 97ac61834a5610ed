"""The estimators: by hand on small tables, as properties, and on the real readings."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_gym import SensorNetwork, synthetic
from aq_gym.calibration import DEFAULT_MEASUREMENT_VARIANCE, field_statistics, fit, rounded
from aq_gym.estimation import deviation_covariance
from aq_gym.periods import slot_levels

FIRST = np.array([[40.0, 60.0], [50.0, 50.0], [8.0, 2.0]])  # averages 50, 50, 5
SECOND = np.array([[90.0, 110.0], [100.0, 120.0]])  # averages 100, 110


def test_by_hand() -> None:
    got = fit([FIRST, SECOND], np.array([[9.0, 22.0], [11.0, 18.0]]), bin_width=50.0, min_level=30.0)
    assert got.measurement_variance == pytest.approx((2 * 0.1**2 + 2 * 0.1**2) / 4)
    steps = [10.0, 10.0, 42.0, 48.0, 10.0, 10.0]
    assert got.temporal_variance == pytest.approx(np.mean(np.square(steps)))
    ratios = np.array([20 / 50, 0.0, 20 / 100, 20 / 110])  # the slot with average 5 is left out
    assert got.mean_relation[0, 1] == pytest.approx(ratios.mean())
    assert got.mean_relation[1, 0] == -got.mean_relation[0, 1]
    assert got.variance_relation[0, 1] == pytest.approx(ratios.var())
    np.testing.assert_array_equal(got.levels, [25.0, 75.0, 125.0])
    # Bins 1, 1, 0 and 2, 2: nothing is counted across the gap; level 0 is never left, so it keeps to itself.
    np.testing.assert_array_equal(got.transition, [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]])
    np.testing.assert_array_equal(got.start, [0.2, 0.4, 0.4])
    assert got.name == "custom"
    assert got.coordinates is None


def test_empty_levels_below_the_highest_are_kept() -> None:
    got = fit([np.array([[35.0, 36.0], [5.0, 6.0], [35.0, 36.0]])], min_level=0.0)
    np.testing.assert_array_equal(got.levels, [5.0, 15.0, 25.0, 35.0])
    np.testing.assert_array_equal(got.transition, [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]])
    assert got.start[1] == 0.0


def test_repeated_transitions_are_counted() -> None:
    got = fit([np.array([[level, level + 1.0] for level in (5, 5, 5, 15, 5)])], min_level=0.0)
    np.testing.assert_allclose(got.transition, [[2 / 3, 1 / 3], [1.0, 0.0]], rtol=1e-15)


def test_default_measurement_variance_is_that_of_pku() -> None:
    assert fit([FIRST]).measurement_variance == DEFAULT_MEASUREMENT_VARIANCE
    assert SensorNetwork.load("pku2018").measurement_variance == DEFAULT_MEASUREMENT_VARIANCE


def test_frames_lists_and_arrays_are_alike() -> None:
    want = fit([FIRST, SECOND])
    assert fit([pd.DataFrame(FIRST).convert_dtypes(), np.ma.array(SECOND)]) == want
    assert fit([FIRST.astype(str), pd.DataFrame(SECOND).astype(object)]) == want
    assert fit([pd.DataFrame(FIRST), pd.DataFrame(SECOND).astype(int)]) == want
    assert fit([FIRST.tolist(), np.asfortranarray(SECOND)]) == want
    assert fit((FIRST, SECOND)) == want


def test_columns_of_frames_are_the_same_devices() -> None:
    first, second = pd.DataFrame(FIRST, columns=["a", "b"]), pd.DataFrame(SECOND, columns=["a", "b"])
    assert fit([first, second]) == fit([FIRST, SECOND]) == fit([first, SECOND])
    with pytest.raises(ValueError, match=r"readings\[1\] column 0 is 'b', in readings\[0\] it is 'a'.*same order"):
        fit([first, second[["b", "a"]]])
    with pytest.raises(ValueError, match=r"readings\[1\] has several columns named 'a'"):
        fit([first, second.set_axis(["a", "a"], axis=1)])


def test_an_index_of_times_says_how_long_a_slot_is() -> None:
    def frame(minutes: list[int], zone: str | None = None) -> pd.DataFrame:
        return pd.DataFrame(FIRST, index=pd.Timestamp("2018-03-01", tz=zone) + pd.to_timedelta(minutes, unit="min"))

    assert fit([FIRST]).slot_minutes == fit([frame([0, 10, 20])]).slot_minutes == 10.0
    for zone in (None, "Asia/Shanghai"):
        with pytest.raises(ValueError, match=r"readings\[0\] row 1 is 60 minutes after .*give slot_minutes=60"):
            fit([frame([0, 60, 120], zone)], slot_minutes=10)
        assert fit([frame([0, 60, 120], zone)], slot_minutes=60).slot_minutes == 60.0
        assert fit([frame([0, 60, 120], zone)]).slot_minutes == 60.0
    for times in ([0, 10, 40], [0, 0, 10], [20, 0, 5]):
        with pytest.raises(ValueError, match="split the table at its gaps"):
            fit([frame(times)])


def cells(other: Any) -> pd.DataFrame:
    """A frame of objects with another cell in row 1, column 0."""
    frame = pd.DataFrame(FIRST).astype(object)
    frame.iat[1, 0] = other
    return frame


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([],), {}, "readings is empty"),
        ((FIRST,), {}, "readings must be a list of tables"),
        ((pd.DataFrame(FIRST),), {}, "readings must be a list of tables"),
        (([FIRST, SECOND[:, :1]],), {}, r"readings\[1\] has 1 columns, readings\[0\] has 2"),
        (([FIRST[:, :1]],), {}, r"readings\[0\] has 1 column\(s\): at least 2 devices"),
        (([FIRST, SECOND[:1]],), {}, r"readings\[1\] has 1 row\(s\): at least 2 slots"),
        (([np.zeros((0, 2))],), {}, r"readings\[0\] must be a non-empty table"),
        (([np.zeros(4)],), {}, r"readings\[0\] must be a non-empty table"),
        (([[[1, 2], [3]]],), {}, r"readings\[0\] is not a rectangular table"),
        (([[["a", "b"], ["c", "d"]]],), {}, r"readings\[0\] row 0, column 0: 'a' is not a number"),
        (([[[40, 41], [40, -1]]],), {}, r"readings\[0\] row 1, column 1: -1 is not a concentration"),
        (([[[40, 1], [np.inf, 1]]],), {}, r"readings\[0\] row 1, column 0: inf is not finite"),
        (([FIRST], [[1.0, 2.0]]), {}, r"calibration has 1 row\(s\): at least 2 sensors"),
        (([FIRST], [[1.0, 0.0], [2.0, 0.0]]), {}, "calibration column 1 is all zero"),
        (([FIRST], [[1.0, 2.0], [1.0, 2.0]]), {}, "show no measurement error"),
        (([FIRST], [[1.0, 2.0], [1.0, -2.0]]), {}, "calibration row 1, column 1: -2.0 is not a concentration"),
        (([FIRST],), {"bin_width": 0.0}, "bin_width must be finite and positive"),
        (([FIRST],), {"bin_width": "wide"}, "bin_width must be one real number"),
        (([FIRST],), {"bin_width": 1e-9}, "levels, at most 10000 are allowed"),
        (([FIRST],), {"min_level": -1.0}, "min_level must be finite and not negative"),
        (([FIRST],), {"min_level": 500.0}, r"min_level=500 leaves 0 slot\(s\) of 3.*lower it"),
        (([FIRST],), {"bin_width": 1e-320}, "makes inf levels, at most 10000"),
        (([FIRST],), {"bin_width": True}, "bin_width must be one real number"),
        (([FIRST],), {"slot_minutes": 0}, r"slot_minutes must be finite and positive \[minutes\]"),
        (([FIRST],), {"slot_minutes": "10"}, "slot_minutes must be one real number"),
        (([FIRST],), {"largest": -1}, "largest must be finite and positive"),
        (([FIRST],), {"largest": 55.0}, r"readings\[0\] row 0, column 1: 60 is above 55 µg/m³.*raise `largest`"),
        (
            ([FIRST, SECOND * 1e300],),
            {},
            r"readings\[1\] row 0, column 0: 9e\+301 is above 2000 .*so is the whole column",
        ),
        (([FIRST], [[1.0, 2.0], [1.0, 2e9]]), {}, r"calibration row 1, column 1: 2e\+09 is above 2000"),
        ((None,), {}, r"readings must be a list of \(T, N\) tables, got NoneType"),
        (("a.csv",), {}, r"readings must be a list of \(T, N\) tables, got str"),
        (({"a": FIRST},), {}, r"readings must be a list of \(T, N\) tables, got dict"),
        (([FIRST > 50],), {}, r"readings\[0\] is not a rectangular table of numbers: it holds bool values"),
        (([FIRST + 1j],), {}, r"readings\[0\] .* it holds complex128 values"),
        (([FIRST.astype("datetime64[s]")],), {}, r"readings\[0\] .* it holds datetime64\[s\] values"),
        (([FIRST.astype("S5")],), {}, r"readings\[0\] .* it holds \|S5 values"),
        (([cells("12,5")],), {}, "row 1, column 0: '12,5' is not a number; .* decimal point"),
        (([cells("１２")],), {}, "row 1, column 0: '１２' is not a number; write it with the digits 0-9"),
        (([cells(True)],), {}, "row 1, column 0: True is not a number"),
        (([cells(5 + 0j)],), {}, r"row 1, column 0: \(5\+0j\) is not a number"),
        (([cells(10**400)],), {}, "row 1, column 0: 10+ is not finite"),
        (([cells([1])],), {}, r"row 1, column 0: \[1\] is not a number"),
        (([cells(pd.Timestamp("2018-03-01"))],), {}, "row 1, column 0: Timestamp.* is not a number"),
    ],
)
def test_bad_input(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(*arguments, **options)


# ------------------------------------------------------------------------------------------------- gaps


def test_gaps_by_hand() -> None:
    """A device that reads half of the other's: what is missing is neither filled in nor taken for a change."""
    x = np.array([[40.0, 80.0], [np.nan, 80.0], [50.0, 100.0], [np.nan, np.nan], [50.0, 100.0], [np.nan, 40.0]])
    levels = [60.0, 60.0, 75.0, np.nan, 75.0, 30.0]  # of the other device alone: its reading / (4/3)
    np.testing.assert_allclose(slot_levels([x])[0], levels, rtol=1e-12)
    got = fit([x], bin_width=10.0, min_level=30.0)
    assert got.temporal_variance == pytest.approx(np.mean(np.square([0.0, 20.0, 60.0])))
    assert got.mean_relation[0, 1] == pytest.approx(2 / 3) and got.mean_relation[1, 0] == pytest.approx(-2 / 3)
    assert got.variance_relation[0, 1] == pytest.approx(0.0, abs=1e-12)
    # Bins 6, 6, 7, none, 7, 3: two transitions before the gap, one after it, none across.
    assert got.transition[6, 6] == got.transition[6, 7] == 0.5 and got.transition[7, 3] == 1.0
    np.testing.assert_allclose(got.start[[3, 6, 7]], [0.2, 0.4, 0.4])


def test_all_markers_of_a_gap_are_alike() -> None:
    x = np.array([[40.0, 60.0], [50.0, 52.0], [60.0, 90.0], [np.nan, 80.0], [70.0, 72.0]])
    want = fit([x])
    frame = pd.DataFrame(x).astype(object)
    for marker in (None, pd.NA, pd.NaT, "NA", -999, np.nan):
        frame.iat[3, 0] = marker
        assert fit([frame]) == want
    assert fit([pd.DataFrame(x).convert_dtypes()]) == fit([np.ma.masked_invalid(x)]) == want
    assert fit([x], min_level=0.0) != fit([np.delete(x, 3, axis=0)], min_level=0.0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[40, np.nan], [40, np.nan]], "nothing was read in column 1: leave the device out"),
        (
            [[40, 41], [np.nan, np.nan], [40, 42]],
            "no device was read in two slots in a row",
        ),
        ([[40, np.nan], [40, 41], [40, np.nan]], r"columns 0 and 1 were both read in 1 slot\(s\)"),
        ([[40, 50, 60, np.nan, np.nan, np.nan], [np.nan] * 3 + [40, 50, np.nan]] * 2, "nothing was read in column 5"),
        ([[40, np.nan, np.nan], [np.nan, 40, np.nan], [np.nan, np.nan, 40]], "in no slot were half"),
    ],
)
def test_gaps_that_leave_too_little(table: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit([table])


def test_columns_of_frames_are_named() -> None:
    frame = pd.DataFrame([[40, np.nan], [40, 41], [40, np.nan]], columns=["East", "West"])
    with pytest.raises(ValueError, match=r"columns 0 \('East'\) and 1 \('West'\) were both read in 1 slot"):
        fit([frame])
    with pytest.raises(ValueError, match=r"nothing was read in column 1 \('West'\)"):
        fit([frame.assign(West=np.nan)])


@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.02, 0.1, 0.3]))
@settings(max_examples=30, deadline=None)
def test_random_gaps_change_little_and_the_network_stays_sound(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    usual = rng.uniform(0.6, 1.4, 5)
    level = 60.0 + 30.0 * np.sin(np.arange(400) / 20.0)[:, None]
    x = level * usual * rng.normal(1.0, 0.05, (400, 5))
    gappy = np.where(rng.random(x.shape) < share, np.nan, x)
    full, got = fit([x]), fit([gappy])
    np.testing.assert_allclose(got.mean_relation, full.mean_relation, atol=0.03)
    np.testing.assert_allclose(got.variance_relation, full.variance_relation, atol=0.005)
    assert got.temporal_variance == pytest.approx(full.temporal_variance, rel=0.3)
    known = ~np.isnan(slot_levels([gappy])[0])
    np.testing.assert_allclose(slot_levels([gappy])[0][known], x.mean(axis=1)[known], rtol=0.15)
    assert np.linalg.eigvalsh(deviation_covariance(got)).min() > -1e-9
    assert got.level_model is not None and np.isfinite(got.level_model).all()
    assert fit([gappy[:, ::-1]]).temporal_variance == pytest.approx(got.temporal_variance)


def test_pairs_read_at_different_times_still_give_a_variogram() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(30.0, 90.0, (14, 6))
    got = fit([np.where(rng.random(x.shape) < 0.3, np.nan, x)], min_level=0.0)
    covariance = np.linalg.eigvalsh(deviation_covariance(got))
    assert covariance.min() > -1e-12 and covariance.max() > 0.01  # without the nearest variogram -0.02


@st.composite
def tables(draw: st.DrawFn) -> list[np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    devices = draw(st.integers(2, 6))
    lengths = draw(st.lists(st.integers(2, 40), min_size=1, max_size=3))
    return [rng.integers(1, 200, (length, devices)).astype(float) for length in lengths]


@given(readings=tables(), width=st.sampled_from([5.0, 10.0, 25.0]))
@settings(max_examples=60, deadline=None)
def test_fit_is_a_valid_network_with_its_symmetries(readings: list[np.ndarray], width: float) -> None:
    got = rounded(fit(readings, bin_width=width, min_level=0.0))
    np.testing.assert_array_equal(got.mean_relation, -got.mean_relation.T)
    np.testing.assert_array_equal(got.variance_relation, got.variance_relation.T)
    assert np.abs(got.transition.sum(axis=1) - 1.0).max() < 1e-12
    assert got.levels[-1] == (np.floor(max(x.mean(axis=1).max() for x in readings) / width) + 0.5) * width
    x = np.concatenate(readings) / np.concatenate(readings).mean(axis=1, keepdims=True)
    difference = x[:, None, :] - x[:, :, None]  # [t, i, j]
    np.testing.assert_allclose(got.mean_relation, difference.mean(axis=0), atol=1e-11)
    np.testing.assert_allclose(got.variance_relation, difference.var(axis=0), atol=1e-11)


@given(readings=tables(), factor=st.sampled_from([0.5, 2.0, 4.0]), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_units_and_order_of_devices(readings: list[np.ndarray], factor: float, seed: int) -> None:
    base = fit(readings, min_level=0.0)
    scaled = fit([factor * x for x in readings], bin_width=10.0 * factor, min_level=0.0)
    assert scaled.temporal_variance == pytest.approx(factor**2 * base.temporal_variance)
    np.testing.assert_allclose(scaled.mean_relation, base.mean_relation, atol=1e-13)
    np.testing.assert_allclose(scaled.levels, factor * base.levels)
    np.testing.assert_array_equal(scaled.transition, base.transition)
    order = np.random.default_rng(seed).permutation(base.n_locations)
    shuffled = fit([x[:, order] for x in readings], min_level=0.0)
    np.testing.assert_allclose(shuffled.variance_relation, base.variance_relation[np.ix_(order, order)], atol=1e-13)
    np.testing.assert_array_equal(shuffled.start, base.start)


def test_rounded_keeps_the_chain_and_the_name() -> None:
    exact = dataclasses.replace(fit([FIRST, SECOND]), name="x", coordinates=np.array([[1 / 3, 2.0], [-1 / 3, 1e6 / 7]]))
    stored = rounded(exact)
    assert stored.name == "x"
    np.testing.assert_array_equal(stored.transition, exact.transition)
    assert stored.coordinates is not None
    np.testing.assert_array_equal(stored.coordinates, [[0.333333333333, 2.0], [-0.333333333333, 142857.142857]])
    assert rounded(stored) == stored


def test_constants_of_synthetic_are_the_printed_statistics() -> None:
    printed = field_statistics(SensorNetwork.load("pku2018"))
    for name, digits in {
        "LOCATIONS_PER_KM2": 3,
        "MEAN_DEVIATION": 3,
        "NUGGET_LOG_MEAN": 3,
        "NUGGET_LOG_DEVIATION": 2,
        "SPATIAL_VARIANCE": 3,
        "SPATIAL_RANGE": 2,
    }.items():
        assert float(f"{printed[name]:.{digits}g}") == getattr(synthetic, name), name
    assert round(2.0 * (printed["SPATIAL_VARIANCE"] / printed["residual"]) ** 2) == synthetic.SPATIAL_FACTORS
    bound = printed["mean_spatial_share"] + 2.0 * printed["mean_spatial_share_error"]
    assert 0.0 < synthetic.MEAN_SPATIAL_SHARE <= bound
    with pytest.raises(ValueError, match="needs coordinates"):
        field_statistics(fit([FIRST]))
