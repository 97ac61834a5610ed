"""Maps from real readings: against the equations, against brute-force conditioning, on air made to measure."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from aq_gym import SensorNetwork, datasets, inference
from aq_gym.calibration import fit
from aq_gym.estimation import (
    LevelAware,
    Sources,
    corrected_map,
    coverage,
    deviation_covariance,
    flat_map,
    mean_deviation,
    paper_map,
)
from aq_gym.level_model import _correlations, fit_level_model

SPRING = SensorNetwork.load("pku2018-spring")
DEVICES = np.array([0, 6, 12])


def sources(delay: Any, reading: Any = (52.0, 47.0, 55.0), then: Any = (50.0, 48.0, 50.0)) -> Sources:
    return Sources(DEVICES, np.array(reading, float), np.array(delay), np.array(then, float))


def test_readings_at_the_level_give_the_model_s_own_map() -> None:
    delay, then = np.array([0, 3, 7]), np.array([50.0, 40.0, 55.0])
    for fuse in (False, True):
        model = inference.infer(SPRING, DEVICES, delay, then, 50.0, fuse_measured=fuse)
        found = paper_map(SPRING, sources(delay, then, then), 50.0, fuse_measured=fuse)
        np.testing.assert_allclose(found.mean, model.mean, rtol=1e-12)
        np.testing.assert_allclose(found.deviation, model.standard_deviation, rtol=1e-12)


def test_a_fresh_reading_is_kept_where_it_was_taken() -> None:
    found = paper_map(SPRING, sources([0, 3, 0]), 50.0)
    assert (found.mean[[0, 12]] == [52.0, 55.0]).all() and found.mean[6] != 47.0
    np.testing.assert_allclose(found.deviation[[0, 12]], 50.0 * SPRING.measurement_variance**0.5)


@pytest.mark.parametrize("fuse", [False, True])
def test_a_map_of_some_locations_is_that_part_of_the_map(fuse: bool) -> None:
    given = sources([[0, 3, 0], [1, 0, 9]], np.full((2, 3), 52.0), np.full((2, 3), 50.0))
    whole = paper_map(SPRING, given, [50.0, 60.0], fuse_measured=fuse)
    part = paper_map(SPRING, given, [50.0, 60.0], fuse_measured=fuse, wanted=[12, 3, 0])
    assert (part.mean == whole.mean[:, [12, 3, 0]]).all() and (part.deviation == whole.deviation[:, [12, 3, 0]]).all()


def test_the_relations_tell_means_and_covariances_of_the_deviations(pku_data: Any) -> None:
    (table,), _ = datasets.load_pku2018("pku2018-spring")
    level = table.mean(axis=1)
    clear = level >= 30
    deviation = table[clear] / level[clear, None] - 1.0
    np.testing.assert_allclose(mean_deviation(SPRING), deviation.mean(axis=0), atol=1e-11)
    np.testing.assert_allclose(deviation_covariance(SPRING), np.cov(deviation.T, bias=True), atol=1e-11)


def test_maps_that_read_nothing() -> None:
    levels = np.array([10.0, 50.0])
    flat, corrected = flat_map(SPRING, levels), corrected_map(SPRING, levels)
    assert flat.mean.shape == flat.deviation.shape == (2, 30) and (flat.mean[1] == 50.0).all()
    np.testing.assert_allclose(corrected.mean.mean(axis=1), levels)
    both = np.square(corrected.deviation) + np.square(corrected.mean - levels[:, None])
    np.testing.assert_allclose(np.square(flat.deviation), both)


def brute_force(learned: LevelAware, seen: Sources, level: float, noise: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Conditioning of one joint Gaussian of all that is unknown, written out entry by entry."""
    n, own, c = 30, seen.devices, learned.covariance()
    a = mean_deviation(SPRING)
    unsure = (noise * level) ** 2
    shares, left = [], []
    for d, u in zip(seen.delay, seen.level_then, strict=True):
        walked, known = learned.drift * d, noise**2 * (u**2 + level**2)
        shares.append(walked / (walked + known) if d else 0.0)
        left.append(shares[-1] * known)
    observed = [
        y - (1 + a[i]) * (level + share * (u - level))
        for y, i, u, share in zip(seen.reading, own, seen.level_then, shares, strict=True)
    ]
    m = len(own)
    k, across = np.zeros((m, m)), np.zeros((m, n))
    for p in range(m):
        for q in range(m):
            same = learned.correlation(seen.delay[p] - seen.delay[q])
            k[p, q] = c[own[p], own[q]] * same * seen.level_then[p] * seen.level_then[q]
            k[p, q] += (unsure + min(left[p], left[q])) * (1 + a[own[p]]) * (1 + a[own[q]])
            k[p, q] += learned.floor if p == q else 0.0
        for j in range(n):
            across[p, j] = c[own[p], j] * learned.correlation(seen.delay[p]) * seen.level_then[p] * level
            across[p, j] += unsure * (1 + a[own[p]]) * (1 + a[j])
    inverse = np.linalg.inv(k)
    mean = level * (1 + a) + across.T @ inverse @ np.array(observed)
    before = np.diag(c) * level**2 + unsure * (1 + a) ** 2
    return mean, np.sqrt(before - np.diag(across.T @ inverse @ across) + learned.floor)


LEARNED = LevelAware(SPRING, lasting=0.4, short=0.6, memory=14.0, long=0.2, floor=0.4, drift=30.0)


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_the_level_aware_map_is_a_gaussian_conditioned(noise: float) -> None:
    for delay in ([0, 3, 7], [1, 1, 40]):
        found = LEARNED.estimate(sources(delay), 50.0, level_noise=noise)
        mean, deviation = brute_force(LEARNED, sources(delay), 50.0, noise)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-9)
        np.testing.assert_allclose(found.deviation, deviation, rtol=1e-9)


def test_a_fresh_reading_without_noise_is_the_value_there() -> None:
    exact = dataclasses.replace(LEARNED, floor=0.0)
    for noise in (0.0, 0.3):
        found = exact.estimate(sources([0, 4, 0]), 50.0, level_noise=noise)
        np.testing.assert_allclose(found.mean[[0, 12]], [52.0, 55.0], rtol=1e-9)
        np.testing.assert_allclose(found.deviation[[0, 12]], 0.0, atol=1e-5)


def test_readings_that_tell_nothing_leave_the_corrected_map() -> None:
    nothing = dataclasses.replace(LEARNED, short=0.0, long=0.0, floor=0.0)
    found, prior = nothing.estimate(sources([5, 6, 7]), 50.0), corrected_map(SPRING, 50.0)
    np.testing.assert_allclose(found.mean, prior.mean, rtol=1e-12)
    np.testing.assert_allclose(found.deviation, prior.deviation, rtol=1e-12)


def test_batches_are_rows() -> None:
    delay = np.array([[0, 3, 7], [1, 2, 3]])
    reading, then = np.full((2, 3), 60.0), np.array([[50.0, 50, 40], [55, 60, 65]])
    batch = LEARNED.estimate(Sources(DEVICES, reading, delay, then), np.array([50.0, 58.0]), level_noise=0.1)
    for i, level in enumerate((50.0, 58.0)):
        one = LEARNED.estimate(Sources(DEVICES, reading[i], delay[i], then[i]), level, level_noise=0.1)
        np.testing.assert_allclose(batch.mean[i], one.mean, rtol=1e-12)
        np.testing.assert_allclose(batch.deviation[i], one.deviation, rtol=1e-12)


def made_air(slots: int, memory: float, seed: int) -> NDArray[np.float64]:
    """(slots, 6) readings whose deviations fade with a memory, correlated between neighbours."""
    rng = np.random.default_rng(seed)
    level = 80.0 + 30.0 * np.sin(np.arange(slots) / 90.0)
    mix = np.linalg.cholesky(0.5 * np.eye(6) + 0.5)
    z = np.zeros((slots, 6))
    keep = np.exp(-1.0 / memory)
    for t in range(1, slots):
        z[t] = keep * z[t - 1] + 0.05 * np.sqrt(1 - keep**2) * mix @ rng.standard_normal(6)
    return level[:, None] * (1.0 + np.linspace(-0.1, 0.1, 6) + z - z.mean(axis=1, keepdims=True))


def test_what_is_learned_is_what_the_air_was_made_of() -> None:
    table = made_air(30_000, 10.0, 0)
    learned = fit_level_model(fit([table]), [table])
    assert learned.lasting > 0.9 and learned.floor < 0.5
    lags = np.array([1, 5, 20, 60])
    np.testing.assert_allclose(learned.correlation(lags), np.exp(-lags / 10.0), atol=0.05)
    assert learned.drift == pytest.approx(float(np.square(np.diff(table.mean(axis=1))).mean()))


def test_the_longest_lag_is_a_day() -> None:
    """What lasts a day and more is learned from the lags up to a day, whatever the length of a slot."""
    table = made_air(4_000, 10.0, 0)
    fits = {minutes: fit_level_model(fit([table], slot_minutes=minutes), [table]) for minutes in (10, 60, 1440)}
    assert fits[10] != fits[60] and fits[60].long == fits[1440].long  # 144, 24 and, at least, 24 lags


def test_coverage_counts() -> None:
    errors = np.random.default_rng(0).normal(0, 2.0, 200_000)
    np.testing.assert_allclose(coverage(errors, 2.0), (0.5, 0.9, 0.95), atol=0.005)


def test_bad_readings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"readings\[1\]: expected \(T, 30\).*got shape \(5, 4\)"):
        fit_level_model(SPRING, [np.full((500, 30), 50.0), np.zeros((5, 4))])
    with pytest.raises(ValueError, match="fewer than 120 slots of at least 30 µg/m³"):
        fit_level_model(SPRING, [np.full((100, 30), 50.0)])


def test_gaps_leave_the_level_model_as_it_was() -> None:
    """Correlations are those of the pairs that were both read, as pandas has them; what was learned of them stays."""
    rng = np.random.default_rng(0)
    own = np.cumsum(rng.normal(0.0, 0.004, (900, 5)), axis=0) + rng.normal(0.0, 0.03, (900, 1)) * [1, 1, -1, -1, 0]
    x = (60.0 + 20.0 * np.sin(np.arange(900) / 30.0)[:, None]) * (1.0 + own)
    gaps = np.where(rng.random(x.shape) < 0.05, np.nan, x)
    np.testing.assert_allclose(_correlations(gaps), pd.DataFrame(gaps).corr(), rtol=1e-9)
    whole, part = (fit_level_model(fit([table]), [table]).parameters for table in (x, gaps))
    np.testing.assert_allclose(part[:4], whole[:4], rtol=0.1, atol=0.02)
    assert part[5] > whole[5]  # the level of a slot with gaps is less certain, and so moves more
