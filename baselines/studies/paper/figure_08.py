"""Figure 8: do the deviations follow the model's Gaussian distributions?"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from aq_gym.palette import PALETTE
from baselines.studies.paper.report import Claim, Context, Figure

MIN_LEVEL = 30.0  # (d) leaves out slots of lower averages, as the paper's footnote 4 wants [µg/m³]
NEAR = 0.5  # largest skewness and excess kurtosis that count as Gaussian
PANELS = {  # sample -> title, unit
    "measurement": ("(b) measurement, (x - mean) / mean", ""),
    "temporal": ("(c) temporal, x(t + 1) - x(t)", "µg/m³"),
    "spatial": ("(d) spatial, (node 30 - node 1) / level", ""),
}


def deviations(context: Context) -> dict[str, NDArray[np.float64]]:
    """The three samples of (b), (c) and (d)."""
    readings, calibration = context.data
    spring, average = readings[0], calibration.mean(axis=0)
    level = spring.mean(axis=1)
    clear = level >= MIN_LEVEL
    return {
        "measurement": ((calibration - average) / average).ravel(),
        "temporal": np.concatenate([np.diff(table, axis=0).ravel() for table in readings]),
        "spatial": (spring[clear, 29] - spring[clear, 0]) / level[clear],
    }


def statistics(name: str, sample: NDArray[np.float64]) -> dict[str, Any]:
    """How far a sample is from a Gaussian of its mean and deviation."""
    mean, deviation = float(sample.mean()), float(sample.std())
    z = (sample - mean) / deviation
    far = np.abs(z) > 4
    return {
        "panel": name,
        "count": len(sample),
        "mean": mean,
        "standard_deviation": deviation,
        "skewness": float(stats.skew(sample)),
        "excess_kurtosis": float(stats.kurtosis(sample)),
        "within_1_sd_percent": 100.0 * float((np.abs(z) <= 1).mean()),
        "within_2_sd_percent": 100.0 * float((np.abs(z) <= 2).mean()),
        "beyond_4_sd_per_million": 1e6 * float(far.mean()),
        "variance_beyond_4_sd_percent": 100.0 * float(np.square(z[far]).sum() / np.square(z).sum()),
        "kolmogorov_distance": float(stats.kstest(z, "norm").statistic),
        "jarque_bera": float(stats.jarque_bera(sample).statistic),
    }


def is_gaussian(row: dict[str, Any]) -> bool:
    """Whether neither skewness nor kurtosis is far from a Gaussian's."""
    return abs(row["skewness"]) <= NEAR and abs(row["excess_kurtosis"]) <= NEAR


def make(context: Context) -> Figure:
    """Compare each sample with a Gaussian."""
    samples = deviations(context)
    found = {name: statistics(name, sample) for name, sample in samples.items()}
    level = context.data[0][0].mean(axis=1)[:10_000]
    parts = [_part("level", np.arange(len(level)), level, np.nan)]
    parts += [_histogram(name, sample, found[name]) for name, sample in samples.items()]
    probability = (np.arange(1, 400) - 0.5) / 399
    normal = stats.norm.ppf(probability)
    for name, sample in samples.items():
        z = (np.quantile(sample, probability) - found[name]["mean"]) / found[name]["standard_deviation"]
        parts.append(_part(f"{name} quantiles", normal, z, normal))
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


def _part(panel: str, x: Any, y: Any, gaussian: Any) -> pd.DataFrame:
    return pd.DataFrame({"panel": panel, "x": x, "y": y, "gaussian": gaussian})


def _histogram(name: str, sample: NDArray[np.float64], row: dict[str, Any]) -> pd.DataFrame:
    low, high = np.quantile(sample, (0.001, 0.999))
    step = max((high - low) / 60, 1.0 if name == "temporal" else 0.0)
    edges = np.arange(low - step / 2, high + step, step)
    count, _ = np.histogram(sample, edges)
    centre = (edges[1:] + edges[:-1]) / 2
    fitted = stats.norm.pdf(centre, row["mean"], row["standard_deviation"])
    return _part(name, centre, count / (len(sample) * np.diff(edges)), fitted)


def _shape(row: dict[str, Any]) -> str:
    return (
        f"skewness {row['skewness']:+.2f}, excess kurtosis {row['excess_kurtosis']:+.1f}, "
        f"{row['within_1_sd_percent']:.0f} % within one standard deviation (Gaussian: 68 %), "
        f"{row['beyond_4_sd_per_million']:,.0f} in a million beyond four (63), which make up "
        f"{row['variance_beyond_4_sd_percent']:.0f} % of the variance"
    )


def _claims(found: dict[str, dict[str, Any]], level: NDArray[np.float64]) -> tuple[Claim, ...]:
    peaks = int(((level[1:] > 150) & (level[:-1] <= 150)).sum())
    measurement, temporal, spatial = found.values()
    distance = {name: row["kolmogorov_distance"] for name, row in found.items()}
    return (
        Claim(
            "(a) a couple of haze waves with different peaks in 10,000 slots",
            f"the level rises above 150 µg/m³ {peaks} times; highest {level.max():.0f} µg/m³",
            peaks >= 2,
        ),
        Claim("(b) a zero-mean Gaussian fits the measurement deviation", _shape(measurement), is_gaussian(measurement)),
        Claim(
            "(c) it is quite accurate to model the temporal deviation as Gaussian",
            _shape(temporal),
            is_gaussian(temporal),
        ),
        Claim(
            "(d) the spatial deviation is less Gaussian than (b) and (c)",
            ", ".join(f"{name} {value:.3f}" for name, value in distance.items()) + " (Kolmogorov's distance)",
            max(distance, key=lambda name: distance[name]) == "spatial",
            f"(d): {_shape(spatial)}",
        ),
    )


def _draw(plt: Any, table: pd.DataFrame, found: dict[str, dict[str, Any]]) -> Any:
    rows = [["level"] * 3, list(PANELS), [f"{name} quantiles" for name in PANELS]]
    figure, axes = plt.subplot_mosaic(rows, figsize=(11, 9), layout="constrained")
    by = dict(list(table.groupby("panel")))
    data, gaussian = PALETTE[:2]
    axes["level"].plot(by["level"].x, by["level"].y, lw=0.7, color=data)
    axes["level"].set(title="(a) level, DataSet_1", xlabel="slot of 10 minutes", ylabel="µg/m³")
    for name, (title, unit) in PANELS.items():
        at, part = axes[name], by[name]
        at.bar(part.x, part.y, width=float(part.x.diff().median()), color=data, alpha=0.5, label="data")
        at.plot(part.x, part.gaussian, color=gaussian, lw=2, label="Gaussian")
        at.set_title(title, fontsize=10)
        at.set(xlabel=unit, ylabel="density")
        at.locator_params(axis="x", nbins=6)
        at.legend(frameon=False, fontsize=8)
        at, part = axes[f"{name} quantiles"], by[f"{name} quantiles"]
        at.plot(part.x, part.gaussian, color=gaussian, lw=1)
        at.plot(part.x, part.y, ".", ms=3, color=data)
        row = found[name]
        text = f"skewness {row['skewness']:+.2f}\nexcess kurtosis {row['excess_kurtosis']:+.1f}"
        at.text(0.04, 0.82, text, transform=at.transAxes, fontsize=8)
        at.set(xlabel="Gaussian quantile", ylabel="quantile of the data")
    return figure
