"""The paper's genetic search of locations, Algorithm 3: clusters to begin with, mutation, recombination, selection."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.placement.search import Errors, Placement, random_sets


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
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"GeneticConfig.{name}: expected an integer of at least {least}, got {value!r}")
        if self.flip is not None and not 0.0 < self.flip < 1.0:
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


class GeneticSearch:
    """A population of genes, N bits each: the locations of up to M devices.

    A gene's error is asked for once: known ones are remembered. The search can be taken up from its `state` and then
    ends as if it had never been interrupted.

    Args:
        errors: what is minimised.
        n_locations: N.
        n_devices: M.
        config: every setting.
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
        if not 1 <= n_devices <= n_locations:
            raise ValueError(f"n_devices: expected 1 to {n_locations}, one for each location, got {n_devices}")
        self._errors, self.n_locations, self.n_devices, self.seed = errors, n_locations, n_devices, seed
        self._clusters: NDArray[np.int64] | None = None
        if self.config.start == "clusters":
            labels = None if clusters is None else np.asarray(clusters)
            if labels is None or labels.shape != (n_locations,) or len(np.unique(labels)) != n_devices:
                raise ValueError(
                    f"clusters: the start from clusters needs ({n_locations},) labels of {n_devices} clusters, got "
                    f"{'none' if labels is None else f'{len(np.unique(labels))} clusters of shape {labels.shape}'}"
                )
            self._clusters = np.unique(labels, return_inverse=True)[1]
        self._rng = np.random.default_rng(seed)
        self._known: dict[bytes, float] = {}
        self._genes = np.zeros((0, n_locations), np.bool_)
        self._values = np.zeros(0)
        self.rounds, self.evaluations, self.idle = -1, 0, 0  # rounds of evolution; -1: no genes yet
        self.seconds = 0.0
        self._history: list[tuple[int, float]] = []

    @property
    def finished(self) -> bool:
        """Whether the search has ended, by patience or by its number of rounds."""
        return self.rounds >= 0 and (self.idle >= self.config.patience or self.rounds >= self.config.rounds)

    def step(self) -> Round:
        """The first genes, or one round of mutation, recombination and selection.

        An interrupted step leaves the search as it was before, but for the errors that were already evaluated.
        """
        generator = self._rng.bit_generator.state
        try:
            return self._step()
        except BaseException:
            self._rng.bit_generator.state = generator
            raise

    def _step(self) -> Round:
        began = time.perf_counter()
        before = float(self._values.min()) if len(self._values) else np.inf
        if self.rounds < 0:
            genes = self._first_genes()
        else:
            flip = 1.2 / self.n_locations if self.config.flip is None else self.config.flip
            mutated = self._genes ^ (self._rng.random(self._genes.shape) < flip)
            genes = np.concatenate([self._genes, mutated, self._recombined(self._genes)])
        genes = np.unique(genes, axis=0)
        size = genes.sum(axis=1)
        genes = genes[(size >= 1) & (size <= self.n_devices)]
        values = self._evaluated(genes)
        self._genes, self._values = self._selected(genes, values)
        best = float(self._values.min())
        if best < before:
            self._history.append((self.evaluations, best))
        self.idle = 0 if best < before else self.idle + 1
        self.rounds += 1
        self.seconds += time.perf_counter() - began
        return Round(self.rounds, self.evaluations, best, float(self._values.mean()), self.idle)

    def run(self, watch: Callable[[Round], None] | None = None) -> Placement:
        """Search to the end, or on from where it stands; `watch` is told after every round."""
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
        if not len(self._values):
            raise RuntimeError("no gene was evaluated yet: call step or run first")
        best = int(self._values.argmin())
        locations = tuple(int(x) for x in np.flatnonzero(self._genes[best]))
        return Placement(
            "genetic", locations, float(self._values[best]), self.evaluations, self.seconds, tuple(self._history)
        )

    def state(self) -> dict[str, Any]:
        """Everything that changes, as plain JSON values."""
        return {
            "config": dataclasses.asdict(self.config),
            "seed": self.seed,
            "n_locations": self.n_locations,
            "n_devices": self.n_devices,
            "rounds": self.rounds,
            "idle": self.idle,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "history": [list(x) for x in self._history],
            "genes": [np.flatnonzero(gene).tolist() for gene in self._genes],
            "values": self._values.tolist(),
            "known": [[np.flatnonzero(self._gene(key)).tolist(), value] for key, value in self._known.items()],
            "generator": self._rng.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a search where `state` was called.

        Raises:
            ValueError: the state of a search with other settings; the message lists what differs.
        """
        own = {
            "config": dataclasses.asdict(self.config),
            "seed": self.seed,
            "n_locations": self.n_locations,
            "n_devices": self.n_devices,
        }
        other = [
            f"{name} was {state.get(name)!r}, here {value!r}" for name, value in own.items() if state.get(name) != value
        ]
        if other:
            raise ValueError("the search was begun with other settings: " + "; ".join(other))
        self.rounds, self.idle, self.evaluations = state["rounds"], state["idle"], state["evaluations"]
        self.seconds = state["seconds"]
        self._history = [(int(at), float(best)) for at, best in state["history"]]
        self._genes = np.array([self._bits(gene) for gene in state["genes"]], np.bool_).reshape(-1, self.n_locations)
        self._values = np.array(state["values"], np.float64)
        self._known = {self._bits(gene).tobytes(): float(value) for gene, value in state["known"]}
        self._rng.bit_generator.state = state["generator"]

    def _first_genes(self) -> NDArray[np.bool_]:
        count = self.config.kept + self.config.drawn
        genes = np.zeros((count, self.n_locations), np.bool_)
        if self._clusters is None:
            np.put_along_axis(genes, random_sets(self.n_locations, self.n_devices, count, self._rng), True, axis=1)
            return genes
        for number in range(self.n_devices):
            members = np.flatnonzero(self._clusters == number)
            genes[np.arange(count), self._rng.choice(members, count)] = True
        return genes

    def _recombined(self, genes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Both children of one-point crossings of random pairs; with an odd number one gene stays alone."""
        order = self._rng.permutation(len(genes))
        pairs = len(genes) // 2
        one, two = genes[order[:pairs]], genes[order[pairs : 2 * pairs]]
        point = self._rng.integers(1, max(2, self.n_locations), size=(pairs, 1))
        left = np.arange(self.n_locations) < point
        return np.concatenate([np.where(left, one, two), np.where(left, two, one)])

    def _evaluated(self, genes: NDArray[np.bool_]) -> NDArray[np.float64]:
        keys = [gene.tobytes() for gene in genes]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if new:
            sets = np.full((len(new), self.n_devices), -1, np.int64)
            for row, i in enumerate(new):
                locations = np.flatnonzero(genes[i])
                sets[row, : len(locations)] = locations
            found = self._errors(sets)
            self.evaluations += len(new)
            self._known.update((keys[i], float(value)) for i, value in zip(new, found, strict=True))
        return np.array([self._known[key] for key in keys])

    def _selected(
        self, genes: NDArray[np.bool_], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """The K1 best, and K2 of the others by lot."""
        order = np.argsort(values, kind="stable")
        kept, rest = order[: self.config.kept], order[self.config.kept :]
        count = min(self.config.drawn, len(rest))
        if count:
            odds = 1.0 / values[rest]
            drawn = self._rng.choice(rest, count, replace=False, p=odds / odds.sum())
            kept = np.concatenate([kept, drawn])
        return genes[kept], values[kept]

    def _gene(self, key: bytes) -> NDArray[np.bool_]:
        return np.frombuffer(key, np.bool_)

    def _bits(self, locations: list[int]) -> NDArray[np.bool_]:
        gene = np.zeros(self.n_locations, np.bool_)
        gene[locations] = True
        return gene
