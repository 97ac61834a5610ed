"""Gradient steps: the one way in which every network of this package learns."""

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam

from agents.exploration import cosine

LEARNING_RATE, LEARNING_RATE_END = 1e-3, 1e-5  # of regressions, along half a cosine
MAX_GRADIENT_NORM = 10.0


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


def minimise(
    network: nn.Module,
    loss: Callable[[int, Tensor], Tensor],
    rows: NDArray[np.int64],
    rng: np.random.Generator,
    updates: int,
    batch_size: int,
) -> float:
    """Fit a network to random minibatches of rows; return the mean loss of the last tenth of the updates.

    ``loss`` takes the update's number and its (batch_size,) rows.
    """
    optimizer = make_optimizer(network, LEARNING_RATE)
    errors: list[float] = []
    for step in range(updates):
        batch = torch.from_numpy(rows[rng.integers(len(rows), size=batch_size)])
        error = loss(step, batch)
        descend(optimizer, error, cosine(LEARNING_RATE, LEARNING_RATE_END, step / updates), MAX_GRADIENT_NORM)
        errors.append(error.item())
    return float(np.mean(errors[-max(1, updates // 10) :])) if errors else math.nan


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
