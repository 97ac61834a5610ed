"""What an action may be, and the errors of those that are none."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def expected(n_actions: int) -> str:
    """The actions of a device, in words; more than two are timers."""
    return "0 (off) or 1 (on)" if n_actions == 2 else f"an integer from 0 to {n_actions - 1}, slots to sleep"


def checked_action(action: Any, n_actions: int = 2) -> int:
    """An action of ``Discrete(n_actions)``.

    Raises:
        ValueError: anything else, with what was given.
    """
    kind = getattr(getattr(action, "dtype", None), "kind", "")  # torch's data types have no kind
    if (
        (isinstance(action, int) and not isinstance(action, bool))
        or (kind in ("i", "u") and getattr(action, "shape", None) == ())
    ) and 0 <= action < n_actions:
        return int(action)
    raise ValueError(f"action: expected {expected(n_actions)}, got {type(action).__name__} {action!r}")


def checked_actions(actions: Any, shape: tuple[int, ...], n_actions: int = 2) -> NDArray[np.int64]:
    """A fresh integer array of that shape, each from 0 to below ``n_actions``; 0.0 and False are taken for 0.

    Raises:
        ValueError: another shape, type or value, with the place.
    """
    right = expected(n_actions)
    wanted = f"actions: expected {right}, of shape {shape}"
    try:
        array = np.asarray(actions)
    except ValueError as error:
        raise ValueError(f"{wanted}, got a ragged list") from error
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise ValueError(f"{wanted}, got {array.dtype} of shape {array.shape}")
    wrong = np.argwhere(~np.isin(array, np.arange(n_actions)))
    if len(wrong):
        where = tuple(wrong[0])
        raise ValueError(f"actions{list(map(int, where))}: expected {right}, got {array[where]}")
    return array.astype(np.int64, order="C")
