"""Synthetic networks: the statistics of the PKU network, the same numbers everywhere."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_gym import SensorNetwork


@pytest.fixture(scope="module")
def pku() -> SensorNetwork:
    return SensorNetwork.load("pku2018")


@pytest.fixture(scope="module")
def city() -> SensorNetwork:
    return SensorNetwork.synthetic(1000, seed=0)


def test_synthetic_has_the_statistics_of_pku(city: SensorNetwork, pku: SensorNetwork) -> None:
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    for field, tolerance in (("mean_relation", 0.15), ("variance_relation", 0.12)):
        pairs = {n: np.abs(getattr(network, field)[np.triu_indices(n, 1)]) for n, network in ((1000, city), (30, pku))}
        got, want = np.quantile(pairs[1000], quantiles), np.quantile(pairs[30], quantiles)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=1.5e-3 if field == "mean_relation" else 0.0)
    assert city.measurement_variance == pku.measurement_variance
    assert city.temporal_variance == pku.temporal_variance
    np.testing.assert_array_equal(city.transition, pku.transition)
    assert city.coordinates is not None
    side = np.ptp(city.coordinates, axis=0) / 1000.0
    assert 1000 / side.prod() == pytest.approx(32.9, rel=0.03)


def test_synthetic_is_spatially_correlated(city: SensorNetwork) -> None:
    assert city.coordinates is not None
    i, j = np.triu_indices(1000, 1)
    distance = np.hypot(*(city.coordinates[i] - city.coordinates[j]).T)
    near, far = distance < 100.0, distance > 1500.0
    b, a = city.variance_relation[i, j], np.square(city.mean_relation[i, j])
    assert b[near].mean() < b[far].mean() - 1.5e-4  # 11 % of 0.0031, most of it gone below 100 m
    assert a[near].mean() < 0.93 * a[far].mean()  # a quarter, five sixths of it


@given(n=st.integers(2, 60), seed=st.integers(0, 2**40))
@settings(max_examples=30, deadline=None)
def test_synthetic_is_always_valid(n: int, seed: int) -> None:
    network = SensorNetwork.synthetic(n, seed)
    assert network.n_locations == n
    assert network.name == f"synthetic-{n}-{seed}"
    off = ~np.eye(n, dtype=bool)
    assert (network.variance_relation[off] > 0.0).all()
    np.testing.assert_array_equal(network.variance_relation, network.variance_relation.T)
    np.testing.assert_array_equal(network.mean_relation, -network.mean_relation.T)
    assert network == SensorNetwork.synthetic(n, seed)


def test_synthetic_is_pinned(city: SensorNetwork) -> None:
    """City-v0 rests on these numbers: a change of them is a new version of the environment."""
    assert city.coordinates is not None
    digest = hashlib.sha256()
    for array in (city.coordinates, city.mean_relation, city.variance_relation):
        digest.update(array.astype("<f8").tobytes())
    assert digest.hexdigest() == "f6dc37b053286857b78052d76b68025eaee851c809be8ff3bd94a0e9f6a05961"
    assert not np.array_equal(SensorNetwork.synthetic(1000, seed=1).mean_relation, city.mean_relation)


def test_synthetic_by_name(city: SensorNetwork) -> None:
    assert SensorNetwork.load("synthetic-1000-0") == city
    assert SensorNetwork.load("synthetic-1000-0") is SensorNetwork.load("synthetic-1000-0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0), "n_locations must be at least 2"),
        ((10.0, 0), "n_locations must be an integer"),
        ((10, -1), "seed must not be negative"),
        ((10, None), "seed must be an integer"),
        ((10**30, 0), "n_locations must be at most 10000"),
        ((100_000, 0), "n_locations must be at most 10000"),
        ((10, 10**30000), r"seed must be below 2\*\*128, got a number of \d+ bits"),
    ],
)
def test_synthetic_refuses(arguments: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SensorNetwork.synthetic(*arguments)
