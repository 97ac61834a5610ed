"""The generalist on instances that it never saw, as it is and adapted, beside what is tuned or trained there."""

import math
from typing import Any

import pandas as pd

from agents import GreedyPolicy
from baselines.adaptation import adapt
from baselines.evaluation.comparing import mean_with_interval
from baselines.heuristics.index_tuning import index_policy
from baselines.heuristics.simple import Staggered
from baselines.learners.generalist import in_units_of
from baselines.packing import errors_of
from baselines.playing import problem_of
from baselines.studies.tables import interval, markdown, text_table

_HOURLY = {"horizon": 72, "energy_budget": 12, "max_sleep": 12}


def _spread(network: str, n_locations: int, m: int) -> tuple[str, dict[str, Any]]:
    """M devices spread over the stations of a city, three days by the hour."""
    return "MultiDevice-v0", {"network": network, "devices": [i * n_locations // m for i in range(m)], **_HOURLY}


# Name -> id, arguments. Tuning draws none of these very device sets; the cities and five, ten and twenty devices it
# never draws at all.
INSTANCES: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"Tainan, M={m}": _spread("tainan2017", 92, m) for m in (4, 8, 20)},
    **{f"Taipei, M={m}": _spread("taipei2017", 69, m) for m in (4, 8, 20)},
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
    "City-v0": ("City-v0", {}),
    "another city, M=5": ("MultiDevice-v0", {"network": "synthetic-60-1", "devices": [0, 12, 24, 36, 48]}),
}
COLUMNS = ("instance", "policy", "joint_error", "percent", "percent_low", "percent_high", "compared_to", "episodes")
_MOST_WORK = 1_500_000_000  # decisions times locations that a policy plays on one instance


def measure(
    name: str, generalist: GreedyPolicy, there: Any, episodes: int, seconds: float = 0.0
) -> list[tuple[Any, ...]]:
    """The rows of one of `INSTANCES`, with `COLUMNS`; differences are to the index policy tuned there.

    Args:
        there: the agent trained there; None where there is none.
        episodes: of each policy, the same for all; fewer of large instances.
        seconds: for `baselines.adapt`, from the generalist; 0: not done.
    """
    env_id, kwargs = INSTANCES[name]
    problem = problem_of(env_id, **kwargs)
    length = problem.horizon * problem.n_devices
    episodes = max(2, min(episodes, _MOST_WORK // (length * problem.n_locations)))
    agent = in_units_of(generalist, problem)
    policies = {"staggered": Staggered(problem), "index": index_policy(problem)}
    if there is not None:
        policies["trained there"] = there
    policies["generalist"] = agent
    if seconds > 0.0:
        policies["adapted"] = adapt(agent, problem, seconds)
    errors = {policy: errors_of(x, problem, episodes, 0) for policy, x in policies.items()}
    base = "index"
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
    return f"{lines}\ndifferences to index, tuned there; second lines: 95 % intervals"


def page(table: pd.DataFrame, card: dict[str, Any], seconds: float) -> str:
    """The table in Markdown; ``card`` is the generalist's, ``seconds`` are those of adapting (0: not done)."""
    rows = []
    for x in table.itertuples():
        compared = "" if math.isnan(x.percent) else x.compared_to
        rows.append((x.instance, x.policy, f"{x.joint_error:.4f}", compared, _difference(x), f"{x.episodes:,}"))
    heads = ("instance", "policy", "joint error µg/m³", "compared to", "difference %", "episodes")
    adapted = f"*Adapted* is `baselines.adapt` from the generalist, {seconds:g} s. " if seconds > 0.0 else ""
    return (
        "# Zero-shot performance of the generalist\n\n"
        "One set of coefficients was tuned on random instances of `aq_gym.sampler.InstanceSampler`, each in a unit of "
        "its own, and is blended with greedy sensing in a short simulation of the instance "
        "([generalist.md](generalist.md)). Here it plays what it never saw: the cities Tainan and Taipei (T=72, B=12, "
        "D=12, by the hour), and other device sets, horizons and budgets on the campus network pku2018, which was "
        "among the samples. The index policy was tuned for each id beforehand, or for the instance as this command "
        f"ran. The agent trained there is the shipped one or one of `--train` seconds. {adapted}All policies play the "
        "same episodes; differences are paired, in per cent of the index policy's error, with 95 % intervals over the "
        "episodes.\n\n"
        f"The generalist: `{card.get('command')}`, commit {card.get('commit')}, "
        f"{card.get('training_seconds', math.nan):.0f} s of training.\n\n{markdown(heads, rows)}"
    )
