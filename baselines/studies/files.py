"""Results as files, pictures among them: written whole or not at all, folders made as needed."""

import json
import tempfile
from collections.abc import Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from aq_gym.files import write_atomically
from aq_gym.network import SensorNetwork
from baselines.studies.provenance import provenance, signature


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


def write_results(table: pd.DataFrame, csv: Path, page: str, markdown: Path | None, command: str) -> None:
    """Write a table with its provenance and, if asked for, the page with a line on the command; say where they are."""
    write_table(csv, table.assign(**provenance()))
    print(f"written to {csv}")
    if markdown is not None:
        write_text(markdown, f"{page}\n{signature(command)}\n")
        print(f"written to {markdown}")


def save_or_check(networks: Mapping[str, tuple[SensorNetwork, dict[str, Any]]], folder: Path, *, check: bool) -> None:
    """Write networks with their cards into a folder, or end with status 1 where its files are not those networks'."""
    same = True
    for name, (network, card) in networks.items():
        path = folder / f"{name}.npz"
        if not check:
            print(f"{network.save(path, card)}\n{network.describe()}")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            made = network.save(Path(scratch) / path.name).read_bytes()
        equal = path.is_file() and made == path.read_bytes()
        print(f"{path}  {'the same bytes' if equal else 'DIFFERENT'}")
        same &= equal
    if not same:
        raise SystemExit(1)


def pyplot() -> Any:
    """Matplotlib's pyplot, drawing to files alone; imported when it is needed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save_figure(path: Path, figure: Any, dpi: int = 130) -> None:
    """Replace a PNG file by a figure, and close it."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    pyplot().close(figure)
    write_atomically(path, content.getvalue())
