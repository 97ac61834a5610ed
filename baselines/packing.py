"""Networks as the plain layers that the kernels play; the same played in NumPy, and added to each other."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents import GreedyPolicy
from agents.networks import DuellingQ, QNetwork, SetQ
from aq_gym.episodes import Layers
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from aq_gym.problem import Problem
from baselines.heuristics.index import Index, Simulator
from baselines.heuristics.simple import Actions, check_devices, legal, sized
from baselines.playing import play_problem

_Linear = list[tuple[Tensor, Tensor]]
Matrices = list[tuple[NDArray[np.float32], NDArray[np.float32]]]  # (inputs, outputs) and (outputs,) of each layer


class CannotBeCompiledError(TypeError, ValueError):
    """A network of the wrong kind for compiled play: a type that does not fit, and a setting that the user chose."""


def available_cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_be_compiled(network: QNetwork) -> bool:
    """Whether `pack` takes a network."""
    return isinstance(network, DuellingQ) and not network.compress


def pack(network: QNetwork) -> Layers:
    """A duelling network's gap Q(on) - Q(off) as the plain layers that `Episodes.play` and `branch` take."""
    if not can_be_compiled(network):
        raise CannotBeCompiledError(
            "only a duelling network with input_scaling 'standard' or 'none' can be compiled, as improvements need, "
            f"got {type(network).__name__}{' with input_scaling robust' if network.compress else ''}"
        )
    center, scale = network.input_center.double(), network.input_scale.double()
    layers = _linear(network.trunk)
    with torch.no_grad():
        head, unit = network.advantage_head, network.output_scale.double()
        layers.append(((head.weight[1:] - head.weight[:1]) * unit, (head.bias[1:] - head.bias[:1]) * unit))
        if not isinstance(network, SetQ):
            return Layers(*_flat(_unscaled(layers, center, scale)))
        context, codes = network.context, layers[0][0].shape[1] - network.context
        encoder = _unscaled(_linear(network.encoder), center[context:], scale[context:])
        nothing, one = torch.zeros(codes, dtype=torch.double), torch.ones(codes, dtype=torch.double)
        entrance = torch.cat([center[:context], nothing]), torch.cat([scale[:context], one])
        return Layers(*_flat(_unscaled(layers, *entrance)), *_flat(encoder))


def set_gap(network: QNetwork, weights: NDArray[Any]) -> None:
    """Give a duelling network without hidden layers the gap of these (n_inputs + 1,) weights, the bias last."""
    half, head = torch.from_numpy(weights) / 2.0, network.advantage_head
    with torch.no_grad():
        head.weight.copy_(torch.stack([-half[:-1], half[:-1]]))
        head.bias.copy_(torch.stack([-half[-1], half[-1]]))


def layers_of(policy: Any) -> Layers | None:
    """What plays a policy compiled; None where nothing does."""
    if isinstance(policy, Index | LayeredPolicy):
        return policy.layers
    if isinstance(policy, GreedyPolicy) and policy.observation != "full" and can_be_compiled(policy.network):
        return pack(policy.network)
    return None


def errors_of(policy: Any, problem: Problem, episodes: int, seed: int) -> NDArray[np.float64]:
    """(episodes,) average joint errors [µg/m³] on the episodes of seeds ``seed`` and on, as `baselines.evaluate` plays.

    As a rule faster: what can be compiled is.
    """
    layers = layers_of(policy)
    if layers is None:
        return play_problem(policy, problem, episodes, seed).joint_error
    return Simulator(problem, policy.observation).errors([layers], episodes, seed)[0]


def _linear(layers: torch.nn.Sequential) -> _Linear:
    return [(x.weight.double(), x.bias.double()) for x in layers if isinstance(x, torch.nn.Linear)]


def _unscaled(layers: _Linear, center: Tensor, scale: Tensor) -> _Linear:
    """The same layers for inputs that were not scaled."""
    weight, bias = layers[0]
    return [(weight / scale, bias - (weight / scale) @ center), *layers[1:]]


def _flat(layers: _Linear) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    widths = [layers[0][0].shape[1], *(len(bias) for _, bias in layers)]
    weights = torch.cat([part for weight, bias in layers for part in (weight.T.reshape(-1), bias)])
    return np.array(widths, np.int64), weights.float().numpy()


class LayeredPolicy:
    """Senses where the output of plain layers is positive.

    Without an encoder they read the ``compact`` observation, with one ``per_device``.
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
