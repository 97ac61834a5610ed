"""Q-networks: from an observation to the value of every action, with fixed scaling of inputs and outputs inside."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.config import DQNConfig


class QNetwork(nn.Module):
    """What all Q-networks share: scaling of inputs and outputs in buffers, hence stored in every checkpoint.

    Inputs become z = (x - input_center) / input_scale, with ``compress`` then sign(z) log(1 + |z|); outputs become
    output_center + output_scale y. Both are estimated once, from the random start, and then stay fixed.
    Subclasses implement `scores`.
    """

    input_center: Tensor  # (n_inputs,)
    input_scale: Tensor  # (n_inputs,)
    output_center: Tensor  # ()
    output_scale: Tensor  # ()

    compress = False  # see above; set by `make_network`

    def __init__(self, n_inputs: int, n_actions: int) -> None:
        super().__init__()
        self.n_inputs, self.n_actions = n_inputs, n_actions
        self.register_buffer("input_center", torch.zeros(n_inputs))
        self.register_buffer("input_scale", torch.ones(n_inputs))
        self.register_buffer("output_center", torch.zeros(()))
        self.register_buffer("output_scale", torch.ones(()))

    def forward(self, observations: Tensor, masks: Tensor) -> Tensor:
        """Return (B, A) action values, those of forbidden actions without meaning.

        Args:
            observations: (B, n_inputs) float32.
            masks: (B, A) bool, True where the action is allowed.
        """
        center, scale = self.scaling_for(observations.shape[1])
        inputs = (observations - center) / scale
        if self.compress:
            inputs = inputs.sign() * inputs.abs().log1p()
        return self.output_center + self.output_scale * self.scores(inputs, masks)

    def scores(self, inputs: Tensor, masks: Tensor) -> Tensor:
        """Return (B, A) unscaled action values of scaled inputs."""
        raise NotImplementedError

    def reads(self, size: int) -> bool:
        """Whether observations of that size are understood."""
        return size == self.n_inputs

    def scaling_for(self, size: int) -> tuple[Tensor, Tensor]:
        """Return center and scale of the inputs of (B, size) observations."""
        return self.input_center, self.input_scale

    def set_input_scaling(self, observations: NDArray[np.float32]) -> None:
        """Estimate the input scaling from (n, n_inputs) observations; an input that never varies is only centred.

        With ``compress``: median and mean absolute deviation, which outliers hardly move; else mean and deviation.
        """
        center, scale = self._scaling(observations)
        self.input_center.copy_(torch.from_numpy(center))
        self.input_scale.copy_(torch.from_numpy(scale))

    def _scaling(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = np.asarray(observations, dtype=np.float64)
        if self.compress:
            center = np.median(rows, axis=0)
            scale = np.abs(rows - center).mean(axis=0)
        else:
            center, scale = rows.mean(axis=0), rows.std(axis=0)
        scale[scale < 1e-6 * np.maximum(np.abs(center), 1.0)] = 1.0
        return center, scale

    def set_output_scaling(self, returns: NDArray[np.float32]) -> None:
        """Estimate the output scaling, mean and standard deviation, from (n,) returns."""
        spread = float(np.std(returns, dtype=np.float64))
        self.output_center.fill_(float(np.mean(returns, dtype=np.float64)))
        self.output_scale.fill_(spread if spread > 1e-8 else 1.0)

    @torch.no_grad()
    def rescale_outputs(self, scale: float) -> None:
        """Express the same function with another output scale, so that a step of learning moves it by less or more."""
        ratio = float(self.output_scale) / scale
        for name, layer in self.named_modules():
            if name.endswith("head") and isinstance(layer, nn.Linear):
                layer.weight.mul_(ratio)
                layer.bias.mul_(ratio)
        self.output_scale.fill_(scale)


class PlainQ(QNetwork):
    """A multilayer perceptron with one output for each action; linear without hidden layers."""

    def __init__(self, n_inputs: int, n_actions: int, hidden: Sequence[int]) -> None:
        super().__init__(n_inputs, n_actions)
        self.trunk = _trunk(n_inputs, hidden)
        self.head = nn.Linear([n_inputs, *hidden][-1], n_actions)

    def scores(self, inputs: Tensor, masks: Tensor) -> Tensor:
        """Return (B, A) unscaled values of scaled inputs."""
        return self.head(self.trunk(inputs))  # type: ignore[no-any-return]


class StateActionQ(QNetwork):
    """The paper's form: one network of state and action, evaluated once for each action.

    What the action would do is part of the input: a segment of the observation for each action, zeroed (after the
    scaling of inputs, so best without) when another action is valued.

    Args:
        segments: (start, stop) of each action's own inputs.
    """

    own: Tensor  # (A, n_inputs) 1 where the input is read for that action

    def __init__(
        self, n_inputs: int, n_actions: int, hidden: Sequence[int], *, segments: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__(n_inputs, n_actions)
        if len(segments) != n_actions or not all(0 <= start < stop <= n_inputs for start, stop in segments):
            raise ValueError(
                f"action_segments: expected {n_actions} pairs of start and stop within {n_inputs} inputs, "
                f"got {list(segments)}"
            )
        own = torch.ones(n_actions, n_inputs)
        for action, (start, stop) in enumerate(segments):
            own[:, start:stop] = 0.0
            own[action, start:stop] = 1.0
        self.register_buffer("own", own)
        self.trunk = _trunk(n_inputs, hidden)
        self.head = nn.Linear([n_inputs, *hidden][-1], 1)

    def scores(self, inputs: Tensor, masks: Tensor) -> Tensor:
        """Return (B, A) unscaled values of scaled inputs."""
        return self.head(self.trunk(inputs[:, None] * self.own)).squeeze(2)  # type: ignore[no-any-return]


class DuellingQ(QNetwork):
    """One head for the state's value and one for the actions' advantages: Q = V + A - mean of A.

    The mean is over the *allowed* actions. A forbidden action is never played, so nothing ever corrects its advantage;
    in a plain mean it would leak into the values of its neighbours. Where one action alone is allowed, Q = V exactly.
    """

    def __init__(self, n_inputs: int, n_actions: int, hidden: Sequence[int]) -> None:
        super().__init__(n_inputs, n_actions)
        self._build(n_inputs, hidden)

    def _build(self, n_features: int, hidden: Sequence[int]) -> None:
        self.trunk = _trunk(n_features, hidden)
        width = [n_features, *hidden][-1]
        self.value_head = nn.Linear(width, 1)
        self.advantage_head = nn.Linear(width, self.n_actions)

    def scores(self, inputs: Tensor, masks: Tensor) -> Tensor:
        """Return (B, A) unscaled values of scaled inputs."""
        features = self.trunk(self.entrance(inputs))
        advantages = self.advantage_head(features)
        allowed = masks.to(advantages.dtype)
        mean = (advantages * allowed).sum(1, keepdim=True) / allowed.sum(1, keepdim=True).clamp(min=1)
        return self.value_head(features) + advantages - mean  # type: ignore[no-any-return]

    def entrance(self, inputs: Tensor) -> Tensor:
        """Return what enters the first layer, of (B, n_inputs) scaled inputs."""
        return inputs


class SetQ(DuellingQ):
    """A duelling network over a set of items, whose order and number do not matter (Zaheer et al. 2017, Deep Sets).

    An observation is a context and then items of one size each. All items pass through one encoder, and the mean of
    their codes joins the context. An item's first number is never scaled. One network reads any number of items.

    Args:
        context: numbers that belong to no item.
        item: numbers of an item.
        encoder: sizes of the encoder's layers; none: an item is its own code.
    """

    def __init__(
        self, n_inputs: int, n_actions: int, hidden: Sequence[int], *, context: int, item: int, encoder: Sequence[int]
    ) -> None:
        QNetwork.__init__(self, context + item, n_actions)
        self.context, self.item = context, item
        if not self.reads(n_inputs):
            raise ValueError(
                f"a set of items: expected {context} numbers and then a multiple of {item}, got {n_inputs} inputs"
            )
        self.n_inputs = n_inputs
        self.encoder = _trunk(item, encoder)
        self._build(context + [item, *encoder][-1], hidden)

    def reads(self, size: int) -> bool:
        """Whether observations of that size are understood."""
        return size > self.context and (size - self.context) % self.item == 0

    def scaling_for(self, size: int) -> tuple[Tensor, Tensor]:
        """See `QNetwork.scaling_for`: the items' own, once for each item."""
        center, scale = (
            torch.cat([x[: self.context], x[self.context :].repeat((size - self.context) // self.item)])
            for x in (self.input_center, self.input_scale)
        )
        return center, scale

    def entrance(self, inputs: Tensor) -> Tensor:
        """Return the context and the mean code of the items."""
        items = inputs[:, self.context :].reshape(len(inputs), -1, self.item)
        codes = self.encoder(items).sum(1) / items.shape[1]
        return torch.cat([inputs[:, : self.context], codes], 1)

    def _scaling(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = np.asarray(observations)
        items = rows[:, self.context :].reshape(-1, self.item)
        parts = super()._scaling(rows[:, : self.context]), super()._scaling(items)
        center, scale = (np.concatenate(pair) for pair in zip(*parts, strict=True))
        center[self.context], scale[self.context] = 0.0, 1.0
        return center, scale


def make_network(config: DQNConfig, n_inputs: int, n_actions: int, generator: torch.Generator) -> QNetwork:
    """Build and initialise the network that a configuration asks for."""
    network: QNetwork
    sizes = n_inputs, n_actions, config.hidden
    if config.network == "linear":
        network = PlainQ(n_inputs, n_actions, ())
    elif config.network == "set":
        network = SetQ(*sizes, context=config.set_context, item=config.set_item, encoder=config.set_encoder)
    elif config.network == "state_action":
        ends = config.action_segments
        network = StateActionQ(*sizes, segments=list(zip(ends[::2], ends[1::2], strict=True)))
    else:
        network = DuellingQ(*sizes) if config.duelling else PlainQ(*sizes)
    network.compress = config.input_scaling == "robust"
    initialise(network, generator)
    return network


def initialise(network: QNetwork, generator: torch.Generator) -> None:
    """He's uniform initialisation inside, zeros in the heads: before learning, all actions have the mean value."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            if name.endswith("head"):
                nn.init.zeros_(layer.weight)
            else:
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)


def greedy_actions(values: Tensor, masks: Tensor) -> Tensor:
    """Return the (B,) allowed actions of highest value, of (B, A) values and masks; ties go to the lower action."""
    return values.masked_fill(~masks, -math.inf).argmax(1)


def _trunk(n_inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip([n_inputs, *hidden], hidden, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)
