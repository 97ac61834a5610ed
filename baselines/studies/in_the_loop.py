"""What it costs a policy to see a forecast of the level instead of the level, on real levels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.datasets import load_pku2018
from aq_gym.envs.forecast_level import ForecastLevelVector
from aq_gym.problem import Problem
from aq_gym.traces import level_trace, windows
from baselines.evaluation import build_policy
from baselines.playing import problem_of
from baselines.studies.backtest.replaying import replay
from baselines.studies.backtest.scores import change
from baselines.studies.tables import interval, markdown

ENV = "MultiDevice-v0"
WORDS = ("staggered", "greedy", "index", "pretrained")
KNOWN, PERSISTENCE = "level known", "persistence"


def one_slot_ahead(medians: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) forecasts for each slot, made in the slot before it; persistence where there is no history yet.

    ``medians`` (T,) are the forecasts made from each slot, NaN where the history is too short; ``level`` is the area's.
    """
    made = np.where(np.isnan(medians), level, medians)
    return np.concatenate([level[:1], made[:-1]])


def play(
    policy: Any, problem: Problem, levels: NDArray[np.int64], seen: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """(K,) average joint errors on level paths (K, T + 1) of indices, where the policy sees levels (K, T + 1)."""
    if seen is None:
        return replay(policy, problem, levels).joint_error
    wrap = lambda env: ForecastLevelVector(env, lambda reported: seen[:, reported.shape[1]])  # noqa: E731
    return replay(policy, problem, levels, wrap).joint_error


def costs(medians: Mapping[str, NDArray[np.float64]], level: NDArray[np.float64], seed: int = 0) -> pd.DataFrame:
    """Policies of MultiDevice-v0 on the windows of pku2018's summer, side by side.

    Args:
        medians: (T,) forecasts one slot ahead from every slot of the summer, by forecaster [µg/m³].
        level: (T,) the summer's level [µg/m³].
        seed: of the intervals, which come from blocks of five windows.

    Returns:
        A row for each policy and source of the level: ``error`` [µg/m³], and by how many per cent it is above that
        with the level known: ``cost`` with ``_low`` and ``_high``, paired.
    """
    problem = problem_of(ENV)
    trace = level_trace(problem.network, load_pku2018()[0][1]).levels
    slots = windows(len(trace), problem.horizon)[:, None] + np.arange(problem.horizon + 1)
    forecasts = {PERSISTENCE: np.full(len(level), np.nan), **medians}
    seen = {name: one_slot_ahead(x, level)[slots] for name, x in forecasts.items()}
    rows = []
    for word in WORDS:
        policy = build_policy(word, problem)[0]
        base = play(policy, problem, trace[slots], None)
        rows.append((word, KNOWN, base.mean(), 0.0, 0.0, 0.0))
        for name, levels in seen.items():
            errors = play(policy, problem, trace[slots], levels)
            rows.append((word, name, errors.mean(), *change(errors, base, seed)))
    return pd.DataFrame(rows, columns=["policy", "level", "error", "cost", "cost_low", "cost_high"])


def cost_markdown(table: pd.DataFrame) -> str:
    """The table in Markdown."""
    rows: list[Sequence[str]] = []
    for x in table.itertuples():
        cost = "" if x.level == KNOWN else interval(x, "cost", "+")
        rows.append((x.policy, x.level, f"{x.error:.3f}", cost))
    return markdown(("policy", "what it sees", "joint error [µg/m³]", "cost of not knowing the level [%]"), rows)
