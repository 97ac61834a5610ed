"""What the backtest of a hidden level says: tables and findings, computed from the numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from aq_gym.problem import Problem
from baselines.studies.backtest.reports import ADAPTED, HOUR
from baselines.studies.backtest.scores import COVER, covered, misses
from baselines.studies.tables import interval, markdown, text_table

TOLERANCE = 3.0  # points by which an interval's coverage may be off
HEADS = (
    "policy",
    "RMSE",
    "change %",
    "covered % of 50 / 90 / 95",
    "adapted",
    "claimed",
    "cost",
    "promised",
    "sensings",
)


def _rows(part: pd.DataFrame) -> list[list[str]]:
    rows = []
    for row in part.itertuples():
        moved = "" if np.isnan(row.change) else interval(row, "change", "+", 1)
        numbers = f"{row.claimed:.2f}", f"{row.delivered:.2f}", f"{row.promised:.2f}", f"{row.sensings:.1f}"
        rows.append([row.policy, interval(row, "rmse"), moved, covered(row), covered(row, ADAPTED), *numbers])
    return rows


def summary(table: pd.DataFrame) -> str:
    """The tables for a terminal."""
    parts = []
    heads = ["policy", "RMSE", "change %", "covered %,\nadapted", "cost,\npromised"]
    for (fitted, loss), part in table.groupby(["fitted", "loss"], sort=False):
        rows = [
            [policy, rmse, moved, f"{plain}\n{adapted}", f"{cost}\n{promised}"]
            for policy, rmse, moved, plain, adapted, _, cost, promised, _ in _rows(part)
        ]
        parts.append(f"{_title(part, fitted, loss)}\n\n{text_table(heads, rows)}")
    return "\n\n".join([*parts, *findings(table)])


def _title(part: pd.DataFrame, fitted: str, loss: float) -> str:
    lost = f", {100 * loss:.0f} % of the reports lost" if loss else ""
    return f"Network of {fitted}, air of {part.played.iloc[0]}: {part.windows.iloc[0]} windows{lost}"


def findings(table: pd.DataFrame) -> list[str]:
    """What the numbers say, in sentences."""
    lines = []
    for (fitted, loss), part in table.groupby(["fitted", "loss"], sort=False):
        best, first = part.loc[part.rmse.idxmin()], part.policy.iloc[0]
        against = "the first" if best.policy == first else f"{best.change:+.1f} % against {first}"
        again = part[part.policy == "retrying-relay"]
        if loss > 0.0 and len(again) and first != "retrying-relay":
            against += f"; even intervals anew after each loss alone earn {again.change.iloc[0]:+.1f} %"
        lines.append(
            f"{fitted}, {100 * loss:.0f} % lost: {best.policy} has the least RMSE, {best.rmse:.2f} µg/m³ ({against})."
        )
    for fitted, part in table.groupby("fitted", sort=False):
        for what, names in (("intervals", COVER), ("adapted intervals", ADAPTED)):
            off = misses(part, names)
            row, name = off.stack().idxmax()
            verdict = "within" if off.to_numpy().max() <= TOLERANCE else "not within"
            lines.append(
                f"Network of {fitted}: {what} cover {verdict} {TOLERANCE:g} points of what they claim (at worst "
                f"{off.to_numpy().max():.1f}, at {str(name).rpartition('_')[2]} %, {part.policy[row]})."
            )
    return lines


def page(table: pd.DataFrame, problem: Problem, stride: int, lines: Mapping[str, Any]) -> str:
    """All of it in Markdown."""
    shape = f"T = {problem.horizon}, B = {problem.energy_budget}, D = {problem.max_sleep}"
    parts = [
        f"## {_title(part, fitted, loss)}\n\n{markdown(HEADS, _rows(part))}"
        for (fitted, loss), part in table.groupby(["fitted", "loss"], sort=False)
    ]
    said = "\n".join(f"- {line}" for line in findings(table))
    hourly = markdown(
        ["µg/m³", *(f"slot {k}" for k in range(HOUR))],
        [[name, *(f"{x:.2f}" for x in found)] for name, found in lines.items()],
    )
    return (
        "# The level hidden: policies on real air\n\n"
        "The server knows only what devices report. Policies are made for the network of one season and play windows "
        f"of the other: {problem.n_devices} devices at {list(problem.devices)}, {shape}. A report says "
        "max(reading / φ, 1), where φ is the location's mean ratio to the level. The same reports are lost for "
        "all policies.\n\n"
        f"{said}\n\n"
        "RMSE at the locations without a device, in µg/m³; change to the first policy, paired; both with 95 % "
        "intervals that resample whole horizons. `claimed` is the root mean square of the deviations that the map "
        "claims, to be compared with the RMSE. `adapted` is the coverage of intervals that the server corrects by its "
        "own reports, each a check of what the map claimed just before (`aq_gym/adapted_intervals.py`); "
        "every window begins uncorrected. `cost` is the mean of those deviations on the real air at all "
        "locations, `promised` the same in the model's own weather. `sensings` are those of a device.\n\n"
        + "\n".join(parts)
        + "\n## The readings are hourly at heart\n\n"
        "How far the level runs from straight lines through every sixth slot, by the slot of the hour where the lines "
        "begin (root mean square):\n\n"
        f"{hourly}\n"
        "It is least from slot 0, and the same at all slots between: the readings were interpolated between full "
        f"hours, and noise added. So windows start {stride} slots apart, which is no multiple of 2 or 3: their phases "
        "take turns. All results at ten-minute resolution rest on interpolated readings.\n\n"
    )
