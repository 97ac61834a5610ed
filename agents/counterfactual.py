"""Learning action gaps from pairs of continuations that differ in one decision alone."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from agents.fitting import minimise
from agents.networks import QNetwork

CHUNK = 4_096  # rows in a forward pass over all pairs
VALIDATION_SHARE = 0.05  # of the pairs, held out to report on
REFRESH = 25  # updates after which the network that values the second cut is renewed


@dataclass(frozen=True)
class AdvantageFit:
    """How well the fitted gaps describe pairs; mean squared errors in the pairs' own units (over their scales)."""

    validation_error: float  # on pairs held out; NaN without any
    validation_spread: float  # the error there of the constant that fits best: what there is to explain, with the noise


def fit_advantages(
    network: QNetwork,
    observations: ArrayLike,
    deltas: ArrayLike,
    *,
    scales: ArrayLike | None = None,
    updates: int = 3_000,
    batch_size: int = 2_048,
    seed: int = 0,
) -> AdvantageFit:
    """Regress the network's gap Q(s, 1) - Q(s, 0) on sampled differences, in place.

    The gap is all that a greedy policy over two actions looks at; the values drift as the shared trunk moves. Squared
    error, since it is the mean of the differences that counts. The input scaling is used as it is.

    Args:
        network: of two actions.
        observations: (n, n_inputs), of decisions at which both actions were allowed.
        deltas: (n,) return after action 1 minus return after action 0, all else equal.
        scales: (n,) relative size of each one's noise (weighted least squares); None: all alike.
        updates: minibatches; 0 only measures.
        seed: of the split and the minibatches.

    Raises:
        ValueError: wrong shapes, numbers that aren't finite, too few pairs, or a network of other than two actions.
    """
    if network.n_actions != 2:
        raise ValueError(f"a gap needs two actions, the network has {network.n_actions}")
    rows, given = np.asarray(observations, np.float32), np.asarray(deltas, np.float32)
    noise = np.ones_like(given) if scales is None else np.asarray(scales, np.float32)
    check_pairs(network, rows, given, noise)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    n_held = int(VALIDATION_SHARE * len(rows))
    held, used = order[:n_held], order[n_held:]
    if len(used) < 2:
        raise ValueError(f"{len(used)} pairs to fit: too few")

    x, y = torch.from_numpy(rows), torch.from_numpy(given)
    unit = float((given[used] / noise[used]).std()) or 1.0
    weight = torch.from_numpy(1.0 / (noise * unit))

    def loss(step: int, batch: Tensor) -> Tensor:
        return ((gap(network, x[batch]) - y[batch]) * weight[batch]).square().mean()

    minimise(network, loss, used, rng, updates, batch_size)
    if not n_held:
        return AdvantageFit(math.nan, math.nan)
    misfit = gaps(network, x[held]) - given[held]
    spread = given[held] - np.average(given[held], weights=noise[held] ** -2.0)
    return AdvantageFit(*(float(np.square(part / noise[held]).mean()) for part in (misfit, spread)))


def check_pairs(
    network: QNetwork, observations: NDArray[np.float32], deltas: NDArray[np.float32], scales: NDArray[np.float32]
) -> None:
    """Refuse by a ValueError what is no (n, n_inputs) observations with (n,) differences and (n,) scales of noise."""
    rows, n = observations, observations.shape[:1]
    if rows.ndim != 2 or not network.reads(rows.shape[1]) or deltas.shape != n:
        raise ValueError(
            f"observations {rows.shape} and deltas {deltas.shape}: expected (n, {network.n_inputs}) and (n,)"
        )
    if not (np.isfinite(rows).all() and np.isfinite(deltas).all()):
        raise ValueError("observations and deltas must be finite")
    if scales.shape != n or not (np.isfinite(scales) & (scales > 0)).all():
        raise ValueError(f"scales {scales.shape}: expected {n} positive numbers")


def fit_values(
    network: QNetwork,
    deltas: NDArray[np.float32],
    tails: NDArray[np.float32],
    cut: NDArray[np.bool_],
    *,
    scales: NDArray[np.float32],
    updates: int,
    batch_size: int,
    seed: int,
) -> float:
    """Learn what is left of a difference where a pair is cut off, by temporal differences, in place.

    Two plays under the same randomness are compared at a first cut and at a second one. Their difference from the first
    cut on is that of the stretch between the cuts, plus the network's own estimate at the second one. A difference of
    values, V(after 1) - V(after 0), has far less noise than the values: what both plays share is gone.

    Args:
        network: of one action, a value.
        deltas: (n, 2) return after action 1 minus return after action 0, in the return's unit: up to the first cut,
            and between the two.
        tails: (n, 2, 2, n_inputs) observations at each cut after action 0 and after action 1.
        cut: (n, 2) whether the cut was reached.
        scales: (n,) relative size of each one's noise.
        updates: minibatches; 0 changes nothing.

    Returns:
        The root of the mean squared error over the last tenth of the updates, over the scales; NaN without any.
    """
    if tails.shape[:-1] != (len(deltas), 2, 2) or not network.reads(tails.shape[-1]):
        raise ValueError(f"tails {tails.shape}: expected ({len(deltas)}, 2, 2, {network.n_inputs})")
    if not (np.isfinite(deltas).all() and np.isfinite(tails[cut]).all()):
        raise ValueError("deltas, and tails where a cut was reached, must be finite")
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise ValueError("scales must be positive numbers")
    used = np.flatnonzero(cut[:, 0])
    if not len(used):
        return math.nan
    x, y, more = torch.from_numpy(tails), torch.from_numpy(deltas[:, 1]), torch.from_numpy(cut[:, 1])
    unit = float((deltas[used, 1] / scales[used]).std()) or 1.0
    weight = torch.from_numpy(1.0 / (scales * unit))
    steady = copy.deepcopy(network)

    def loss(step: int, batch: Tensor) -> Tensor:
        if step % REFRESH == 0:
            steady.load_state_dict(network.state_dict())
        rest = torch.where(more[batch], value_difference(steady, x[batch, 1]), 0.0)
        return ((_difference(network, x[batch, 0]) - y[batch] - rest) * weight[batch]).square().mean()

    error = minimise(network, loss, used, np.random.default_rng(seed), updates, batch_size)
    return math.sqrt(error) * unit


def _difference(network: QNetwork, ends: Tensor) -> Tensor:
    """(n,) value after action 1 minus value after action 0, of (n, 2, n_inputs) observations."""
    values: Tensor = network(ends.flatten(0, 1), torch.ones(2 * len(ends), 1, dtype=torch.bool)).reshape(-1, 2)
    return values[:, 1] - values[:, 0]


@torch.no_grad()
def value_difference(network: QNetwork, ends: Tensor) -> Tensor:
    """Return the (n,) value after action 1 minus the value after action 0, of (n, 2, n_inputs) observations."""
    return torch.cat([_difference(network, part) for part in torch.split(ends, CHUNK)])


def gap(network: QNetwork, observations: Tensor) -> Tensor:
    """Return the (n,) gaps Q(s, 1) - Q(s, 0) of (n, n_inputs) observations, to learn from."""
    values: Tensor = network(observations, torch.ones((len(observations), 2), dtype=torch.bool))
    return values[:, 1] - values[:, 0]


@torch.no_grad()
def gaps(network: QNetwork, observations: Tensor) -> NDArray[np.float32]:
    """Return the same as `gap`, as an array."""
    return torch.cat([gap(network, part) for part in torch.split(observations, CHUNK)]).numpy()
