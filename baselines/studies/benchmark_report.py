"""What the benchmark leaves: its table after each task, pictures, and what training seeds change."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from baselines.studies.benchmark import Plan, over_seeds
from baselines.studies.benchmark_plots import draw, draw_curves
from baselines.studies.benchmark_pool import run
from baselines.studies.files import write_table
from baselines.studies.readme import SEEDS, seed_rows
from baselines.studies.tables import WIDTH, comparison, text_table


def task_table(table: pd.DataFrame, title: str, notes: Sequence[str]) -> str:
    """A task's table, best policy first; the first row of ``table`` is what the others are compared to."""
    ordered = table.sort_values("joint_error", kind="stable")
    lines = [line for note in notes for line in textwrap.wrap(note, WIDTH)]
    return "\n".join([title, comparison(ordered, table.policy.iloc[0]), *lines, ""])


def conduct(
    plan: Plan, ids: Sequence[str], processes: int, origin: dict[str, Any], *, quiet: bool
) -> tuple[pd.DataFrame, bool]:
    """Run the benchmark; whatever ends it early, the tables of finished tasks are written.

    Returns:
        The rows of all finished tasks, and whether a signal ended it early.
    """
    console, interrupted = Console(), False
    tables: dict[str, pd.DataFrame] = {}
    shared = {name: getattr(plan, name) for name in ("episodes", "seed", "seconds", "scale", "training_seeds")} | origin
    plan.folder.mkdir(parents=True, exist_ok=True)

    def all_rows() -> pd.DataFrame:
        return pd.concat([tables[env_id] for env_id in ids if env_id in tables], ignore_index=True)

    def evaluated(env_id: str, table: pd.DataFrame, notes: list[str]) -> None:
        tables[env_id] = table.assign(**shared)
        write_table(plan.folder / "benchmark.csv", all_rows())
        text = task_table(table, f"{env_id}: {plan.episodes:,} episodes", notes)
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            run(plan, ids, processes, progress, evaluated)
    except KeyboardInterrupt:
        interrupted = True
    if not tables:
        return pd.DataFrame(), interrupted
    print(textwrap.fill(plan.caption, WIDTH))
    draw(plan.folder / "benchmark.png", all_rows(), plan.caption)
    print(f"table and picture: {plan.folder / 'benchmark.csv'}, {plan.folder / 'benchmark.png'}")
    curves = draw_curves(plan, {env_id: {x: plan.runs(x) for x in plan.learners} for env_id in tables})
    if curves is not None:
        print(f"learning curves over decisions and seconds: {curves}")
    if plan.training_seeds > 1:
        seeds = over_seeds(all_rows(), plan.seed)
        write_table(plan.folder / "seeds.csv", seeds.assign(**shared))
        print(f"over {plan.training_seeds} training seeds\n{text_table(SEEDS, seed_rows(seeds))}\n")
    return all_rows(), interrupted
