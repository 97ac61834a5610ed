"""Small ReLU networks inside compiled code: they play whole episodes, and are no part of the dynamics.

A network reads the compact observation; or, with an encoder, the ``per_device`` observation: every device's row is
encoded by the same layers, and the mean of the codes joins the compact numbers as the network's inputs.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym import dynamics
from aq_gym.compiling import compiled
from aq_gym.kernels.compact import N_COMPACT, observe_compact
from aq_gym.kernels.compiling import called
from aq_gym.kernels.per_device import N_DEVICE, observe_per_device

SIDE_BY_SIDE = 32  # episodes at a time, whose rows stay in the cache from one function to the next


class SmallNetwork(NamedTuple):
    """A network, and room for its layers."""

    widths: NDArray[np.int64]  # of the layers, inputs first, 1 last
    weights: NDArray[np.float32]  # layer after layer, (inputs, outputs) row by row and then the biases
    encoder_widths: NDArray[np.int64]  # the same of the encoder; empty without one
    encoder_weights: NDArray[np.float32]
    inputs: NDArray[np.float32]  # (largest widths[0],) scratch
    layers: NDArray[np.float32]  # (2, widest) scratch


@called
def forward(widths, weights, inputs, layers):
    """Play the inputs through the layers; which of the two rows of ``layers`` holds the outcome."""
    at = 0
    for i in range(widths[0]):
        layers[0, i] = inputs[i]
    for n in range(widths.shape[0] - 1):
        source, target = layers[n % 2], layers[(n + 1) % 2]
        n_in, n_out = widths[n], widths[n + 1]
        matrix = weights[at : at + n_in * n_out].reshape((n_in, n_out))
        for o in range(n_out):
            target[o] = weights[at + n_in * n_out + o]
        for i in range(n_in):
            value = source[i]
            if value != 0.0:
                for o in range(n_out):
                    target[o] += value * matrix[i, o]
        if n + 2 < widths.shape[0]:
            for o in range(n_out):
                target[o] = max(target[o], np.float32(0.0))
        at += (n_in + 1) * n_out
    return (widths.shape[0] - 1) % 2


@called
def score(network, observation, n_devices):
    """The network's advantage of sensing."""
    inputs, layers = network.inputs, network.layers
    if network.encoder_widths.shape[0] == 0:
        return layers[forward(network.widths, network.weights, observation, layers), 0]
    for i in range(network.widths[0]):
        inputs[i] = observation[i] if i < N_COMPACT else np.float32(0.0)
    share = np.float32(1.0 / n_devices)
    for m in range(n_devices):
        row = forward(network.encoder_widths, network.encoder_weights, observation[N_COMPACT + m * N_DEVICE :], layers)
        for i in range(network.encoder_widths[-1]):
            inputs[N_COMPACT + i] += share * max(layers[row, i], np.float32(0.0))
    return layers[forward(network.widths, network.weights, inputs, layers), 0]


@called
def observe(p, relation, prior, constants, episode, device, maps, rows, decrease, network, out):
    """What the network reads of the episodes in ``rows``."""
    for k in rows:
        if network.encoder_widths.shape[0] == 0:
            observe_compact(p, relation, prior, constants, episode, device, maps, k, decrease, out)
        else:
            observe_per_device(p, relation, prior, constants, episode, device, maps, k, decrease, out)


@called
def decide(p, relation, prior, episode, device, path, maps, rows, actions, executed):
    """Carry the actions of the episodes in ``rows`` out."""
    for k in rows:
        executed[k], _ = dynamics.decide(p, relation, prior, episode, device, path, maps, k, actions[k])


@called
def is_free(p, d):
    """Whether a device may choose."""
    return d.energy > 0 and not dynamics.must_sense(p, d)


@called
def running(p, episode, rows):
    """Those of the episodes in ``rows`` that are not over."""
    left, count = np.empty_like(rows), 0
    for k in rows:
        if episode[k].slot <= p.horizon:
            left[count] = k
            count += 1
    return left[:count]


@compiled
def play(
    numbers, relation, prior, constants, episode, device, path, maps,
    network, scores, observation,
):  # fmt: skip
    """Play every episode from where it stands to its end with a network's policy.

    scores (K, n) receives the advantage of sensing at the first n decisions, NaN where the action was forced.
    """
    p, n_episodes, decrease = numbers[0], episode.shape[0], np.empty((2, maps.shape[2]))
    actions, executed = np.zeros(n_episodes, np.int64), np.zeros(n_episodes, np.int64)
    for first in range(0, n_episodes, SIDE_BY_SIDE):
        rows, decision = running(p, episode, np.arange(first, min(first + SIDE_BY_SIDE, n_episodes))), 0
        while rows.shape[0] > 0:
            free = rows.copy()
            count = 0
            for k in rows:
                actions[k] = 0
                if is_free(p, device[k, episode[k].turn]):
                    free[count] = k
                    count += 1
                elif decision < scores.shape[1]:
                    scores[k, decision] = np.nan
            observe(p, relation, prior, constants, episode, device, maps, free[:count], decrease, network, observation)
            for k in free[:count]:
                advantage = score(network, observation[k], device.shape[1])
                actions[k] = 1 if advantage > 0.0 else 0
                if decision < scores.shape[1]:
                    scores[k, decision] = advantage
            decide(p, relation, prior, episode, device, path, maps, rows, actions, executed)
            rows = running(p, episode, rows)
            decision += 1
