"""The greedy policy of a Q-network."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from agents.networks import QNetwork, greedy_actions

QValues = Callable[[QNetwork, Tensor, Tensor], Tensor]


class GreedyPolicy:
    """Plays the allowed action of highest value, for one episode or a batch alike.

    Args:
        network: the Q-network; used as it is, not copied.
        q_values: from (network, observations, masks) to action values; a static function, so that policies pickle.
        observation: which of the environment's observations the policy reads, for evaluators that offer several.
        card: how the policy came about, where it was loaded from a file.
    """

    needs_observation = True
    training_seconds = math.nan  # that it took to learn; set by whoever knows

    def __init__(
        self, network: QNetwork, q_values: QValues, *, observation: str = "full", card: dict[str, Any] | None = None
    ) -> None:
        self.network, self.q_values = network, q_values
        self.observation, self.card = observation, card or {}

    def act(self, observation: ArrayLike, info: Mapping[str, Any]) -> int | NDArray[np.int64]:
        """Return the action of an (n_inputs,) observation, or the (K,) actions of (K, n_inputs) observations.

        Args:
            info: from the environment; only actions that its ``action_mask`` ((A,) or (K, A), absent: all) allows.

        Raises:
            ValueError: the observation has another size than the network's inputs.
        """
        values, masks = self._evaluate(observation, info)
        actions = greedy_actions(values, masks).numpy()
        return int(actions[0]) if np.ndim(observation) == 1 else actions

    def action_values(self, observation: ArrayLike, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Return the action values, (A,) or (K, A), with -inf where forbidden; arguments as for `act`."""
        values, masks = self._evaluate(observation, info)
        allowed = np.asarray(values.masked_fill(~masks, -np.inf).numpy(), dtype=np.float32)
        return allowed[0] if np.ndim(observation) == 1 else allowed

    @torch.inference_mode()
    def _evaluate(self, observation: ArrayLike, info: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        rows = np.atleast_2d(np.asarray(observation, dtype=np.float32))
        if rows.ndim != 2 or not self.network.reads(rows.shape[1]):
            raise ValueError(
                f"observation of shape {np.shape(observation)}: the network reads {self.network.n_inputs}; the "
                f"policy is marked as one of observation={self.observation!r}"
            )
        shape = (len(rows), self.network.n_actions)
        masks = np.array(info.get("action_mask", np.ones(shape)), dtype=np.bool_).reshape(shape)
        masks[~masks.any(axis=1)] = True  # absent in a vector info, where the rest of the batch has one
        allowed = torch.from_numpy(masks)
        return self.q_values(self.network, torch.from_numpy(rows), allowed), allowed
