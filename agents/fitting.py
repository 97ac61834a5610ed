"""Gradient steps: the one way in which every network of this package learns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Adam


def make_optimizer(network: nn.Module, learning_rate: float) -> Adam:
    """Return Adam on a network's parameters."""
    return Adam(network.parameters(), lr=learning_rate, fused=True)


def descend(optimizer: Adam, loss: Tensor, learning_rate: float, max_gradient_norm: float) -> None:
    """Take one step down a loss; a gradient longer than ``max_gradient_norm`` is shortened to it."""
    optimizer.param_groups[0]["lr"] = learning_rate
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], max_gradient_norm)
    optimizer.step()


@torch.no_grad()
def move_towards(weights: list[nn.Parameter], source: list[nn.Parameter], rate: float) -> None:
    """Polyak averaging: each weight goes the share ``rate`` of its way to the source's."""
    torch._foreach_lerp_(tuple(weights), tuple(source), rate)


@contextlib.contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let torch use ``n`` threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
