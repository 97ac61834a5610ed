"""Figure 13: locations and power control together, over the number of devices."""

from typing import Any

import numpy as np
import pandas as pd

from aq_gym.palette import PALETTE
from aq_gym.placement import GeneticConfig, GeneticSearch, random_sets
from aq_gym.problem import Problem
from baselines.heuristics.index import Index, Simulator
from baselines.heuristics.index_tuning import best_threshold, index_policy, shifted
from baselines.heuristics.simple import Random, Staggered
from baselines.learners.shipped import load_generalist
from baselines.packing import errors_of
from baselines.placement import place_together
from baselines.playing import FIRST_TUNING_SEED, problem_of
from baselines.studies.paper.figure_12 import fitness_of
from baselines.studies.paper.report import Claim, Context, Figure

HORIZON, BUDGET, MAX_SLEEP = 60, 10, 12
STYLES = {"random": ":", "evolved": "-", "together": "--"}  # of the kinds of locations
POLICIES = ("random", "staggered", "greedy", "index", "DQN")


def make(context: Context) -> Figure:
    """Play every policy at every kind of location."""
    numbers, draws, episodes, n_slots = context.pick(((1, 2, 3, 4, 5, 6, 8, 10), 8, 256, 1000), ((1, 2), 2, 8, 40))
    network, n = context.network, context.network.n_locations
    rng = np.random.default_rng(context.seed)

    def problem(devices: Any) -> Problem:
        return Problem.create(network, [int(x) for x in devices], HORIZON, BUDGET, MAX_SLEEP)

    rows: list[Any] = []
    for m in numbers:
        context.say(f"figure 13: {m} devices")
        search = GeneticSearch(fitness_of(context, m, n_slots), n, m, GeneticConfig(start="random"), seed=context.seed)
        evolved = problem(search.run().locations)
        together = place_together(evolved, "generalist", rounds=1, episodes=context.pick(96, 4))[-1].devices
        places = [("random", problem(devices)) for devices in random_sets(n, m, draws, rng)]
        for place, there in [*places, ("evolved", evolved), ("together", problem(together))]:
            rows += [(m, place, policy, error) for policy, error in _played(there, episodes).items()]
    found = pd.DataFrame(rows, columns=["devices", "locations", "policy", "joint_error"])
    table = found.groupby(["devices", "locations", "policy"], as_index=False).joint_error.mean()
    return Figure(
        13,
        "Locations and power control together",
        f"T = {HORIZON}, B = {BUDGET}, D = {MAX_SLEEP}; random locations: mean of {draws} sets; evolved: the genetic "
        "search under staggered sensing; index: MultiDevice-v0's coefficients with the best of eight constants; DQN: "
        f"the shipped generalist; together: evolved, then swaps under the DQN; {episodes} episodes",
        _claims(table, numbers),
        {"": table},
        lambda plt: _draw(plt, table),
    )


def _index(problem: Problem, episodes: int) -> Index:
    tuned = index_policy(problem_of("aq_gym/MultiDevice-v0"))
    candidates = shifted(problem, {"constant": tuned.constant, "coefficients": tuned.coefficients})
    errors = Simulator(problem).errors(candidates, episodes, FIRST_TUNING_SEED).mean(axis=1)
    return candidates[int(errors.argmin())]


def _played(problem: Problem, episodes: int) -> dict[str, float]:
    policies = {
        "random": Random(problem),
        "staggered": Staggered(problem),
        "greedy": best_threshold(problem),
        "index": _index(problem, episodes),
        "DQN": load_generalist(problem),
    }
    return {name: float(errors_of(policy, problem, episodes, 0).mean()) for name, policy in policies.items()}


def _claims(table: pd.DataFrame, numbers: tuple[int, ...]) -> tuple[Claim, ...]:
    wide = table.pivot(index="devices", columns=["locations", "policy"], values="joint_error")
    top, last = wide["random", "random"], numbers[-1]
    paper = [(place, policy) for place in ("random", "evolved") for policy in ("random", "DQN")]
    by_place = 100.0 * (1.0 - wide["evolved", "random"] / top)
    by_policy = 100.0 * (1.0 - wide["random", "DQN"] / top)
    gain = 100.0 * (1.0 - wide["together", "DQN"] / wide["evolved", "DQN"])
    crossing = [int(m) for m in numbers if by_place[m] > by_policy[m]]
    never = f"never up to M = {last}: {by_place[last]:.1f} % and {by_policy[last]:.1f} %"
    worse = _exceptions(wide, {p: (("evolved", p), ("random", p)) for p in ("random", "DQN")})
    beaten = _exceptions(wide, {place: ((place, "DQN"), (place, "random")) for place in ("random", "evolved")})
    others = ", ".join(f"{wide[key][last]:.2f} ({key[0]} locations, {key[1]})" for key in paper[1:])
    return (
        Claim(
            "random locations under random power control have the highest error",
            f"at M = {last}: {top[last]:.2f} µg/m³; the others {others}",
            bool((wide[paper].max(axis=1) == top).all()),
        ),
        Claim(
            "evolved locations are better than random ones under either power control",
            f"by {by_place.min():.1f} to {by_place.max():.1f} % under random power control"
            + (f"; not with {', '.join(worse)}" if worse else ""),
            not worse,
        ),
        Claim(
            "deep Q-learning is better than random power control at either locations",
            f"by {by_policy.min():.1f} to {by_policy.max():.1f} % at random locations"
            + (f"; not at {', '.join(beaten)}" if beaten else ""),
            not beaten,
        ),
        Claim(
            "with many devices evolved locations gain more than deep Q-learning does",
            f"with M = {crossing}" if crossing else never,
            last in crossing,
        ),
        Claim(
            "(ours) placing together with the agent is better than placing for a fixed timetable",
            f"by {gain.min():.2f} to {gain.max():.2f} %, mean {gain.mean():.2f} %",
            bool(gain.mean() > 0),
        ),
    )


def _exceptions(wide: pd.DataFrame, claimed: dict[str, tuple[tuple[str, str], tuple[str, str]]]) -> list[str]:
    """Where the column that should be the better one is not."""
    return [
        f"{name}, M = {m}"
        for name, (better, other) in claimed.items()
        for m in wide.index
        if wide[better][m] >= wide[other][m]
    ]


def _draw(plt: Any, table: pd.DataFrame) -> Any:
    figure, at = plt.subplots(figsize=(8.5, 5), layout="constrained")
    by = table.set_index(["policy", "locations"]).sort_index()
    for policy, colour in zip(POLICIES, PALETTE, strict=False):
        for place in ("random", "evolved", *(["together"] if policy == "DQN" else [])):
            part = by.loc[(policy, place)]
            label = f"{policy}, placed together" if place == "together" else f"{policy}, {place} locations"
            at.plot(part.devices, part.joint_error, STYLES[place], color=colour, marker="o", ms=3.5, label=label)
    at.set(xlabel="devices M", ylabel="average joint error [µg/m³]", xticks=table.devices.unique())
    at.grid(alpha=0.3)
    at.legend(frameon=False, fontsize=8)
    return figure
