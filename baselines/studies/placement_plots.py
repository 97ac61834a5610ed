"""The pictures of a placement: how the searches converged, and where the devices stand."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from aq_gym.network import SensorNetwork, write_atomically
from aq_gym.palette import FAINT, INK, MARKERS, MUTED, PALETTE
from aq_gym.placement import Placement

_BY_SIZE = ("exhaustive", "genetic", "greedy", "random", "medoids")  # colours stay with the methods
_MARKER_SCALE = {"o": 1.0, "s": 0.85, "^": 1.1, "D": 0.7, "v": 1.1, "P": 1.15, "X": 1.1, "*": 1.6}  # to look alike


def draw_convergence(path: Path, found: Sequence[Placement]) -> None:
    """The best error so far over the sets that were evaluated; a method that evaluated one set is a point."""
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for x in sorted(found, key=lambda x: x.error):
        number = _BY_SIZE.index(x.method)
        at, errors = zip(*x.history, (x.evaluations, x.error), strict=True)
        axes.step(
            at, errors, where="post", color=PALETTE[number], lw=1.8, marker=MARKERS[number], ms=6.5,
            markevery=[len(at) - 1], label=f"{x.method}: {x.error:.3f}",
        )  # fmt: skip
    fewest, most = min(x.history[0][0] for x in found), max(x.evaluations for x in found)
    axes.set(xscale="log", xlabel="location sets evaluated", ylabel="best average joint error [µg/m³]")
    axes.set_xlim(fewest / 1.3, most * 1.3)
    axes.margins(y=0.08)
    if most < 20 * fewest:  # else a scale of one decade has one tick
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    if len({error for x in found for _, error in x.history}) == 1:  # one point: no error is better or worse
        axes.margins(y=0.6)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, title="method: its best, µg/m³", alignment="left")
    _save(path, figure)


def draw_map(path: Path, network: SensorNetwork, devices: Sequence[int], labels: ArrayLike) -> None:
    """All locations at their coordinates, the clusters of the feature space by colour and marker, the chosen ones."""
    assert network.coordinates is not None
    figure = Figure(figsize=(7.6, 6.2), layout="constrained")
    axes = figure.add_subplot()
    n, chosen = network.n_locations, list(devices)
    many = n > 60
    size = 24.0 if many else 75.0
    east, north = network.coordinates.T
    for number, members in enumerate(_clusters(labels)):
        look = {"color": PALETTE[number % 8], "marker": MARKERS[(number + number // 8) % 8]}
        scaled = size * _MARKER_SCALE[look["marker"]] ** 2
        axes.scatter(east[members], north[members], scaled, linewidths=0, alpha=0.85, label=f"{number + 1}", **look)
    ring: dict[str, Any] = {"facecolors": "none", "edgecolors": INK, "linewidths": 1.6}
    axes.scatter(east[chosen], north[chosen], 4.2 * size, label="device", zorder=3, **ring)
    for i in chosen if many else range(n):
        place = {"xytext": (9, 7) if i in chosen else (6, 5), "textcoords": "offset points"}
        style: dict[str, Any] = {"weight": "bold", "color": INK} if i in chosen else {"color": MUTED}
        axes.annotate(str(i), (east[i], north[i]), fontsize=8.5, zorder=4, **place, **style)
    axes.set(xlabel="metres east", ylabel="metres north", aspect="equal")
    axes.margins(0.08)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.ticklabel_format(style="plain", useOffset=False)
    noun = "device" if len(chosen) == 1 else "devices"
    axes.set_title(f"{len(chosen)} {noun} at the {n} locations of {network.name}", fontsize=11, loc="left")
    axes.grid(color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9, title="cluster",
                alignment="left", labelspacing=0.8)  # fmt: skip
    _save(path, figure)


def _clusters(labels: ArrayLike) -> list[NDArray[np.intp]]:
    """The locations of each cluster, in the order of their first ones, so that numbers do not depend on the seed."""
    of = np.asarray(labels)
    first = np.unique(of, return_index=True)[1]
    return [np.flatnonzero(of == of[i]) for i in np.sort(first)]


def _save(path: Path, figure: Figure) -> None:
    content = BytesIO()
    figure.savefig(content, format="png", dpi=130)
    write_atomically(path, content.getvalue())
