"""Figure 13: locations and power control together, over the number of devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aq_gym.placement import GeneticConfig, GeneticSearch, random_sets
from aq_gym.problem import Problem
from baselines.generalist import compiled_error, load_generalist
from baselines.index import Index, Simulator, best_threshold, index_policy, shifted
from baselines.placement import place_together
from baselines.playing import FIRST_TUNING_SEED, play_problem, problem_of
from baselines.policies import Random, Staggered
from scripts.paper.figure import COLOURS, Claim, Context, Figure
from scripts.paper.figure_12 import fitness_of

HORIZON, BUDGET, MAX_SLEEP = 60, 10, 12
LOCATIONS = ("random", "evolved", "together")
POLICIES = ("random", "staggered", "greedy", "index", "DQN")


def make(context: Context) -> Figure:
    """Play every policy at every kind of location."""
    numbers, draws, episodes, n_slots = context.pick(((1, 2, 3, 4, 5, 6, 8, 10), 8, 256, 1000), ((1, 2), 2, 8, 40))
    network, n = context.network, context.network.n_locations
    rng = np.random.default_rng(context.seed)
    rows: list[tuple[Any, ...]] = []
    for m in numbers:
        context.say(f"figure 13: {m} devices")
        search = GeneticSearch(fitness_of(context, m, n_slots), n, m, GeneticConfig(start="random"), seed=context.seed)
        evolved = _problem(network, search.run().locations)
        together = place_together(evolved, "generalist", rounds=1, episodes=context.pick(96, 4))[-1].devices
        for devices in random_sets(n, m, draws, rng):
            rows += [(m, "random", *row) for row in _played(_problem(network, devices), episodes)]
        rows += [(m, "evolved", *row) for row in _played(evolved, episodes)]
        rows += [(m, "together", *row) for row in _played(_problem(network, together), episodes)]
    found = pd.DataFrame(rows, columns=["devices", "locations", "policy", "joint_error"])
    table = found.groupby(["devices", "locations", "policy"], as_index=False).joint_error.mean()
    return Figure(
        13,
        "Locations and power control together",
        f"T = {HORIZON}, B = {BUDGET}, D = {MAX_SLEEP}; random locations: mean of {draws} sets; evolved: the genetic "
        "search under staggered sensing; index: MultiDevice-v0's coefficients with the best of eight constants; DQN: "
        "the shipped generalist; together: evolved, then swaps under the DQN; "
        f"{episodes} episodes",
        _claims(table, numbers),
        {"": table},
        lambda plt: _draw(plt, table),
    )


def _problem(network: Any, devices: Any) -> Problem:
    return Problem.create(network, [int(x) for x in devices], HORIZON, BUDGET, MAX_SLEEP)


def _index(problem: Problem, episodes: int) -> Index:
    tuned = index_policy(problem_of("aq_gym/MultiDevice-v0"))
    candidates = shifted(problem, {"constant": tuned.constant, "coefficients": tuned.coefficients})
    errors = Simulator(problem).errors(candidates, episodes, FIRST_TUNING_SEED).mean(axis=1)
    return candidates[int(errors.argmin())]


def _played(problem: Problem, episodes: int) -> list[tuple[str, float]]:
    greedy = Simulator(problem).errors([best_threshold(problem)], episodes, 0)[0]
    return [
        ("random", float(play_problem(Random(problem), problem, episodes, 0).joint_error.mean())),
        ("staggered", float(play_problem(Staggered(problem), problem, episodes, 0).joint_error.mean())),
        ("greedy", float(greedy.mean())),
        ("index", float(Simulator(problem).errors([_index(problem, episodes)], episodes, 0).mean())),
        ("DQN", float(compiled_error(load_generalist(), problem, episodes, 0).mean())),
    ]


def _claims(table: pd.DataFrame, numbers: tuple[int, ...]) -> tuple[Claim, ...]:
    wide = table.pivot(index="devices", columns=["locations", "policy"], values="joint_error")
    top = wide["random", "random"]
    paper = [(place, policy) for place in ("random", "evolved") for policy in ("random", "DQN")]
    by_place = 100.0 * (1.0 - wide["evolved", "random"] / top)
    by_policy = 100.0 * (1.0 - wide["random", "DQN"] / top)
    crossing = [int(m) for m in numbers if by_place[m] > by_policy[m]]
    gain = 100.0 * (1.0 - wide["together", "DQN"] / wide["evolved", "DQN"])
    worse = _exceptions(wide, {p: (("evolved", p), ("random", p)) for p in ("random", "DQN")})
    beaten = _exceptions(wide, {place: ((place, "DQN"), (place, "random")) for place in ("random", "evolved")})
    last = numbers[-1]
    others = ", ".join(f"{wide[key][last]:.2f} ({key[0]} locations, {key[1]})" for key in paper[1:])
    never = f"never up to M = {last}: {by_place[last]:.1f} % and {by_policy[last]:.1f} %"
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
    """Where what should be the better column is not."""
    return [
        f"{name}, M = {m}"
        for name, (better, other) in claimed.items()
        for m in wide.index
        if wide[better][m] >= wide[other][m]
    ]


def _draw(plt: Any, table: pd.DataFrame) -> Any:
    figure, at = plt.subplots(figsize=(8.5, 5), layout="constrained")
    styles = {"random": ":", "evolved": "-", "together": "--"}
    for policy, colour in zip(POLICIES, (COLOURS[7], COLOURS[2], COLOURS[3], COLOURS[4], COLOURS[1]), strict=True):
        for place in LOCATIONS:
            if place == "together" and policy != "DQN":
                continue
            part = table[(table.policy == policy) & (table.locations == place)]
            label = f"{policy}, placed together" if place == "together" else f"{policy}, {place} locations"
            at.plot(part.devices, part.joint_error, styles[place], color=colour, marker="o", ms=3.5, label=label)
    at.set(xlabel="devices M", ylabel="average joint error [µg/m³]")
    at.grid(alpha=0.3)
    at.legend(frameon=False, fontsize=8)
    return figure
