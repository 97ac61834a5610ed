"""States: checks of those that a user asks about, their numbers, and what an environment says of them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.network_checks import is_number
from aq_gym.problem import Problem

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Info = Mapping[str, Any]

MAX_BYTES = 2 << 30  # what a solution or an exact evaluation may take unless asked for more
MOST_DIGITS = 15  # of a count in a message; a larger one is rounded
_LEVEL_TOLERANCE = 1e-6  # relative: a level that was stored as float32 still matches


def written(count: int) -> str:
    """A count for a message: 1,234, or 1.2e+34 where nobody would read the digits."""
    return f"{count:,}" if count < 10**MOST_DIGITS else f"{Decimal(count):.1e}"


def check_max_bytes(max_bytes: Any) -> None:
    """Refuse what is no amount of memory."""
    if not is_number(max_bytes) or not max_bytes > 0:
        raise ValueError(f"max_bytes: expected a positive number of bytes, got {max_bytes!r}")


def kept(probability: FloatArray, negligible: float) -> tuple[IntArray, FloatArray]:
    """Numbers of the states that are likelier than that, and their probabilities, scaled up to the same sum."""
    rows = np.flatnonzero(probability > negligible)
    if not rows.size:
        most = float(probability.max(initial=0.0))
        raise ValueError(f"negligible: {negligible:g} drops all states, the likeliest has probability {most:.3g}")
    return rows, probability[rows] * (probability.sum() / probability[rows].sum())


def level_index(levels: FloatArray, values: ArrayLike, name: str) -> IntArray:
    """Indices of `values` [µg/m³] among the network's levels, any shape; others are refused."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected levels in µg/m³, got {array.dtype} {values!r}")
    index = nearest_level(levels, array)
    off = ~(np.abs(levels[index] - array) <= _LEVEL_TOLERANCE * levels[index])
    if off.any():
        value, nearest = array[off].flat[0], levels[index][off].flat[0]
        raise ValueError(
            f"{name}: {value} µg/m³ is not one of the network's {levels.size} levels "
            f"({levels[0]:g} to {levels[-1]:g}); the nearest is {float(nearest)!r}"
        )
    return index


def whole(name: str, values: ArrayLike, low: int, high: int) -> IntArray:
    """`values` as integers, any shape; others than low..high are refused."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or (array.dtype.kind == "f" and (array != np.floor(array)).any()):
        raise ValueError(f"{name}: expected integers in {low}..{high}, got {values!r}")
    outside = (array < low) | (array > high)
    if outside.any():
        raise ValueError(f"{name}: {array[outside].flat[0]} is outside {low}..{high}")
    return array.astype(np.int64)


def read_info(info: Info, *names: str) -> list[NDArray[Any]]:
    """Arrays of those names."""
    missing = [name for name in names if name not in info]
    if missing:
        raise ValueError(
            f"info: {', '.join(missing)} missing; expected the info of an aq_gym environment's reset or step"
        )
    return [np.asarray(info[name]) for name in names]


def digits(index: IntArray, base: int, count: int) -> IntArray:
    """(n,) -> (n, count): `index` written in `base`, the most significant digit first."""
    powers = base ** np.arange(count - 1, -1, -1, dtype=np.int64)
    return np.asarray(index[:, None] // powers % base)


def number_of(digits: IntArray, base: int) -> IntArray:
    """(n, count) -> (n,): the inverse of `digits`."""
    return np.asarray(digits @ base ** np.arange(digits.shape[1] - 1, -1, -1, dtype=np.int64))


def nearest_level(levels: FloatArray, values: ArrayLike) -> IntArray:
    """Indices of the levels that lie nearest to `values` [µg/m³], any shape."""
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values)


def info_of(
    slot: int, turn: int, energy: IntArray, delay: IntArray, record: FloatArray, level: FloatArray, max_sleep: int
) -> dict[str, NDArray[Any]]:
    """What the vector environment would say of n states (n, M) in a slot when one device decides."""
    may_sense = energy[:, turn] > 0
    may_sleep = ~may_sense | (delay[:, turn] < max_sleep)
    return {
        "slot": np.full(len(level), slot),
        "turn": np.full(len(level), turn),
        "energy": energy,
        "delay": delay,
        "record": record,
        "level": level,
        "action_mask": np.stack([may_sleep, may_sense], axis=1).astype(np.int8),
    }


def has_plain_energies(problem: Problem) -> bool:
    """Whether all devices begin with the same energy and none gains any."""
    return problem.energy_budgets is None and problem.harvest[0] == 0.0


def check_plain(problem: Problem) -> None:
    """Refuse unequal or harvested energies where the level is known: only the solver of hidden levels takes them."""
    if not has_plain_energies(problem):
        raise ValueError(
            f"energy_budgets and harvest are solved with inference='hidden' alone, got inference={problem.inference!r}"
        )
