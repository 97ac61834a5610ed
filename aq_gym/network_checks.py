"""What a network, and single numbers, must fulfil; a refusal is a ValueError with the name and what is right."""

import math
import operator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAYS = {"mean_relation": 2, "variance_relation": 2, "levels": 1, "transition": 2, "start": 1} | {
    "coordinates": 2,
    "level_model": 1,
    "level_belief": 1,
}  # field -> number of dimensions
PROBABILITY_TOLERANCE = 1e-9

# Ranges in which sums of precisions neither overflow nor cancel, orders of magnitude wider than any unit of air
# quality needs. Each is inclusive.
LEVELS = (1e-9, 1e9)  # [µg/m³]
LARGEST_LEVEL_RATIO = 1e5  # highest level / lowest level
MEASUREMENT_VARIANCE = (1e-12, 1e4)  # [1]
LARGEST_MEAN_RELATION = 1e4  # [1]
LARGEST_VARIANCE_RELATION = 1e6  # [1]
LARGEST_VARIANCE_RATIO = 1e12  # the variance that a slot or another location adds / that of a fresh reading
SLOT_MINUTES = (1e-3, 1e6)
FURTHEST = 1e8  # of coordinates from their origin [m]


def is_number(value: object) -> bool:
    """Whether a value is a real number, not a truth value."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def as_number(field: str, value: Any) -> float:
    """One finite real number."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or array.ndim or np.ma.is_masked(value):
            raise TypeError
        number = float(array)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{field} must be one real number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{field} must be finite, got {number}")
    return number


def as_integer(field: str, value: Any) -> int:
    """An integer of any size; bool is none."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{field} must be an integer, got {value!r}") from None


def as_count(field: str, value: Any, minimum: int, maximum: float = math.inf) -> int:
    """An integer from `minimum` to `maximum`; bool is none."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ValueError(f"{field}: expected an integer of at least {minimum}, got {value!r}")
    if int(value) > maximum:
        raise ValueError(f"{field}: expected an integer of at most {maximum:,}, got {value!r}")
    return int(value)


def as_array(field: str, value: Any) -> NDArray[np.float64]:
    """A read-only float64 copy of finite numbers with the field's number of dimensions."""
    ndim = ARRAYS[field]
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        raise ValueError(f"{field} must be an array of real numbers with {ndim} dimension(s), got {value!r}") from None
    if array.ndim != ndim:
        raise ValueError(f"{field} must have {ndim} dimension(s), got shape {array.shape}")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite, and is refused
        array = np.array(array, dtype=np.float64, order="C")
    _refuse(field, array, ~np.isfinite(array), "every entry must be finite")
    if np.ma.is_masked(value):
        _refuse(field, array, np.ma.getmaskarray(value), "it is masked, every entry must be a number")
    array.flags.writeable = False
    return array


def _refuse(field: str, array: NDArray[np.float64], wrong: NDArray[np.bool_], why: str) -> None:
    """Raise a ValueError about the first wrong entry, if there is one."""
    if wrong.any():
        where = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise ValueError(f"{field}{list(where)} is {array[where]}: {why}")


def _check_range(field: str, value: float, low: float, high: float, what: str) -> None:
    if not low <= value <= high:
        raise ValueError(f"{field} is {value}: {what} must be from {low:g} to {high:g}")


def check_scalars(name: Any, slot_minutes: float, measurement: float, temporal: float) -> None:
    """A name that can be printed in one line, a length of slots, delta² > 0 and sigma² >= 0."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f"name must be a non-empty string of printable characters, got {name!r}")
    _check_range("slot_minutes", slot_minutes, *SLOT_MINUTES, "the minutes of a slot")
    if measurement <= 0.0:
        raise ValueError(f"measurement_variance must be positive, got {measurement}")
    _check_range("measurement_variance", measurement, *MEASUREMENT_VARIANCE, "a share of the level, squared,")
    if temporal < 0.0:
        raise ValueError(f"temporal_variance must not be negative, got {temporal}")


def check_relations(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Square (N, N) matrices of one size with zero diagonals, b without negative entries, both in range."""
    for field, matrix, largest in (
        ("mean_relation", a, LARGEST_MEAN_RELATION),
        ("variance_relation", b, LARGEST_VARIANCE_RELATION),
    ):
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"{field} must be square, (n_locations, n_locations), got shape {matrix.shape}")
        for i in np.flatnonzero(np.diagonal(matrix)):
            raise ValueError(f"{field}[{i}, {i}] is {matrix[i, i]}: the diagonal must be zero")
        _refuse(field, matrix, np.abs(matrix) > largest, f"at most {largest:g} is plausible, as a share of the level")
    if a.shape[0] < 2:
        raise ValueError(f"mean_relation has {a.shape[0]} location(s): a network needs at least 2")
    if a.shape != b.shape:
        raise ValueError(f"variance_relation has shape {b.shape}, mean_relation {a.shape}: they must be the same")
    _refuse("variance_relation", b, b < 0.0, "a variance must not be negative")


def check_chain(levels: NDArray[np.float64], transition: NDArray[np.float64], start: NDArray[np.float64]) -> None:
    """E increasing levels in range, an (E, E) matrix of transition probabilities, a start distribution."""
    n = levels.shape[0]
    if n < 1:
        raise ValueError("levels is empty: a network needs at least one level")
    _refuse("levels", levels, levels <= 0.0, "levels must be positive [µg/m³]")
    if (levels[1:] <= levels[:-1]).any():
        k = int(np.argmax(levels[1:] <= levels[:-1]))
        raise ValueError(f"levels[{k + 1}] is {levels[k + 1]} after {levels[k]}: levels must strictly increase")
    low, high = LEVELS
    _refuse("levels", levels, (levels < low) | (levels > high), f"levels must be from {low:g} to {high:g} µg/m³")
    if levels[-1] > LARGEST_LEVEL_RATIO * levels[0]:
        raise ValueError(
            f"levels go from {levels[0]} to {levels[-1]}: the highest must be at most {LARGEST_LEVEL_RATIO:g} times "
            "the lowest"
        )
    if transition.shape[0] != transition.shape[1]:
        raise ValueError(f"transition must be square, (n_levels, n_levels), got shape {transition.shape}")
    for field, array, shape in (("transition", transition, (n, n)), ("start", start, (n,))):
        if array.shape != shape:
            raise ValueError(f"{field} has shape {array.shape}: with {n} levels it must be {shape}")
        _refuse(field, array, array < 0.0, "a probability must not be negative")
        with np.errstate(over="ignore"):
            sums = np.atleast_1d(array.sum(axis=-1))
        uneven = np.flatnonzero(np.abs(sums - 1.0) > PROBABILITY_TOLERANCE)
        if uneven.size:
            row = f" row {uneven[0]}" if array.ndim == 2 else ""
            raise ValueError(
                f"{field}{row} sums to {sums[uneven[0]]:.12g}: {'every row' if row else 'it'} must sum to 1"
            )


def check_spread(measurement: float, temporal: float, b: NDArray[np.float64], levels: NDArray[np.float64]) -> None:
    """No source may be so much more precise than another that their precisions (18) cannot be added in float64."""
    smallest = measurement * levels[0] ** 2
    variances = {
        "temporal_variance": temporal,
        "variance_relation": float(b.max()) * levels[-1] ** 2,
    }
    field, largest = max(variances.items(), key=lambda item: item[1])
    if largest > LARGEST_VARIANCE_RATIO * smallest:
        raise ValueError(
            f"{field} is too large: it makes a variance of {largest:.3g} (µg/m³)², more than "
            f"{LARGEST_VARIANCE_RATIO:g} times that of a fresh reading, measurement_variance x lowest level² = "
            f"{smallest:.3g} (µg/m³)²; check the units"
        )


def check_coordinates(xy: NDArray[np.float64] | None, n_locations: int) -> None:
    """(N, 2) metres, or None."""
    if xy is not None:
        if xy.shape != (n_locations, 2):
            raise ValueError(f"coordinates has shape {xy.shape}: it must be ({n_locations}, 2), metres east and north")
        _refuse("coordinates", xy, np.abs(xy) > FURTHEST, f"at most {FURTHEST:g} metres from the origin are right")


def check_level_model(model: NDArray[np.float64] | None, highest: float) -> None:
    """The six numbers of `estimation.LevelAware`, or None; `highest` is the highest level [µg/m³]."""
    if model is None:
        return
    most = 1e6 * highest**2  # of a variance [(µg/m³)²]
    limits = {"lasting": (0.0, 1.0), "short": (0.0, 1.0 + 1e-5), "memory": (1e-6, 1e9), "long": (0.0, 1.0 + 1e-5)}
    _check_numbers("level_model", model, {**limits, "floor": (1e-15 * highest**2, most), "drift": (0.0, most)})
    _, short, _, long, _, _ = model
    _check_range("level_model: short + long", short + long, 0.0, 1.0 + 1e-5, "the parts of a correlation together")


def check_level_belief(belief: NDArray[np.float64] | None, highest: float) -> None:
    """The six numbers of `belief.GrownBelief`, or None; `highest` is the highest level [µg/m³]."""
    if belief is not None:
        limits = {"q0": (0.0, 1e6 * highest**2), "q1": (0.0, 1e3 * highest), "q2": (0.0, 1e3), "h": (0.0, 4.0)}
        _check_numbers("level_belief", belief, {**limits, "k": (0.0, 1e3), "m": (0.0, 1e3 * highest)})
        if belief[-1] == 0.0:
            raise ValueError("level_belief: m is 0: it must be above 0")


def _check_numbers(field: str, numbers: NDArray[np.float64], limits: dict[str, tuple[float, float]]) -> None:
    """One number for each name, within its limits."""
    if numbers.shape != (len(limits),):
        raise ValueError(f"{field} has shape {numbers.shape}: it must hold {len(limits)} numbers, {', '.join(limits)}")
    for number, (name, (low, high)) in zip(numbers, limits.items(), strict=True):
        _check_range(f"{field}: {name}", number, low, high, "it")
