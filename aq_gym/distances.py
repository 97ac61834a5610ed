"""Distances between the locations' behaviour, and points that are as far apart."""

import numpy as np
from numpy.typing import NDArray

from aq_gym.parameters import NetworkParameters


def squared_differences(network: NetworkParameters) -> NDArray[np.float64]:
    """(N, N) D_ij² = a_ij² + b_ij (40)(41) [1].

    Symmetric for fitted networks, whose a is antisymmetric and whose b is symmetric; otherwise the mean of both ways.
    """
    squared = np.square(network.mean_relation) + network.variance_relation
    return np.asarray((squared + squared.T) / 2.0)


def scalar_products(squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, N) scalar products of centred points from their squared distances; of a variogram b, the covariance."""
    centred = squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
    return np.asarray(-centred / 2.0)
