"""Tables and pictures of forecasts."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from aq_gym.forecasting.evaluation import Forecasts
from aq_gym.forecasting.forecaster import Forecaster
from aq_gym.palette import BLACK, MARKERS, PALETTE
from baselines.studies import tables
from baselines.studies.forecasts import Split
from baselines.studies.tables import interval

CLAIMS = (50, 80, 95)  # per cent


def markdown(table: pd.DataFrame) -> str:
    """One row a horizon and forecaster."""
    heads = ["horizon", "forecaster", "MAE", "RMSE", "MASE", "pinball", "skill", "Brier"]
    rows = []
    for x in table.sort_values(["horizon", "pinball"]).itertuples():
        coverage = "/".join(f"{100 * getattr(x, f'coverage_{c}'):.1f}" for c in CLAIMS)
        errors = f"{x.mae:.2f}", f"{x.rmse:.2f}", f"{x.mase:.2f}", f"{x.pinball:.3f}", interval(x, "skill", "+", 3)
        rows.append([f"{x.horizon:.0f}", x.forecaster, *errors, f"{x.brier:.4f}", coverage, f"{x.width_80:.1f}"])
    return tables.markdown([*heads, "coverage 50/80/95 %", "width"], rows)


def phase_markdown(table: pd.DataFrame) -> str:
    """Skill by phase, one row a horizon and phase."""
    heads = "horizon", "phase", "forecaster", "persistence MAE", "skill"
    rows = []
    for x in table.itertuples():
        mae = f"{x.persistence_mae:.2f}"
        rows.append([str(x.horizon), str(x.phase), x.forecaster, mae, interval(x, "skill", "+", 3)])
    return tables.markdown(heads, rows)


def _axes(title: str, x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    return figure, axes


def _style(k: int) -> dict[str, Any]:
    """Colour and marker of the k-th forecaster; when the colours are used up they come again with another marker."""
    again = k // len(PALETTE)
    return {"color": PALETTE[k % len(PALETTE)], "marker": MARKERS[(k + 3 * again) % len(MARKERS)], "markersize": 6}


def skill_figure(table: pd.DataFrame) -> Figure:
    """Skill against the horizon, with intervals."""
    figure, axes = _axes("Skill against persistence", "horizon [slots]", "1 - MAE / MAE of persistence")
    names = list(table.forecaster.unique())
    horizons = sorted(table.horizon.unique())
    for k, name in enumerate(names):
        part = table[table.forecaster == name].sort_values("horizon")
        at = np.arange(len(part)) + 0.6 * ((k + 0.5) / len(names) - 0.5)
        error = np.abs(part[["skill_low", "skill_high"]].to_numpy().T - part.skill.to_numpy())
        axes.errorbar(at, part.skill, error, linestyle="none", label=name, capsize=2, **_style(k))
    axes.axhline(0.0, color="black", linewidth=1)
    axes.set_xticks(range(len(horizons)), [f"{h:.0f}" for h in horizons])
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def coverage_figure(table: pd.DataFrame) -> Figure:
    """Coverage found against coverage claimed, one line a forecaster, averaged over horizons."""
    figure, axes = _axes("Coverage of the intervals", "claimed [%]", "found [%]")
    for k, (name, part) in enumerate(table.groupby("forecaster", sort=False)):
        found = [100.0 * part[f"coverage_{c}"].mean() for c in CLAIMS]
        axes.plot(CLAIMS, found, label=name, linewidth=1, **_style(k))
    axes.plot([45, 100], [45, 100], color="black", linewidth=1, linestyle=":")
    axes.set_xticks(CLAIMS)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def fan_figure(name: str, forecaster: Forecaster, forecasts: Forecasts, split: Split) -> Figure:
    """The forecasts made at the slot before the largest rise of the first series, and what came."""
    level = split.test[0].level[split.begin :]
    last = max(forecaster.horizons)
    rise = np.full(len(level), -np.inf)
    rise[: len(level) - last] = level[last:] - level[:-last]
    whole = ~np.isnan(forecasts.quantiles[0]).any(axis=(1, 2)) & ~np.isnan(rise)
    origin = int(np.argmax(np.where(whole & (np.arange(len(level)) >= 2 * last), rise, -np.inf)))
    hours = split.slot_minutes / 60.0
    ahead = np.array([0, *forecaster.horizons]) * hours
    fan = np.vstack([np.full(len(forecaster.quantiles), level[origin]), forecasts.quantiles[0, origin]])
    figure, axes = _axes(f"Forecast of {name} before the steepest rise", "hours from now", "level [µg/m³]")
    past = np.arange(-2 * last, last + 1)
    axes.plot(past * hours, level[origin + past], color="black", linewidth=1.2, label="what was read")
    n = len(forecaster.quantiles)
    for k in range(n // 2):
        claimed = 100 * (forecaster.quantiles[n - 1 - k] - forecaster.quantiles[k])
        label = f"{claimed:.0f} % interval"
        shade = (0.2, 0.4, 0.65)[min(k, 2)]
        colour = tuple(1.0 - shade * (1.0 - x) for x in to_rgb(PALETTE[0]))
        axes.fill_between(ahead, fan[:, k], fan[:, n - 1 - k], color=colour, linewidth=0, label=label)
    axes.plot(ahead, fan[:, forecaster.median], color=BLACK, marker="o", markersize=4, linestyle="--", label="median")
    axes.axvline(0.0, color="black", linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False, loc="upper left")
    return figure
