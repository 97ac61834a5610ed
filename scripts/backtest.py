"""Policies replayed on real air: the map that they give, held against what every device really read.

    python -m scripts.backtest                            # about five minutes; results/backtest.csv and .png
    python -m scripts.backtest --policies staggered index --devices 2 9 21
    python -m scripts.backtest --markdown docs/backtest.md

The model of the maps is fitted to DataSet_1 (spring) alone, and all policies play the same windows of DataSet_2
(summer). Policies are tuned on spring's network, index from coefficients on that start from those of both periods'
network; the generalist was trained on random networks, those of both periods among them. The raw readings come from
`python -m scripts.download_data`, or from the mirror that AQ_GYM_DATA names. Methods: the paper's three steps on real
readings; a flat map at the area's level; that corrected by each location's mean deviation; the level-aware map, which
is the corrected one moved by the readings; scikit-learn's Gaussian process. Errors are those of the locations without
a device.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from aq_gym import datasets
from aq_gym.estimation import LEVELS_OF_COVERAGE, LevelAware
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.backtest import (
    METHODS,
    Faults,
    Windows,
    backtest,
    change,
    deliver,
    gaussian_process,
    gaussian_process_map,
    judge,
    replay,
    sources_of,
)
from baselines.evaluation import WORDS, build_policy
from scripts.door import enter
from scripts.files import pyplot, save_figure, write_table, write_text
from scripts.kept import markdown
from scripts.paper.figure import COLOURS
from scripts.provenance import provenance, signature

TRAIN, TEST = "pku2018-spring", "pku2018-summer"
POLICIES = ("staggered", "random", "synchronised", "greedy", "index", "generalist")
PLANNED = ("staggered", "greedy", "index")
CLEAN = "clean"
NOISES = (0.05, 0.1, 0.2, 0.3)
CONDITIONS = {
    CLEAN: Faults(),
    **{f"level known to ±{100 * x:.0f} %": Faults(level_noise=x) for x in NOISES},
    "level known from the readings alone": Faults(level_from_readings=True),
    "readings with ±8 % of noise": Faults(measurement_noise=0.08),
    "5 % of the readings lost": Faults(lost=0.05),
    "20 % of the readings lost": Faults(lost=0.2),
    "a device dies halfway": Faults(dead=1),
}
TOLERANCE = 5.0  # points by which an interval's coverage may be off


def main(args: argparse.Namespace) -> pd.DataFrame:
    console = Console()
    train, _ = datasets.load_pku2018(TRAIN)
    test, _ = datasets.load_pku2018(TEST)
    network = SensorNetwork.load(TRAIN)
    problem = Problem.create(network, args.devices, args.horizon, args.budget, args.max_sleep)
    data = Windows.cut(network, test, args.horizon)
    learned = LevelAware.of(network)
    with Progress(disable=args.quiet, transient=True) as bar:
        task = bar.add_task("tuning", total=None)
        policies = {}
        for word in args.policies:
            bar.update(task, description=f"tuning: {word}")
            policies[word] = build_policy(word, problem)[0]
        watch = lambda line: bar.update(task, description=line)  # noqa: E731
        table = backtest(policies, problem, data, learned, conditions=CONDITIONS, seed=args.seed, watch=watch)
        if not args.no_gaussian_process:
            watch(f"Gaussian process, {args.policies[0]}")
            replayed = replay(policies[args.policies[0]], problem, data.levels)
            sources, level = sources_of(replayed, problem, data)
            fitted = gaussian_process(network, train, args.seed)
            found = gaussian_process_map(fitted, network, sources, level)
            row = {"condition": CLEAN, "policy": args.policies[0], "method": "Gaussian process"}
            row |= {"promised": float(replayed.joint_error.mean()), "sensings": float(replayed.sensed.sum(1).mean())}
            table = pd.concat([table, pd.DataFrame([row | judge(found, data, problem.devices, args.seed)])])
    show(console, table, data, learned)
    for line in findings(table):
        console.print(line, highlight=False, markup=False)
    write_table(args.csv, table.assign(**provenance()))
    draw(args.csv.with_suffix(".png"), table, args.policies)
    console.print(f"written to {args.csv} and {args.csv.with_suffix('.png')}")
    plans = planned(problem, data, learned, args, console)
    if args.markdown is not None:
        write_text(args.markdown, page(table, plans, data, problem, args))
        console.print(f"written to {args.markdown}")
    return table


PLAN_HEADS = ("level known to", "policy", "planned for", "MAE", "change %", "RMSE", "promised", "claimed", "covered %")


def planned(
    problem: Problem, data: Windows, learned: LevelAware, args: argparse.Namespace, console: Console
) -> tuple[list[tuple[str, ...]], str]:
    """Level-aware maps of policies that plan with the paper's inference and with level-aware inference.

    Returns:
        The cells of the table, and a sentence on the intervals.
    """
    rows: list[tuple[str, ...]] = []
    misses: list[tuple[float, str]] = []
    shape = problem.network, problem.devices, problem.horizon, problem.energy_budget, problem.max_sleep
    before = {word: build_policy(word, problem)[0] for word in args.planned}
    for noise in NOISES:
        aware = Problem.create(*shape, inference="level-aware", level_noise=noise)
        for word, paper in before.items():
            old = deliver(paper, problem, data, learned, noise, args.seed)
            new = deliver(build_policy(word, aware)[0], aware, data, learned, noise, args.seed)
            moved, low, high = change(new.absolute, old.absolute, args.seed)
            same = np.array_equal(new.absolute, old.absolute)
            for name, x in (("paper", old), ("level-aware", new)):
                told = f"{moved:+.1f} [{low:+.1f}, {high:+.1f}]" if x is new and not same else ""
                covered = " / ".join(f"{100 * y:.0f}" for y in x.coverage)
                miss = max(100 * abs(y - z) for y, z in zip(x.coverage, LEVELS_OF_COVERAGE, strict=True))
                misses.append((miss, f"±{100 * noise:.0f} %"))
                numbers = f"{x.rmse:.2f}", f"{x.promised:.2f}", f"{x.claimed:.2f}"
                rows.append((f"±{100 * noise:.0f} %", word, name, f"{x.absolute.mean():.3f}", told, *numbers, covered))
    shown = Table(*PLAN_HEADS, title="the level-aware map at all locations, µg/m³")
    for row in rows:
        shown.add_row(*row)
    off = sorted({known for miss, known in misses if miss > TOLERANCE})
    told = f"off by more than {TOLERANCE:g} points of what they claim at {', '.join(off)}, within them elsewhere"
    if not off:
        told = f"within {TOLERANCE:g} points of what they claim"
    line = f"Intervals of the level-aware map of a noisy level: {told}" + (
        f" (at worst {max(misses)[0]:.1f})." if misses else "."
    )
    console.print(shown)
    console.print(line, highlight=False, markup=False)
    return rows, line


def _rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The clean condition, as it is shown."""
    rows = []
    for row in table[table.condition == CLEAN].itertuples():
        shares = [getattr(row, f"cover_{100 * x:.0f}") for x in LEVELS_OF_COVERAGE]
        covered = " / ".join(f"{100 * x:.0f}" for x in shares)
        rmse = f"{row.rmse:.2f} [{row.rmse_low:.2f}, {row.rmse_high:.2f}]"
        cells = rmse, f"{row.mae:.2f}", f"{row.bias:+.2f}", covered, f"{row.claimed:.2f}", f"{row.promised:.2f}"
        rows.append((row.policy, row.method, *cells, f"{row.rmse_all:.2f}"))
    return rows


HEADS = ("policy", "map", "RMSE", "MAE", "bias", "covered % of 50 / 90 / 95", "claimed", "promised", "RMSE, all")
SHOWN = (0, 1, 2, 5, 8)  # columns in the terminal


def show(console: Console, table: pd.DataFrame, data: Windows, learned: LevelAware) -> None:
    shown = Table(*(HEADS[i] for i in SHOWN), title=f"{len(data)} windows of summer, model of spring; µg/m³")
    for cells in _rows(table):
        shown.add_row(*(cells[i] for i in SHOWN))
    console.print(shown)
    shown = Table("condition", "policy", *METHODS, title="RMSE by condition, µg/m³")
    for (condition, policy), part in table.groupby(["condition", "policy"], sort=False):
        by = part.set_index("method").rmse
        shown.add_row(condition, policy, *(f"{by[name]:.2f}" for name in METHODS))
    console.print(shown)
    console.print(
        f"level-aware: {100 * learned.lasting:.0f} % of the correlations between places last; a deviation fades by "
        f"{learned.short:.2f} with a memory of {learned.memory:.0f} slots, {learned.long:.2f} of it stays"
    )


def findings(table: pd.DataFrame) -> list[str]:
    """What the numbers say, in sentences; computed."""
    clean = table[table.condition == CLEAN]
    lines = []
    for policy, part in clean.groupby("policy", sort=False):
        by = part.set_index("method").rmse
        best = by.idxmin()
        lines.append(f"{policy}: the {best} map has the least RMSE, {by[best]:.2f}; the paper's has {by['paper']:.2f}.")
    for method, part in clean.groupby("method", sort=False):
        off = [
            (abs(100 * (row[f"cover_{100 * x:.0f}"] - x)), x, row.policy)
            for x in LEVELS_OF_COVERAGE
            for _, row in part.iterrows()
        ]
        worst, x, policy = max(off)
        verdict = "off by more than" if worst > TOLERANCE else "within"
        lines.append(
            f"Intervals of the {method} map: {verdict} {TOLERANCE:g} points of what they claim (at worst {worst:.1f}, "
            f"at {100 * x:.0f} %, {policy})."
        )
    noisy = {
        name: faults.level_noise
        for name, faults in CONDITIONS.items()
        if faults == Faults(level_noise=faults.level_noise)
    }
    first = table.policy.iloc[0]
    part = table[table.condition.isin(list(noisy)) & (table.policy == first)]
    wide = part.assign(noise=part.condition.map(noisy)).pivot_table(index="noise", columns="method", values="rmse")
    for flat in ("flat", "corrected"):
        noises, behind = wide.index.to_numpy(), (wide[flat] - wide["paper"]).to_numpy()
        turn = crossing(noises, behind)
        told = f"where the level is known to ±{100 * turn:.0f} % or worse"
        if np.isnan(turn):
            told = (
                "at every error of the level" if (behind > 0).all() else f"at no error up to {100 * noises[-1]:.0f} %"
            )
        lines.append(f"The paper's map beats the {flat} one {told} ({first}).")
    lost = [f"{100 * x:.0f} %" for x in wide.index if wide["level-aware"][x] > wide.min(axis=1)[x]]
    where = f" but {', '.join(lost)}" if lost else ""
    lines.append(f"The level-aware map has the least RMSE at every error of the level{where} ({first}).")
    return lines


def crossing(x: Any, difference: Any) -> float:
    """Where a difference first turns from negative to positive, between its points linearly; NaN: nowhere."""
    for i in range(1, len(x)):
        if difference[i - 1] <= 0 < difference[i]:
            share = -difference[i - 1] / (difference[i] - difference[i - 1])
            return float(x[i - 1] + share * (x[i] - x[i - 1]))
    return float("nan")


def page(
    table: pd.DataFrame,
    plans: tuple[Sequence[tuple[str, ...]], str],
    data: Windows,
    problem: Problem,
    args: argparse.Namespace,
) -> str:
    """All of it as a page."""
    rows = []
    for (condition, policy), part in table.groupby(["condition", "policy"], sort=False):
        by = part.set_index("method").rmse
        rows.append((condition, policy, *(f"{by[name]:.2f}" for name in METHODS)))
    told = "\n".join(f"- {line}" for line in findings(table))
    m, shape = problem.n_devices, f"T = {problem.horizon}, B = {problem.energy_budget}, D = {problem.max_sleep}"
    return (
        "# The model against the real air\n\n"
        f"The model behind the maps is fitted to spring (DataSet_1); {len(data)} windows of summer (DataSet_2), which "
        f"it has not seen, are replayed: {m} devices at {list(problem.devices)}, {shape}. Greedy and index are tuned "
        "on spring's network, index from coefficients on that were tuned on both periods; the generalist was trained "
        "on random networks, those of both periods among them. When a device senses, the server gets its real reading; "
        "the map is compared with the real readings of the locations without a device (last column: of all). RMSE with "
        "95 % block-bootstrap intervals; all in µg/m³. `claimed` is the root mean square of the deviations that the "
        "map claims, `promised` the average joint error of the model, which measures reliability, not the error "
        "against the true air.\n\n"
        f"{markdown(HEADS, _rows(table))}\n"
        f"{told}\n\n## When something goes wrong\n\n"
        "RMSE in µg/m³. The level's error is new in every slot; the policies see the true level, so that all "
        "conditions replay the same sensings. The level-aware map is told how noisy the level is.\n\n"
        f"{markdown(('condition', 'policy', *METHODS), rows)}\n"
        "## Planning with the inference that makes the map\n\n"
        'Policies that were tuned in environments with the paper\'s inference, and with `inference="level-aware"` at '
        "the noise that the level has here; a timetable is the same for both. Errors of the level-aware map at all "
        "locations in µg/m³; `promised` is the average joint error of the environment, which planning minimises, "
        "`claimed` the mean deviation that the map claims. Changes of the MAE are paired, with 95 % block-bootstrap "
        "intervals; coverage is of 50 / 90 / 95 %.\n\n"
        f"{markdown(PLAN_HEADS, plans[0])}\n{plans[1]}\n\n"
        f"{data.outside} slots of summer lie outside spring's levels. "
        f"{signature(shlex.join(['python', '-m', 'scripts.backtest', *args.given]))}\n"
    )


def draw(path: Path, table: pd.DataFrame, policies: Sequence[str]) -> None:
    """RMSE by method and policy, coverage, and RMSE over the level's error."""
    figure, (left, middle, right) = pyplot().subplots(1, 3, figsize=(14, 4.6), layout="constrained")
    clean, colours = table[table.condition == CLEAN], dict(zip(METHODS, COLOURS[1:], strict=False))
    width = 0.8 / len(METHODS)
    for i, method in enumerate(METHODS):
        part = clean[clean.method == method].set_index("policy").loc[list(policies)]
        at = np.arange(len(policies)) + (i - 1.5) * width
        error = np.abs(part[["rmse_low", "rmse_high"]].to_numpy().T - part.rmse.to_numpy())
        left.bar(at, part.rmse, width, color=colours[method], label=method, yerr=error, error_kw={"lw": 0.8})
    left.set_xticks(range(len(policies)), policies, rotation=30, ha="right")
    left.set(title="error of the map, locations without a device", ylabel="RMSE [µg/m³]")
    left.legend(frameon=False, fontsize=9)
    claimed = [100 * x for x in LEVELS_OF_COVERAGE]
    middle.plot([40, 100], [40, 100], color="#999999", lw=1, label="as claimed")
    for method in METHODS:
        part = clean[(clean.method == method) & (clean.policy == policies[0])].iloc[0]
        covered = [100 * part[f"cover_{x:.0f}"] for x in claimed]
        middle.plot(claimed, covered, marker="o", color=colours[method], label=method)
    middle.set(title=f"intervals, {policies[0]}", xlabel="claimed [%]", ylabel="covered [%]")
    middle.legend(frameon=False, fontsize=9)
    for method in METHODS:
        part = table[(table.method == method) & (table.policy == policies[0])].set_index("condition").rmse
        names = [CLEAN, *(f"level known to ±{100 * x:.0f} %" for x in NOISES)]
        right.plot([0, *(100 * x for x in NOISES)], part[names], marker="o", color=colours[method], label=method)
    right.set(title=f"the level known with an error, {policies[0]}", xlabel="its error [%]", yscale="log")
    right.set(ylabel="RMSE [µg/m³]", yticks=(3, 5, 10, 20), yticklabels=("3", "5", "10", "20"))
    right.minorticks_off()
    for at in (left, middle, right):
        at.grid(alpha=0.25)
    save_figure(path, figure)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = tuple(word for word in WORDS if word not in ("optimal", "pretrained", "rollout"))
    parser.add_argument(
        "--policies", nargs="+", choices=known, default=POLICIES, metavar="NAME", help=f"of {', '.join(known)}"
    )
    parser.add_argument(
        "--planned",
        nargs="*",
        choices=[word for word in known if word != "generalist"],
        default=PLANNED,
        metavar="NAME",
        help="with either inference",
    )
    parser.add_argument("--devices", nargs="+", type=int, default=[0, 6, 12, 18, 24], metavar="LOCATION")
    parser.add_argument("--horizon", type=int, default=60, help="T, slots (default 60)")
    parser.add_argument("--budget", type=int, default=10, help="B, sensings of a device (default 10)")
    parser.add_argument("--max-sleep", type=int, default=12, help="D, slots (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and the intervals")
    parser.add_argument("--csv", type=Path, default=Path("results") / "backtest.csv")
    parser.add_argument("--markdown", type=Path, help="also write a page")
    parser.add_argument("--no-gaussian-process", action="store_true", help="leave out the slow yardstick")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(arguments)
    if args.seed < 0:
        parser.error(f"--seed: expected at least 0, got {args.seed}")
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    return args


if __name__ == "__main__":
    enter(main, parse)
