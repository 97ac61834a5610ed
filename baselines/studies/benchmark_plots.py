"""The benchmark's pictures: errors with intervals (benchmark.png) and learning curves (curves.png)."""

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
    for column, (env_id, learners) in zip(panels.T, read.items(), strict=True):
        for number, (learner, curves) in enumerate(learners.items()):
            for panel, axis in zip(column, ("decisions", "seconds"), strict=True):
                _draw_learner(panel, curves, axis, label(learner), number)
            found = band(curves, "decisions")
            if found is not None and len(curves) > 1:
                _log_band(plan.place(env_id), learner, found)
        runs = {word: plan.place(env_id, word) for word in LINES if plan.place(env_id, word).is_dir()}
        lines = {word: float(x[0]) for word, run in runs.items() if len(x := read_curve(run).errors)}
        every = [curve.errors for curves in learners.values() for curve in curves if len(curve.errors)]
        heights = np.concatenate(
            [*(x[len(x) // 3 :] for x in every), list(lines.values())]
        )  # not a curve's steep start
        room = 0.08 * float(np.ptp(heights)) or 0.1
        for panel in column:
            for word, error in lines.items():
                panel.axhline(error, color=INK, linewidth=1.1, linestyle=DASHES[word], label=word, zorder=1)
            panel.set(ylim=(heights.min() - room, heights.max() + room), xlim=(min(0.0, panel.get_xlim()[0]), None))
            panel.xaxis.set_major_locator(plt.MaxNLocator(5))
            panel.grid(color=FAINT, linewidth=0.8)
            panel.spines[["top", "right"]].set_visible(False)
        column[0].set(xlabel="decisions and pairs")
        column[0].set_title(env_id.rpartition("/")[2], fontweight="bold", loc="left")
        column[0].xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
        column[1].set(xlabel="seconds of training")
    for panel in panels[:, 0]:
        panel.set_ylabel("joint error [µg/m³]")
    known = {text: mark for panel in panels.flat for mark, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=max(3, 4 * len(read)), frameon=False)
    seeds = f", mean and range of {plan.training_seeds} seeds" if plan.training_seeds > 1 else ""
    title = f"validation while training{seeds}:\nthe same episodes for all of a task"
    figure.suptitle(title, fontsize=10, color=MUTED)
    path = plan.folder / "curves.png"
    save_figure(path, figure, dpi=140)
    return path


def _draw_learner(panel: Any, curves: Sequence[Curve], axis: str, name: str, number: int) -> None:
    """A learner's mean and range; without a stretch that all seeds know, its validations as they are."""
    style: dict[str, Any] = {"color": LEARNERS[number % len(LEARNERS)], "marker": MARKERS[number % len(MARKERS)]}
    style |= {"markersize": 4, "linewidth": 1.6, "label": name, "zorder": 3}
    found = band(curves, axis)
    if found is None or found[0, 0] == found[0, -1] or len(curves) == 1:
        for curve in curves:
            panel.plot(getattr(curve, axis), curve.errors, **style)
        return
    at, mean, low, high = found
    panel.plot(at, mean, markevery=20, **style)
    panel.fill_between(at, low, high, color=style["color"], alpha=0.2, linewidth=0, zorder=2)


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
    columns = len(tasks) if len(tasks) < 4 else 2
    lines = -(-len(tasks) // columns)
    size = 1.6 + 5.2 * columns, 2.0 + lines * (0.6 + 0.36 * most)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.18, h_pad=0.08)
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    for axis, (env_id, rows) in zip(axes.flat, tasks, strict=False):
        _panel(axis, env_id, rows)
    line = plt.Line2D
    marks = [KINDS[name] for name in KINDS if any(kind(policy) == name for policy in table.policy)]
    handles = [line([], [], color=colour, marker=mark, linestyle="", label=name) for name, colour, mark in marks]
    for width, name in ((4, f"95 %, difference to {table.policy.iloc[0]}"), (1.2, "95 %, mean over episodes")):
        handles.append(line([], [], color=MUTED, linewidth=width, label=name))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3 if columns == 2 else 2 * columns, frameon=False, fontsize=9
    )
    figure.suptitle(textwrap.fill(caption, 90 * columns - 10), fontsize=9, color=MUTED)
    save_figure(path, figure, dpi=160)


def _panel(axis: Any, env_id: str, rows: pd.DataFrame) -> None:
    reference, rows = rows.iloc[0], rows.sort_values("joint_error", ascending=False, kind="stable")
    axis.axvline(reference.joint_error, color=QUIET, linewidth=1, linestyle=DASHES["staggered"], zorder=0)
    beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8.5}
    for place, row in enumerate(rows.itertuples()):
        _, colour, mark = KINDS[kind(row.policy)]
        axis.plot([row.joint_error_low, row.joint_error_high], [place] * 2, color=colour, linewidth=1.2, alpha=0.6)
        paired = [reference.joint_error + x for x in (row.difference_low, row.difference_high)]
        axis.plot(paired, [place] * 2, color=colour, linewidth=4, alpha=0.55, solid_capstyle="butt")
        axis.plot(row.joint_error, place, marker=mark, color=colour, markersize=6.5, markeredgecolor="white")
        regret = "" if math.isnan(row.regret_percent) or row.policy == "optimal" else f", +{row.regret_percent:.2f} %"
        axis.annotate(f"{row.joint_error:.2f}{regret}", (1.02, place), color=INK, **beside)
    axis.set_yticks(range(len(rows)), list(rows.policy))
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=FAINT, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_xlabel("joint error [µg/m³], and regret; less is better")
    axis.set_title(env_id.rpartition("/")[2], fontweight="bold", loc="left")
