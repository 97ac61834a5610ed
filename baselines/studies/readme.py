"""README.md's tables and docs/benchmark.md, made from the registry and the benchmark's CSV."""

from pathlib import Path

import pandas as pd

from aq_gym import reference_scores
from aq_gym.network import write_atomically
from aq_gym.registration import ENTRIES
from baselines.studies.tables import interval, markdown


def ids_table() -> str:
    """The registered ids with their sizes and the best known score."""
    heads = "id", "devices", "slots T", "sensings B", "longest sleep D", "what it is", "best known [µg/m³]"
    rows = []
    for entry in ENTRIES:
        kwargs, scores = entry.kwargs, reference_scores(entry.name)
        sizes = len(kwargs.get("devices", [0])), *(kwargs[x] for x in ("horizon", "energy_budget", "max_sleep"))
        best = f"{scores['best_known']:.2f}" if scores["optimum"] is None else f"{scores['optimum']:.3f} (exact)"
        rows.append([f"`aq_gym/{entry.name}`", *map(str, sizes), entry.prose.split(";")[0].rstrip("."), best])
    return markdown(heads, rows).rstrip()


def benchmark_table(path: Path) -> str:
    """The benchmark's rows, one line per task and policy, and where they come from."""
    table = pd.read_csv(path)
    if not {"env_id", "regret_percent", "seconds"} <= set(table):
        raise ValueError(f"{path}: expected the benchmark.csv of scripts.benchmark; this is the CSV of another command")
    rows = []
    for name, part in table.groupby("env_id", sort=False):
        for row in part.sort_values("joint_error").itertuples():
            less = "" if row.policy == "staggered" else interval(row, "difference", "+", 3)
            known = row.policy != "optimal" and pd.notna(row.regret_percent)
            regret = interval(row, "regret_percent") if known else ""
            policy = f"**{row.policy}**" if row.policy == "DQN" else row.policy
            rows.append([name, policy, interval(row, "joint_error"), less, regret, f"{row.training_seconds:.0f}"])
    one = table.iloc[0]
    n = int(one.get("training_seeds", 1))
    heads = "task", "policy", "joint error [µg/m³]", "difference to staggered", "regret %", "training s"
    seeds = f"Learners were trained on {n} seeds: rows are means over them, intervals those over episodes. "
    return (
        f"{markdown(heads, rows)}\n"
        f"{one.episodes:,} episodes, the same for every policy; in brackets 95 % bootstrap intervals, those of "
        "differences and regrets paired. "
        f"Trainings of DQN and SB3 were cut after {one.seconds:g} s, "
        f"{'two side by side on 2 cores' if one.cores > 1 else 'one after another on one core'} ({one.cpu}); "
        "pretrained is the agent that is shipped for the task, generalist the one for any, with the seconds of their "
        "training; greedy and index with those of tuning, which also count where DQN starts from index. "
        f"{seeds if n > 1 else ''}Commit {one.commit[:10]}"
        f"{' with uncommitted changes' if one.dirty else ''}, `{one.get('command', 'python -m scripts.benchmark')}`."
    )


SEEDS = ("task", "learner", "interquartile mean µg/m³", "lowest", "highest")


def seed_rows(table: pd.DataFrame) -> list[list[str]]:
    """What training seeds change, one row per task and learner of `over_seeds`."""
    rows = []
    for x in table.itertuples():
        task = "all, over staggered" if x.env_id == "all" else x.env_id
        rows.append([task, x.policy, interval(x, "iqm", digits=3), f"{x.lowest:.3f}", f"{x.highest:.3f}"])
    return rows


def page(benchmark: Path, target: Path) -> str:
    """The benchmark of several training seeds as a page, its curves beside it."""
    table, seeds = benchmark_table(benchmark), benchmark.parent / "seeds.csv"
    if not seeds.is_file():
        raise ValueError(f"{seeds} is missing: a page needs a benchmark of several --training-seeds")
    one = pd.read_csv(benchmark).iloc[0]
    picture = target.with_name(f"{target.stem}_curves.png")
    write_atomically(picture, (benchmark.parent / "curves.png").read_bytes())
    return (
        f"# The benchmark on {one.training_seeds} training seeds\n\n{table}\n\n"
        "## What training seeds change\n\nInterquartile means over the seeds of each learner's mean error, with 95 % "
        "stratified-bootstrap intervals, the best and the worst seed.\n\n"
        f"{markdown(SEEDS, seed_rows(pd.read_csv(seeds)))}\n"
        f"## Learning curves\n\n![Validation error over decisions and seconds]({picture.name})\n"
    )


def replace(text: str, name: str, table: str) -> str:
    """The text with another table between the comments of that name."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(first)
    _, closed, after = rest.partition(last)
    if not found or not closed:
        raise ValueError(f"README.md: expected {first} and {last} around the table, found only part of that")
    return f"{before}{first}\n{table}\n{last}{after}"
