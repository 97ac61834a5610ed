"""What policies lose where the world is not what they were made for.

    python -m scripts.robustness                                     # about ten minutes; results/robustness.csv
    python -m scripts.robustness --policies staggered index --episodes 200
    python -m scripts.robustness --markdown docs/robustness.md

Policies are tuned or trained on spring's network (the agents on both periods', which they were shipped for), and play
there, on summer's, with wrong variances, with the level known late or with noise, with lost readings and with a device
that dies halfway. Each is compared with its own clean score on the same episodes, in per cent, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.dqn import load_pretrained
from baselines.evaluation import WORDS, build_policy, mean_with_interval
from baselines.playing import problem_of
from baselines.robustness import Disturbance, play_disturbed, scaled
from scripts.door import enter
from scripts.files import write_table, write_text
from scripts.kept import markdown, percent
from scripts.provenance import provenance, signature

ENV = "aq_gym/MultiDevice-v0"
SHIPPED = "MultiDevice-v0's agent"
POLICIES = ("staggered", "greedy", "index", "generalist")
CLEAN = "as it was made for"


def disturbances(network: SensorNetwork) -> dict[str, Disturbance]:
    """By name; the first is none."""
    return {
        CLEAN: Disturbance(),
        "summer's network": Disturbance(network=SensorNetwork.load("pku2018-summer")),
        **{
            f"{name} x {x:g}": Disturbance(network=scaled(network, **{field: x}))
            for name, field in (("δ²", "measurement_variance"), ("σ²", "temporal_variance"))
            for x in (0.5, 2.0)
        },
        "level known one slot late": Disturbance(late=True),
        "level known to ±10 %": Disturbance(level_noise=0.1),
        "level known to ±30 %": Disturbance(level_noise=0.3),
        "5 % of the readings lost": Disturbance(lost=0.05),
        "20 % of the readings lost": Disturbance(lost=0.2),
        "a device dies halfway": Disturbance(dead=1),
    }


def main(args: argparse.Namespace) -> pd.DataFrame:
    shipped = problem_of(ENV)
    shape = shipped.horizon, shipped.energy_budget, shipped.max_sleep
    problem = Problem.create("pku2018-spring", shipped.devices, *shape)
    rows = []
    with Progress(disable=args.quiet, transient=True) as bar:
        task = bar.add_task("", total=None)
        players = {word: (lambda word=word: build_policy(word, problem)[0]) for word in args.policies}
        if not args.no_agent:
            players[SHIPPED] = lambda: load_pretrained(ENV)
        for name, build in players.items():
            bar.update(task, description=f"tuning: {name}")
            policy = build()
            clean = None
            for condition, disturbance in disturbances(problem.network).items():
                bar.update(task, description=f"{name}, {condition}")
                errors = play_disturbed(policy, problem, disturbance, args.episodes, args.seed)
                clean = errors if clean is None else clean
                change = [100.0 * x / clean.mean() for x in mean_with_interval(errors - clean, seed=args.seed)]
                rows.append((condition, name, float(errors.mean()), *change))
    columns = ["condition", "policy", "joint_error", "percent", "percent_low", "percent_high"]
    table = pd.DataFrame(rows, columns=columns)
    heads, lines = ("condition", *players), []
    for condition, part in table.groupby("condition", sort=False):
        by = part.set_index("policy")
        first = condition == CLEAN
        cells = (f"{by.joint_error[name]:.3f} µg/m³" if first else percent(by.loc[name]) for name in players)
        lines.append((str(condition), *cells))
    shown = Table(*heads, title=f"change of the joint error, % of the policy's own, {args.episodes:,} episodes")
    for cells in lines:
        shown.add_row(*cells)
    Console().print(shown)
    write_table(args.csv, table.assign(episodes=args.episodes, seed=args.seed, **provenance()))
    print(f"written to {args.csv}")
    if args.markdown is not None:
        write_text(args.markdown, page(args, markdown(heads, lines)))
        print(f"written to {args.markdown}")
    return table


def page(args: argparse.Namespace, table: str) -> str:
    """The table with what it takes to read it."""
    return (
        "# Policies where the world is not what they were made for\n\n"
        f"{ENV.rpartition('/')[2]} on spring's network, for which greedy and index were tuned; the agents were shipped "
        "for the network of both periods. First row: the joint error there. All others: its change under the "
        "condition, in per cent of the policy's own first row, on the same episodes, with 95 % intervals (summer has "
        "its own weather, cleaner air). Errors are those of the true network, the true level and the readings that "
        "arrived. Wrong variances make the air itself noisier or calmer: compare the policies with each other and with "
        f"staggered sensing, which cannot react. {args.episodes:,} episodes.\n\n"
        f"{table}\n{signature(shlex.join(['python', '-m', 'scripts.robustness', *args.given]))}\n"
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = tuple(word for word in WORDS if word not in ("optimal", "pretrained", "rollout"))
    parser.add_argument(
        "--policies", nargs="+", choices=known, default=POLICIES, metavar="NAME", help=f"of {', '.join(known)}"
    )
    parser.add_argument("--no-agent", action="store_true", help=f"leave out {SHIPPED}")
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, default=Path("results") / "robustness.csv")
    parser.add_argument("--markdown", type=Path, help="also write the table there as a page")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(arguments)
    for name, least in (("seed", 0), ("episodes", 1)):
        if getattr(args, name) < least:
            parser.error(f"--{name}: expected at least {least}, got {getattr(args, name)}")
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    return args


if __name__ == "__main__":
    enter(main, parse)
