"""What the backtest says: tables, findings, a page and a picture. Every sentence on numbers is computed from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator

from aq_gym.estimation import LEVELS_OF_COVERAGE, LevelAware
from aq_gym.palette import MARKERS, PALETTE
from aq_gym.problem import Problem
from baselines.studies.backtest.replaying import Faults, Windows
from baselines.studies.backtest.scores import COVER, covered, misses
from baselines.studies.backtest.tables import CLEAN, CONDITIONS, METHODS, NOISES
from baselines.studies.tables import interval, markdown, text_table

TOLERANCE = 5.0  # points by which an interval's coverage may be off
HEADS = ("policy", "map", "RMSE", "MAE", "bias", "covered % of 50 / 90 / 95", "claimed", "promised", "RMSE, all")
PLAN_HEADS = ("level known to", "policy", "planned for", "MAE", "change %", "RMSE", "promised", "claimed", "covered %")


def _clean_rows(table: pd.DataFrame) -> list[list[str]]:
    rows = []
    for x in table[table.condition == CLEAN].itertuples():
        errors = interval(x, "rmse"), f"{x.mae:.2f}", f"{x.bias:+.2f}", covered(x)
        rows.append([x.policy, x.method, *errors, f"{x.claimed:.2f}", f"{x.promised:.2f}", f"{x.rmse_all:.2f}"])
    return rows


def _condition_rows(table: pd.DataFrame) -> list[list[str]]:
    wide = table.pivot_table(index=["condition", "policy"], columns="method", values="rmse", sort=False)
    return [[*names, *(f"{row[x]:.2f}" for x in METHODS)] for names, row in wide.iterrows()]


def _plan_rows(plans: pd.DataFrame) -> list[list[str]]:
    rows = []
    for x in plans.itertuples():
        moved = "" if np.isnan(x.change) else interval(x, "change", "+", 1)
        cells = [f"±{100 * x.noise:.0f} %", x.policy, x.inference, f"{x.mae:.3f}", moved]
        rows.append([*cells, f"{x.rmse:.2f}", f"{x.promised:.2f}", f"{x.claimed:.2f}", covered(x)])
    return rows


def _narrow(heads: Sequence[str], rows: Sequence[Sequence[str]], first: int, others: Sequence[int]) -> str:
    """A table for a terminal: the first columns joined, and some of the others."""
    lines = [[", ".join(row[:first]), *(row[k] for k in others)] for row in (heads, *rows)]
    return text_table(lines[0], lines[1:])


def summary(table: pd.DataFrame, data: Windows, learned: LevelAware, about: str) -> str:
    """The tables for a terminal; ``about``: of what the windows are."""
    return (
        f"{len(data)} windows of {about}; µg/m³\n\n"
        f"{_narrow(HEADS, _clean_rows(table), 2, (2, 3, 5, 8))}\n\nRMSE by condition, µg/m³\n\n"
        f"{_narrow(('condition', 'policy', *METHODS), _condition_rows(table), 2, (2, 3, 4, 5))}\n\n"
        f"level-aware: {100 * learned.lasting:.0f} % of the correlations between places last; a deviation fades by "
        f"{learned.short:.2f}\nwith a memory of {learned.memory:.0f} slots, {learned.long:.2f} of it stays"
    )


def plan_summary(plans: pd.DataFrame) -> str:
    """The table of `planned` for a terminal."""
    table = _narrow(PLAN_HEADS, _plan_rows(plans), 3, (3, 4, 5, 8))
    return f"the level-aware map at all locations, µg/m³\n\n{table}\n\n{plan_finding(plans)}"


def findings(table: pd.DataFrame) -> list[str]:
    """What the numbers say, in sentences."""
    clean, first = table[table.condition == CLEAN], table.policy.iloc[0]
    lines = []
    for policy, part in clean.groupby("policy", sort=False):
        by = part.set_index("method").rmse
        best = by.idxmin()
        lines.append(f"{policy}: the {best} map has the least RMSE, {by[best]:.2f}; the paper's has {by['paper']:.2f}.")
    for method, part in clean.groupby("method", sort=False):
        off = misses(part).stack()
        worst, name, policy = max((value, name, part.policy[row]) for (row, name), value in off.items())
        verdict = "off by more than" if worst > TOLERANCE else "within"
        lines.append(
            f"Intervals of the {method} map: {verdict} {TOLERANCE:g} points of what they claim (at worst "
            f"{worst:.1f}, at {name.removeprefix('cover_')} %, {policy})."
        )
    noises = {name: x.level_noise for name, x in CONDITIONS.items() if x == Faults(level_noise=x.level_noise)}
    part = table[table.condition.isin(list(noises)) & (table.policy == first)]
    wide = part.assign(noise=part.condition.map(noises)).pivot_table(index="noise", columns="method", values="rmse")
    for flat in ("flat", "corrected"):
        behind = (wide[flat] - wide["paper"]).to_numpy()
        turn = crossing(wide.index, behind)
        where = f"where the level is known to ±{100 * turn:.0f} % or worse"
        if np.isnan(turn):
            where = (
                "at every error of the level" if (behind > 0).all() else f"at no error up to {100 * NOISES[-1]:.0f} %"
            )
        lines.append(f"The paper's map beats the {flat} one {where} ({first}).")
    lost = [f"{100 * x:.0f} %" for x in wide.index if wide["level-aware"][x] > wide.min(axis=1)[x]]
    where = f" but {', '.join(lost)}" if lost else ""
    lines.append(f"The level-aware map has the least RMSE at every error of the level{where} ({first}).")
    return lines


def plan_finding(plans: pd.DataFrame) -> str:
    """A sentence on the coverages of `planned`."""
    if plans.empty:
        return "No policy was planned with both inferences."
    worst = misses(plans).max(axis=1)
    off = ", ".join(f"±{100 * x:.0f} %" for x in sorted(plans.noise[worst > TOLERANCE].unique()))
    text = f"within {TOLERANCE:g} points of what they claim"
    if off:
        text = f"off by more than {TOLERANCE:g} points of what they claim at {off}, within them elsewhere"
    return f"Intervals of the level-aware map of a noisy level: {text} (at worst {worst.max():.1f})."


def crossing(x: Any, difference: Any) -> float:
    """Where a difference first turns from negative to positive, linearly between its points; NaN: nowhere."""
    for i in range(1, len(x)):
        if difference[i - 1] <= 0 < difference[i]:
            share = -difference[i - 1] / (difference[i] - difference[i - 1])
            return float(x[i - 1] + share * (x[i] - x[i - 1]))
    return float("nan")


def page(table: pd.DataFrame, plans: pd.DataFrame, data: Windows, problem: Problem, made_by: str) -> str:
    """All of it in Markdown; ``made_by`` is its last sentence."""
    lines = "\n".join(f"- {line}" for line in findings(table))
    m, shape = problem.n_devices, f"T = {problem.horizon}, B = {problem.energy_budget}, D = {problem.max_sleep}"
    return (
        "# The model against the real air\n\n"
        f"The model behind the maps is fitted to spring (DataSet_1). {len(data)} windows of summer (DataSet_2), which "
        f"it has not seen, are replayed: {m} devices at {list(problem.devices)}, {shape}. Greedy and index are tuned "
        "on spring's network; index starts from coefficients that were tuned on both periods. The generalist is one "
        "index policy that was tuned on random instances, one in four of them on a network of this campus.\n\n"
        "When a device senses, the server gets its real reading. The map is compared with the real readings of the "
        "locations without a device (last column: of all). RMSE with 95 % block-bootstrap intervals; all in µg/m³. "
        "`claimed` is the root mean square of the deviations that the map claims. `promised` is the average joint "
        "error of the model, which measures reliability, not the error against the true air.\n\n"
        f"{markdown(HEADS, _clean_rows(table))}\n"
        f"{lines}\n\n## When something goes wrong\n\n"
        "RMSE in µg/m³. The level's error is drawn anew in every slot. The policies see the true level, so that all "
        "conditions replay the same sensings. The level-aware map knows how noisy the level is.\n\n"
        f"{markdown(('condition', 'policy', *METHODS), _condition_rows(table))}\n"
        "## Planning with the inference that makes the map\n\n"
        'Policies tuned in environments with the paper\'s inference, and with `inference="level-aware"` at the noise '
        "that the level has here. A timetable is the same for both. Errors of the level-aware map at all locations in "
        "µg/m³. `promised` is the average joint error of the environment, which planning minimises; `claimed` is the "
        "mean deviation that the map claims. Changes of the MAE are paired, with 95 % block-bootstrap intervals; "
        "coverage is of 50 / 90 / 95 %.\n\n"
        f"{markdown(PLAN_HEADS, _plan_rows(plans))}\n{plan_finding(plans)}\n\n"
        f"{data.outside} slots of summer lie outside spring's levels. {made_by}\n"
    )


def draw(plt: Any, table: pd.DataFrame, policies: Sequence[str]) -> Any:
    """RMSE by method and policy, coverage, and RMSE over the level's error; ``plt`` is pyplot."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
    left, middle, right = axes
    first, width = policies[0], 0.8 / len(METHODS)
    claimed = [100 * x for x in LEVELS_OF_COVERAGE]
    middle.plot([40, 100], [40, 100], color="#999999", lw=1, label="as claimed")
    noises = {CLEAN: 0.0} | {f"level known to ±{100 * x:.0f} %": 100 * x for x in NOISES}
    for i, method in enumerate(METHODS):
        rows = table[table.method == method]
        part = rows[rows.condition == CLEAN].set_index("policy").loc[list(policies)]
        style = {"color": PALETTE[i], "marker": MARKERS[i], "label": method}
        error = np.abs(part[["rmse_low", "rmse_high"]].to_numpy().T - part.rmse.to_numpy())
        at = np.arange(len(policies)) + (i - 1.5) * width
        left.bar(at, part.rmse, width, color=PALETTE[i], label=method, yerr=error, error_kw={"lw": 0.8})
        middle.plot(claimed, 100 * part.loc[first, COVER].to_numpy(float), **style)
        rmse = rows[rows.policy == first].set_index("condition").rmse
        right.plot(list(noises.values()), rmse[list(noises)], **style)
    left.set_xticks(range(len(policies)), policies, rotation=30, ha="right")
    left.set(title="error of the map, locations without a device", ylabel="RMSE [µg/m³]")
    middle.set(title=f"intervals, {first}", xlabel="claimed [%]", ylabel="covered [%]")
    right.set(title=f"the level known with an error, {first}", xlabel="its error [%]", yscale="log")
    right.set_ylabel("RMSE [µg/m³]")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    right.yaxis.set_major_formatter("{x:g}")
    right.minorticks_off()
    for at in axes:
        at.grid(alpha=0.25)
    figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure
