"""The backtest where the level is hidden: weeks of real air, known from the devices' reports alone.

A sensing device reports u = max(x / φ, 1), its reading over what its location has of the level on average. The map is
made of the ages and records of the reports (`aq_gym.hidden_level`) and compared with what all devices read. Tables,
findings and the page are computed from the numbers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.estimation import LEVELS_OF_COVERAGE, mean_deviation
from aq_gym.problem import Problem
from baselines.evaluation.registry import build_policy
from baselines.playing import play_problem
from baselines.studies.backtest.replaying import Windows, play_reports
from baselines.studies.backtest.scores import COVER, adapted_coverage, change, covered, judge, misses
from baselines.studies.tables import interval, markdown, text_table

STRIDE = 169  # slots between windows: no multiple of 2 or 3, since the readings are hourly at heart
EPISODES = 32  # in the model's own weather, of which the promise is the mean
HOUR = 6  # slots
ADAPTED = [f"adapted_{100 * x:.0f}" for x in LEVELS_OF_COVERAGE]  # names of the shares that adapted intervals cover
TOLERANCE = 3.0  # points by which an interval's coverage may be off
HEADS = (
    *("policy", "RMSE", "change %", "covered % of 50 / 90 / 95", "adapted"),
    *("claimed", "cost", "promised", "sensings"),
)


class Reports(NamedTuple):
    """What the server knows at the end of slots 1..T of K windows."""

    delay: NDArray[np.int64]  # (K, T, M) age of each device's last report [slots]
    record: NDArray[np.float64]  # (K, T, M) what it said of the level [µg/m³]
    sensings: float  # of a device in a window, mean


def replay_reports(policy: Any, problem: Problem, readings: NDArray[np.float64], seed: int = 0) -> Reports:
    """Play a policy on real air.

    Args:
        policy: as `aq_gym.policy.Policy`, of the sequential view.
        problem: with a hidden level, without harvest.
        readings: (K, T + 1, N) [µg/m³]; in slot 0 all devices report.
        seed: of the lost reports, which are the same for all policies.
    """
    own = np.array(problem.devices)
    said = np.maximum(readings[..., own] / (1.0 + mean_deviation(problem.network)[own]), 1.0)
    lost = np.random.default_rng(seed).random((len(readings), problem.horizon, len(own))) < problem.loss
    if hasattr(policy, "reset"):
        policy.reset(0)
    last, energy = play_reports(policy, problem, said, lost)
    delay = np.arange(1, problem.horizon + 1)[:, None] - last
    sensings = float((np.array(problem.energies) - energy).mean())
    return Reports(delay, np.take_along_axis(said, last, axis=1), sensings)


def backtest_reports(
    policies: Mapping[str, Any],
    problem: Problem,
    data: Windows,
    stride: int = STRIDE,
    seed: int = 0,
    watch: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Play policies on the same windows with the same lost reports.

    Args:
        policies: by name, or words; the first is the one that the others are compared to.
        problem: with a hidden level.
        data: windows of the problem's horizon.
        stride: between their first slots: windows that overlap are resampled together.
        seed: of lost reports, intervals, and the episodes in the model.

    Returns:
        One row per policy: ``policy``; what `judge` returns; ``adapted_50``, ``adapted_90``, ``adapted_95`` of
        `adapted_coverage`; ``change`` of the RMSE to the first in per cent with ``change_low`` and ``change_high``
        (paired); ``promised``, the average cost in the model's own weather; ``delivered``, the same average of claimed
        deviations on the real air; ``sensings``.
    """
    rows, first, block = [], None, -(-(problem.horizon + 1) // stride)
    for name, given in policies.items():
        watch(name)
        policy = build_policy(given, problem)[0] if isinstance(given, str) else given
        reports = replay_reports(policy, problem, data.readings, seed)
        maps = problem.hidden_level.estimate(problem.devices, reports.delay, reports.record)
        scores = judge(maps, data, problem.devices, seed, block)
        unseen = np.setdiff1d(np.arange(problem.n_locations), problem.devices)
        squares = np.square(maps.mean - data.readings[:, 1:])[..., unseen].mean(axis=(1, 2))
        adapted = adapted_coverage(problem, reports.delay, reports.record, maps, data)
        moved = (np.nan,) * 3 if first is None else rmse_change(squares, first, seed, block)
        first = squares if first is None else first
        rows.append(
            {"policy": name}
            | scores
            | dict(zip(ADAPTED, adapted, strict=True))
            | dict(zip(("change", "change_low", "change_high"), moved, strict=True))
            | {
                "promised": float(play_problem(policy, problem, EPISODES, seed).joint_error.mean()),
                "delivered": float(maps.deviation.mean()),
                "sensings": reports.sensings,
            }
        )
    return pd.DataFrame(rows)


def rmse_change(
    squares: NDArray[np.float64], base: NDArray[np.float64], seed: int, block: int
) -> tuple[float, float, float]:
    """By how many per cent the root of a mean of squares is above another's, and its 95 % interval, paired."""
    of_means = change(squares, base, seed, block)
    value, low, high = (100.0 * (np.sqrt(1.0 + x / 100.0) - 1.0) for x in of_means)
    return float(value), float(low), float(high)


def hourly_lines(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6,) how far a level (T,) runs from straight lines through every sixth slot, by the slot where they begin.

    Root mean squares [µg/m³]. Least at slot 0: the readings were interpolated between full hours, and noise added.
    """
    share, found = np.arange(1, HOUR) / HOUR, []
    for first in range(HOUR):
        hours = np.arange(first, len(level) - HOUR, HOUR)
        line = level[hours, None] * (1.0 - share) + level[hours + HOUR, None] * share
        found.append(float(np.sqrt(np.square(level[hours[:, None] + np.arange(1, HOUR)] - line).mean())))
    return np.array(found)


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
            against += f"; relay with even intervals begun anew after each loss: {again.change.iloc[0]:+.1f} %"
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
