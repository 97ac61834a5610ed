"""Tables of results: the same rows for a terminal of 80 columns and for a page in Markdown."""

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

WIDTH = 80  # columns, also where the output is a file or a pipe
_GAP = "  "


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int = WIDTH) -> str:
    """A table in plain text, first column left, others right; intervals and units of a heading in lines of their own.

    Nothing is cut: where the first column would make the table wider than ``width``, its words get lines of their own.
    """
    broken = [re.sub(r" \[(.*?)\]", r"\n\1", "\t".join(row)).split("\t") for row in rows]
    table = [[cell.split("\n") for cell in row] for row in ([re.sub(r" (µ|%)", r"\n\1", x) for x in heads], *broken)]
    widths = [max(len(line) for row in table for line in row[column]) for column in range(len(heads))]
    others = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
    first = min(widths[0], max(0, width - others))
    lines = []
    for number, row in enumerate(table):
        if any(len(line) > first for line in row[0]):
            lines += row[0]
            row = [[""], *row[1:]]
        for k in range(max(map(len, row))):
            cells = [cell[k] if k < len(cell) else "" for cell in row]
            right = [cell.rjust(w) for cell, w in zip(cells[1:], widths[1:], strict=True)]
            lines.append(_GAP.join([cells[0].ljust(first), *right]).rstrip())
        if number == 0:
            lines.append("-" * (first + others))
    return "\n".join(lines)


def interval(row: Any, name: str, sign: str = "", digits: int = 2) -> str:
    """The text of a row's columns ``name``, ``name_low`` and ``name_high``."""
    return with_interval(*(getattr(row, f"{name}{end}") for end in ("", "_low", "_high")), sign, digits)


def with_interval(mean: float, low: float, high: float, sign: str = "", digits: int = 2) -> str:
    """A mean and its interval, if there is one: "1.20 [1.10, 1.30]"; "-" where it is unknown."""
    if math.isnan(mean):
        return "-"
    ends = "" if math.isnan(low) else f" [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
    return f"{mean:{sign}.{digits}f}{ends}"


def short(value: float) -> str:
    """A positive number in two or three digits: 759k, 7.7M."""
    if math.isnan(value):
        return "-"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.{0 if value >= 10 * size else 1}f}{unit}"
    return f"{value:.{1 if value < 10 else 0}f}"


def comparison(table: pd.DataFrame, reference: str, digits: int = 2) -> str:
    """A table of `baselines.evaluate`, or of the benchmark with regrets; differences are to ``reference``."""
    with_regret = "regret_percent" in table and table.regret_percent.notna().any()
    fourth = "regret %" if with_regret else "forced %"
    heads = ["policy", "joint error µg/m³", "difference µg/m³", fourth, "energy", "dec/s", "trained\ns"]
    rows = []
    for row in table.itertuples():
        difference = "" if row.policy == reference else interval(row, "difference", "+", digits)
        last = f"{100 * row.forced:.1f}"
        if with_regret:
            last = "0" if row.policy == "optimal" else interval(row, "regret_percent")
        speed = short(row.decisions_per_second), short(row.training_seconds)
        error = interval(row, "joint_error", digits=digits)
        rows.append([row.policy, error, difference, last, f"{row.energy_used:.1f}", *speed])
    return (
        f"{text_table(heads, rows)}\ndifferences to {reference}, on the same episodes\nsecond lines: 95 % intervals\n"
        "energy: sensings per device and episode; dec/s: decisions per second"
        + ("" if with_regret else "\nforced: share of the decisions that the environment replaced")
    )
