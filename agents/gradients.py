"""Cheap updates at small minibatches: parameters as one vector, and the usual networks' gradients written out.

At 32 rows the arithmetic of an update takes a few microseconds; what takes time is the number of calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from agents.networks import DuellingQ, LinearQ, PlainQ, QNetwork


class FlatParameters:
    """All parameters of a network as one vector, so that what is done to each of them alike is one call.

    The network's own parameters become views of it. Matrices come first and biases after them, each in the network's
    order, so that heads of the same features are one matrix.

    Args:
        network: it can be used, loaded and copied as before, as long as its parameters are changed in place. A copy's
            parameters are its own.

    Raises:
        TypeError: the parameters have several types.
    """

    def __init__(self, network: QNetwork) -> None:
        self.network = network
        self._parameters = list(network.parameters())
        types = {p.dtype for p in self._parameters}
        if len(types) != 1:
            raise TypeError(f"network: expected parameters of one type, got {sorted(map(str, types))}")
        self._place: dict[Tensor, int] = {}  # where each begins
        size = 0
        for parameter in sorted(self._parameters, key=lambda p: -p.dim()):
            self._place[parameter] = size
            size += parameter.numel()
        self.values = torch.empty(size, dtype=types.pop())  # (P,)
        self.gradients = torch.zeros_like(self.values)  # (P,)
        for parameter, view in zip(self._parameters, self.split(self.values), strict=True):
            view.copy_(parameter.detach())
            parameter.data = view

    def belongs_to(self, network: QNetwork) -> bool:
        """Whether that network's parameters still are views of the vector."""
        begin = self.values.data_ptr()
        return self.network is network and all(
            p.data_ptr() == begin + self._place[p] * p.element_size() for p in self._parameters
        )

    def split(self, vector: Tensor) -> list[Tensor]:
        """Return the views of a (P,) vector that belong to each of the network's parameters, in its order."""
        return [vector[self._place[p] :][: p.numel()].view(p.shape) for p in self._parameters]

    def stacked(self, vector: Tensor, layers: Iterable[nn.Linear]) -> tuple[Tensor, Tensor]:
        """Return the (rows, n) matrix and the (rows,) bias of layers that follow each other, as views of a vector."""
        layers = list(layers)
        rows, columns = sum(layer.out_features for layer in layers), layers[0].in_features
        matrix, bias = self._place[layers[0].weight], self._place[layers[0].bias]
        return vector[matrix:][: rows * columns].view(rows, columns), vector[bias:][:rows]

    def begin(self) -> None:
        """Zero the gradients; autograd adds to them."""
        self.gradients.zero_()
        for parameter, view in zip(self._parameters, self.split(self.gradients), strict=True):
            parameter.grad = view

    def clip(self, max_norm: float) -> None:
        """Shorten the gradient to that norm if it is longer."""
        share = max_norm / (float(torch.linalg.vector_norm(self.gradients)) + 1e-6)
        if share < 1.0:
            self.gradients.mul_(share)

    def move_towards(self, source: FlatParameters, rate: float) -> None:
        """Polyak averaging: each weight goes the share ``rate`` of its way to ``source``'s."""
        self.values.lerp_(source.values, rate)


class Adam:
    """Adam (Kingma and Ba 2015) on parameters that are one vector; it computes what `torch.optim.Adam` does.

    Args:
        flat: the parameters to move.
        learning_rate: at first.
    """

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, flat: FlatParameters, learning_rate: float) -> None:
        self.flat, self.learning_rate = flat, learning_rate
        self.steps = 0
        self.mean = torch.zeros_like(flat.values)  # (P,) running mean of the gradients
        self.square = torch.zeros_like(flat.values)  # (P,) of their squares

    def step(self) -> None:
        """Move the parameters by their gradients."""
        self.steps += 1
        (first, second), gradients = self.BETAS, self.flat.gradients
        self.mean.lerp_(gradients, 1.0 - first)
        self.square.mul_(second).addcmul_(gradients, gradients, value=1.0 - second)
        root = self.square.sqrt().div_(math.sqrt(1.0 - second**self.steps)).add_(self.EPSILON)
        self.flat.values.addcdiv_(self.mean, root, value=-self.learning_rate / (1.0 - first**self.steps))

    def state(self) -> dict[str, Tensor]:
        """Return the moments of each of the network's parameters, as "0.exp_avg": the names of `torch.optim.Adam`."""
        state: dict[str, Tensor] = {}
        moments = zip(self.flat.split(self.mean), self.flat.split(self.square), strict=True)
        for number, (mean, square) in enumerate(moments if self.steps else ()):
            state |= {f"{number}.exp_avg": mean, f"{number}.exp_avg_sq": square}
            state[f"{number}.step"] = torch.tensor(float(self.steps))
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self.steps = int(state["0.step"]) if state else 0
        for vector, name in ((self.mean, "exp_avg"), (self.square, "exp_avg_sq")):
            for number, part in enumerate(self.flat.split(vector)):
                part.copy_(state[f"{number}.{name}"]) if state else part.zero_()


class Perceptron:
    """The forward and backward pass of a linear, plain or duelling network, in as few calls as there are.

    In each of them an action's unscaled value is a linear combination of what the heads give, Q = sum_j c_j h_j. Plain
    networks have c = 1 at the action's own output. Duelling ones have c = 1 at the state's value, and at the advantage
    of action j, c_j = [j is the action] - [j is allowed] / number of allowed actions.

    H: outputs of the heads, A of a plain network and 1 + A of a duelling one.

    Args:
        flat: the parameters of a network that this class `knows`.
    """

    def __init__(self, flat: FlatParameters) -> None:
        network, self.flat = flat.network, flat
        self.network, self.duelling = network, isinstance(network, DuellingQ)
        self._center, self._scale = network.input_center, network.input_scale  # only ever changed in place
        linear = [layer for layer in _trunk(network) if isinstance(layer, nn.Linear)]
        stacks = [*([layer] for layer in linear), _heads(network)]
        self._layers = [flat.stacked(flat.values, stack) for stack in stacks]  # ((out, in), (out,)) each
        self._transposed = [matrix.t() for matrix, _ in self._layers]
        self._gradients = [flat.stacked(flat.gradients, stack) for stack in stacks]
        self._chosen = torch.eye(network.n_actions)  # (A, H)
        if self.duelling:
            self._chosen = torch.cat([torch.ones(network.n_actions, 1), self._chosen], 1)

    @staticmethod
    def knows(network: nn.Module) -> bool:
        """Whether it is one of `agents.networks` as they are, layers unchanged and none frozen."""
        if type(network) not in (LinearQ, PlainQ, DuellingQ):
            return False
        layers = _trunk(network)
        linear = [*layers[::2], *_heads(network)]
        return (
            all(type(layer) is nn.Linear and layer.bias is not None for layer in linear)
            and all(type(layer) is nn.ReLU for layer in layers[1::2])
            and len(layers) % 2 == 0
            and all(p.dtype == torch.float32 and p.requires_grad for p in network.parameters())
            and sum(p.numel() for p in network.parameters()) == sum(p.numel() for m in linear for p in m.parameters())
        )

    def reads_as(self, other: Perceptron) -> bool:
        """Whether another one scales its inputs alike."""
        return torch.equal(self._center, other._center) and torch.equal(self._scale, other._scale)

    def scaled(self, observations: Tensor) -> Tensor:
        """Return the (B, n_inputs) scaled inputs."""
        inputs = (observations - self._center).div_(self._scale)
        return inputs.abs().log1p_().copysign_(inputs) if self.network.compress else inputs

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Return what enters each layer, (B, in) each, and at last what the heads give, (B, H), of scaled inputs."""
        passed, last = [inputs], len(self._layers) - 1
        for number, ((_, bias), matrix) in enumerate(zip(self._layers, self._transposed, strict=True)):
            out = torch.addmm(bias, passed[-1], matrix)
            passed.append(out if number == last else out.relu_())
        return passed

    def preferences(self, outputs: Tensor) -> Tensor:
        """Return (B, A) numbers that order the actions as their values do, of the heads' (B, H) outputs."""
        return outputs[:, 1:] if self.duelling else outputs

    def coefficients(self, actions: Tensor, masks: Tensor) -> Tensor:
        """Return the (B, H) coefficients of the values of (B,) actions under (B, A) masks."""
        chosen = self._chosen.index_select(0, actions)
        if self.duelling:
            allowed = masks.float()
            chosen[:, 1:] -= allowed.div_(allowed.sum(1, keepdim=True).clamp_(min=1.0))
        return chosen

    def backward(self, passed: list[Tensor], slopes: Tensor) -> None:
        """Write the gradients of a loss into ``flat.gradients``.

        Args:
            passed: what `forward` returned; used up.
            slopes: (B, H) derivatives of the loss by the heads' outputs.
        """
        for number in reversed(range(len(self._layers))):
            matrix, bias = self._gradients[number]
            torch.mm(slopes.t(), passed[number], out=matrix)
            torch.sum(slopes, 0, out=bias)
            if number:
                slopes = torch.mm(slopes, self._layers[number][0]).mul_(passed[number].sign_())  # 1 above 0, else 0


def _trunk(network: nn.Module) -> list[nn.Module]:
    return list(getattr(network, "trunk", ()))


def _heads(network: nn.Module) -> list[nn.Linear]:
    heads = ("value_head", "advantage_head") if isinstance(network, DuellingQ) else ("head",)
    return [getattr(network, name) for name in heads]
