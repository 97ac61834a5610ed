"""Figure 11: learning curves, and the error over the number of devices and the budget."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from agents import DQNConfig
from aq_gym.problem import Problem
from baselines.dqn import Training, recipe
from baselines.generalist import compiled_error, load_generalist
from baselines.index import Simulator, index_policy
from baselines.playing import FIRST_TUNING_SEED, play_problem, problem_of
from baselines.policies import Random, Staggered
from scripts.paper.figure import COLOURS, Claim, Context, Figure

ENV = "aq_gym/MultiDevice-v0"
NESTED = (0, 12, 24, 6, 18, 3, 27, 9, 21, 15)  # the first M of them are the devices
LEARNERS = {
    "linear approximation": "linear",
    "deep Q-learning, the paper's form": "paper",
    "deep Q-learning, ours": None,
}


def make(context: Context) -> Figure:
    """Train three learners for as long each, and let the generalist play all sizes."""
    seconds, episodes = context.pick((150.0, 512), (2.0, 16))
    rows: list[tuple[Any, ...]] = []
    for name, config in LEARNERS.items():
        rows += _curve(context, name, config, seconds, episodes)
    curves = pd.DataFrame(rows, columns=["learner", "decisions", "seconds", "joint_error"])
    problem = problem_of(ENV)
    lines = {
        "random": _played(Random(problem, context.seed), problem, episodes),
        "staggered": _played(Staggered(problem), problem, episodes),
        "index": float(Simulator(problem).errors([index_policy(problem)], episodes, FIRST_TUNING_SEED).mean()),
    }
    sizes = _sizes(context, episodes)
    table = pd.concat(
        [curves, pd.DataFrame({"learner": list(lines), "joint_error": list(lines.values())})], ignore_index=True
    )
    return Figure(
        11,
        "Learning to schedule, and what devices and energy are worth",
        f"(a) MultiDevice-v0, {seconds:.0f} s of training each, validated on {episodes} episodes; (b) T = 60, D = 12, "
        f"the shipped generalist and staggered sensing, {episodes} episodes",
        _claims(curves, lines, sizes),
        {"": table, "sizes": sizes},
        lambda plt: _draw(plt, curves, lines, sizes),
    )


def _curve(context: Context, name: str, named: str | None, seconds: float, episodes: int) -> list[tuple[Any, ...]]:
    if named is None:
        chosen = recipe(ENV)
        smaller = {"pairs": 30_000, "pairs_kept": 6}  # steps, so that many fit into the time
        config = DQNConfig.named(chosen["config"], **{**chosen["settings"], **smaller})
    else:
        config = DQNConfig.named(named)
    if context.quick:
        small = {
            "n_environments": 8,
            "start_decisions": 8,
            "start_updates": 5,
            "total_decisions": 5000,
            "batch_size": 32,
        }
        config = config.replace(
            **small, improvements=min(1, config.improvements), pairs=200, pair_updates=5, value_updates=5
        )
    training = Training(ENV, config, context.seed, validations=10, validation_episodes=episodes)
    rows, began = [], time.perf_counter()
    for step in training.run(seconds):
        if step.validation_error is not None:
            rows.append((name, step.decisions, step.seconds, step.validation_error))
            context.say(f"figure 11: {name}, {step.seconds:.0f} s, {step.validation_error:.3f} µg/m³")
        if step.seconds >= seconds:
            break
    if not rows:
        rows.append((name, training.agent.decisions, time.perf_counter() - began, training.validate()))
    return rows


def _played(policy: Any, problem: Problem, episodes: int) -> float:
    return float(play_problem(policy, problem, episodes, FIRST_TUNING_SEED).joint_error.mean())


def _sizes(context: Context, episodes: int) -> pd.DataFrame:
    numbers, budgets = context.pick(((1, 2, 3, 5, 7, 10), (5, 10, 15, 20, 30)), ((1, 2), (5, 10)))
    network, agent, rows = context.network, load_generalist(), []
    for m in numbers:
        for budget in budgets:
            context.say(f"figure 11: M = {m}, B = {budget}")
            problem = Problem.create(network, list(NESTED[:m]), 60, budget, 12)
            error = float(compiled_error(agent, problem, episodes, FIRST_TUNING_SEED).mean())
            rows.append((m, budget, "DQN", error))
            rows.append((m, budget, "staggered", _played(Staggered(problem), problem, episodes)))
    return pd.DataFrame(rows, columns=["devices", "budget", "policy", "joint_error"])


def _claims(curves: pd.DataFrame, lines: dict[str, float], sizes: pd.DataFrame) -> tuple[Claim, ...]:
    best = curves.groupby("learner").joint_error.min()
    linear, paper, ours = (float(best[name]) for name in LEARNERS)
    share = (lines["random"] - linear) / (lines["random"] - ours)
    wide = sizes[sizes.policy == "DQN"].pivot(index="devices", columns="budget", values="joint_error")
    more_devices = [
        f"M {a} to {b} at B = {c}" for c in wide for a, b in pairwise(wide.index) if wide[c][b] >= wide[c][a]
    ]
    more_energy = [
        f"B {a} to {b} at M = {m}" for m in wide.index for a, b in pairwise(wide) if wide[b][m] >= wide[a][m]
    ]
    middle = wide.columns[len(wide.columns) // 2]
    gains = [(wide[middle][a] - wide[middle][b]) / (b - a) for a, b in pairwise(wide.index)]
    return (
        Claim(
            "(a) the linear approximation has only a minor advantage over random power control",
            f"random {lines['random']:.2f}, linear {linear:.2f} µg/m³: {100 * share:.0f} % of the way from random to "
            "our DQN",
            bool(share < 0.4),
        ),
        Claim(
            "(a) deep Q-learning does much better than the linear approximation",
            f"the paper's form {paper:.2f}, ours {ours:.2f}, linear {linear:.2f} µg/m³",
            bool(paper < linear and ours < linear),
            "" if paper < linear else "the paper's form is not better within the time given here",
        ),
        Claim(
            "(ours) our DQN beats staggered sensing and the tuned index policy",
            f"ours {ours:.2f}, staggered {lines['staggered']:.2f}, index {lines['index']:.2f} µg/m³",
            bool(ours < min(lines["staggered"], lines["index"])),
            "" if ours < lines["index"] else "not within the time given here",
        ),
        Claim(
            "(b) the error falls with the number of devices (proposition 2)",
            f"in {wide.size - len(wide.columns) - len(more_devices)} of {wide.size - len(wide.columns)} steps"
            + (f"; not from {', '.join(more_devices)}" if more_devices else ""),
            not more_devices,
        ),
        Claim(
            "(b) the error falls with the energy budget (proposition 1)",
            f"in {wide.size - len(wide) - len(more_energy)} of {wide.size - len(wide)} steps"
            + (f"; not from {', '.join(more_energy)}" if more_energy else ""),
            not more_energy,
        ),
        Claim(
            "(b) each further device gains less",
            f"at B = {middle}: " + ", ".join(f"{x:.2f}" for x in gains) + " µg/m³ for each device more",
            bool(np.all(np.diff(gains) <= 0)),
        ),
    )


def _draw(plt: Any, curves: pd.DataFrame, lines: dict[str, float], sizes: pd.DataFrame) -> Any:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for name, colour in zip(LEARNERS, (COLOURS[2], COLOURS[3], COLOURS[1]), strict=True):
        part = curves[curves.learner == name]
        left.plot(part.seconds, part.joint_error, color=colour, marker="o", ms=3, label=name)
    for (name, value), style in zip(lines.items(), (":", "--", "-."), strict=True):
        left.axhline(value, color=COLOURS[7], ls=style, lw=1.2, label=name)
    left.set(title="(a)", xlabel="seconds of training", ylabel="average joint error [µg/m³]")
    left.legend(frameon=False, fontsize=8)
    for policy, style in (("DQN", "-"), ("staggered", ":")):
        for (budget, part), colour in zip(sizes[sizes.policy == policy].groupby("budget"), COLOURS[1:], strict=False):
            label = f"B = {budget}" if policy == "DQN" else None
            right.plot(part.devices, part.joint_error, style, color=colour, marker="o", ms=3, label=label)
    right.plot([], [], ":", color="black", label="staggered")
    right.set(title="(b)", xlabel="devices M", ylabel="average joint error [µg/m³]")
    right.legend(frameon=False, fontsize=8)
    return figure
