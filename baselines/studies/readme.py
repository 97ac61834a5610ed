"""README.md's tables and docs/benchmark.md, made from the registry and the benchmark's CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aq_gym import reference_scores
from aq_gym.network import write_atomically
from aq_gym.registration import ENTRIES


def ids_table() -> str:
    """The registered ids with their sizes and the best known score."""
    lines = [
        "| id | devices | slots T | sensings B | longest sleep D | what it is | best known [µg/m³] |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in ENTRIES:
        kwargs, scores = entry.kwargs, reference_scores(entry.name)
        devices = len(kwargs["devices"]) if "devices" in kwargs else 1
        best = f"{scores['best_known']:.2f}" if scores["optimum"] is None else f"{scores['optimum']:.3f} (exact)"
        lines.append(
            f"| `aq_gym/{entry.name}` | {devices} | {kwargs['horizon']} | {kwargs['energy_budget']} | "
            f"{kwargs['max_sleep']} | {entry.prose.split(';')[0].rstrip('.')} | {best} |"
        )
    return "\n".join(lines)


def benchmark_table(path: Path) -> str:
    """The benchmark's rows, a line a task and policy, and where they come from."""
    table = pd.read_csv(path)
    lines = [
        "| task | policy | joint error [µg/m³] | less that of staggered | regret % | training s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, rows in table.groupby("env_id", sort=False):
        for row in rows.sort_values("joint_error").itertuples():
            error = f"{row.joint_error:.2f} [{row.joint_error_low:.2f}, {row.joint_error_high:.2f}]"
            less = f"{row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]"
            known = row.policy != "optimal" and pd.notna(row.regret_percent)
            regret = (
                f"{row.regret_percent:.2f} [{row.regret_percent_low:.2f}, {row.regret_percent_high:.2f}]"
                if known
                else ""
            )
            policy = f"**{row.policy}**" if row.policy == "DQN" else row.policy
            less = "" if row.policy == "staggered" else less
            lines.append(f"| {name} | {policy} | {error} | {less} | {regret} | {row.training_seconds:.0f} |")
    one = table.iloc[0]
    dirty = " with uncommitted changes" if one.dirty else ""
    n = int(one.get("training_seeds", 1))
    seeds = (
        f"Learners were trained on {n} seeds: rows are means over them, intervals those over episodes. "
        if n > 1
        else ""
    )
    lines += [
        "",
        f"{one.episodes:,} episodes, the same for every policy; in brackets 95 % bootstrap intervals, those of "
        "differences and regrets paired. "
        f"Trainings of DQN and SB3 were cut after {one.seconds:g} s, "
        f"{'two side by side on 2 cores' if one.cores > 1 else 'one after another on one core'} ({one.cpu}); "
        "pretrained is the agent that is shipped for the task, generalist the one for any, with the seconds of their "
        "training; greedy and index with those of tuning. "
        f"{seeds}Commit {one.commit[:10]}{dirty}, `python -m scripts.benchmark`.",
    ]
    return "\n".join(lines)


def seeds_table(path: Path) -> str:
    """What training seeds change, a line a task and learner."""
    lines = ["| task | learner | interquartile mean [µg/m³] | lowest | highest |", "| --- | --- | --- | --- | --- |"]
    for row in pd.read_csv(path).itertuples():
        task = "all, over staggered" if row.env_id == "all" else row.env_id
        mean = f"{row.iqm:.3f} [{row.iqm_low:.3f}, {row.iqm_high:.3f}]"
        lines.append(f"| {task} | {row.policy} | {mean} | {row.lowest:.3f} | {row.highest:.3f} |")
    return "\n".join(lines)


def page(benchmark: Path, target: Path) -> str:
    """The benchmark of several training seeds as a page, its curves beside it."""
    one = pd.read_csv(benchmark).iloc[0]
    picture = target.with_name(f"{target.stem}_curves.png")
    write_atomically(picture, (benchmark.parent / "curves.png").read_bytes())
    return (
        f"# The benchmark on {one.training_seeds} training seeds\n\n{benchmark_table(benchmark)}\n\n"
        "## What training seeds change\n\nInterquartile means over the seeds of each learner's mean error, with 95 % "
        "stratified-bootstrap intervals, the best and the worst seed.\n\n"
        f"{seeds_table(benchmark.parent / 'seeds.csv')}\n\n"
        f"## Learning curves\n\n![Validation error over decisions and seconds]({picture.name})\n"
    )


def replace(text: str, name: str, table: str) -> str:
    """The text with another table between the comments of that name.

    Raises:
        ValueError: the comments are missing.
    """
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(first)
    _, closed, after = rest.partition(last)
    if not found or not closed:
        raise ValueError(f"README.md: expected {first} and {last} around the table, found only part of that")
    return f"{before}{first}\n{table}\n{last}{after}"
