"""How scripts.benchmark shows what it found: tables in the terminal, a CSV file, a picture."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap, trim_mean

from agents import TensorBoardLogger
from aq_gym.network import write_atomically
from scripts.benchmark_jobs import Plan
from scripts.benchmark_jobs import label as _name

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


def over_seeds(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """What training seeds change: one row a task and learner, and one a learner over all tasks together.

    Of several tasks the errors are those over the first policy's (staggered by default) on the same task. The
    interquartile mean leaves out a quarter at either end, rounded down: nothing below four seeds. Its 95 % interval
    comes from resampling the seeds of each task by themselves (stratified bootstrap, Agarwal et al. 2021).

    Args:
        table: rows as `scripts.benchmark_jobs.evaluate_task` makes them, of one task or several.
        seed: of the resampling.

    Returns:
        Columns env_id ("all" for the tasks together), policy, seeds, iqm, iqm_low, iqm_high, lowest, highest.
    """
    learners = [name for name in dict.fromkeys(table.policy) if kind(name) in ("dqn", "sb3")]
    rows = []
    for policy in learners:
        relative = []
        for env_id, task in table.groupby("env_id", sort=False):
            errors = np.array([float(x) for x in str(task.seed_errors[task.policy == policy].item()).split()])
            relative.append(errors / task.joint_error.iloc[0])
            rows.append((env_id, policy, len(errors), *_interquartile_mean([errors], seed), errors.min(), errors.max()))
        if len(relative) > 1:
            ends = np.min(relative), np.max(relative)
            rows.append(("all", policy, len(relative[0]), *_interquartile_mean(relative, seed), *ends))
    columns = ["env_id", "policy", "seeds", "iqm", "iqm_low", "iqm_high", "lowest", "highest"]
    return pd.DataFrame(rows, columns=columns)


def _interquartile_mean(strata: Sequence[NDArray[np.float64]], seed: int) -> tuple[float, float, float]:
    def statistic(*samples: NDArray[np.float64], axis: int = -1) -> Any:
        return trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)

    mean = float(statistic(*strata))
    if min(len(x) for x in strata) < 2:
        return mean, math.nan, math.nan
    if all(np.ptp(x) == 0 for x in strata):
        return mean, mean, mean
    rng = np.random.default_rng(seed)
    interval = bootstrap(strata, statistic, vectorized=True, n_resamples=2000, method="percentile", rng=rng)
    return mean, float(interval.confidence_interval.low), float(interval.confidence_interval.high)


def show_seeds(console: Console, table: pd.DataFrame, seeds: int) -> None:
    """Print what `over_seeds` found."""
    shown = Table(title=f"over {seeds} training seeds", box=box.SIMPLE_HEAD, padding=0, title_style="bold")
    shown.add_column("task", no_wrap=True)
    shown.add_column("policy", no_wrap=True)
    for heading in ("interquartile mean\nµg/m³", "lowest", "highest"):
        shown.add_column(heading, justify="right")
    for _, row in table.iterrows():
        task = "all, over the first policy's" if row.env_id == "all" else row.env_id
        cells = f"{row.iqm:.3f} [{row.iqm_low:.3f}, {row.iqm_high:.3f}]", f"{row.lowest:.3f}", f"{row.highest:.3f}"
        shown.add_row(task, row.policy, *cells, style="bold" if kind(row.policy) == "dqn" else None)
    console.print(shown, "")


class Curve(NamedTuple):
    """A training's validation errors."""

    decisions: NDArray[np.float64]  # (n,) where
    seconds: NDArray[np.float64]  # (n,) of training, validation left out
    errors: NDArray[np.float64]  # (n,) [µg/m³]


def read_curve(folder: Path) -> Curve:
    """The curve ``eval/joint_error`` of a TensorBoard run; empty where it has none."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    run.Reload()
    if "eval/joint_error" not in run.Tags()["scalars"]:
        return Curve(*(np.zeros(0) for _ in Curve._fields))
    found, seconds = run.Scalars("eval/joint_error"), run.Scalars("time/training_seconds")
    return Curve(*np.array([(x.step, y.value, x.value) for x, y in zip(found, seconds, strict=True)], float).T)


def band(curves: Sequence[Curve], axis: str, points: int = 100) -> NDArray[np.float64] | None:
    """(4, points): where all curves are known, by "decisions" or "seconds", and their mean, lowest and highest there.

    None if there is no such stretch.
    """
    places = [getattr(curve, axis) for curve in curves]
    if not places or min(len(x) for x in places) == 0:
        return None
    first, last = max(x[0] for x in places), min(x[-1] for x in places)
    if first > last:
        return None
    at = np.linspace(first, last, points)
    values = np.array([np.interp(at, x, curve.errors) for x, curve in zip(places, curves, strict=True)])
    return np.stack([at, values.mean(0), values.min(0), values.max(0)])


def draw_curves(plan: Plan, finished: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Write curves.png: each learner's validation error over decisions and over seconds, with a band over its seeds.

    Of several seeds TensorBoard gets the mean, the lowest and the highest curve, as runs of their own.

    Args:
        plan: whose folder holds the runs.
        finished: the trainings of each learner of each task.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    colours = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00"]
    figure, panels = plt.subplots(
        2, len(finished), figsize=(0.6 + 4.6 * len(finished), 6.0), squeeze=False, layout="constrained"
    )
    for column, (env_id, learners) in enumerate(finished.items()):
        late: list[float] = []  # the start of a curve would flatten the rest
        for number, (learner, runs) in enumerate(learners.items()):
            curves = [read_curve(plan.place(env_id, run)) for run in runs]
            late += [x for curve in curves for x in curve.errors[len(curve.errors) // 3 :]]
            for row, name in enumerate(("decisions", "seconds")):
                found = band(curves, name)
                if found is None:
                    continue
                at, mean, low, high = found
                colour = colours[number % len(colours)]
                panels[row, column].plot(at, mean, color=colour, label=_name(learner), linewidth=1.6)
                panels[row, column].fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
                if name == "decisions" and len(runs) > 1:
                    _log_band(plan.place(env_id), learner, found)
        for row, name in enumerate(("decisions and pairs", "seconds of training")):
            axis = panels[row, column]
            axis.set_xlabel(name)
            if late:
                room = 0.1 * (max(late) - min(late)) or 0.1
                axis.set_ylim(min(late) - room, max(late) + room)
            axis.grid(color="#E6E6E6", linewidth=0.8)
            axis.spines[["top", "right"]].set_visible(False)
        panels[0, column].set_title(env_id.rpartition("/")[2], fontweight="bold", loc="left")
    known = {text: line for panel in panels.flat for line, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    if known:
        figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=len(known), frameon=False)
    for row in range(2):
        panels[row, 0].set_ylabel("joint error [µg/m³]")
    figure.suptitle(
        f"validation while training, mean and range of {plan.training_seeds} seed(s); our DQN's is exact where the "
        "task is small enough, SB3's on episodes with weather of their own: compare shapes there, not heights",
        fontsize=10,
        color="#444444",
    )
    drawn = BytesIO()
    figure.savefig(drawn, dpi=140, format="png", facecolor="white")
    plt.close(figure)
    write_atomically(plan.folder / "curves.png", drawn.getvalue())


def _log_band(folder: Path, learner: str, found: NDArray[np.float64]) -> None:
    for name, values in zip(("mean", "lowest", "highest"), found[1:], strict=True):
        run = folder / f"{learner}-{name}"
        if run.exists():
            shutil.rmtree(run)
        with TensorBoardLogger(run) as log:
            for at, value in zip(found[0], values, strict=True):
                log.scalar("eval/joint_error", float(value), int(at))


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
