"""Cells and tables of the pages that the studies write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def percent(row: Any) -> str:
    """A paired difference in per cent with its interval: ``percent``, ``percent_low`` and ``percent_high`` of a row."""
    return f"{row.percent:+.2f} [{row.percent_low:+.2f}, {row.percent_high:+.2f}]"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
