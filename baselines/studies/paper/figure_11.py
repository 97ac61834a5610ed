"""Figure 11: learning curves, and the error over the number of devices and the energy budget."""

from itertools import pairwise, product
from typing import Any

import pandas as pd

from agents import DQNConfig
from aq_gym.palette import MARKERS, PALETTE
from aq_gym.problem import Problem
from baselines.evaluation import mean_with_interval
from baselines.heuristics.index_tuning import index_policy
from baselines.heuristics.simple import Random, Staggered, Synchronised
from baselines.learners.clock import Step
from baselines.learners.run import train
from baselines.learners.shipped import load_generalist, load_pretrained
from baselines.learners.training import Training
from baselines.packing import errors_of
from baselines.playing import play_problem, problem_of
from baselines.studies.paper.report import Claim, Context, Figure
from baselines.studies.stored_trainings import recipe_config

ENV = "aq_gym/MultiDevice-v0"
NESTED = (0, 12, 24, 6, 18, 3, 27, 9, 21, 15)  # the first M of them are the devices
LONGER = 5  # times the decisions of the named configuration, so that the time limit ends the training
SHIPPED = "the shipped agent"
LINES = {"random": ":", "synchronised": (0, (1, 4)), "staggered": "--", "index": "-."}
LEARNERS = {
    "linear approximation": "linear",
    "deep Q-learning, the paper's form": "paper",
    "deep Q-learning, ours": None,
}


def make(context: Context) -> Figure:
    """Train three learners equally long, play all on the same episodes, and let the generalist play all sizes."""
    seconds, episodes = context.pick((150.0, 2000), (2.0, 16))
    problem, rows = problem_of(ENV), []
    policies = {
        "random": Random(problem, context.seed),
        "synchronised": Synchronised(problem),
        "staggered": Staggered(problem),
    }
    errors = {name: play_problem(x, problem, episodes, 0).joint_error for name, x in policies.items()}
    errors["index"] = errors_of(index_policy(problem), problem, episodes, 0)
    for name, configuration in LEARNERS.items():
        policy, curve = _trained(context, name, configuration, seconds)
        rows += curve
        context.say(f"figure 11: playing {name}")
        errors[name] = play_problem(policy, problem, episodes, 0).joint_error
    shipped = load_pretrained(ENV)
    errors[SHIPPED] = play_problem(shipped, problem, episodes, 0).joint_error
    curves = pd.DataFrame(rows, columns=["learner", "decisions", "seconds", "joint_error"])
    sizes = _sizes(context, context.pick(512, 16))
    scores = pd.DataFrame(
        [(name, *mean_with_interval(x, 0)) for name, x in errors.items()],
        columns=["policy", "joint_error", "joint_error_low", "joint_error_high"],
    )
    return Figure(
        11,
        "Learning to schedule, and what devices and energy are worth",
        f"(a) MultiDevice-v0, at most {seconds:.0f} s of training each; the curves are validations on the way, the "
        f"figures below those of the final policies on {episodes:,} other episodes; (b) T = 60, D = 12, the shipped "
        "generalist and staggered sensing",
        _claims(errors, sizes, shipped.training_seconds),
        {"": curves, "scores": scores, "sizes": sizes},
        lambda plt: _draw(plt, curves, scores.set_index("policy").joint_error, sizes),
    )


def _config(configuration: str | None, seconds: float, quick: bool) -> DQNConfig:
    if configuration is None:
        config = recipe_config(ENV, seconds)
    else:
        config = DQNConfig.named(configuration)
        config = config.replace(total_decisions=LONGER * config.total_decisions)
    if quick:
        few = {"start_updates": 5, "pair_updates": 5, "value_updates": 5, "improvements": min(1, config.improvements)}
        small = {"n_environments": 8, "start_decisions": 8, "total_decisions": 5000, "batch_size": 32, "pairs": 200}
        config = config.replace(**few, **small)
    return config


def _trained(context: Context, name: str, configuration: str | None, seconds: float) -> tuple[Any, list[Any]]:
    """The policy, and the validations on the way."""
    config = _config(configuration, seconds, context.quick)
    training = Training(ENV, config, context.seed, validations=20, validation_episodes=context.pick(512, 16))
    rows: list[Any] = []

    def watch(step: Step) -> None:
        if step.validation_error is not None:
            rows.append((name, step.decisions, step.seconds, step.validation_error))
            context.say(f"figure 11: {name}, {step.seconds:.0f} s, {step.validation_error:.3f} µg/m³")

    policy = train(training, seconds=seconds, watch=watch)
    return policy, rows or [(name, training.agent.decisions, training.seconds, training.validate())]


def _sizes(context: Context, episodes: int) -> pd.DataFrame:
    numbers, budgets = context.pick(((1, 2, 3, 5, 7, 10), (5, 10, 15, 20, 30)), ((1, 2), (5, 10)))
    rows: list[Any] = []
    for m, budget in product(numbers, budgets):
        context.say(f"figure 11: M = {m}, B = {budget}")
        problem = Problem.create(context.network, list(NESTED[:m]), 60, budget, 12)
        generalist = errors_of(load_generalist(problem), problem, episodes, 0)
        staggered = play_problem(Staggered(problem), problem, episodes, 0).joint_error
        rows += [(m, budget, "DQN", float(generalist.mean())), (m, budget, "staggered", float(staggered.mean()))]
    return pd.DataFrame(rows, columns=["devices", "budget", "policy", "joint_error"])


def _less(errors: dict[str, Any], one: str, other: str) -> tuple[str, bool]:
    """How one's error differs from another's, in per cent with its paired interval; and whether it is surely less."""
    mean, low, high = (100.0 * x / errors[other].mean() for x in mean_with_interval(errors[one] - errors[other], 0))
    return f"{mean:+.1f} % [{low:+.1f}, {high:+.1f}]", high < 0


def _claims(errors: dict[str, Any], sizes: pd.DataFrame, seconds: float) -> tuple[Claim, ...]:
    linear, paper, ours = LEARNERS
    mean = {name: float(x.mean()) for name, x in errors.items()}
    share = (mean["random"] - mean[linear]) / (mean["random"] - mean[ours])
    linear_text, linear_helps = _less(errors, linear, "random")
    over_linear = {name: _less(errors, name, linear) for name in (paper, ours)}
    done, short = ({name: _less(errors, one, name) for name in ("staggered", "index")} for one in (SHIPPED, ours))
    against = lambda found: ", ".join(f"{text} against {name}" for name, (text, _) in found.items())  # noqa: E731
    return (
        Claim(
            "(a) the linear approximation has only a minor advantage over random power control",
            f"{linear_text} against random power control: {100 * share:.0f} % of what our DQN gains",
            bool(linear_helps and mean[ours] < mean["random"] and share < 0.4),
            "" if linear_helps else "it has none",
        ),
        Claim(
            "(a) deep Q-learning does much better than the linear approximation",
            f"the paper's form {over_linear[paper][0]}, ours {over_linear[ours][0]} against it",
            all(sure and mean[name] < 0.9 * mean[linear] for name, (_, sure) in over_linear.items()),
        ),
        Claim(
            "(ours) our DQN, trained to the end, beats staggered sensing and the tuned index policy",
            f"{SHIPPED}, of {seconds:.0f} s of training: {against(done)}; the one of this figure: {against(short)}",
            all(sure for _, sure in done.values()),
        ),
        *_claims_on_sizes(sizes[sizes.policy == "DQN"].pivot(index="devices", columns="budget", values="joint_error")),
    )


def _claims_on_sizes(wide: pd.DataFrame) -> tuple[Claim, ...]:
    """Of (b); ``wide`` has a row for each number of devices and a column for each budget."""
    up, right = list(pairwise(wide.index)), list(pairwise(wide))
    devices = [f"M {a} to {b} at B = {c}" for c in wide for a, b in up if wide[c][b] >= wide[c][a]]
    energy = [f"B {a} to {b} at M = {m}" for m in wide.index for a, b in right if wide[b][m] >= wide[a][m]]
    middle = wide.columns[len(wide.columns) // 2]
    gains = [(wide[middle][a] - wide[middle][b]) / (b - a) for a, b in up]

    def steps(count: int, against: list[str]) -> str:
        return f"in {count - len(against)} of {count} steps" + (f"; not from {', '.join(against)}" if against else "")

    return (
        Claim(
            "(b) the error falls with the number of devices (proposition 2)",
            steps(len(up) * len(wide.columns), devices),
            not devices,
        ),
        Claim(
            "(b) the error falls with the energy budget (proposition 1)",
            steps(len(right) * len(wide), energy),
            not energy,
        ),
        Claim(
            "(b) each further device gains less",
            f"at B = {middle}: " + ", ".join(f"{x:.2f}" for x in gains) + " µg/m³ for each device more",
            len(gains) > 1 and all(a >= b for a, b in pairwise(gains)),
        ),
    )


def _draw(plt: Any, curves: pd.DataFrame, scores: pd.Series, sizes: pd.DataFrame) -> Any:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for (name, part), colour, marker in zip(curves.groupby("learner", sort=False), PALETTE, MARKERS, strict=False):
        left.plot(part.seconds, part.joint_error, color=colour, marker=marker, ms=4, label=name)
    for name, style in LINES.items():
        left.axhline(scores[name], color="#7F7F7F", ls=style, lw=1.2, label=name)
    left.set(title="(a)", xlabel="seconds of training")
    for (policy, budget), part in sizes.groupby(["policy", "budget"]):
        number = list(sizes.budget.unique()).index(budget)
        style, label = ("-", f"B = {budget}") if policy == "DQN" else (":", None)
        right.plot(
            part.devices, part.joint_error, style, color=PALETTE[number], marker=MARKERS[number], ms=4, label=label
        )
    right.plot([], [], ":", color="black", label="staggered")
    right.set(title="(b)", xlabel="devices M", xticks=sizes.devices.unique())
    for at in (left, right):
        at.set_ylabel("average joint error [µg/m³]")
        at.legend(frameon=False, fontsize=8)
    return figure
