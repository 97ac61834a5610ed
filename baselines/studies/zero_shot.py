"""The generalist on instances that it never saw, beside the index policy tuned there and the agent trained there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents import GreedyPolicy
from aq_gym.problem import Problem
from baselines.evaluation.comparing import mean_with_interval
from baselines.heuristics.index import Simulator
from baselines.heuristics.index_tuning import index_policy
from baselines.learners.compiled import compiled_error
from baselines.playing import problem_of
from baselines.studies.tables import interval, markdown, text_table

# Name -> id, arguments. Training draws none of these very device sets; five, ten and twenty devices and networks of 60
# locations it never draws at all.
INSTANCES: dict[str, tuple[str, dict[str, Any]]] = {
    "SingleDevice-v0": ("SingleDevice-v0", {}),
    "SingleDevice-Day-v0": ("SingleDevice-Day-v0", {}),
    "TwoDevices-v0": ("TwoDevices-v0", {}),
    "MultiDevice-v0": ("MultiDevice-v0", {}),
    "MultiDevice-Day-v0": ("MultiDevice-Day-v0", {}),
    "M=10 T=120 B=10 D=24": ("MultiDevice-Day-v0", {"horizon": 120, "energy_budget": 10}),  # its recipe suits
    "M=3 T=60 B=6 D=20": (
        "MultiDevice-v0",
        {"devices": [0, 10, 20], "horizon": 60, "energy_budget": 6, "max_sleep": 20},
    ),
    "M=20 T=60 B=10 D=12": ("MultiDevice-v0", {"devices": list(range(0, 30, 3)) + list(range(1, 30, 3))}),
    "another city, M=5": ("MultiDevice-v0", {"network": "synthetic-60-1", "devices": [0, 12, 24, 36, 48]}),
}
COLUMNS = ("instance", "policy", "joint_error", "percent", "percent_low", "percent_high", "compared_to", "episodes")
THERE = "trained there"


def problem_on(name: str) -> Problem:
    """The problem of one of `INSTANCES`."""
    env_id, kwargs = INSTANCES[name]
    return problem_of(env_id, **kwargs)


def measure(
    name: str, generalist: GreedyPolicy, trained: Callable[[str], GreedyPolicy | None], episodes: int
) -> list[tuple[Any, ...]]:
    """The rows of one instance, with `COLUMNS`.

    Args:
        trained: takes the name, returns the agent trained there; None where there is none.
    """
    problem = problem_on(name)
    errors: dict[str, NDArray[np.float64]] = {}
    errors["index"] = Simulator(problem).errors([index_policy(problem)], episodes, 0)[0]
    agent = trained(name)
    if agent is not None:
        errors[THERE] = compiled_error(agent, problem, episodes, 0)
    errors["generalist"] = compiled_error(generalist, problem, episodes, 0)
    base = THERE if THERE in errors else "index"
    rows: list[tuple[Any, ...]] = []
    for policy, found in errors.items():
        change = [math.nan] * 3
        if policy != base:
            change = [100.0 * x / errors[base].mean() for x in mean_with_interval(found - errors[base], seed=0)]
        rows.append((name, policy, float(found.mean()), *change, base, episodes))
    return rows


def _difference(row: Any) -> str:
    return "" if math.isnan(row.percent) else interval(row, "percent", "+")


def summary(table: pd.DataFrame) -> str:
    """The table for a terminal."""
    rows = [[f"{x.instance}, {x.policy}", f"{x.joint_error:.4f}", _difference(x)] for x in table.itertuples()]
    lines = text_table(["instance, policy", "joint error µg/m³", "difference %"], rows)
    return f"{lines}\ndifferences to the agent trained there, else to index; second lines: 95 % intervals"


def page(table: pd.DataFrame, card: dict[str, Any], earlier_code: bool) -> str:
    """The table in Markdown; ``earlier_code``: agents may come from earlier code."""
    rows = [
        (x.instance, x.policy, f"{x.joint_error:.4f}", "" if math.isnan(x.percent) else x.compared_to, _difference(x))
        for x in table.itertuples()
    ]
    heads = ("instance", "policy", "joint error µg/m³", "compared to", "difference %")
    return (
        "# The generalist where it never trained\n\n"
        "One network was trained on random instances: networks, device sets, horizons and budgets of "
        "`aq_gym.sampler.InstanceSampler`. Here it plays device sets, horizons and budgets that it never saw. The "
        "campus network pku2018 is among the networks that it was trained on; five, ten and twenty devices and cities "
        "of 60 locations are not. The index policy was tuned for each id beforehand, or for the instance as this "
        "command ran. The agent trained there is the shipped one or one of `--train` seconds"
        f"{', of this code or an earlier one' if earlier_code else ''}. {table.episodes.iloc[0]:,} episodes, the same "
        "for all; differences are paired, in per cent, with 95 % intervals over the episodes.\n\n"
        f"The generalist: `{card.get('command')}`, commit {card.get('commit')}, "
        f"{card.get('training_seconds', math.nan):.0f} s of training.\n\n{markdown(heads, rows)}"
    )
