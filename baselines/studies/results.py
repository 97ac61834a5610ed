"""What a study leaves: its numbers as CSV, and a page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from baselines.studies.files import write_table, write_text
from baselines.studies.provenance import provenance


def write_results(table: pd.DataFrame, csv: Path, page: str = "", markdown: Path | None = None) -> None:
    """Write the table with its provenance and, if asked for, the page; say where they are."""
    write_table(csv, table.assign(**provenance()))
    print(f"written to {csv}")
    if markdown is not None:
        write_text(markdown, page)
        print(f"written to {markdown}")
