"""Where should M devices stand? Searches the locations, and writes them as arguments of gym.make.

    python -m scripts.select_locations --devices 5                      # the paper's genetic search, on pku2018
    python -m scripts.select_locations --devices 4 --methods all        # beside the others, and the certified best
    python -m scripts.select_locations --devices 5 --policy index       # then placement and scheduling in turn
    python -m scripts.select_locations --readings a.csv b.csv --locations where.csv --devices 3

The folder receives placement.json (`gym.make(id, **content["env_kwargs"])`), map.png, convergence.png, convergence.csv
and TensorBoard's events. The fitness is the average joint error under uniform staggered sensing every --period slots,
on a path of the network's own level chain. Ctrl-C keeps the best so far; --resume continues the genetic search, with
the same result as if nothing had happened.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agents import TensorBoardLogger
from aq_gym import schedules
from aq_gym.network import SensorNetwork
from aq_gym.placement import (
    MOST_SETS,
    Fitness,
    GeneticConfig,
    GeneticSearch,
    Placement,
    Round,
    clusters,
    exhaustive_search,
    greedy_search,
    level_path,
    medoid_search,
    random_search,
)
from aq_gym.problem import Problem
from scripts.door import enter
from scripts.files import pyplot, save_figure, write_json, write_table
from scripts.fit_network import commit, fit

METHODS = ("genetic", "greedy", "exhaustive", "medoids", "random")
CHECKPOINT = "genetic.json"
RANDOM_SETS = 1000
Show = Callable[[str], None]
EPISODES = 4000  # that the gain of the alternation is measured on


def network_of(args: argparse.Namespace) -> SensorNetwork:
    """The named network, or one fitted to readings."""
    if args.readings:
        return fit("readings", args.readings, None, args.locations, {})
    return SensorNetwork.load(args.network)


def genetic(
    args: argparse.Namespace, network: SensorNetwork, fitness: Fitness, show: Show, found: list[Placement]
) -> None:
    """The paper's search: adds what it found, even when interrupted. A checkpoint is kept every second."""
    pool = {"kept": args.pool // 2, "drawn": args.pool - args.pool // 2}
    config = GeneticConfig(**pool, patience=args.patience, rounds=args.rounds, start=args.start)
    labels = clusters(network, args.devices, args.seed) if args.start == "clusters" else None
    search = GeneticSearch(fitness, network.n_locations, args.devices, config, seed=args.seed, clusters=labels)
    path = args.folder / CHECKPOINT
    parts = (getattr(network, field) for field in ("mean_relation", "variance_relation", "levels", "transition"))
    asked = {
        "network": hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in parts)).hexdigest(),
        "schedule": [args.slots, args.period],
        "levels": args.seed,
    }
    if args.resume:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["asked"] != asked:
            raise ValueError(f"{path}: was begun with {kept['asked']}, here {asked}; give the same to resume")
        search.restore(kept["search"])
    saved = search.seconds
    with TensorBoardLogger(args.folder) as log:

        def watch(now: Round) -> None:
            nonlocal saved
            log.scalar("placement/best_error", now.best, now.evaluations)
            log.scalar("placement/mean_error", now.mean, now.evaluations)
            show(f"genetic: round {now.rounds}, best {now.best:.4f} µg/m³, {now.evaluations:,} sets")
            if search.seconds - saved > 1:
                write_json(path, {"asked": asked, "search": search.state()})
                saved = search.seconds

        try:
            search.run(watch)
        finally:
            if search.rounds >= 0:
                write_json(path, {"asked": asked, "search": search.state()})
                found.append(search.placement())


def searched(args: argparse.Namespace, network: SensorNetwork, fitness: Fitness) -> tuple[list[Placement], bool]:
    """What each method found, best first, and whether Ctrl-C ended it."""
    n, m, interrupted = network.n_locations, args.devices, False
    found: list[Placement] = []
    with Progress(disable=args.quiet) as bar:
        task = bar.add_task("", total=None)

        def show(text: str) -> None:
            bar.update(task, description=text)

        try:
            for method in args.methods:
                show(method)
                if method == "genetic":
                    genetic(args, network, fitness, show, found)
                elif method == "greedy":
                    found.append(greedy_search(fitness, n, m, watch=lambda k, e: show(f"greedy: {e:.4f}, {k:,} sets")))
                elif method == "exhaustive":
                    watch = lambda k, of: bar.update(task, total=of, completed=k, description="exhaustive")  # noqa: E731
                    found.append(exhaustive_search(fitness, n, m, watch=watch))
                elif method == "medoids":
                    found.append(medoid_search(fitness, network, m, seed=args.seed))
                else:
                    found.append(random_search(fitness, n, m, count=RANDOM_SETS, seed=args.seed))
        except KeyboardInterrupt:
            interrupted = True
    if not found:
        raise KeyboardInterrupt
    return sorted(found, key=lambda x: x.error), interrupted


def together(args: argparse.Namespace, network: SensorNetwork, start: Placement, console: Console) -> dict[str, Any]:
    """Placement and scheduling in turn, and what that gains on episodes that neither looked at."""
    from baselines.evaluation import mean_with_interval
    from baselines.placement import PolicyFitness, Stage, place_together

    problem = Problem.create(network, list(start.locations), args.horizon, args.budget, args.max_sleep)

    def watch(stage: Stage) -> None:
        console.print(f"{args.policy}: {stage.error:.4f} µg/m³ at {list(stage.devices)}")

    stages = place_together(problem, args.policy, rounds=args.alternations, watch=watch)
    first, last = (
        PolicyFitness(problem, stage.policy, episodes=EPISODES, seed=0).episode_errors(stage.devices)
        for stage in (stages[0], stages[-1])
    )
    gain = [100.0 * x / first.mean() for x in mean_with_interval(last - first, seed=0)]
    console.print(
        f"placed together with {args.policy}: {last.mean():.4f} µg/m³ instead of {first.mean():.4f}, "
        f"{gain[0]:+.2f} % [{gain[1]:+.2f}, {gain[2]:+.2f}] on {EPISODES:,} new episodes"
    )
    return {
        "policy": args.policy,
        "episodes": EPISODES,
        "stages": [{"devices": list(x.devices), "search_error": x.error} for x in stages],
        "error_before": float(first.mean()),
        "error": float(last.mean()),
        "change_percent": gain,
    }


def main(args: argparse.Namespace) -> dict[str, Any]:
    made_by, network, console = commit(), network_of(args), Console()
    n, m = network.n_locations, args.devices
    if not 1 <= m <= n:
        raise ValueError(f"--devices: {network.name!r} has {n} locations, got {m}")
    if args.policy:  # rather refused now than after the search
        Problem.create(network, list(range(m)), args.horizon, args.budget, args.max_sleep)
    if comb(n, m) > MOST_SETS and "exhaustive" in args.methods:
        told = f"{n} choose {m} are {comb(n, m):,} sets, more than the {MOST_SETS:,} that are enumerated"
        if not args.all_methods:
            raise ValueError(f"--methods: {told}; leave exhaustive out")
        args.methods.remove("exhaustive")
        console.print(f"exhaustive search is left out: {told}")
    there = (args.folder / CHECKPOINT).is_file()
    if "genetic" in args.methods and there != args.resume:
        raise ValueError(
            f"{args.folder} holds a search: --resume continues it, --folder names another place"
            if there
            else f"--resume: {args.folder} holds no search to continue"
        )
    budget = max(1, round(args.slots / args.period))
    schedule = schedules.staggered(m, args.slots, budget)
    fitness = Fitness(network, schedule, level_path(network, args.slots, args.seed))
    args.folder.mkdir(parents=True, exist_ok=True)
    found, interrupted = searched(args, network, fitness)
    best = found[0]
    shown = Table("method", "locations", "joint error µg/m³", "above the best %", "sets", "seconds")
    for x in found:
        places = " ".join(map(str, x.locations))
        above = f"{100 * (x.error / best.error - 1):.3f}"
        shown.add_row(x.method, places, f"{x.error:.4f}", above, f"{x.evaluations:,}", f"{x.seconds:.1f}")
    console.print(shown)
    content: dict[str, Any] = {
        "env_kwargs": {"network": str(args.network), "devices": list(best.locations)},
        "found": [
            {"method": x.method, "locations": list(x.locations), "error": x.error, "sets": x.evaluations} for x in found
        ],
        "fitness": {"slots": args.slots, "period": args.period, "schedule": "staggered", "seed": args.seed},
        "command": shlex.join(["python", "-m", "scripts.select_locations", *args.given]),
        "commit": made_by,
    }
    if args.readings:
        path = network.save(args.folder / "network.npz")
        content["env_kwargs"]["network"] = str(path)
    curves = [(x.method, at, error) for x in found for at, error in x.history]
    write_table(args.folder / "convergence.csv", pd.DataFrame(curves, columns=["method", "sets", "best_error"]))
    draw_convergence(args.folder / "convergence.png", found)
    write(args, network, content)
    if args.policy and not interrupted:
        try:
            content["together"] = together(args, network, best, console)
            content["env_kwargs"]["devices"] = content["together"]["stages"][-1]["devices"]
            write(args, network, content)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        console.print("interrupted: the best so far is kept; --resume continues the genetic search")
    console.print(f"devices={content['env_kwargs']['devices']}; written to {args.folder}")
    return content


def write(args: argparse.Namespace, network: SensorNetwork, content: dict[str, Any]) -> None:
    """What gym.make takes, and the map."""
    if network.coordinates is not None:
        draw_map(args.folder / "map.png", network, content["env_kwargs"]["devices"], args)
    write_json(args.folder / "placement.json", content)


def draw_convergence(path: Path, found: Sequence[Placement]) -> None:
    """The best error so far over the sets that were evaluated."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    last = max(x.evaluations for x in found)
    for x in sorted(found, key=lambda x: x.method):
        at, error = zip(*x.history, (max(last, 1), x.error), strict=True)
        mark = {"marker": "o", "markevery": [len(at) - 2]} if len(at) < 3 else {}
        axes.step(at, error, where="post", label=f"{x.method}: {x.error:.3f}", **mark)
    axes.set(xscale="log", xlabel="location sets evaluated", ylabel="best average joint error [µg/m³]")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_figure(path, figure)


def draw_map(path: Path, network: SensorNetwork, devices: Sequence[int], args: argparse.Namespace) -> None:
    """All locations at their coordinates, by cluster of the feature space, and the chosen ones."""
    assert network.coordinates is not None
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6.2, 6.2), layout="constrained")
    labels = clusters(network, min(args.devices, 10), args.seed)
    east, north = network.coordinates.T
    colours = plt.get_cmap("tab10")(labels % 10)
    axes.scatter(east, north, s=60, c=colours, alpha=0.55, linewidths=0, label="locations, coloured by cluster")
    chosen = np.asarray(devices)
    axes.scatter(
        east[chosen], north[chosen], s=230, facecolors="none", edgecolors="black", linewidths=1.8, label="chosen"
    )
    for i in range(network.n_locations):
        bold = "bold" if i in devices else "normal"
        axes.annotate(str(i), (east[i], north[i]), xytext=(7, 6), textcoords="offset points", fontsize=8, weight=bold)
    axes.set(xlabel="metres east", ylabel="metres north", aspect="equal")
    axes.set_title(f"{len(chosen)} of {network.n_locations} locations of {network.name}", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False, fontsize=9)
    save_figure(path, figure)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="pku2018", help="name or .npz file (default pku2018)")
    parser.add_argument("--readings", type=Path, nargs="+", help="fit a network to these files instead")
    parser.add_argument("--locations", type=Path, help="of --readings: where they are, for the map")
    parser.add_argument("--devices", type=int, default=5, help="M, how many to place (default 5)")
    parser.add_argument(
        "--methods", nargs="+", choices=(*METHODS, "all"), default=["genetic"], metavar="NAME", help=", ".join(METHODS)
    )
    parser.add_argument("--slots", type=int, default=1000, help="of the level path (default 1000)")
    parser.add_argument("--period", type=float, default=6.0, help="slots between sensings of a device (default 6)")
    parser.add_argument("--start", choices=("clusters", "random"), default="clusters", help="of the genetic search")
    parser.add_argument("--pool", type=int, default=120, help="genes that survive a round (default 120)")
    parser.add_argument("--patience", type=int, default=20, help="rounds without improvement (default 20)")
    parser.add_argument("--rounds", type=int, default=300, help="at most (default 300)")
    parser.add_argument("--policy", choices=("greedy", "index", "generalist"), help="then place together with a policy")
    parser.add_argument("--alternations", type=int, default=4, help="of placement and policy, at most (default 4)")
    parser.add_argument("--horizon", type=int, default=60, help="T of --policy (default 60)")
    parser.add_argument("--budget", type=int, default=10, help="B of --policy (default 10)")
    parser.add_argument("--max-sleep", type=int, default=12, help="D of --policy (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="of the level path and the searches")
    parser.add_argument("--folder", type=Path, help="default runs/placement/NETWORK-MDEVICES-seedSEED")
    parser.add_argument("--resume", action="store_true", help="continue the genetic search of the folder")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    for name, least in (("slots", 1), ("pool", 2), ("alternations", 0), ("patience", 1), ("rounds", 0), ("seed", 0)):
        if getattr(args, name) < least:
            parser.error(f"--{name}: expected at least {least}, got {getattr(args, name)}")
    if not args.period >= 1:
        parser.error(f"--period: expected at least 1 slot, got {args.period}")
    args.all_methods = "all" in args.methods
    if args.all_methods:
        args.methods = list(METHODS)
    if args.locations and not args.readings:
        parser.error("--locations: are those of --readings")
    if args.folder is None:
        name = "readings" if args.readings else Path(args.network).stem
        args.folder = Path("runs") / "placement" / f"{name}-{args.devices}-seed{args.seed}"
    return args


if __name__ == "__main__":
    enter(main, parse)
