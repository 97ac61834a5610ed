"""Figure 12: how the genetic search of locations converges, and how far from the certified best it ends."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from aq_gym import schedules
from aq_gym.palette import PALETTE
from aq_gym.placement import Fitness, GeneticConfig, GeneticSearch, Round, clusters, exhaustive_search, level_path
from baselines.studies.paper.report import Claim, Context, Figure

PERIOD = 6  # slots between sensings of a device, staggered
CLOSE = 0.5  # per cent above the certified best that count as reaching it
SECONDS = 20.0


def fitness_of(context: Context, n_devices: int, n_slots: int) -> Fitness:
    """Under staggered sensing on one path of the network's chain."""
    schedule = schedules.staggered(n_devices, n_slots, max(1, n_slots // PERIOD))
    return Fitness(context.network, schedule, level_path(context.network, n_slots, context.seed))


def make(context: Context) -> Figure:
    """Search from twenty seeds in four settings, and enumerate all sets."""
    n_devices, n_slots, seeds, pools = context.pick((5, 1000, 20, (40, 120)), (2, 40, 2, (8, 16)))
    network, n = context.network, context.network.n_locations
    fitness = fitness_of(context, n_devices, n_slots)
    context.say("figure 12: enumerating all sets")
    best = exhaustive_search(fitness, n, n_devices)
    labels = [clusters(network, n_devices, seed) for seed in range(seeds)]
    rounds: list[Any] = []
    ends: list[Any] = []
    for start, pool, seed in product(("clusters", "random"), pools, range(seeds)):
        context.say(f"figure 12: {start}, {pool} genes, seed {seed}")
        config = GeneticConfig(kept=pool // 2, drawn=pool - pool // 2, start=start)  # type: ignore[arg-type]
        own = labels[seed] if start == "clusters" else None
        search = GeneticSearch(fitness, n, n_devices, config, seed=seed, clusters=own)

        def watch(now: Round, known: tuple[Any, ...] = (start, pool, seed)) -> None:
            rounds.append((*known, now.rounds, now.evaluations, now.best))

        found = search.run(watch)
        ends.append((start, pool, seed, found.error, search.rounds, found.evaluations, found.seconds))
    names = ["start", "genes", "seed"]
    table = pd.DataFrame(rounds, columns=[*names, "round", "sets", "best_error"])
    table["gap_percent"] = 100.0 * (table.best_error / best.error - 1.0)
    ended = pd.DataFrame(ends, columns=[*names, "error", "rounds", "sets", "seconds"])
    ended.insert(4, "gap_percent", 100.0 * (ended.error / best.error - 1.0))
    alone = float(np.mean([(np.bincount(x) == 1).sum() for x in labels]))
    return Figure(
        12,
        "The genetic search of locations",
        f"N = {n}, M = {n_devices}, staggered sensing every {PERIOD} slots, {n_slots:,} slots, {seeds} seeds; "
        f"certified best of all {best.evaluations:,} sets: {best.error:.4f} µg/m³ at {list(best.locations)}",
        _claims(table, ended, pools, alone),
        {"": table, "ends": ended},
        lambda plt: _draw(plt, table),
        (f"Enumerating all sets took {best.seconds:.0f} s.",),
    )


def _claims(table: pd.DataFrame, ended: pd.DataFrame, pools: tuple[int, int], alone: float) -> tuple[Claim, ...]:
    first = table[table["round"] == 0].groupby("start").gap_percent.mean()
    runs = table.groupby(["start", "genes", "seed"])
    reached = runs.apply(lambda part: part[part.gap_percent <= CLOSE]["round"].min()).fillna(np.inf)  # inf: never
    by_start, by_pool = reached.groupby("start").median(), reached.groupby("genes").median()
    small, large = (float(by_pool[pool]) for pool in pools)
    never = f"; {int(np.isinf(reached).sum())} of {len(reached)} searches never" if np.isinf(reached).any() else ""
    exact = 100.0 * float((ended.gap_percent < 1e-9).mean())
    ours = ended[ended.genes == pools[1]]
    return (
        Claim(
            "the clustering start begins better and therefore converges sooner",
            f"the first genes' best is {first['clusters']:.2f} % above the certified best from clusters, "
            f"{first['random']:.2f} % at random; within {CLOSE} % after {by_start['clusters']:g} and "
            f"{by_start['random']:g} rounds (medians){never}",
            bool(first["clusters"] < first["random"] and by_start["clusters"] < by_start["random"]),
            f"on average {alone:.1f} of the clusters are a single location, which every first gene then holds",
        ),
        Claim(
            "a larger pool evolves in fewer rounds",
            f"within {CLOSE} % after {large:g} rounds with {pools[1]} genes, {small:g} with {pools[0]} (medians)"
            + never,
            large < small,
        ),
        Claim(
            "the searches end at different values: the solution is still sub-optimal",
            f"{exact:.0f} % of them end at the certified best; the worst {ended.gap_percent.max():.3f} % above it",
            bool(ended.error.nunique() > 1),
        ),
        Claim(
            f"(ours) with {pools[1]} genes every search ends within {CLOSE} % of the certified best in {SECONDS:.0f} s",
            f"at most {ours.gap_percent.max():.3f} % above it, in at most {ours.seconds.max():.1f} s",
            bool(ours.gap_percent.max() <= CLOSE and ours.seconds.max() <= SECONDS),
        ),
    )


def _draw(plt: Any, table: pd.DataFrame) -> Any:
    figure, at = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
    last = int(table["round"].max())
    for ((start, genes), part), colour in zip(table.groupby(["start", "genes"]), PALETTE, strict=False):
        wide = part.pivot(index="round", columns="seed", values="gap_percent").reindex(range(last + 1)).ffill()
        at.plot(wide.index + 1, wide.mean(axis=1), marker="o", ms=2, color=colour, label=f"{start}, {genes} genes")
        at.fill_between(wide.index + 1, wide.min(axis=1), wide.max(axis=1), color=colour, alpha=0.12, lw=0)
    at.axhline(CLOSE, color="#999999", lw=0.8, ls=":")
    at.set(xlabel="1 + round", ylabel="above the certified best [%]", xscale="log", ylim=(0, None))
    at.legend(frameon=False, title="mean, least and most over the seeds")
    return figure
