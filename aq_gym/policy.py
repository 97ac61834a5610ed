"""The interface of all policies: heuristics, exact solutions and trained agents."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Policy(Protocol):
    """Chooses actions, for one episode or for a batch.

    What else a policy may have:

    - ``reset(seed)``: called before an evaluation begins, for policies that draw random numbers;
    - ``observation``: which one it reads, ``"full"`` (the default), ``"compact"`` or ``"per_device"``;
    - ``needs_observation``: False if it reads the info alone, so that observations need not be computed;
    - ``view``: ``"sequential"`` (the default), or ``"joint"`` if it decides for all devices at once;
    - ``problem``, or ``card`` (a mapping, of what it was trained on): what it was made for, so that an evaluation of
      another problem warns;
    - ``training_seconds``: how long its training took.
    """

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> NDArray[np.int64] | int:
        """The action of the deciding device.

        Args:
            observation: (size,), or (K, size) for a batch.
            info: what `reset` or `step` returned with it: ``slot``, ``turn``, ``energy``, ``delay``, ``record``
                [µg/m³], ``level`` (of a hidden one what the server believes) [µg/m³] and ``action_mask``; a batch has a
                leading axis K.

        Returns:
            0 (off) or 1 (on); for a batch (K,) of them. With ``view = "joint"`` those of all devices, (M,) or (K, M).
            With ``decide="timer"`` how many slots to sleep.
        """
        ...


def observation_of(policy: Policy) -> str:
    """The kind of observation that a policy reads."""
    return getattr(policy, "observation", None) or "full"


def own(values: Any, turn: Any) -> NDArray[Any]:
    """The entry of the device whose turn it is: (..., M) and (...) -> (...)."""
    values, turn = np.asarray(values), np.asarray(turn)
    return np.take_along_axis(values, turn[..., None], axis=-1)[..., 0]
