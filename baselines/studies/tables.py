"""Tables of results, for terminals of 80 columns and for pages in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

WIDTH = 80  # columns, also where the output is a file or a pipe
_GAP = "  "


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int = WIDTH) -> str:
    """A table in plain text: first column left, others right; cells and headings may have several lines.

    Nothing is cut: where the first column would make the table wider than ``width``, its words get lines of their own.
    """
    table = [[cell.split("\n") for cell in row] for row in (headings, *rows)]
    widths = [max(len(line) for row in table for line in row[column]) for column in range(len(headings))]
    others = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
    apart = widths[0] + others > width
    first = max(0, width - others) if apart else widths[0]
    lines = []
    for number, row in enumerate(table):
        if apart and any(len(line) > first for line in row[0]):
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
    """A column's mean, and below it its interval; "-" where it is unknown."""
    mean, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
    if math.isnan(mean):
        return "-"
    ends = "" if math.isnan(low) else f"\n{low:{sign}.{digits}f}, {high:{sign}.{digits}f}"
    return f"{mean:{sign}.{digits}f}{ends}"


def short(value: float) -> str:
    """A positive number in two or three digits: 759k, 7.7M."""
    if math.isnan(value):
        return "-"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.{0 if value >= 10 * size else 1}f}{unit}"
    return f"{value:.0f}"


def seconds(value: float) -> str:
    """Seconds of a training; "-" where they are unknown."""
    return "-" if math.isnan(value) else f"{value:.{1 if value < 10 else 0}f}"


def comparison(table: pd.DataFrame, reference: str, digits: int = 2) -> str:
    """A table of `baselines.evaluate`, or of the benchmark with regrets; differences are to ``reference``."""
    with_regret = "regret_percent" in table and table.regret_percent.notna().any()
    fourth = "regret\n%" if with_regret else "forced\n%"
    headings = ["policy", "joint error\nµg/m³", "difference\nµg/m³", fourth, "energy", "dec/s", "trained\ns"]
    rows = []
    for row in table.itertuples():
        first = row.policy == reference
        cells = [row.policy, interval(row, "joint_error", digits=digits)]
        cells.append("" if first else interval(row, "difference", "+", digits))
        if with_regret:
            cells.append("0" if row.policy == "optimal" else interval(row, "regret_percent"))
        else:
            cells.append(f"{100 * row.forced:.1f}")
        cells += [f"{row.energy_used:.1f}", short(row.decisions_per_second), seconds(row.training_seconds)]
        rows.append(cells)
    note = (
        f"differences to {reference}, on the same episodes\n"
        "second lines: 95 % intervals\nenergy: sensings per device and episode; dec/s: decisions per second"
    )
    return f"{text_table(headings, rows)}\n{note}"


def percent(row: Any) -> str:
    """A paired difference in per cent with its interval, if there is one."""
    ends = "" if math.isnan(row.percent_low) else f" [{row.percent_low:+.2f}, {row.percent_high:+.2f}]"
    return f"{row.percent:+.2f}{ends}"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
