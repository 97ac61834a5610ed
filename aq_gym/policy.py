"""The interface of all policies: heuristics, exact solutions and trained agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Policy(Protocol):
    """Chooses actions, for one episode or for a batch.

    Two optional attributes: ``observation`` names the observation it reads (``"full"``, the default, or
    ``"compact"``), and ``reset(seed)`` is called before an evaluation begins, by policies that draw random numbers.
    """

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> NDArray[np.int64] | int:
        """The action of the deciding device.

        Args:
            observation: (size,), or (K, size) for a batch.
            info: what `reset` or `step` returned with it: ``slot``, ``turn``, ``energy``, ``delay``, ``record``
                [µg/m³], ``level`` (of a hidden one what the server believes) [µg/m³] and ``action_mask``; a batch has a
                leading axis K.

        Returns:
            0 (off) or 1 (on); for a batch (K,) of them.
        """
        ...


def own(values: Any, turn: Any) -> NDArray[Any]:
    """The entry of the device whose turn it is: (..., M) and (...) -> (...)."""
    values, turn = np.asarray(values), np.asarray(turn)
    return np.take_along_axis(values, turn[..., None], axis=-1)[..., 0]
