"""Networks as the plain layers that the kernels play: play and pairs without Python between two decisions."""

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents import GreedyPolicy
from agents.networks import DuellingQ, QNetwork, SetQ
from aq_gym.episodes import Layers
from aq_gym.problem import Problem
from baselines.heuristics.index import Simulator


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
    if not isinstance(network, DuellingQ) or network.compress:
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


def compiled_error(policy: GreedyPolicy, problem: Problem, episodes: int, seed: int) -> NDArray[np.float64]:
    """(episodes,) average joint errors [µg/m³] of a network's policy on the episodes of seeds ``seed`` and on.

    The same episodes as `baselines.evaluate` plays, and as a rule faster.
    """
    return Simulator(problem, policy.observation).errors([pack(policy.network)], episodes, seed)[0]


_Linear = list[tuple[Tensor, Tensor]]


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
