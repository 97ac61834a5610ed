"""The compiled loop of `aq_gym.placement.fitness`; its docstring says what c, s and the sums are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.compiling import compiled
from aq_gym.kernels.compiling import inlined

WIDTH = 32  # locations that are computed side by side: whole vector registers
GROUP = 4  # sources that are added at a time, so that the sums are seldom loaded and stored
_KNOWN = 1e60  # precision of a location that needs no inference: its error comes to 1e-30


class Slots(NamedTuple):
    """What M devices know in U different slots."""

    c: NDArray[np.float64]  # (U, M) variance without b [level²]
    s: NDArray[np.float64]  # (U, M) the record's deviation from the level [level]
    fresh: NDArray[np.bool_]  # (U, M) the device's own location is not inferred
    weight: NDArray[np.float64]  # (U,) levels of the slots that are alike, summed, over T N [µg/m³]


class Sets(NamedTuple):
    """K location sets. A source is a device at a location; its terms are computed once for all sets that have it."""

    sources: NDArray[np.int64]  # (P, 2) device, location
    members: NDArray[np.int64]  # (K, 1 + a multiple of GROUP) row of each source in `sources`, counted from 1; then 0
    sizes: NDArray[np.int64]  # (K,) number of sources


@inlined
def _add_terms(terms: NDArray[np.float64], rows: NDArray[np.int64], size: int, sums: NDArray[np.float64]) -> None:
    """The terms of one set's sources, added up."""
    zero, one, two, three, four = rows[0], rows[1], rows[2], rows[3], rows[4]
    for j in range(len(sums)):
        sums[j] = terms[zero, j] + ((terms[one, j] + terms[two, j]) + (terms[three, j] + terms[four, j]))
    for m in range(1 + GROUP, size, GROUP):
        one, two, three, four = rows[m], rows[m + 1], rows[m + 2], rows[m + 3]
        for j in range(len(sums)):
            sums[j] += (terms[one, j] + terms[two, j]) + (terms[three, j] + terms[four, j])


@compiled
def average_errors(
    sets: Sets,
    slots: Slots,
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    fresh_error: float,
) -> NDArray[np.float64]:
    """(K,) average joint errors of location sets [µg/m³].

    Args:
        fresh_error: error of a location that is not inferred [level].
    """
    width = WIDTH
    sources, at, sizes = sets
    c, s, fresh, weight = slots
    n_locations, n_sets = len(mean), len(sizes)
    terms = np.zeros((1 + len(sources), 2 * width))  # precisions, then precisions times deviations; row 0: no source
    sums = np.zeros(2 * width)
    s0, s1 = sums[:width], sums[width:]
    errors = np.zeros((n_sets, width))
    for begin in range(0, n_locations, width):
        size = min(width, n_locations - begin)
        terms[1:, size:width] = _KNOWN
        terms[1:, width + size :] = 0.0
        for t in range(len(weight)):
            for p in range(len(sources)):
                m, i = sources[p, 0], sources[p, 1]
                own_variance, deviation = c[t, m], s[t, m]
                b, a = variance[i, begin : begin + size], mean[i, begin : begin + size]
                zeroth, first = terms[p + 1, :size], terms[p + 1, width : width + size]
                for j in range(size):
                    precision = 1.0 / (own_variance + b[j])
                    zeroth[j] = precision
                    first[j] = precision * (deviation + a[j])
                if fresh[t, m] and begin <= i < begin + size:
                    terms[p + 1, i - begin] = _KNOWN
            for k in range(n_sets):
                _add_terms(terms, at[k], sizes[k], sums)
                for j in range(width):
                    errors[k, j] += weight[t] * (np.sqrt(s0[j] + s1[j] * s1[j]) / s0[j])
    found = np.zeros(n_sets)
    for k in range(n_sets):
        for j in range(width):
            found[k] += errors[k, j]
        for m in range(sizes[k]):
            for t in range(len(weight)):
                if fresh[t, m]:
                    found[k] += weight[t] * fresh_error
    return found
