"""Figure 9: the optimum of one device on the real air, beside uniform sensing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aq_gym.problem import Problem
from aq_gym.traces import level_windows
from baselines.backtest import replay
from baselines.dynamic_programming import solve
from baselines.evaluation import mean_with_interval
from baselines.policies import Staggered
from scripts.paper.figure import COLOURS, Claim, Context, Figure

DEVICE, MAX_SLEEP = 0, 24


def make(context: Context) -> Figure:
    """Play both on every window of the real trace; show the liveliest day."""
    horizon, budget = context.pick((144, 24), (24, 4))
    network = context.network
    problem = Problem.create(network, [DEVICE], horizon, budget, MAX_SLEEP)
    optimum = solve(network, DEVICE, horizon, budget, MAX_SLEEP)
    uniform = Staggered(problem)
    paths = level_windows(network, context.data[0], horizon)
    paths = paths[: context.pick(len(paths), 40)]
    played = {name: replay(policy, problem, paths) for name, policy in (("uniform", uniform), ("optimum", optimum))}
    errors = {name: record.joint_error for name, record in played.items()}
    levels = np.asarray(network.levels)[paths]
    change = np.abs(np.diff(levels, axis=1))  # (K, T), into slots 1..T
    less = errors["uniform"] - errors["optimum"]
    moved = change.sum(axis=1)
    lively_ones = np.flatnonzero(moved >= np.quantile(moved, 0.75))
    shown = int(lively_ones[np.abs(less[lively_ones] - less[lively_ones].mean()).argmin()])
    marks = {name: record.sensed[..., 0] for name, record in played.items()}
    gain = [-x for x in mean_with_interval(errors["optimum"] - errors["uniform"], seed=context.seed)]
    unit = 100.0 / errors["uniform"].mean()
    gain_text = f"{unit * gain[0]:.1f} % [{unit * gain[2]:.1f}, {unit * gain[1]:.1f}]"
    lively = {name: change[marks[name]].mean() / change[~marks[name]].mean() for name in marks}
    trace = pd.DataFrame(
        {
            "slot": np.arange(horizon + 1),
            "level": levels[shown],
            **{name: np.concatenate([[False], marks[name][shown]]) for name in marks},
        }
    )
    scores = pd.DataFrame({"window": np.arange(len(paths)), **errors})
    one = {name: float(errors[name][shown]) for name in errors}
    return Figure(
        9,
        "One device on the real air: the optimum and uniform sensing",
        f"device {DEVICE}, T = {horizon}, B = {budget}, D = {MAX_SLEEP}; {len(paths)} windows of both files, the level "
        "in bins of 10 µg/m³",
        (
            Claim(
                "the optimum senses more often while the air changes rapidly",
                f"the level moves {lively['optimum']:.1f} times as much into a slot in which the optimum senses as "
                f"into others; under uniform sensing {lively['uniform']:.1f} times",
                bool(lively["optimum"] > 1.2 * lively["uniform"]),
            ),
            Claim(
                "the optimum has the lower average joint error",
                f"{errors['optimum'].mean():.2f} instead of {errors['uniform'].mean():.2f} µg/m³ over all windows, "
                f"{gain_text} less; in the window shown {one['optimum']:.2f} instead of {one['uniform']:.2f}",
                gain[2] > 0,
            ),
        ),
        {"": trace, "windows": scores},
        lambda plt: _draw(plt, trace, one),
        (
            "Shown is, of the liveliest quarter of the windows, the one whose gain is nearest to their mean. The "
            "optimum is that of the fitted level chain; the real air follows it only roughly. The interval takes the "
            "windows for independent.",
        ),
    )


def _draw(plt: Any, trace: pd.DataFrame, error: dict[str, float]) -> Any:
    figure, at = plt.subplots(figsize=(10, 4.5), layout="constrained")
    for slot in trace.slot[trace.uniform]:
        at.axvline(slot, color="#BBBBBB", lw=1)
    at.plot(trace.slot, trace.level, color=COLOURS[2], lw=1.4, drawstyle="steps-mid", label="level")
    sensed = trace[trace.optimum]
    at.plot(
        sensed.slot,
        sensed.level,
        "|",
        ms=18,
        mew=2.2,
        color=COLOURS[1],
        label=f"optimum senses: {error['optimum']:.2f} µg/m³",
    )
    at.plot([], [], color="#BBBBBB", label=f"uniform senses: {error['uniform']:.2f} µg/m³")
    at.set(xlabel="slot of 10 minutes", ylabel="level [µg/m³]", xlim=(0, trace.slot.iloc[-1]))
    at.legend(frameon=False)
    return figure
