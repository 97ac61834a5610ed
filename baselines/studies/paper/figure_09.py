"""Figure 9: the optimum of one device on the real air, beside uniform sensing."""

from typing import Any

import numpy as np
import pandas as pd

from aq_gym.palette import PALETTE
from aq_gym.problem import Problem
from aq_gym.traces import level_windows
from baselines.evaluation import mean_with_interval
from baselines.exact.one_device import solve
from baselines.heuristics.simple import Staggered
from baselines.studies.backtest.replaying import replay
from baselines.studies.paper.report import Claim, Context, Figure

DEVICE, MAX_SLEEP = 0, 24


def make(context: Context) -> Figure:
    """Play both policies on every window of the real readings; draw one lively window."""
    horizon, budget = context.pick((144, 24), (24, 4))
    network = context.network
    problem = Problem.create(network, [DEVICE], horizon, budget, MAX_SLEEP)
    paths = level_windows(network, context.data[0], horizon)
    paths = paths[: context.pick(len(paths), 40)]
    policies = {"uniform": Staggered(problem), "optimum": solve(network, DEVICE, horizon, budget, MAX_SLEEP)}
    played = {name: replay(policy, problem, paths) for name, policy in policies.items()}
    errors = {name: record.joint_error for name, record in played.items()}
    sensed = {name: record.sensed[..., 0] for name, record in played.items()}  # (K, T)
    levels = np.asarray(network.levels)[paths]
    change = np.abs(np.diff(levels, axis=1))  # (K, T), into slots 1..T
    ratio = {name: change[on].mean() / change[~on].mean() for name, on in sensed.items()}
    gains = errors["uniform"] - errors["optimum"]
    moved = change.sum(axis=1)
    lively = np.flatnonzero(moved >= np.quantile(moved, 0.75))
    example = int(lively[np.abs(gains[lively] - gains[lively].mean()).argmin()])
    trace = pd.DataFrame({"slot": np.arange(horizon + 1), "level": levels[example]})
    trace = trace.assign(**{name: np.append(False, on[example]) for name, on in sensed.items()})
    one = {name: float(x[example]) for name, x in errors.items()}
    gain, low, high = (100.0 * x / errors["uniform"].mean() for x in mean_with_interval(gains, seed=context.seed))
    return Figure(
        9,
        "One device on the real air: the optimum and uniform sensing",
        f"device {DEVICE}, T = {horizon}, B = {budget}, D = {MAX_SLEEP}; {len(paths)} windows of both files, the level "
        "in bins of 10 µg/m³; uniform: staggered sensing",
        (
            Claim(
                "the optimum senses more often while the air changes rapidly",
                f"the level moves {ratio['optimum']:.1f} times as much into a slot in which the optimum senses as "
                f"into others; under uniform sensing {ratio['uniform']:.1f} times",
                bool(ratio["optimum"] > 1.2 * ratio["uniform"]),
            ),
            Claim(
                "the optimum has the lower average joint error",
                f"{errors['optimum'].mean():.2f} instead of {errors['uniform'].mean():.2f} µg/m³ over all windows, "
                f"{gain:.1f} % [{low:.1f}, {high:.1f}] less; in the window of the picture {one['optimum']:.2f} instead "
                f"of {one['uniform']:.2f}",
                low > 0,
            ),
        ),
        {"": trace, "windows": pd.DataFrame({"window": np.arange(len(paths)), **errors})},
        lambda plt: _draw(plt, trace, one),
        (
            "The picture shows one window of the liveliest quarter: the one whose gain is nearest to their mean. The "
            "optimum is that of the fitted level chain; the real air follows it only roughly. The interval takes the "
            "windows for independent.",
        ),
    )


def _draw(plt: Any, trace: pd.DataFrame, error: dict[str, float]) -> Any:
    figure, at = plt.subplots(figsize=(10, 4.5), layout="constrained")
    label = {name: f"{name} senses: {x:.2f} µg/m³" for name, x in error.items()}
    for slot in trace.slot[trace.uniform]:
        at.axvline(slot, color="#BBBBBB", lw=1)
    at.plot(trace.slot, trace.level, color=PALETTE[0], lw=1.4, drawstyle="steps-mid", label="level")
    on = trace[trace.optimum]
    at.plot(on.slot, on.level, "|", ms=18, mew=2.2, color=PALETTE[3], label=label["optimum"])
    at.plot([], [], color="#BBBBBB", label=label["uniform"])
    at.set(xlabel="slot of 10 minutes", ylabel="level [µg/m³]", xlim=(0, trace.slot.iloc[-1]))
    at.legend(frameon=False)
    return figure
