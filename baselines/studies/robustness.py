"""Policies where the world is not what they were made for: wrong parameters, noise, lost readings, dying devices."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from gymnasium.utils import seeding
from numpy.typing import NDArray

from aq_gym.episodes import Episodes
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.evaluation.comparing import mean_with_interval
from baselines.evaluation.registry import build_policy
from baselines.studies.backtest.replaying import play_reports
from baselines.studies.tables import interval, markdown, text_table

CLEAN = "as it was made for"
COLUMNS = ("condition", "policy", "joint_error", "percent", "percent_low", "percent_high")


@dataclass(frozen=True)
class Disturbance:
    """What differs from the world that a policy was made for; by default nothing.

    The level's noise is of what server and policy know of it; where the level is hidden, of what a report says.
    """

    network: SensorNetwork | None = None  # the true one, of the same locations; the policy observes through its own
    level_noise: float = 0.0  # standard deviation, as a share of the level
    late: bool = False  # they know the level of the slot before only: a forecast by persistence; not of a hidden level
    lost: float = 0.0  # share of the readings that never arrive, at least the problem's own; their energy is spent
    dead: int = 0  # number of devices, the first ones, without energy in the second half of an episode


def disturbances(problem: Problem) -> dict[str, Disturbance]:
    """By name; the first is none."""
    summer = {CLEAN: Disturbance(), "summer's network": Disturbance(network=SensorNetwork.load("pku2018-summer"))}
    if problem.inference == "hidden":
        return summer | {
            "readings noisy to ±10 %": Disturbance(level_noise=0.1),
            "readings noisy to ±30 %": Disturbance(level_noise=0.3),
            "20 % of the reports lost": Disturbance(lost=0.2),
            "40 % of the reports lost": Disturbance(lost=0.4),
            "a device dies halfway": Disturbance(dead=1),
        }
    network = problem.network
    wrong = {
        f"{name} x {x:g}": Disturbance(dataclasses.replace(network, **{field: x * getattr(network, field)}))
        for name, field in (("δ²", "measurement_variance"), ("σ²", "temporal_variance"))
        for x in (0.5, 2.0)
    }
    return {
        **summer,
        **wrong,
        "level known one slot late": Disturbance(late=True),
        "level known to ±10 %": Disturbance(level_noise=0.1),
        "level known to ±30 %": Disturbance(level_noise=0.3),
        "5 % of the readings lost": Disturbance(lost=0.05),
        "20 % of the readings lost": Disturbance(lost=0.2),
        "a device dies halfway": Disturbance(dead=1),
    }


def play_disturbed(
    policy: Any, problem: Problem, disturbance: Disturbance, episodes: int, seed: int
) -> NDArray[np.float64]:
    """(episodes,) average joint errors [µg/m³] of a policy made for a problem, in a disturbed world.

    Episode k has the weather of seed ``seed + k``, as in `baselines.play`; errors are those of the true network, the
    true level and the readings that arrived (see `_errors`).
    """
    k, m, horizon = episodes, problem.n_devices, problem.horizon
    true, hidden = disturbance.network or problem.network, problem.inference == "hidden"
    if problem.harvest[0] > 0.0 or (hidden and disturbance.late):
        raise ValueError("problem: expected one without harvest, and a known level where it is late")
    if hasattr(policy, "reset"):
        policy.reset(seed)
    there = Problem.create(**problem.arguments | {"network": true})
    weather = Episodes(there, 1)
    uniforms = np.stack([seeding.np_random(seed + i)[0].random(weather.n_uniforms) for i in range(k)])
    path = np.asarray(true.levels)[weather.draw_path(uniforms)[:, : horizon + 1]]
    rng = np.random.default_rng([seed, 0x6E6F697365])  # apart from the weather's stream of the same seed
    noise = rng.standard_normal((k, horizon + 1, m if hidden else 1))
    known = path[..., None] * np.maximum(1.0 + disturbance.level_noise * noise, 0.1)
    known = known + np.zeros(m)  # (K, T + 1, M): what each device's report says of the level
    if disturbance.late:
        known[:, 1:] = known[:, :-1].copy()
    lost = rng.random((k, horizon, m)) < max(disturbance.lost, problem.loss)
    seen = None if hidden else known[..., 0]
    reported, _ = play_reports(policy, problem, known, lost, seen, disturbance.dead)
    total = np.zeros(k)
    for slot in range(1, horizon + 1):
        last = reported[:, slot - 1]
        record, believed = np.take_along_axis(path, last, axis=1), known[np.arange(k)[:, None], last, np.arange(m)]
        delay = np.minimum(slot - last, problem.longest_delay)
        total += _errors(problem, there, delay, record, believed, path[:, slot])
    return total / horizon


def _errors(
    problem: Problem, there: Problem, delay: Any, record: Any, believed: Any, level: Any
) -> NDArray[np.float64]:
    """(K,) mean error over the locations [µg/m³].

    Known level: the true network's joint error. Hidden: given the true records, the truth has the true network's mean
    and deviation s; the server shows the mean of its own network and records, which is d off. The error is √(s² + d²).
    """
    truth = there.infer(delay, record, level)
    if problem.inference != "hidden":
        return np.asarray(truth.joint_error.mean(axis=1))
    off = problem.infer(delay, believed, level).mean - truth.mean
    return np.asarray(np.sqrt(np.square(truth.standard_deviation) + np.square(off)).mean(axis=1))


def compare(
    policies: Mapping[str, Any],
    problem: Problem,
    episodes: int,
    seed: int,
    watch: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Every policy under every one of `disturbances`, on the same episodes.

    Returns:
        A row for each policy, given by name or as a word, and condition, with `COLUMNS`: the joint error [µg/m³], and
        its change in per cent of the policy's own clean error, with 95 % intervals.
    """
    rows = []
    for name, given in policies.items():
        watch(f"tuning: {name}")
        policy, clean = build_policy(given, problem)[0] if isinstance(given, str) else given, None
        for condition, disturbance in disturbances(problem).items():
            watch(f"{name}, {condition}")
            errors = play_disturbed(policy, problem, disturbance, episodes, seed)
            clean = errors if clean is None else clean
            change = [100.0 * x / clean.mean() for x in mean_with_interval(errors - clean, seed=seed)]
            rows.append((condition, name, float(errors.mean()), *change))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(table: pd.DataFrame) -> list[list[str]]:
    """A row for each condition, a column for each policy."""
    rows = []
    for condition, part in table.groupby("condition", sort=False):
        clean = condition == CLEAN
        cells = [f"{x.joint_error:.3f} µg/m³" if clean else interval(x, "percent", "+") for x in part.itertuples()]
        rows.append([str(condition), *cells])
    return rows


def summary(table: pd.DataFrame) -> str:
    """The tables for a terminal: of each id, a part for each policies that fit side by side."""
    parts = []
    for (env_id, episodes), of_id in table.groupby(["env_id", "episodes"], sort=False):
        parts.append(f"{env_id}: change of the joint error, % of the policy's own, {episodes:,} episodes")
        policies = list(of_id.policy.unique())
        for some in (policies[i : i + 3] for i in range(0, len(policies), 3)):
            parts.append(text_table(["condition", *some], _rows(of_id[of_id.policy.isin(some)])))
    return "\n\n".join(parts)


_KNOWN = (
    "Errors are those of the true network, the true level and the readings that arrived. Wrong variances make the air "
    "itself noisier or calmer: compare the policies with each other and with staggered sensing, which cannot react."
)
_HIDDEN = (
    "The level is hidden: the server knows what devices report. The error is that of the map which the server makes "
    "with spring's network from what was reported, expected under the true network given the true levels at the "
    "reports: the root of the true map's variance and of the squared difference of the two means."
)


def page(table: pd.DataFrame) -> str:
    """The tables with what one must know to read them; a section for each id."""
    parts = [
        "# Robustness of the policies to model mismatch\n\n"
        "All policies were made for spring's network (index and greedy were tuned there); the agents were shipped for "
        "the network of both periods. First row: the joint error where nothing is wrong. All others: its change under "
        "the condition, in per cent of the policy's own first row, on the same episodes, with 95 % intervals. Summer "
        "has its own weather, with cleaner air.\n"
    ]
    for (env_id, hidden, episodes), of_id in table.groupby(["env_id", "hidden", "episodes"], sort=False):
        heads = ("condition", *of_id.policy.unique())
        about = _HIDDEN if hidden else _KNOWN
        parts.append(f"## {env_id}\n\n{about} {episodes:,} episodes.\n\n{markdown(heads, _rows(of_id))}")
    return "\n".join(parts)
