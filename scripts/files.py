"""Results as files: written whole or not at all, folders made as needed."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from aq_gym.network import write_atomically


def write_text(path: Path, text: str) -> None:
    """Replace a text file."""
    write_atomically(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Replace a CSV file, without the index."""
    text = StringIO()
    table.to_csv(text, index=False)
    write_text(path, text.getvalue())
