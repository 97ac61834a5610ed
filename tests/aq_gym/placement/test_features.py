"""The feature space: distances, triangles, coordinates, clusters."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aq_gym import SensorNetwork
from aq_gym.placement import clusters, difference_matrix, embed, medoids, repair_triangles


def distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(points[:, None] - points).sum(axis=2)))


def test_differences_are_those_of_equation_41() -> None:
    network = SensorNetwork.load("pku2018")
    d = difference_matrix(network)
    a, b = network.mean_relation, network.variance_relation
    assert d[3, 17] == pytest.approx((a[3, 17] ** 2 + b[3, 17]) ** 0.5)
    assert not np.diag(d).any() and (d == d.T).all()


@pytest.mark.parametrize("name", ["pku2018", "pku2018-spring", "pku2018-summer"])
def test_fitted_networks_need_no_repair_and_embed_exactly(name: str) -> None:
    d = difference_matrix(SensorNetwork.load(name))
    assert (repair_triangles(d) == d).all()
    points = embed(d)
    assert points.shape == (30, 29) and np.isfinite(points).all()
    np.testing.assert_allclose(distances(points), d, atol=1e-8)
    spread = np.square(points).sum(axis=0)
    assert (spread[:-1] >= spread[1:] - 1e-12).all()


def test_a_broken_triangle_is_repaired_by_the_least_constant() -> None:
    d = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 2.0], [4.0, 2.0, 0.0]])  # 4 > 1 + 2 by 1
    np.testing.assert_allclose(repair_triangles(d), d + 1.0 - np.eye(3))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 10.0), min_size=6, max_size=6))
def test_repair_is_least(values: list[float]) -> None:
    d = np.zeros((4, 4))
    d[np.triu_indices(4, 1)] = values
    d += d.T
    repaired = repair_triangles(d)
    added = repaired[0, 1] - d[0, 1]
    triangles = [repaired[i, k] + repaired[k, j] - repaired[i, j] for i, j, k in itertools.permutations(range(4), 3)]
    assert min(triangles) >= -1e-9
    assert added == pytest.approx(0.0, abs=1e-12) or min(triangles) == pytest.approx(0.0, abs=1e-9)
    assert np.isfinite(embed(repaired)).all()


def test_clusters_and_medoids() -> None:
    network = SensorNetwork.synthetic(20, seed=1)
    near = np.repeat([-0.2, 0.0, 0.2], [6, 8, 6])
    network = dataclasses.replace(network, mean_relation=near - near[:, None])
    labels = clusters(network, 3, seed=0)
    assert sorted(np.bincount(labels).tolist()) == [6, 6, 8]
    assert all(len(set(labels[near == value].tolist())) == 1 for value in (-0.2, 0.0, 0.2))
    chosen = medoids(network, 3, seed=0)
    assert near[chosen].tolist() == [-0.2, 0.0, 0.2]
    assert (chosen == medoids(network, 3, seed=0)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_locations_that_do_not_differ_leave_no_cluster_empty(kinds: int) -> None:
    pku, near = SensorNetwork.load("pku2018"), np.arange(6) % kinds * 0.1
    fields = {"mean_relation": near - near[:, None], "variance_relation": np.zeros((6, 6)), "coordinates": None}
    network = dataclasses.replace(pku, **fields)
    for m in range(1, 7):
        labels, chosen = clusters(network, m, seed=0), medoids(network, m, seed=0)
        assert sorted(set(labels.tolist())) == list(range(m))
        assert len(set(chosen.tolist())) == m
        assert len(set(near[chosen].tolist())) == min(m, kinds)


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        (np.zeros((2, 3)), "square"),
        (np.zeros((0, 0)), "square"),
        (-np.ones((2, 2)), "at least 0"),
        (np.full((2, 2), np.nan), "finite"),
        (np.ones((2, 2)), "diagonal"),
        (np.array([[0.0, 1.0], [2.0, 0.0]]), "symmetric"),
    ],
)
def test_matrices_that_are_no_differences_are_refused(matrix: Any, why: str) -> None:
    for function in (repair_triangles, embed):
        with pytest.raises(ValueError, match=f"differences: expected.*{why}"):
            function(matrix)


def test_impossible_numbers_of_clusters_are_refused() -> None:
    network = SensorNetwork.load("pku2018")
    for wrong in (0, 31):
        with pytest.raises(ValueError, match=f"n_clusters: expected 1 to 30.*got {wrong}"):
            clusters(network, wrong, 0)
    for odd in (2.5, "3", None, True):
        with pytest.raises(ValueError, match=f"n_clusters must be an integer, got {odd!r}"):
            medoids(network, odd, 0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"seed: expected an integer of at least 0, got {odd!r}"):
            clusters(network, 3, odd)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least two locations"):
        embed(np.zeros((1, 1)))
