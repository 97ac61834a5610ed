"""Locations as points whose distances tell how differently they behave: (40) to (43), Remark 4."""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.distances import scalar_products, squared_differences
from aq_gym.network import SensorNetwork
from aq_gym.network_checks import as_count, as_integer

_SEEDS = 2**32  # scikit-learn takes no larger one


def difference_matrix(network: SensorNetwork) -> NDArray[np.float64]:
    """(N, N) differences D_ij = sqrt(a_ij² + b_ij) of the locations (40)(41) [1]."""
    return np.asarray(np.sqrt(squared_differences(network)))


def repair_triangles(differences: ArrayLike) -> NDArray[np.float64]:
    """(N, N) the same, with the least constant added off the diagonal that restores the triangle inequality (Remark 4).

    Raises:
        ValueError: not square, not symmetric, negative, not finite, or with a diagonal other than zero.
    """
    d = _checked(differences)
    excess = 0.0
    for k in range(len(d)):
        over = d - (d[:, k : k + 1] + d[k : k + 1, :])  # a triangle with a corner twice adds no condition
        over[k, :] = over[:, k] = -np.inf
        np.fill_diagonal(over, -np.inf)
        excess = max(excess, float(over.max(initial=-np.inf)))
    return d + excess * (1.0 - np.eye(len(d)))


def embed(differences: ArrayLike) -> NDArray[np.float64]:
    """(N, N - 1) coordinates of the locations in the feature space (42), largest spread first [1].

    Classical multidimensional scaling: exact where the differences are Euclidean distances; where they are not, the
    directions that no point has are left out (scikit-learn's makes them NaN).

    Raises:
        ValueError: as `repair_triangles`, or a single location.
    """
    d = _checked(differences)
    if len(d) < 2:
        raise ValueError("differences: expected at least two locations, got one")
    spread, directions = np.linalg.eigh(scalar_products(np.square(d)))
    largest = np.argsort(-spread)[: len(d) - 1]
    return np.asarray(directions[:, largest] * np.sqrt(np.maximum(spread[largest], 0.0)))


def clusters(network: SensorNetwork, n_clusters: int, seed: int) -> NDArray[np.int64]:
    """(N,) the cluster of every location, by k-means in the feature space; none is empty.

    Raises:
        ValueError: `n_clusters` is no integer from 1 to N, or the seed is none.
        ImportError: scikit-learn is missing.
    """
    return _k_means(network, n_clusters, seed)[0]


def medoids(network: SensorNetwork, n_clusters: int, seed: int) -> NDArray[np.int64]:
    """(M,) the location nearest to each cluster's centre, ascending; errors as for `clusters`."""
    labels, points, centers = _k_means(network, n_clusters, seed)
    chosen = []
    for number, center in enumerate(centers):
        members = np.flatnonzero(labels == number)
        chosen.append(members[np.square(points[members] - center).sum(axis=1).argmin()])
    return np.sort(np.array(chosen, np.int64))


def _k_means(
    network: SensorNetwork, n_clusters: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    if not 1 <= as_integer("n_clusters", n_clusters) <= network.n_locations:
        raise ValueError(f"n_clusters: expected 1 to {network.n_locations}, one for each location, got {n_clusters}")
    seed = as_count("seed", seed, 0) % _SEEDS
    try:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
    except ImportError as error:
        raise ImportError("clustering needs scikit-learn: pip install 'aq-gym[placement]'") from error
    points = embed(repair_triangles(difference_matrix(network)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of locations that do not differ, see below
        means = KMeans(n_clusters=n_clusters, n_init=10, random_state=seed).fit(points)
    labels, centers = np.array(means.labels_, np.int64), np.array(means.cluster_centers_)
    for empty in np.setdiff1d(np.arange(n_clusters), labels):  # takes a location of the largest cluster
        location = np.flatnonzero(labels == np.bincount(labels).argmax())[-1]
        labels[location], centers[empty] = empty, points[location]
    return labels, points, centers


def _checked(differences: ArrayLike) -> NDArray[np.float64]:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.shape[0] != d.shape[1] or not len(d):
        raise ValueError(f"differences: expected a square matrix, got shape {d.shape}")
    if not np.isfinite(d).all() or (d < 0).any():
        raise ValueError("differences: expected finite numbers of at least 0")
    if np.diag(d).any() or not np.allclose(d, d.T, rtol=1e-9, atol=1e-12):
        raise ValueError("differences: expected a symmetric matrix with a diagonal of zeros")
    return d
