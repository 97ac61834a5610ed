"""How costs grow with the size of the problem: curves and fitted exponents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from baselines.exact.one_device import solve
from baselines.studies.speed.environments import vector
from baselines.studies.speed.worker import MULTI, banded


class Curve(NamedTuple):
    """What is varied over which sizes, and how to measure the seconds of one unit of work."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    cost: Callable[[int], float]
    tail: int = 3  # largest sizes that the exponent is fitted to


def _decision(count: int, seconds: float, **kwargs: Any) -> float:
    """Seconds of a decision in a batch."""
    return 1.0 / vector(MULTI, "vector_entry_point", count, seconds, **kwargs)()


def _solving(levels: int, horizon: int = 72, budget: int = 12, sleep: int = 12) -> float:
    network = banded(levels)
    start = time.perf_counter()
    solve(network, 0, horizon, budget, sleep)
    return time.perf_counter() - start


def curves(seconds: float) -> Iterator[Curve]:
    """Cost per decision against N, M and the batch, and of the exact solver against levels, T, B and D."""

    def city(n: int) -> str:
        return f"synthetic-{n}-0"

    yield Curve(
        "locations N",
        "s per decision",
        (30, 100, 300, 1000, 3000),
        lambda n: _decision(16, seconds, network=city(n), devices=list(range(5))),
    )
    yield Curve(
        "devices M",
        "s per decision",
        (5, 10, 30, 100, 300),
        lambda m: _decision(16, seconds, network=city(300), devices=list(range(m)), horizon=12),
    )
    yield Curve("batch", "s per decision", (1, 4, 16, 64, 256, 1024, 4096, 16384), lambda k: _decision(k, 0.0))
    yield Curve("levels E", "s", (10, 20, 40, 80), lambda n: _solving(n))
    yield Curve("slots T", "s", (36, 72, 144, 288), lambda t: _solving(30, horizon=t, budget=-(-t // 12)))
    yield Curve("sensings B", "s", (12, 24, 48, 96), lambda b: _solving(30, budget=b))
    yield Curve("longest sleep D", "s", (12, 24, 48), lambda d: _solving(30, sleep=d))


def measure(curve: Curve, rounds: int) -> tuple[pd.DataFrame, float]:
    """The median cost of each size, and the exponent of the largest sizes."""
    curve.cost(curve.sizes[0])
    costs = np.median([[curve.cost(size) for size in curve.sizes] for _ in range(rounds)], axis=0)
    exponent = float(np.polyfit(np.log(curve.sizes[-curve.tail :]), np.log(costs[-curve.tail :]), 1)[0])
    table = pd.DataFrame({"curve": curve.name, "size": curve.sizes, "cost": costs, "unit": curve.unit})
    return table.assign(exponent=exponent, rounds=rounds), exponent


def draw(table: pd.DataFrame) -> bytes:
    """A PNG with one panel a curve, both axes logarithmic."""
    names = list(dict.fromkeys(table["curve"]))
    figure = Figure(figsize=(14, 6), constrained_layout=True)
    axes = figure.subplots(2, -(-len(names) // 2), squeeze=False).flat
    for axis, name in zip(axes, names, strict=False):
        rows = table[table["curve"] == name]
        axis.loglog(rows["size"], rows["cost"], "o-")
        axis.set(xlabel=name, ylabel=rows["unit"].iloc[0], title=f"grows as the power {rows['exponent'].iloc[0]:.2f}")
        axis.set_xticks(rows["size"], [f"{size:,}" for size in rows["size"]], rotation=45)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    return picture.getvalue()
