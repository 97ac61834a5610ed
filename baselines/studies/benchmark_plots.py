"""The benchmark's pictures: errors with intervals (benchmark.png) and learning curves (curves.png)."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents import TensorBoardLogger
from aq_gym.palette import BLACK, BLUE, FAINT, GREEN, INK, MARKERS, MUTED, ORANGE, PURPLE, QUIET, SKY, VERMILION
from baselines.studies.benchmark import LINES, Plan, label
from baselines.studies.files import pyplot, save_figure

KINDS = {
    "optimal": ("optimal policy", BLACK, "D"),
    "dqn": ("our DQN, trained here", VERMILION, "o"),
    "sb3": ("Stable-Baselines3, trained here", BLUE, "s"),
    "yardstick": ("the others", QUIET, "v"),
}
LEARNERS = (VERMILION, BLUE, GREEN, PURPLE, ORANGE, SKY)
DASHES = {"staggered": (0, (4, 3)), "greedy": (0, (1, 1.5)), "index": (0, (5, 2, 1, 2)), "optimal": "solid"}


def kind(policy: str) -> str:
    """Which of `KINDS` a row of the table is."""
    if policy == "optimal":
        return policy
    return "dqn" if policy == "DQN" else "sb3" if policy.startswith("SB3") else "yardstick"


class Curve(NamedTuple):
    """A training's validation errors."""

    decisions: NDArray[np.float64]  # (n,) where
    seconds: NDArray[np.float64]  # (n,) of training
    errors: NDArray[np.float64]  # (n,) [µg/m³]


def read_curve(folder: Path) -> Curve:
    """The curve ``eval/joint_error`` of a TensorBoard run; empty where it has none."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    run.Reload()
    tags = run.Tags()["scalars"]
    found = run.Scalars("eval/joint_error") if "eval/joint_error" in tags else []
    timed = run.Scalars("time/training_seconds") if "time/training_seconds" in tags else []
    seconds = {x.step: x.value for x in timed}
    rows = [(x.step, seconds.get(x.step, math.nan), x.value) for x in found if math.isfinite(x.value)]
    return Curve(*np.array(rows, float).reshape(-1, 3).T)


def band(curves: Sequence[Curve], axis: str, points: int = 100) -> NDArray[np.float64] | None:
    """(4, points): where all curves are known, by "decisions" or "seconds", and their mean, lowest and highest there.

    None if there is no such stretch.
    """
    places = [getattr(curve, axis) for curve in curves]
    if not places or min(len(x) for x in places) == 0:
        return None
    first, last = max(x[0] for x in places), min(x[-1] for x in places)
    if not first <= last:
        return None
    at = np.linspace(first, last, points)
    values = np.array([np.interp(at, x, curve.errors) for x, curve in zip(places, curves, strict=True)])
    return np.stack([at, values.mean(0), values.min(0), values.max(0)])


def draw_curves(plan: Plan, finished: Mapping[str, Mapping[str, Sequence[str]]]) -> Path | None:
    """Write curves.png: each learner's validation error over decisions and over seconds, with a band over its seeds.

    Tasks without a single validation are left out; where there is none at all, nothing is written. Of several seeds
    TensorBoard gets the mean, the lowest and the highest curve, as runs of their own.

    Args:
        plan: whose folder holds the runs.
        finished: the trainings of each learner of each task.

    Returns:
        The file, or None.
    """
    read = {
        env_id: {learner: [read_curve(plan.place(env_id, run)) for run in runs] for learner, runs in learners.items()}
        for env_id, learners in finished.items()
    }
    read = {env_id: x for env_id, x in read.items() if any(len(c.errors) for curves in x.values() for c in curves)}
    if not read:
        return None
    plt = pyplot()
    size = 1.0 + 4.4 * len(read), 6.4
    figure, panels = plt.subplots(2, len(read), figsize=size, squeeze=False, sharey="col", layout="constrained")
    for column, (env_id, learners) in enumerate(read.items()):
        for number, (learner, curves) in enumerate(learners.items()):
            for panel, axis in zip(panels[:, column], ("decisions", "seconds"), strict=True):
                _draw_learner(panel, curves, axis, label(learner), number)
            found = band(curves, "decisions")
            if found is not None and len(curves) > 1:
                _log_band(plan.place(env_id), learner, found)
        lines = {
            word: read_curve(plan.place(env_id, word)).errors for word in LINES if plan.place(env_id, word).is_dir()
        }
        lines = {word: float(errors[0]) for word, errors in lines.items() if len(errors)}
        every = [curve.errors for curves in learners.values() for curve in curves if len(curve.errors)]
        late = np.concatenate([x[len(x) // 3 :] for x in every])  # the start of a curve would flatten the rest
        for panel in panels[:, column]:
            for word, error in lines.items():
                panel.axhline(error, color=INK, linewidth=1.1, linestyle=DASHES[word], label=word, zorder=1)
            _set_limits(panel, [*late, *lines.values()])
            panel.xaxis.set_major_locator(plt.MaxNLocator(5))
            panel.grid(color=FAINT, linewidth=0.8)
            panel.spines[["top", "right"]].set_visible(False)
        panels[0, column].xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
        panels[0, column].set_xlabel("decisions and pairs")
        panels[1, column].set_xlabel("seconds of training")
        panels[0, column].set_title(env_id.rpartition("/")[2], fontweight="bold", loc="left")
    for panel in panels[:, 0]:
        panel.set_ylabel("joint error [µg/m³]")
    known = {text: mark for panel in panels.flat for mark, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    columns = min(len(known), max(3, 4 * len(read)))
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=columns, frameon=False)
    seeds = f", mean and range of {plan.training_seeds} seeds" if plan.training_seeds > 1 else ""
    title = f"validation while training{seeds}:{' ' if len(read) > 1 else chr(10)}the same episodes for all of a task"
    figure.suptitle(title, fontsize=10, color=MUTED)
    path = plan.folder / "curves.png"
    save_figure(path, figure, dpi=140)
    return path


def _draw_learner(panel: Any, curves: Sequence[Curve], axis: str, name: str, number: int) -> None:
    """A learner's mean and range; without a stretch that all seeds know, its validations as they are."""
    colour, mark = LEARNERS[number % len(LEARNERS)], MARKERS[number % len(MARKERS)]
    style: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 4, "zorder": 3}
    found = band(curves, axis)
    if found is None or found[0, 0] == found[0, -1] or len(curves) == 1:
        for curve in curves:
            panel.plot(getattr(curve, axis), curve.errors, linewidth=1.6, label=name, **style)
        return
    at, mean, low, high = found
    panel.plot(at, mean, linewidth=1.6, label=name, markevery=20, **style)
    panel.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)


def _set_limits(panel: Any, errors: Sequence[float]) -> None:
    room = 0.08 * (max(errors) - min(errors)) or 0.1
    panel.set_ylim(min(errors) - room, max(errors) + room)
    low, high = panel.get_xlim()
    panel.set_xlim(min(0.0, low), high)


def _log_band(folder: Path, learner: str, found: NDArray[np.float64]) -> None:
    for name, values in zip(("mean", "lowest", "highest"), found[1:], strict=True):
        run = folder / f"{learner}-{name}"
        if run.exists():
            shutil.rmtree(run)
        with TensorBoardLogger(run) as log:
            for at, value in zip(found[0], values, strict=True):
                log.scalar("eval/joint_error", float(value), int(at))


def draw(path: Path, table: pd.DataFrame, caption: str) -> None:
    """One panel a task: joint errors, sorted, with two intervals: of the mean, and of the difference to the first."""
    plt = pyplot()
    tasks = [(env_id, rows) for env_id, rows in table.groupby("env_id", sort=False)]
    most = max(len(rows) for _, rows in tasks)
    names = [name for name in KINDS if any(kind(policy) == name for policy in table.policy)]
    n_columns = min(len(names) + 2, 2 * len(tasks))
    size = 1.6 + 5.2 * len(tasks), 2.1 + 0.36 * most + 0.25 * math.ceil((len(names) + 2) / n_columns)
    figure, axes = plt.subplots(1, len(tasks), figsize=size, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.18, h_pad=0.08)
    for axis, (env_id, rows) in zip(axes[0], tasks, strict=True):
        _panel(axis, env_id, rows, most)
    line = plt.Line2D
    handles = [line([], [], color=KINDS[x][1], marker=KINDS[x][2], linestyle="", label=KINDS[x][0]) for x in names]
    handles += [
        line([], [], color=MUTED, linewidth=4, label=f"95 %, difference to {table.policy.iloc[0]}"),
        line([], [], color=MUTED, linewidth=1.2, alpha=0.6, label="95 %, mean over episodes"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=n_columns, frameon=False, fontsize=9)
    figure.suptitle(textwrap.fill(caption, 90 * len(tasks) - 10), fontsize=9, color=MUTED)
    save_figure(path, figure, dpi=160)


def _panel(axis: Any, env_id: str, rows: pd.DataFrame, most: int) -> None:
    reference = rows.iloc[0]
    rows = rows.sort_values("joint_error", ascending=False, kind="stable")
    axis.axvline(reference.joint_error, color=QUIET, linewidth=1, linestyle=DASHES["staggered"], zorder=0)
    optimum = rows.joint_error[rows.policy == "optimal"]
    if len(optimum):
        axis.axvline(optimum.iloc[0], color=BLACK, linewidth=1, linestyle=DASHES["greedy"], zorder=0)
    beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": "right", "fontsize": 8.5}
    axis.annotate("µg/m³", (1.13, len(rows) - 0.35), color=MUTED, **beside)
    if len(optimum):
        axis.annotate("regret", (1.33, len(rows) - 0.35), color=MUTED, **beside)
    for place, (_, row) in enumerate(rows.iterrows()):
        _, colour, mark = KINDS[kind(row.policy)]
        axis.plot([row.joint_error_low, row.joint_error_high], [place] * 2, color=colour, linewidth=1.2, alpha=0.6)
        paired = [reference.joint_error + x for x in (row.difference_low, row.difference_high)]
        axis.plot(paired, [place] * 2, color=colour, linewidth=4, alpha=0.55, solid_capstyle="butt")
        axis.plot(row.joint_error, place, marker=mark, color=colour, markersize=6.5, markeredgecolor="white")
        axis.annotate(f"{row.joint_error:.2f}", (1.13, place), color=INK, **beside)
        if not math.isnan(row.regret_percent) and row.policy != "optimal":
            axis.annotate(f"{row.regret_percent:.2f} %", (1.33, place), color=MUTED, **beside)
    axis.set_yticks(range(len(rows)), list(rows.policy))
    for tick, policy in zip(axis.get_yticklabels(), rows.policy, strict=True):
        tick.set_color(KINDS[kind(policy)][1] if kind(policy) != "yardstick" else INK)
        tick.set_fontweight("bold" if kind(policy) == "dqn" else "normal")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=FAINT, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_ylim(len(rows) - most - 0.6, len(rows) - 0.4)  # rows stand level from panel to panel
    axis.set_xlabel("joint error [µg/m³], less is better")
    axis.set_title(env_id.rpartition("/")[2], fontweight="bold", loc="left")
