"""How scripts.benchmark shows what it found: tables in the terminal, a CSV file, a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from aq_gym.network import write_atomically

# Okabe and Ito's colours, which the colour-blind tell apart; marks differ too.
KINDS = {
    "optimal": ("exact optimum", "#000000", "D"),
    "dqn": ("our DQN", "#D55E00", "o"),
    "sb3": ("Stable-Baselines3", "#0072B2", "s"),
    "yardstick": ("yardsticks", "#7F7F7F", "v"),
}


def kind(policy: str) -> str:
    """Which of `KINDS` a row of the table is."""
    if policy == "optimal":
        return policy
    return "dqn" if policy == "DQN" else "sb3" if policy.startswith("SB3") else "yardstick"


def _interval(row: pd.Series, name: str, sign: str = "") -> str:
    """Mean and interval of a column as one word or three."""
    if math.isnan(row[name]):
        return "-"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def _short(value: float) -> str:
    """A positive number in two or three digits: 759k, 7.7M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.{0 if value >= 10 * size else 1}f}{unit}"
    return f"{value:.0f}"


def show(console: Console, table: pd.DataFrame, title: str, left_out: Sequence[str]) -> None:
    """Print a task's table, best policy first; the first row of ``table`` is what the others are compared to."""
    reference = table.policy.iloc[0]
    caption = "\n".join(left_out) or None
    shown = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=0, title_style="bold")
    shown.add_column("policy", no_wrap=True)
    regret = bool(table.regret_percent.notna().any())
    headings = ["joint error\nµg/m³", f"less that of\n{reference}", "regret\n%"]
    for heading in [*headings[: 2 + regret], "energy\nused", "decisions\n/s", "training\ns"]:
        shown.add_column(heading, justify="right")
    for _, row in table.sort_values("joint_error", kind="stable").iterrows():
        is_optimal = row.policy == "optimal"
        cells = [
            _interval(row, "joint_error"),
            "" if row.policy == reference else _interval(row, "difference", "+"),
            *(["0" if is_optimal else _interval(row, "regret_percent")] if regret else []),
            f"{row.energy_used:.2f}",
            _short(row.decisions_per_second),
            f"{row.training_seconds:.1f}" if row.training_seconds < 10 else f"{row.training_seconds:.0f}",
        ]
        shown.add_row(row.policy, *cells, style="bold" if kind(row.policy) == "dqn" else None)
    console.print(shown, "")


def draw(path: Path, table: pd.DataFrame, subtitle: str) -> None:
    """One panel a task: joint errors, sorted, with two intervals: of the mean, and of the difference to the first."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D

    tasks = [(env_id, rows) for env_id, rows in table.groupby("env_id", sort=False)]
    most = max(len(rows) for _, rows in tasks)
    style: dict[Any, Any] = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            1,
            len(tasks),
            figsize=(0.6 + 5.0 * len(tasks), 1.9 + 0.36 * most),
            squeeze=False,
            layout=ConstrainedLayoutEngine(w_pad=0.18, h_pad=0.08),
        )
        for axis, (env_id, rows) in zip(axes[0], tasks, strict=True):
            _panel(axis, env_id, rows, most)
        found = [name for name in KINDS if any(kind(policy) == name for policy in table.policy)]
        handles: list[Any] = [
            Line2D([], [], color=KINDS[name][1], marker=KINDS[name][2], linestyle="", label=KINDS[name][0])
            for name in found
        ]
        handles += [
            Line2D([], [], color="#555555", linewidth=4, label=f"95 %, difference to {table.policy.iloc[0]}"),
            Line2D([], [], color="#555555", linewidth=1.2, alpha=0.5, label="95 %, mean over episodes"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
        figure.suptitle(subtitle, fontsize=10, color="#444444")
        drawn = BytesIO()
        figure.savefig(drawn, dpi=160, format="png", facecolor="white")
        plt.close(figure)
    write_atomically(path, drawn.getvalue())


def _panel(axis: Any, env_id: str, rows: pd.DataFrame, most: int) -> None:
    reference = rows.iloc[0]
    rows = rows.sort_values("joint_error", ascending=False, kind="stable")
    axis.axvline(reference.joint_error, color="#7F7F7F", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    optimum = rows.joint_error[rows.policy == "optimal"]
    if len(optimum):
        axis.axvline(optimum.iloc[0], color="black", linewidth=1, linestyle=(0, (1, 2)), zorder=0)
    beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": "right", "fontsize": 8.5}
    axis.annotate("µg/m³", (1.12, len(rows) - 0.35), color="#777777", **beside)
    if len(optimum):
        axis.annotate("regret", (1.30, len(rows) - 0.35), color="#777777", **beside)
    for place, (_, row) in enumerate(rows.iterrows()):
        _, colour, mark = KINDS[kind(row.policy)]
        axis.plot([row.joint_error_low, row.joint_error_high], [place] * 2, color=colour, linewidth=1.2, alpha=0.5)
        paired = [reference.joint_error + x for x in (row.difference_low, row.difference_high)]
        axis.plot(paired, [place] * 2, color=colour, linewidth=4, alpha=0.55, solid_capstyle="butt")
        axis.plot(row.joint_error, place, marker=mark, color=colour, markersize=6.5, markeredgecolor="white")
        axis.annotate(f"{row.joint_error:.2f}", (1.12, place), color="#333333", **beside)
        if not math.isnan(row.regret_percent) and row.policy != "optimal":
            axis.annotate(f"{row.regret_percent:+.1f} %", (1.30, place), color="#777777", **beside)
    axis.set_yticks(range(len(rows)), list(rows.policy))
    for tick, policy in zip(axis.get_yticklabels(), rows.policy, strict=True):
        tick.set_color(KINDS[kind(policy)][1] if kind(policy) != "yardstick" else "#333333")
        tick.set_fontweight("bold" if kind(policy) == "dqn" else "normal")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.set_ylim(len(rows) - most - 0.6, len(rows) - 0.4)  # rows stand level from panel to panel
    axis.set_xlabel("joint error [µg/m³], less is better")
    axis.set_title(env_id.rpartition("/")[2], fontweight="bold", loc="left")
