"""Figure 11: learning curves, and the error over the number of devices and the budget."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from agents import DQNConfig
from aq_gym.problem import Problem
from baselines.dqn import Step, Training, load_pretrained, recipe, train
from baselines.evaluation import mean_with_interval
from baselines.generalist import compiled_error, load_generalist
from baselines.index import Simulator, index_policy
from baselines.playing import play_problem, problem_of
from baselines.policies import Random, Staggered, Synchronised
from scripts.paper.figure import COLOURS, Claim, Context, Figure

ENV = "aq_gym/MultiDevice-v0"
NESTED = (0, 12, 24, 6, 18, 3, 27, 9, 21, 15)  # the first M of them are the devices
LONGER = 5  # times the decisions of the named configuration, so that the time is what ends it
SHIPPED = "the shipped agent"
LINES = ("random", "synchronised", "staggered", "index")
LEARNERS = {
    "linear approximation": "linear",
    "deep Q-learning, the paper's form": "paper",
    "deep Q-learning, ours": None,
}


def make(context: Context) -> Figure:
    """Train three learners for as long each, play all on the same episodes, and let the generalist play all sizes."""
    seconds, episodes = context.pick((150.0, 2000), (2.0, 16))
    problem, rows, errors = problem_of(ENV), [], {}
    errors["random"] = play_problem(Random(problem, context.seed), problem, episodes, 0).joint_error
    errors["synchronised"] = play_problem(Synchronised(problem), problem, episodes, 0).joint_error
    errors["staggered"] = play_problem(Staggered(problem), problem, episodes, 0).joint_error
    errors["index"] = Simulator(problem).errors([index_policy(problem)], episodes, 0)[0]
    for name, config in LEARNERS.items():
        policy, curve = _trained(context, name, config, seconds)
        rows += curve
        context.say(f"figure 11: playing {name}")
        errors[name] = play_problem(policy, problem, episodes, 0).joint_error
    shipped = load_pretrained(ENV)
    errors[SHIPPED] = play_problem(shipped, problem, episodes, 0).joint_error
    curves = pd.DataFrame(rows, columns=["learner", "decisions", "seconds", "joint_error"])
    sizes = _sizes(context, context.pick(512, 16))
    scores = pd.DataFrame([(name, *mean_with_interval(x, 0)) for name, x in errors.items()])
    scores.columns = pd.Index(["policy", "joint_error", "joint_error_low", "joint_error_high"])
    return Figure(
        11,
        "Learning to schedule, and what devices and energy are worth",
        f"(a) MultiDevice-v0, at most {seconds:.0f} s of training each; the curves are validations on the way, the "
        f"figures below those of the final policies on {episodes:,} other episodes; (b) T = 60, D = 12, the shipped "
        "generalist and staggered sensing",
        _claims(errors, sizes, shipped.training_seconds),
        {"": curves, "scores": scores, "sizes": sizes},
        lambda plt: _draw(plt, curves, {name: float(errors[name].mean()) for name in LINES}, sizes),
    )


def _trained(context: Context, name: str, named: str | None, seconds: float) -> tuple[Any, list[tuple[Any, ...]]]:
    """The policy, and the validations on the way."""
    if named is None:
        chosen = recipe(ENV, seconds)
        config = DQNConfig.named(chosen["config"], **chosen["settings"])
    else:
        config = DQNConfig.named(named)
        config = config.replace(total_decisions=LONGER * config.total_decisions)
    if context.quick:
        few = {"start_updates": 5, "pair_updates": 5, "value_updates": 5, "improvements": min(1, config.improvements)}
        small = {"n_environments": 8, "start_decisions": 8, "total_decisions": 5000, "batch_size": 32, "pairs": 200}
        config = config.replace(**few, **small)
    training = Training(ENV, config, context.seed, validations=20, validation_episodes=context.pick(512, 16))
    rows: list[tuple[Any, ...]] = []

    def watch(step: Step) -> None:
        if step.validation_error is not None:
            rows.append((name, step.decisions, step.seconds, step.validation_error))
            context.say(f"figure 11: {name}, {step.seconds:.0f} s, {step.validation_error:.3f} µg/m³")

    policy = train(training, seconds=seconds, watch=watch)
    if not rows:
        rows.append((name, training.agent.decisions, training.seconds, training.validate()))
    return policy, rows


def _played(policy: Any, problem: Problem, episodes: int) -> float:
    return float(play_problem(policy, problem, episodes, 0).joint_error.mean())


def _sizes(context: Context, episodes: int) -> pd.DataFrame:
    numbers, budgets = context.pick(((1, 2, 3, 5, 7, 10), (5, 10, 15, 20, 30)), ((1, 2), (5, 10)))
    network, agent, rows = context.network, load_generalist(), []
    for m in numbers:
        for budget in budgets:
            context.say(f"figure 11: M = {m}, B = {budget}")
            problem = Problem.create(network, list(NESTED[:m]), 60, budget, 12)
            error = float(compiled_error(agent, problem, episodes, 0).mean())
            rows.append((m, budget, "DQN", error))
            rows.append((m, budget, "staggered", _played(Staggered(problem), problem, episodes)))
    return pd.DataFrame(rows, columns=["devices", "budget", "policy", "joint_error"])


def _less(errors: dict[str, Any], one: str, other: str) -> tuple[str, bool]:
    """How much less one's error is than another's, in per cent with its paired interval; and whether it surely is."""
    mean, low, high = (100.0 * x / errors[other].mean() for x in mean_with_interval(errors[one] - errors[other], 0))
    return f"{mean:+.1f} % [{low:+.1f}, {high:+.1f}]", high < 0


def _claims(errors: dict[str, Any], sizes: pd.DataFrame, seconds: float) -> tuple[Claim, ...]:
    linear, paper, ours = LEARNERS
    mean = {name: float(x.mean()) for name, x in errors.items()}
    share = (mean["random"] - mean[linear]) / (mean["random"] - mean[ours])
    linear_told, linear_helps = _less(errors, linear, "random")
    ours_better = mean[ours] < mean["random"]
    over_linear = {name: _less(errors, name, linear) for name in (paper, ours)}
    yardsticks = ("staggered", "index")
    done, short = ({name: _less(errors, one, name) for name in yardsticks} for one in (SHIPPED, ours))
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
            f"{linear_told} against random power control: {100 * share:.0f} % of what our DQN gains",
            bool(linear_helps and ours_better and share < 0.4),
            "" if linear_helps else "it has none",
        ),
        Claim(
            "(a) deep Q-learning does much better than the linear approximation",
            f"the paper's form {over_linear[paper][0]}, ours {over_linear[ours][0]} against it",
            all(sure and mean[name] < 0.9 * mean[linear] for name, (_, sure) in over_linear.items()),
        ),
        Claim(
            "(ours) our DQN, trained to the end, beats staggered sensing and the tuned index policy",
            f"{SHIPPED}, of {seconds:.0f} s of training: "
            + ", ".join(f"{told} against {name}" for name, (told, _) in done.items())
            + "; the one of this figure: "
            + ", ".join(f"{told} against {name}" for name, (told, _) in short.items()),
            all(sure for _, sure in done.values()),
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
            len(gains) > 1 and bool(np.all(np.diff(gains) <= 0)),
        ),
    )


def _draw(plt: Any, curves: pd.DataFrame, lines: dict[str, float], sizes: pd.DataFrame) -> Any:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for name, colour in zip(LEARNERS, (COLOURS[2], COLOURS[3], COLOURS[1]), strict=True):
        part = curves[curves.learner == name]
        left.plot(part.seconds, part.joint_error, color=colour, marker="o", ms=3, label=name)
    for (name, value), style in zip(lines.items(), (":", (0, (1, 4)), "--", "-."), strict=True):
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
