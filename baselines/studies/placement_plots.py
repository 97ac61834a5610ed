"""The pictures of a placement: how the searches converged, and where the devices stand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from aq_gym.network import SensorNetwork
from aq_gym.palette import FAINT, INK, MARKERS, PALETTE
from aq_gym.placement import Placement
from baselines.studies.files import save_figure

_BY_SIZE = ("exhaustive", "genetic", "greedy", "random", "medoids")  # colours stay with the methods


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
