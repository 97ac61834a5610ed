"""Figure 8: is the Gaussian model of the deviations true?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from scripts.paper.figure import COLOURS, Claim, Context, Figure

MIN_LEVEL = 30.0  # slots of lower averages are left out of (d), as the paper's footnote 4 wants [µg/m³]
NEAR = 0.5  # skewness beyond which a distribution is called lopsided, and excess kurtosis beyond which heavy-tailed
PANELS = ("measurement", "temporal", "spatial")
NAMES = {
    "measurement": ("(b) measurement, (x - mean) / mean", ""),
    "temporal": ("(c) temporal, x(t + 1) - x(t)", "µg/m³"),
    "spatial": ("(d) spatial, (node 30 - node 1) / level", ""),
}


def deviations(context: Context) -> dict[str, NDArray[np.float64]]:
    """The three samples of (b), (c) and (d)."""
    readings, calibration = context.data
    spring = readings[0]
    level = spring.mean(axis=1)
    clear = level >= MIN_LEVEL
    average = calibration.mean(axis=0)
    return {
        "measurement": ((calibration - average) / average).ravel(),
        "temporal": np.concatenate([np.diff(table, axis=0).ravel() for table in readings]),
        "spatial": (spring[clear, 29] - spring[clear, 0]) / level[clear],
    }


def statistics(name: str, sample: NDArray[np.float64]) -> dict[str, Any]:
    """How far a sample is from a Gaussian of its mean and deviation."""
    mean, deviation = float(sample.mean()), float(sample.std())
    z = (sample - mean) / deviation
    return {
        "panel": name,
        "count": len(sample),
        "mean": mean,
        "standard_deviation": deviation,
        "skewness": float(stats.skew(sample)),
        "excess_kurtosis": float(stats.kurtosis(sample)),
        "within_1_sd_percent": 100.0 * float((np.abs(z) <= 1).mean()),
        "within_2_sd_percent": 100.0 * float((np.abs(z) <= 2).mean()),
        "beyond_4_sd_per_million": 1e6 * float((np.abs(z) > 4).mean()),
        "variance_beyond_4_sd_percent": 100.0 * float(np.square(z[np.abs(z) > 4]).sum() / np.square(z).sum()),
        "kolmogorov_distance": float(stats.kstest(z, "norm").statistic),
        "jarque_bera": float(stats.jarque_bera(sample).statistic),
    }


def is_gaussian(row: dict[str, Any]) -> bool:
    """Whether neither skewness nor kurtosis is far from a Gaussian's."""
    return abs(row["skewness"]) <= NEAR and abs(row["excess_kurtosis"]) <= NEAR


def make(context: Context) -> Figure:
    """Read, test, tell."""
    samples = deviations(context)
    found = {name: statistics(name, sample) for name, sample in samples.items()}
    level = context.data[0][0].mean(axis=1)[:10_000]
    parts = [pd.DataFrame({"panel": "level", "x": np.arange(len(level)), "y": level, "gaussian": np.nan})]
    for name, sample in samples.items():
        row = found[name]
        low, high = np.quantile(sample, (0.001, 0.999))
        step = max((high - low) / 60, 1.0 if name == "temporal" else 0.0)
        edges = np.arange(low - step / 2, high + step, step)
        density, _ = np.histogram(sample, edges)
        centre = (edges[1:] + edges[:-1]) / 2
        fitted = stats.norm.pdf(centre, row["mean"], row["standard_deviation"])
        y = density / (len(sample) * np.diff(edges))
        parts.append(pd.DataFrame({"panel": name, "x": centre, "y": y, "gaussian": fitted}))
    probability = (np.arange(1, 400) - 0.5) / 399
    for name, sample in samples.items():
        z = (np.quantile(sample, probability) - found[name]["mean"]) / found[name]["standard_deviation"]
        normal = stats.norm.ppf(probability)
        parts.append(pd.DataFrame({"panel": f"{name} quantiles", "x": normal, "y": z, "gaussian": normal}))
    table = pd.concat(parts, ignore_index=True)
    return Figure(
        8,
        "Is the Gaussian model true?",
        f"DataSet_1 for (a), and for (d) where its level is at least {MIN_LEVEL:g} µg/m³; both files for (c), the "
        "calibration for (b)",
        _claims(found, level),
        {"": table, "statistics": pd.DataFrame(list(found.values()))},
        lambda plt: _draw(plt, table, found),
        (
            "The samples are integers and depend on each other in time, so no p-value is given: with so many of them "
            f"any model would be refused. A distribution counts as Gaussian while skewness and excess kurtosis are "
            f"within ±{NEAR:g}.",
        ),
    )


def _claims(found: dict[str, dict[str, Any]], level: NDArray[np.float64]) -> tuple[Claim, ...]:
    def shape(row: dict[str, Any]) -> str:
        return (
            f"skewness {row['skewness']:+.2f}, excess kurtosis {row['excess_kurtosis']:+.1f}, "
            f"{row['within_1_sd_percent']:.0f} % within one standard deviation (Gaussian: 68 %), "
            f"{row['beyond_4_sd_per_million']:,.0f} in a million beyond four (63), which make up "
            f"{row['variance_beyond_4_sd_percent']:.0f} % of the variance"
        )

    peaks = int(((level[1:] > 150) & (level[:-1] <= 150)).sum())
    near = {name: is_gaussian(row) for name, row in found.items()}
    distance = {name: row["kolmogorov_distance"] for name, row in found.items()}
    return (
        Claim(
            "(a) a couple of haze waves with different peaks in 10,000 slots",
            f"the level rises above 150 µg/m³ {peaks} times; highest {level.max():.0f} µg/m³",
            peaks >= 2,
        ),
        Claim(
            "(b) a zero-mean Gaussian fits the measurement deviation",
            shape(found["measurement"]),
            near["measurement"],
        ),
        Claim(
            "(c) it is quite accurate to model the temporal deviation as Gaussian",
            shape(found["temporal"]),
            near["temporal"],
        ),
        Claim(
            "(d) the spatial deviation is less Gaussian than (b) and (c)",
            ", ".join(f"{name} {value:.3f}" for name, value in distance.items()) + " (Kolmogorov's distance)",
            distance["spatial"] > max(distance["measurement"], distance["temporal"]),
            f"(d): {shape(found['spatial'])}",
        ),
    )


def _draw(plt: Any, table: pd.DataFrame, found: dict[str, dict[str, Any]]) -> Any:
    figure, axes = plt.subplot_mosaic(
        [["level"] * 3, list(PANELS), [f"{name} quantiles" for name in PANELS]],
        figsize=(11, 9),
        layout="constrained",
    )
    by = dict(list(table.groupby("panel")))
    axes["level"].plot(by["level"].x, by["level"].y, lw=0.7, color=COLOURS[2])
    axes["level"].set(title="(a) level, DataSet_1", xlabel="slot of 10 minutes", ylabel="µg/m³")
    for name in PANELS:
        title, unit = NAMES[name]
        at, part = axes[name], by[name]
        at.bar(part.x, part.y, width=float(part.x.diff().median()), color=COLOURS[6], alpha=0.6, label="data")
        at.plot(part.x, part.gaussian, color=COLOURS[1], label="Gaussian")
        at.set_title(title, fontsize=10)
        at.set(xlabel=unit, ylabel="density")
        at.legend(frameon=False, fontsize=8)
        at, part = axes[f"{name} quantiles"], by[f"{name} quantiles"]
        at.plot(part.x, part.gaussian, color=COLOURS[1], lw=1)
        at.plot(part.x, part.y, ".", ms=3, color=COLOURS[2])
        row = found[name]
        text = f"skewness {row['skewness']:+.2f}\nexcess kurtosis {row['excess_kurtosis']:+.1f}"
        at.text(0.04, 0.82, text, transform=at.transAxes, fontsize=8)
        at.set(xlabel="Gaussian quantile", ylabel="quantile of the data")
    return figure
