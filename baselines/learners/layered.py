"""Small networks as plain layers: played in NumPy, and added to each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.episodes import Layers
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from aq_gym.problem import Problem
from baselines.heuristics.simple import Actions, check_devices, legal, sized

Matrices = list[tuple[NDArray[np.float32], NDArray[np.float32]]]  # (inputs, outputs) and (outputs,) of each layer


class LayeredPolicy:
    """Senses where the output of plain layers is positive.

    Args:
        problem: what it plays.
        layers: without an encoder they read the ``compact`` observation, with one ``per_device``.
        training_seconds: that finding them took.
    """

    def __init__(self, problem: Problem, layers: Layers, *, training_seconds: float = 0.0) -> None:
        self.problem, self.layers, self.training_seconds = problem, layers, training_seconds
        self.observation = observation_of_layers(layers)
        rows = problem.n_devices if len(layers.encoder_widths) else 0
        self._size = len(COMPACT_FEATURES) + rows * len(DEVICE_FEATURES)

    def score(self, observation: NDArray[np.float32]) -> NDArray[np.float64]:
        """The output of (..., size) observations, in no unit."""
        return outputs(self.layers, sized(observation, self.observation, self._size))

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> Actions:
        """The actions, as in `aq_gym.policy.Policy`."""
        check_devices(self.problem, info)
        return legal(self.score(observation) > 0.0, info)


def observation_of_layers(layers: Layers) -> str:
    """Which observation compiled layers read."""
    return "per_device" if len(layers.encoder_widths) else "compact"


def matrices(widths: NDArray[np.int64], weights: NDArray[np.float32]) -> Matrices:
    """The weights and biases of each layer."""
    found, at = [], 0
    for n_in, n_out in zip(widths[:-1].tolist(), widths[1:].tolist(), strict=True):
        end = at + n_in * n_out
        found.append((weights[at:end].reshape(n_in, n_out), weights[end : end + n_out]))
        at = end + n_out
    return found


def trunk_inputs(layers: Layers, observation: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., inputs) what enters the first layer: the compact numbers and the mean code of the devices."""
    compact, rows = np.split(observation, [len(COMPACT_FEATURES)], axis=-1)
    if not len(layers.encoder_widths):
        return observation
    codes = rows.reshape(*rows.shape[:-1], -1, len(DEVICE_FEATURES))
    for weight, bias in matrices(layers.encoder_widths, layers.encoder_weights):
        codes = np.maximum(codes @ weight + bias, 0.0)
    return np.concatenate([compact, codes.mean(axis=-2)], axis=-1)


def outputs(layers: Layers, observation: NDArray[np.float32]) -> NDArray[np.float64]:
    """(...) the output of (..., size) observations."""
    *hidden, (weight, bias) = matrices(layers.widths, layers.weights)
    x = trunk_inputs(layers, observation)
    for inner_weight, inner_bias in hidden:
        x = np.maximum(x @ inner_weight + inner_bias, 0.0)
    return np.asarray((x @ weight + bias)[..., 0], np.float64)


def added(base: Layers, unit: float, other: Matrices, share: float) -> Layers:
    """`unit` times the output of `base` plus `share` times that of other layers, which read `base`'s trunk inputs."""
    one, two = matrices(base.widths, base.weights), other
    depth = max(len(one), len(two), 2)
    one, two = _deepened(one, depth), _deepened(two, depth)
    joined = [(np.hstack([one[0][0], two[0][0]]), np.concatenate([one[0][1], two[0][1]]))]
    for (a, u), (b, v) in zip(one[1:-1], two[1:-1], strict=True):
        block = np.zeros((len(a) + len(b), len(u) + len(v)), np.float32)
        block[: len(a), : len(u)], block[len(a) :, len(u) :] = a, b
        joined.append((block, np.concatenate([u, v])))
    (a, u), (b, v) = one[-1], two[-1]
    joined.append((np.vstack([unit * a, share * b]), unit * u + share * v))
    widths = np.array([len(joined[0][0]), *(len(bias) for _, bias in joined)], np.int64)
    weights = np.concatenate([part.ravel() for layer in joined for part in layer]).astype(np.float32)
    return Layers(widths, weights, base.encoder_widths, base.encoder_weights)


def _deepened(layers: Matrices, depth: int) -> Matrices:
    """The same function by more layers: a number is its positive part less its negative part."""
    while len(layers) < depth:
        weight, bias = layers[-1]
        pair = np.hstack([weight, -weight]), np.concatenate([bias, -bias])
        layers = [*layers[:-1], pair, (np.array([[1.0], [-1.0]], np.float32), np.zeros(1, np.float32))]
    return layers
