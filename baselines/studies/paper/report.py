"""What every figure consists of; the figures that a folder holds, as one HTML page and as a page of text."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym import datasets
from aq_gym.network import SensorNetwork
from baselines.studies.files import pyplot, save_figure, write_json, write_table
from baselines.studies.provenance import provenance
from baselines.studies.tables import markdown

HEADS = ("the paper says", "measured here", "verdict", "why")
_CLAIM = ("says", "measured", "verdict", "why")


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, what was measured here, and whether they agree. Nothing of it is typed by hand."""

    says: str
    measured: str
    agrees: bool
    why: str = ""

    @property
    def verdict(self) -> str:
        """One word."""
        return "agrees" if self.agrees else "differs"


@dataclass(frozen=True)
class Figure:
    """One figure: its claims, its numbers and its picture."""

    number: int
    title: str
    setting: str
    claims: tuple[Claim, ...]
    tables: Mapping[str, pd.DataFrame]  # by the end of the file's name; "" for the plotted numbers
    draw: Callable[[Any], Any]  # takes pyplot, returns a figure
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What the figures share."""

    seed: int = 0
    quick: bool = False  # tiny sizes, for a look and for the tests
    say: Callable[[str], None] = lambda line: None

    def pick(self, full: Any, quick: Any) -> Any:
        """The full size, or the one for a quick look."""
        return quick if self.quick else full

    @cached_property
    def network(self) -> SensorNetwork:
        """Fitted to both files."""
        return SensorNetwork.load("pku2018")

    @cached_property
    def data(self) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
        """Readings of both periods, each (T, N), and the calibration, (sensors, samples) [µg/m³]."""
        return datasets.load_pku2018()


def stem(number: int) -> str:
    """What the names of a figure's files begin with."""
    return f"figure_{number:02d}"


def write_figure(figure: Figure, folder: Path, made_by: str, asked: dict[str, Any]) -> None:
    """PNG, CSV files and card of one figure; the card comes last, since a figure that has one counts as done.

    What was ``asked`` must be the same to use the figure again.
    """
    name = stem(figure.number)
    (folder / f"{name}.json").unlink(missing_ok=True)
    files = {f"{name}{'_' if end else ''}{end}.csv": table for end, table in figure.tables.items()}
    for file, table in files.items():
        write_table(folder / file, table)
    save_figure(folder / f"{name}.png", figure.draw(pyplot()))
    card = {
        "number": figure.number,
        "title": figure.title,
        "setting": figure.setting,
        "claims": [{key: getattr(claim, key) for key in _CLAIM} for claim in figure.claims],
        "notes": list(figure.notes),
        "files": list(files),
        "asked": asked,
        "made_by": f"{made_by}{' Tiny sizes: no results.' if asked['quick'] else ''}",
        "provenance": provenance(),
    }
    write_json(folder / f"{name}.json", card)


def read_card(folder: Path, number: int) -> dict[str, Any] | None:
    """The card of a figure; None unless it is readable and all files that it names are there."""
    path = folder / f"{stem(number)}.json"
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files = [path.with_suffix(".png"), *(folder / file for file in card["files"])]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return card if all(file.is_file() for file in files) else None


def html_report(folder: Path, numbers: Iterable[int]) -> str:
    """All figures that are there as one page that needs no other file."""
    cards = {number: read_card(folder, number) for number in numbers}
    parts = [_section(folder, card) for card in cards.values() if card]
    missing = ", ".join(str(number) for number, card in cards.items() if card is None)
    return _PAGE.replace("{body}", (f"<p>Not made here: figure {missing}.</p>" if missing else "") + "".join(parts))


def _section(folder: Path, card: dict[str, Any]) -> str:
    number, title = card["number"], escape(card["title"])
    image = base64.b64encode((folder / f"{stem(number)}.png").read_bytes()).decode()
    rows = "".join(
        f"<tr><td>{escape(x['says'])}</td><td>{escape(x['measured'])}</td>"
        f'<td class="{x["verdict"]}">{x["verdict"]}</td><td>{escape(x["why"])}</td></tr>'
        for x in card["claims"]
    )
    return (
        f'<section id="figure-{number}"><h2>Figure {number}. {title}</h2><p>{escape(card["setting"])}.</p>'
        f'<img alt="Figure {number}: {title}" src="data:image/png;base64,{image}">'
        f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in HEADS)}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{''.join(f'<p>{escape(x)}</p>' for x in card['notes'])}"
        f'<p class="made">{escape(card["made_by"])} {escape(", ".join(card["files"]))}</p></section>'
    )


def text_report(folder: Path, numbers: Iterable[int]) -> str:
    """The claims and their verdicts in Markdown."""
    lines = [
        "# The paper's claims, checked\n",
        "Figures 8 to 13 of the paper, made again from the same data. The paper's formulas and numbers are lost. So "
        "its claims are compared qualitatively, and each verdict is computed from the figure's numbers. `make paper` "
        "draws the figures and collects them in results/paper/report.html.\n",
    ]
    for card in filter(None, (read_card(folder, number) for number in numbers)):
        lines += [f"## Figure {card['number']}. {card['title']}\n", f"{card['setting']}.\n"]
        lines += [markdown(HEADS, [[claim[key] for key in _CLAIM] for claim in card["claims"]])]
        lines += [*(f"{note}\n" for note in card["notes"]), f"{card['made_by']}\n"]
    return "\n".join(lines)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The paper, reproduced</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-weight: 600; } h2 { margin-top: 3rem; font-weight: 600; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #ddd; }
.agrees { color: #00693e; font-weight: 600; } .differs { color: #b03a00; font-weight: 600; }
.made { color: #666; font-size: 13px; }
</style></head><body>
<h1>The paper's figures 8 to 13, from the real data</h1>
<p>The paper's formulas and numbers are lost. So its claims are compared qualitatively. Every verdict is computed from
the figure's own numbers, which lie beside it as CSV.</p>
{body}</body></html>
"""
