"""Where to put M devices: the simple ways, and the exhaustive one that certifies them.

Every search returns a `Placement`; `aq_gym.placement.genetic` holds the paper's own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.network import SensorNetwork
from aq_gym.network_checks import as_count, as_integer
from aq_gym.placement import features
from aq_gym.placement.fitness import all_sets

Errors = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From (K, m) location sets to their (K,) errors [µg/m³], less is better: a `fitness.Fitness`, or a policy's error."""

MOST_SETS = 10_000_000  # that `exhaustive` agrees to enumerate


@dataclass(frozen=True)
class Placement:
    """Chosen locations, and how they were found."""

    method: str
    locations: tuple[int, ...]  # ascending
    error: float  # of the search's fitness [µg/m³]
    evaluations: int  # sets that were evaluated
    seconds: float
    history: tuple[tuple[int, float], ...]  # (evaluations, best error) whenever the best one improved


class _Track:
    """Counts evaluations and keeps the best set."""

    def __init__(self, method: str, errors: Errors) -> None:
        self._method, self._errors, self._began = method, errors, time.perf_counter()
        self.evaluations, self.best = 0, np.inf
        self.locations: tuple[int, ...] = ()
        self._history: list[tuple[int, float]] = []

    def count(self, sets: NDArray[np.int64]) -> NDArray[np.float64]:
        """The errors of sets of which none is the result."""
        self.evaluations += len(sets)
        return evaluated(self._errors, sets)

    def __call__(self, sets: NDArray[np.int64]) -> NDArray[np.float64]:
        found = self.count(sets)
        least = int(found.argmin())
        if found[least] < self.best or not self.locations:
            self.best, self.locations = float(found[least]), tuple(sorted(int(x) for x in sets[least] if x >= 0))
            self._history.append((self.evaluations, self.best))
        return found

    def done(self) -> Placement:
        seconds = time.perf_counter() - self._began
        return Placement(self._method, self.locations, self.best, self.evaluations, seconds, tuple(self._history))


def check_devices(n_locations: int, n_devices: int) -> None:
    """Refuse a number of devices for which no set of locations is there."""
    if not 1 <= as_integer("n_devices", n_devices) <= as_integer("n_locations", n_locations):
        raise ValueError(f"n_devices: expected 1 to {n_locations}, one for each location, got {n_devices}")


def evaluated(errors: Errors, sets: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) the errors of sets; what is no number for each of them is refused."""
    found = np.asarray(errors(sets), dtype=np.float64)
    if found.shape != (len(sets),) or np.isnan(found).any():
        raise ValueError(
            f"errors: expected a function from ({len(sets)}, M) sets to {len(sets)} numbers, got shape {found.shape}"
            + (f", NaN for the set {sets[np.isnan(found)][0].tolist()}" if found.shape == (len(sets),) else "")
        )
    return found


def random_sets(n_locations: int, n_devices: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(count, M) sets, each equally likely, ascending.

    Raises:
        ValueError: more devices than locations, or none.
    """
    check_devices(n_locations, n_devices)
    count = as_count("count", count, 0)
    return np.sort(rng.random((count, n_locations)).argsort(axis=1)[:, :n_devices], axis=1)


def random_search(errors: Errors, n_locations: int, n_devices: int, *, count: int = 1, seed: int = 0) -> Placement:
    """The best of ``count`` random sets.

    Raises:
        ValueError: more devices than locations, or no sets at all; a fitness that is no number.
    """
    rng, track = np.random.default_rng(as_count("seed", seed, 0)), _Track("random", errors)
    track(random_sets(n_locations, n_devices, as_count("count", count, 1), rng))
    return track.done()


def medoid_search(errors: Errors, network: SensorNetwork, n_devices: int, *, seed: int = 0) -> Placement:
    """The location nearest to the centre of each of M clusters in the feature space.

    Raises:
        ValueError: more devices than locations, or none.
        ImportError: scikit-learn is missing.
    """
    check_devices(network.n_locations, n_devices)
    track = _Track("medoids", errors)
    track(features.medoids(network, n_devices, seed)[None])
    return track.done()


def greedy_search(
    errors: Errors,
    n_locations: int,
    n_devices: int,
    *,
    start: ArrayLike | None = None,
    watch: Callable[[int, float], None] | None = None,
) -> Placement:
    """Forward selection, then swaps of one location for another while the best of them helps.

    Args:
        start: (M,) locations to begin the swaps with instead of those of forward selection.
        watch: called with evaluations and the best error after each round.

    Raises:
        ValueError: more devices than locations, or none; a start that is no set of M locations.
    """
    check_devices(n_locations, n_devices)
    track, report = _Track("greedy", errors), watch or (lambda evaluations, error: None)
    given = np.zeros(0, np.int64) if start is None else np.asarray(start)
    chosen: list[int] = given.ravel().tolist()
    if start is not None and (
        given.dtype.kind not in "iu"
        or not len(set(chosen)) == len(chosen) == n_devices
        or not set(chosen) <= set(range(n_locations))
    ):
        raise ValueError(f"start: expected {n_devices} different locations of 0..{n_locations - 1}, got {start!r}")
    while len(chosen) < n_devices:
        others = [x for x in range(n_locations) if x not in chosen]
        found = track.count(np.sort(np.array([[*chosen, x] for x in others], np.int64), axis=1))
        chosen.append(others[int(found.argmin())])
        report(track.evaluations, float(found.min()))
    best = float(track(np.sort(np.array([chosen], np.int64)))[0])
    while True:
        others = [x for x in range(n_locations) if x not in chosen]
        swaps = [[*chosen[:i], x, *chosen[i + 1 :]] for i in range(n_devices) for x in others]
        if not swaps:
            break
        found = track(np.sort(np.array(swaps, np.int64), axis=1))
        report(track.evaluations, track.best)
        least = int(found.argmin())
        if found[least] >= best:
            break
        best, chosen = float(found[least]), swaps[least]
    return track.done()


def exhaustive_search(
    errors: Errors, n_locations: int, n_devices: int, *, watch: Callable[[int, int], None] | None = None
) -> Placement:
    """The best of all N choose M sets: a certificate.

    Args:
        watch: called with how many sets are done, of how many.

    Raises:
        ValueError: more devices than locations, or none; more than `MOST_SETS` sets.
    """
    check_devices(n_locations, n_devices)
    total = comb(n_locations, n_devices)
    if total > MOST_SETS:
        raise ValueError(
            f"n_devices: {n_locations} choose {n_devices} are {total:,} sets, more than the {MOST_SETS:,} that are "
            "enumerated; use the genetic or the greedy search"
        )
    track = _Track("exhaustive", errors)
    for sets in all_sets(n_locations, n_devices):
        track(sets)
        if watch:
            watch(track.evaluations, total)
    return track.done()
