"""The paper's genetic search of locations, Algorithm 3: clusters to begin with, mutation, recombination, selection."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.network_checks import as_count, is_number
from aq_gym.placement.search import Errors, Placement, check_devices, evaluated, random_sets


@dataclasses.dataclass(frozen=True)
class GeneticConfig:
    """Settings of `GeneticSearch`.

    Raises:
        ValueError: a setting out of its range; the message names it.
    """

    kept: int = 60  # K1: the best genes, which always survive
    drawn: int = 60  # K2: others, drawn with probability proportional to 1 / error (45)
    flip: float | None = None  # probability that a bit of a copied gene is flipped; None: 1.2 / N
    patience: int = 20  # R: rounds without improvement after which the search ends
    rounds: int = 300  # of evolution, at most
    start: Literal["clusters", "random"] = "clusters"  # of the first genes: a location from each cluster (43), or any M

    def __post_init__(self) -> None:
        for name, least in (("kept", 1), ("drawn", 0), ("patience", 1), ("rounds", 0)):
            as_count(f"GeneticConfig.{name}", getattr(self, name), least)
        if self.flip is not None and not (is_number(self.flip) and 0.0 < self.flip < 1.0):
            raise ValueError(f"GeneticConfig.flip: expected a probability between 0 and 1, got {self.flip!r}")
        if self.start not in ("clusters", "random"):
            raise ValueError(f"GeneticConfig.start: expected 'clusters' or 'random', got {self.start!r}")


@dataclasses.dataclass(frozen=True)
class Round:
    """Where a search stands."""

    rounds: int  # of evolution; 0: the first genes
    evaluations: int
    best: float  # error of the best gene [µg/m³]
    mean: float  # over the surviving genes [µg/m³]
    idle: int  # rounds since the best one improved


class _Population(NamedTuple):
    """All that a step changes, beside the errors that it came to know."""

    genes: NDArray[np.bool_]  # (K, N)
    values: NDArray[np.float64]  # (K,) their errors [µg/m³]
    rounds: int
    idle: int
    seconds: float
    history: tuple[tuple[int, float], ...]  # (evaluations, best error) whenever the best one improved
    generator: Mapping[str, Any]  # state of the random generator


class GeneticSearch:
    """A population of genes, N bits each: the locations of up to M devices.

    A gene's error is asked for once: known ones are remembered. The search can be taken up from its `state` and then
    ends as if it had never been interrupted.

    Args:
        seed: the same seed and fitness give the same result.
        clusters: (N,) the cluster of every location, M different ones, see `features.clusters`; only for the start
            from clusters.

    Raises:
        ValueError: more devices than locations, or none; clusters that don't fit.
    """

    def __init__(
        self,
        errors: Errors,
        n_locations: int,
        n_devices: int,
        config: GeneticConfig | None = None,
        *,
        seed: int = 0,
        clusters: ArrayLike | None = None,
    ) -> None:
        self.config = config or GeneticConfig()
        check_devices(n_locations, n_devices)
        self._errors, self.n_locations, self.n_devices = errors, n_locations, n_devices
        self.seed = as_count("seed", seed, 0)
        self._clusters: NDArray[np.int64] | None = None
        if self.config.start == "clusters":
            labels = None if clusters is None else np.asarray(clusters)
            if labels is None or labels.shape != (n_locations,) or len(np.unique(labels)) != n_devices:
                raise ValueError(
                    f"clusters: the start from clusters needs ({n_locations},) labels of {n_devices} clusters, got "
                    f"{'none' if labels is None else f'{len(np.unique(labels))} clusters of shape {labels.shape}'}"
                )
            self._clusters = np.unique(labels, return_inverse=True)[1]
        self._known: dict[tuple[int, ...], float] = {}  # errors of all sets that were evaluated [µg/m³]
        generator = np.random.default_rng(seed).bit_generator.state
        self._now = _Population(np.zeros((0, n_locations), np.bool_), np.zeros(0), -1, 0, 0.0, (), generator)

    @property
    def rounds(self) -> int:
        """Rounds of evolution so far; -1: no genes yet."""
        return self._now.rounds

    @property
    def seconds(self) -> float:
        """Time that the steps took."""
        return self._now.seconds

    @property
    def evaluations(self) -> int:
        """Sets that were evaluated."""
        return len(self._known)

    @property
    def finished(self) -> bool:
        """Whether the search has ended, by patience or by its number of rounds."""
        return self.rounds >= 0 and (self._now.idle >= self.config.patience or self.rounds >= self.config.rounds)

    def step(self) -> Round:
        """The first genes, or one round of mutation, recombination and selection.

        An interrupted step leaves the search as it was before, but for the errors that were already evaluated: the
        population changes by the one assignment at the end.
        """
        began, now, rng = time.perf_counter(), self._now, np.random.default_rng()
        rng.bit_generator.state = now.generator
        before = float(now.values.min(initial=np.inf))
        if now.rounds < 0:
            genes = self._first_genes(rng)
        else:
            flip = 1.2 / self.n_locations if self.config.flip is None else self.config.flip
            mutated = now.genes ^ (rng.random(now.genes.shape) < flip)
            genes = np.concatenate([now.genes, mutated, self._recombined(now.genes, rng)])
        genes = np.unique(genes, axis=0)
        size = genes.sum(axis=1)
        genes = genes[(size >= 1) & (size <= self.n_devices)]
        values = self._evaluated(genes)
        survivors = self._selected(values, rng)
        genes, values = genes[survivors], values[survivors]
        best = float(values.min())
        improved = best < before
        history = (*now.history, (self.evaluations, best)) if improved else now.history
        idle, seconds = 0 if improved else now.idle + 1, now.seconds + time.perf_counter() - began
        self._now = _Population(genes, values, now.rounds + 1, idle, seconds, history, rng.bit_generator.state)
        return Round(self.rounds, self.evaluations, best, float(values.mean()), idle)

    def run(self, watch: Callable[[Round], None] | None = None) -> Placement:
        """Search to the end, or on from where it stands; `watch` is called after every round."""
        while not self.finished:
            found = self.step()
            if watch:
                watch(found)
        return self.placement()

    def placement(self) -> Placement:
        """The best locations so far.

        Raises:
            RuntimeError: no step was made yet.
        """
        genes, values, _, _, seconds, history, _ = self._now
        if not len(values):
            raise RuntimeError("no gene was evaluated yet: call step or run first")
        best = int(values.argmin())
        return Placement("genetic", _locations(genes[best]), float(values[best]), self.evaluations, seconds, history)

    def state(self) -> dict[str, Any]:
        """Everything that changes, as plain JSON values."""
        now = self._now
        return {
            **self._settings(),
            "rounds": now.rounds,
            "idle": now.idle,
            "evaluations": self.evaluations,
            "seconds": now.seconds,
            "history": [list(x) for x in now.history],
            "genes": [list(_locations(gene)) for gene in now.genes],
            "values": now.values.tolist(),
            "known": [[list(locations), value] for locations, value in self._known.items()],
            "generator": now.generator,
        }

    def restore(self, state: Any) -> None:
        """Take up a search where `state` was called.

        Raises:
            ValueError: the state of a search with other settings, or not what a search wrote. The search is as before.
        """
        before = self._known, self._now
        try:
            self._known, self._now = self._checked(state)
            changed = [name for name, x in self.state().items() if state[name] != x]
            if changed:
                raise ValueError(f"{', '.join(changed)}: not what a search writes")
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            self._known, self._now = before
            if isinstance(error, ValueError):
                raise
            raise ValueError(f"no state of a search: {type(error).__name__} {error!s:.200}") from error

    def _checked(self, state: Any) -> tuple[dict[tuple[int, ...], float], _Population]:
        other = [
            f"{name} was {state[name]!s:.300}, here {x}" for name, x in self._settings().items() if state[name] != x
        ]
        if other:
            raise ValueError("the search was begun with other settings: " + "; ".join(other))
        known = {tuple(places): error for places, error in state["known"]}
        if not np.allclose(self._errors(self._padded(list(known))), list(known.values()), rtol=1e-9, atol=0.0):
            raise ValueError("known: errors that are not those of their sets")
        genes = np.zeros((len(state["genes"]), self.n_locations), np.bool_)
        for gene, places in zip(genes, state["genes"], strict=True):
            gene[places] = True
        values = np.array([known[tuple(places)] for places in state["genes"]], np.float64)
        history = tuple((int(at), float(best)) for at, best in state["history"])
        rounds, idle, seconds = int(state["rounds"]), int(state["idle"]), float(state["seconds"])
        if (
            not 0 <= idle <= rounds <= self.config.rounds
            or not 0.0 <= seconds < np.inf
            or history[-1][1] != values.min()
        ):
            raise ValueError("rounds, idle, seconds, history: out of range")
        generator = np.random.default_rng().bit_generator
        generator.state = state["generator"]
        return known, _Population(genes, values, rounds, idle, seconds, history, generator.state)

    def _settings(self) -> dict[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "seed": self.seed,
            "n_locations": self.n_locations,
            "n_devices": self.n_devices,
        }

    def _first_genes(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        count = self.config.kept + self.config.drawn
        genes = np.zeros((count, self.n_locations), np.bool_)
        if self._clusters is None:
            np.put_along_axis(genes, random_sets(self.n_locations, self.n_devices, count, rng), True, axis=1)
            return genes
        for number in range(self.n_devices):
            members = np.flatnonzero(self._clusters == number)
            genes[np.arange(count), rng.choice(members, count)] = True
        return genes

    def _recombined(self, genes: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Both children of one-point crossings of random pairs; with an odd number one gene stays alone."""
        order = rng.permutation(len(genes))
        pairs = len(genes) // 2
        one, two = genes[order[:pairs]], genes[order[pairs : 2 * pairs]]
        point = rng.integers(1, max(2, self.n_locations), size=(pairs, 1))
        left = np.arange(self.n_locations) < point
        return np.concatenate([np.where(left, one, two), np.where(left, two, one)])

    def _evaluated(self, genes: NDArray[np.bool_]) -> NDArray[np.float64]:
        keys = [_locations(gene) for gene in genes]
        new = [key for key in keys if key not in self._known]
        if new:
            found = evaluated(self._errors, self._padded(new))
            if found.min() <= 0.0:
                raise ValueError(f"errors: genes are drawn in proportion to 1 / error, so above 0, got {found.min():g}")
            self._known.update(zip(new, found.tolist(), strict=True))
        return np.array([self._known[key] for key in keys])

    def _padded(self, sets: list[tuple[int, ...]]) -> NDArray[np.int64]:
        """(K, M) the sets as `Errors` take them, filled up with -1."""
        rows = np.full((len(sets), self.n_devices), -1, np.int64)
        for row, locations in zip(rows, sets, strict=True):
            row[: len(locations)] = locations
        return rows

    def _selected(self, values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Numbers of the K1 best genes, and of K2 others that are drawn."""
        order = np.argsort(values, kind="stable")
        best, rest = order[: self.config.kept], order[self.config.kept :]
        odds = 1.0 / values[rest]
        count = min(self.config.drawn, int(np.count_nonzero(odds)))  # an infinite error is never drawn
        if not count:
            return best
        return np.concatenate([best, rng.choice(rest, count, replace=False, p=odds / odds.sum())])


def _locations(gene: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(gene).tolist())
