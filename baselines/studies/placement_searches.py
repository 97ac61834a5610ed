"""The searches of the placement study, and the file by which the genetic one is taken up again."""

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents import TensorBoardLogger
from aq_gym.network import SensorNetwork, write_atomically
from aq_gym.placement import (
    Fitness,
    GeneticConfig,
    GeneticSearch,
    Placement,
    Round,
    clusters,
    exhaustive_search,
    greedy_search,
    medoid_search,
    random_search,
)

METHODS = ("genetic", "greedy", "exhaustive", "medoids", "random")
CHECKPOINT = "genetic.json"  # where the genetic search can be taken up
RANDOM_SETS = 1000


def searched(
    network: SensorNetwork, fitness: Fitness, methods: Sequence[str], options: Namespace, show: Callable[[str], None]
) -> tuple[list[Placement], bool]:
    """What each method found, best first, and whether a signal ended it; options are `scripts.select_locations`'s."""
    sizes, seed = (fitness, network.n_locations, options.devices), options.seed
    found: list[Placement] = []
    search: dict[str, Callable[[], Placement]] = {
        "greedy": lambda: greedy_search(*sizes, watch=lambda k, e: show(f"greedy: {e:.4f}, {k:,} sets")),
        "exhaustive": lambda: exhaustive_search(*sizes, watch=lambda k, of: show(f"exhaustive: {k:,} of {of:,}")),
        "medoids": lambda: medoid_search(fitness, network, options.devices, seed=seed),
        "random": lambda: random_search(*sizes, count=RANDOM_SETS, seed=seed),
    }
    interrupted = False
    try:
        for method in methods:
            show(method)
            if method == "genetic":
                _genetic(network, fitness, options, show, found)
            else:
                found.append(search[method]())
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return sorted(found, key=lambda x: x.error), interrupted


def _genetic(
    network: SensorNetwork, fitness: Fitness, options: Namespace, show: Callable[[str], None], found: list[Placement]
) -> None:
    """The paper's search: adds what it found, also when it is interrupted. Its state is written every second."""
    sizes = {"kept": options.pool // 2, "drawn": options.pool - options.pool // 2}
    config = GeneticConfig(**sizes, patience=options.patience, rounds=options.rounds, start=options.start)
    labels = clusters(network, options.devices, options.seed) if options.start == "clusters" else None
    search = GeneticSearch(fitness, network.n_locations, options.devices, config, seed=options.seed, clusters=labels)
    path, asked = options.folder / CHECKPOINT, asked_of(network, options)
    if options.resume:
        resume(path, search, asked)
    saved = search.seconds

    def save() -> None:
        write_atomically(path, json.dumps({"asked": asked, "search": search.state()}, indent=1).encode())

    with TensorBoardLogger(options.folder) as log:

        def watch(now: Round) -> None:
            nonlocal saved
            log.scalar("placement/best_error", now.best, now.evaluations)
            log.scalar("placement/mean_error", now.mean, now.evaluations)
            show(f"genetic: round {now.rounds}, best {now.best:.4f} µg/m³, {now.evaluations:,} sets")
            if search.seconds - saved > 1:
                save()
                saved = search.seconds

        try:
            search.run(watch)
        finally:
            if search.rounds >= 0:
                save()
                found.append(search.placement())


def asked_of(network: SensorNetwork, options: Namespace) -> dict[str, Any]:
    """What a search is begun with, beside the settings of `GeneticSearch`."""
    fields = [
        "measurement_variance",
        "temporal_variance",
        "mean_relation",
        "variance_relation",
        "levels",
        "transition",
        "start",
    ]
    digest = hashlib.sha256(b"".join(np.asarray(getattr(network, x), np.float64).tobytes() for x in fields))
    return {"network": digest.hexdigest(), "schedule": [options.slots, options.period], "levels": options.seed}


def resume(path: Path, search: GeneticSearch, asked: dict[str, Any]) -> None:
    """Take up the search that a file holds."""
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or not {"asked", "search"} <= content.keys():
            raise ValueError("expected an object with the fields asked and search")
        if content["asked"] != asked:
            raise ValueError(f"was begun with {content['asked']!s:.300}, here {asked}; give the same to resume")
        search.restore(content["search"])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: holds no search that can be resumed here: {error}") from error
