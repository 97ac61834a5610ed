"""The placement study: searches of locations, placing together with a policy, and the pictures of both."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from aq_gym import schedules
from aq_gym.network import SensorNetwork
from aq_gym.palette import FAINT, INK, MARKERS, PALETTE
from aq_gym.placement import MOST_SETS, Fitness, Placement, clusters, level_path
from aq_gym.problem import Problem
from baselines.evaluation import mean_with_interval
from baselines.placement import PolicyFitness, Stage, place_together
from baselines.studies.files import save_figure, write_json, write_table
from baselines.studies.placement_searches import CHECKPOINT, METHODS, searched
from baselines.studies.tables import text_table

EPISODES = 4000  # that the gain of placing together is measured on
MOST_CLUSTERS = 16  # with a marker of their own on the map
_BY_SIZE = ("exhaustive", "genetic", "greedy", "random", "medoids")  # colours stay with the methods


def place(
    network: SensorNetwork,
    options: Namespace,
    *,
    about: dict[str, Any],
    save_as: Path | None,
    say: Callable[[Any], None],
    show: Callable[[str], None],
) -> dict[str, Any]:
    """Search the locations and write placement.json, the plots, the table and TensorBoard's events.

    Ctrl-C and SIGTERM keep the best so far, once there is one.

    Args:
        options: the arguments of `scripts.select_locations`.
        about: goes into placement.json; its `env_kwargs` receive the devices.
        say: takes lines and a table for the user.
        show: takes how far the searches are.

    Returns:
        The content of placement.json.
    """
    folder, methods = options.folder, _checked(network, options, say)
    schedule = schedules.staggered(options.devices, options.slots, max(1, round(options.slots / options.period)))
    fitness = Fitness(network, schedule, level_path(network, options.slots, options.seed))
    folder.mkdir(parents=True, exist_ok=True)
    found, interrupted = searched(network, fitness, methods, options, show)
    rows = []
    for x in found:
        above = f"{100 * (x.error / found[0].error - 1):.3f}"
        name = f"{x.method}: {' '.join(map(str, x.locations))}"
        rows.append([name, f"{x.error:.4f}", above, f"{x.evaluations:,}", f"{x.seconds:.1f}"])
    say(text_table(["method and locations", "joint error µg/m³", "above the best %", "sets", "seconds"], rows))
    content = about | {
        "found": [
            {"method": x.method, "locations": list(x.locations), "error": x.error, "sets": x.evaluations} for x in found
        ],
        "fitness": {k: getattr(options, k) for k in ("slots", "period", "seed")} | {"schedule": "staggered"},
    }
    if save_as:
        network.save(save_as)
    curves = [(x.method, at, error) for x in found for at, error in x.history]
    table = pd.DataFrame(curves, columns=["method", "sets", "best_error"])
    write_table(folder / "convergence.csv", table)
    draw_convergence(folder / "convergence.png", found)
    _write(network, options, content, found[0].locations)
    if options.policy and not interrupted:
        try:
            content["together"] = _together(network, options, found[0].locations, say)
            _write(network, options, content, content["together"]["devices"])
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        say("interrupted: the best so far is kept; --resume continues the genetic search")
    return content


def _checked(network: SensorNetwork, options: Namespace, say: Callable[[Any], None]) -> list[str]:
    """The methods to be used."""
    n, m, there = network.n_locations, options.devices, (options.folder / CHECKPOINT).is_file()
    methods = list(METHODS if "all" in options.methods else dict.fromkeys(options.methods))
    if not 1 <= m <= n:
        raise ValueError(f"--devices: {network.name!r} has {n} locations, got {m}")
    if options.policy:  # rather refused now than after the search
        Problem.create(network, list(range(m)), options.horizon, options.budget, options.max_sleep)
    if comb(n, m) > MOST_SETS and "exhaustive" in methods:
        why = f"{n} choose {m} are {comb(n, m):,} sets, more than the {MOST_SETS:,} that are enumerated"
        if "all" not in options.methods:
            raise ValueError(f"--methods: {why}; leave exhaustive out")
        methods.remove("exhaustive")
        say(f"exhaustive search is left out: {why}")
    if options.resume and "genetic" not in methods:
        raise ValueError("--resume: continues the genetic search; name genetic in --methods")
    if options.resume and not there:
        raise ValueError(f"--resume: {options.folder} holds no search to continue")
    if there and "genetic" in methods and not options.resume:
        raise ValueError(f"{options.folder} holds a search: --resume continues it, --folder names another place")
    return methods


def _together(
    network: SensorNetwork, options: Namespace, start: Sequence[int], say: Callable[[Any], None]
) -> dict[str, Any]:
    """Placement and scheduling in turn, and what that gains on episodes that neither looked at."""
    problem = Problem.create(network, list(start), options.horizon, options.budget, options.max_sleep)

    def watch(stage: Stage) -> None:
        say(f"{options.policy}: {stage.error:.4f} µg/m³ at {list(stage.devices)}")

    stages = place_together(problem, options.policy, rounds=options.alternations, watch=watch)
    first, last = (
        PolicyFitness(problem, stage.policy, episodes=EPISODES, seed=0).episode_errors(stage.devices)
        for stage in (stages[0], stages[-1])
    )
    gain = [100.0 * x / first.mean() for x in mean_with_interval(last - first, seed=0)]
    say(
        f"placed together with {options.policy}: {last.mean():.4f} µg/m³ instead of {first.mean():.4f}, "
        f"{gain[0]:+.2f} % [{gain[1]:+.2f}, {gain[2]:+.2f}] on {EPISODES:,} new episodes"
    )
    better = last.mean() < first.mean()
    if len(stages) > 1 and not better:
        say(f"not better there, so {list(start)} are kept")
    return {
        "devices": list(stages[-1].devices if better else start),
        "policy": options.policy,
        "episodes": EPISODES,
        "stages": [{"devices": list(x.devices), "search_error": x.error} for x in stages],
        "error_before": float(first.mean()),
        "error": float(last.mean()),
        "change_percent": gain,
        "taken": bool(better),
    }


def _write(network: SensorNetwork, options: Namespace, content: dict[str, Any], devices: Sequence[int]) -> None:
    """The map, and what gym.make takes."""
    content["env_kwargs"] = content["env_kwargs"] | {"devices": list(devices)}
    if options.policy:  # it plays episodes of this shape
        shape = {"horizon": options.horizon, "energy_budget": options.budget, "max_sleep": options.max_sleep}
        content["env_kwargs"] |= shape
    if network.coordinates is not None:
        labels = clusters(network, min(options.devices, MOST_CLUSTERS), options.seed)
        draw_map(options.folder / "map.png", network, devices, labels)
    write_json(options.folder / "placement.json", content)


def draw_convergence(path: Path, found: Sequence[Placement]) -> None:
    """The best error so far over the sets that were evaluated; a method that evaluated one set is a point."""
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for x in sorted(found, key=lambda x: x.error):
        number = _BY_SIZE.index(x.method)
        at, errors = zip(*x.history, (x.evaluations, x.error), strict=True)
        style = {"color": PALETTE[number], "marker": MARKERS[number], "markevery": [len(at) - 1]}
        axes.step(at, errors, where="post", label=f"{x.method}: {x.error:.3f}", **style)
    axes.set(xscale="log", xlabel="location sets evaluated", ylabel="best average joint error [µg/m³]")
    axes.margins(0.08)
    axes.grid(color=FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, title="method: its best, µg/m³", alignment="left")
    save_figure(path, figure)


def draw_map(path: Path, network: SensorNetwork, devices: Sequence[int], labels: ArrayLike) -> None:
    """All locations at their coordinates, the clusters of the feature space by colour and marker, the chosen ones."""
    assert network.coordinates is not None
    figure = Figure(figsize=(7.6, 6.2), layout="constrained")
    axes = figure.add_subplot()
    chosen, of = list(devices), np.asarray(labels)
    many = network.n_locations > 60
    size = 24.0 if many else 75.0
    east, north = network.coordinates.T
    for number, label in enumerate(dict.fromkeys(of.tolist())):  # in the order of the locations, whatever the seed
        look = {"color": PALETTE[number % 8], "marker": MARKERS[(number + number // 8) % 8]}
        axes.scatter(east[of == label], north[of == label], size, linewidths=0, label=f"{number + 1}", **look)
    ring = {"facecolors": "none", "edgecolors": INK, "linewidths": 1.6}
    axes.scatter(east[chosen], north[chosen], 4.2 * size, label="device", **ring)
    for i in chosen if many else range(network.n_locations):
        weight = "bold" if i in chosen else "normal"
        axes.annotate(str(i), (east[i], north[i]), (7, 6), textcoords="offset points", fontsize=8.5, weight=weight)
    title = f"{len(chosen)} device{'s'[: len(chosen) > 1]} at the {len(of)} locations of {network.name}"
    axes.set(xlabel="metres east", ylabel="metres north", aspect="equal", title=title)
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.margins(0.08)
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, title="cluster")
    save_figure(path, figure)
