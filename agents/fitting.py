"""Gradient steps: the one way in which every network of this package learns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import get_ema_multi_avg_fn


def make_optimizer(network: nn.Module, learning_rate: float) -> Adam:
    """Return Adam on a network's parameters."""
    return Adam(network.parameters(), lr=learning_rate, fused=True)


def descend(network: nn.Module, optimizer: Adam, loss: Tensor, learning_rate: float, max_gradient_norm: float) -> None:
    """Take one step down a loss; a gradient longer than ``max_gradient_norm`` is shortened to it."""
    optimizer.param_groups[0]["lr"] = learning_rate
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), max_gradient_norm)
    optimizer.step()


def move_towards(network: nn.Module, source: nn.Module, rate: float) -> None:
    """Polyak averaging: each weight goes the share ``rate`` of its way to the source's."""
    move = get_ema_multi_avg_fn(1.0 - rate)  # type: ignore[no-untyped-call]
    move(list(network.parameters()), list(source.parameters()), 0)


@contextlib.contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let torch use ``n`` threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
