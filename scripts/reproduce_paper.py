"""The paper's figures 8 to 13 from the real data: PNG, CSV, and a verdict on each of its claims.

    python -m scripts.reproduce_paper                   # all of them, about half an hour on two cores; report.html
    python -m scripts.reproduce_paper --figure 12       # one
    python -m scripts.reproduce_paper --quick           # tiny sizes, a minute: for a look, not for its numbers

Its formulas and numbers are lost, so its claims are compared in kind. Figures 8 and 9 need the raw readings (`python -m
scripts.download_data`, or AQ_GYM_DATA); without them they are left out, and the report says so. A figure that is done
by the same code is kept beside its CSV and enters the report again; --figure makes it anew.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.door import enter
from scripts.files import pyplot, save_figure, write_json, write_table, write_text
from scripts.kept import markdown
from scripts.paper.figure import Context, Figure
from scripts.provenance import provenance, signature, sources

FIGURES = {number: f"scripts.paper.figure_{number:02d}" for number in range(8, 14)}


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """What must be the same for a figure that is there to be kept."""
    return {"quick": args.quick, "seed": args.seed, "sources_sha256": sources()}


def write(figure: Figure, folder: Path, made_by: str, asked: dict[str, Any]) -> None:
    """PNG, CSV files and claims of one figure; the claims last, since what has them counts as done."""
    stem = f"figure_{figure.number:02d}"
    (folder / f"{stem}.json").unlink(missing_ok=True)
    for end, table in figure.tables.items():
        write_table(folder / f"{stem}{'_' if end else ''}{end}.csv", table)
    save_figure(folder / f"{stem}.png", figure.draw(pyplot()))
    claims = [{"says": x.says, "measured": x.measured, "verdict": x.verdict, "why": x.why} for x in figure.claims]
    card = {
        "number": figure.number,
        "title": figure.title,
        "setting": figure.setting,
        "claims": claims,
        "notes": list(figure.notes),
        "files": [f"{stem}{'_' if end else ''}{end}.csv" for end in figure.tables],
        "asked": asked,
        "made_by": f"{made_by}{' Tiny sizes: no results.' if asked['quick'] else ''}",
        "provenance": provenance(),
    }
    write_json(folder / f"{stem}.json", card)


def cards(folder: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """What is known of the figures that are there, and the numbers of those that are not."""
    files = {number: folder / f"figure_{number:02d}.json" for number in FIGURES}
    there = [json.loads(path.read_text(encoding="utf-8")) for path in files.values() if path.is_file()]
    return there, [number for number, path in files.items() if not path.is_file()]


def report(folder: Path) -> str:
    """All figures that are there as one page that needs no other file."""
    parts, (there, missing) = [], cards(folder)
    for card in there:
        number = card["number"]
        image = base64.b64encode((folder / f"figure_{number:02d}.png").read_bytes()).decode()
        rows = "".join(
            f"<tr><td>{html.escape(x['says'])}</td><td>{html.escape(x['measured'])}</td>"
            f'<td class="{x["verdict"]}">{x["verdict"]}</td><td>{html.escape(x["why"])}</td></tr>'
            for x in card["claims"]
        )
        notes = "".join(f"<p>{html.escape(x)}</p>" for x in card["notes"])
        parts.append(
            f'<section id="figure-{number}"><h2>Figure {number}. {html.escape(card["title"])}</h2>'
            f"<p>{html.escape(card['setting'])}.</p>"
            f'<img alt="Figure {number}: {html.escape(card["title"])}" src="data:image/png;base64,{image}">'
            "<table><thead><tr><th>the paper says</th><th>measured here</th><th>verdict</th><th>why</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>{notes}"
            f'<p class="made">{html.escape(card["made_by"])} {html.escape(", ".join(card["files"]))}</p></section>'
        )
    left_out = f"<p>Not made here: figure {', '.join(map(str, missing))}.</p>" if missing else ""
    return _PAGE.replace("{body}", left_out + "".join(parts))


def verdicts(folder: Path) -> str:
    """The claims and their verdicts as a page of text."""
    lines = [
        "# The paper's claims, checked\n",
        "Figures 8 to 13 of the paper, made anew from the same data. The paper's formulas and numbers are lost, so its "
        "claims are compared in kind; verdicts are computed from each figure's numbers. `make paper` draws the figures "
        "and collects them in results/paper/report.html.\n",
    ]
    for card in cards(folder)[0]:
        rows = [(x["says"], x["measured"], x["verdict"], x["why"]) for x in card["claims"]]
        lines += [f"## Figure {card['number']}. {card['title']}\n", f"{card['setting']}.\n"]
        lines += [markdown(("the paper says", "measured here", "verdict", "why"), rows)]
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
<p>The paper's formulas and numbers are lost, so its claims are compared in kind. Every verdict is computed from the
figure's own numbers, which lie beside it as CSV.</p>
{body}</body></html>
"""


def main(args: argparse.Namespace) -> list[Figure]:
    console, made = Console(), []
    args.folder.mkdir(parents=True, exist_ok=True)
    say: Callable[[str], None] = (lambda line: None) if args.quiet else (lambda line: console.print(line, style="dim"))
    context, wanted = Context(args.seed, args.quick, say), asked(args)
    for number in args.figure or FIGURES:
        card = args.folder / f"figure_{number:02d}.json"
        if not args.figure and not args.anew and card.is_file():
            if json.loads(card.read_text(encoding="utf-8")).get("asked") == wanted:
                console.print(f"figure {number}: kept, --figure {number} makes it anew")
                continue
            card.unlink()
        try:
            figure = import_module(FIGURES[number]).make(context)
        except FileNotFoundError as error:
            if args.figure:
                raise
            console.print(f"figure {number} is left out: {error}")
            continue
        given = shlex.join(["python", "-m", "scripts.reproduce_paper", *args.given])
        write(figure, args.folder, signature(given), wanted)
        made.append(figure)
        console.print(f"[bold]figure {number}: {figure.title}[/bold]")
        for claim in figure.claims:
            colour = "green" if claim.agrees else "red"
            console.print(f"  [{colour}]{claim.verdict}[/{colour}]: {claim.says}", highlight=False)
            console.print(
                f"      {claim.measured}{'; ' if claim.why else ''}{claim.why}", highlight=False, markup=False
            )
    write_text(args.folder / "report.html", report(args.folder))
    console.print(f"written to {args.folder / 'report.html'}")
    if args.markdown is not None:
        write_text(args.markdown, verdicts(args.folder))
        console.print(f"written to {args.markdown}")
    return made


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=int, nargs="+", choices=FIGURES, metavar="N", help="8 to 13 (default: all)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--anew", action="store_true", help="also what is done")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default results/paper, with --quick results/paper-quick")
    parser.add_argument("--markdown", type=Path, help="also write the verdicts as a page")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(arguments)
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    if args.seed < 0:
        parser.error(f"--seed: expected at least 0, got {args.seed}")
    if args.folder is None:
        args.folder = Path("results") / ("paper-quick" if args.quick else "paper")
    return args


if __name__ == "__main__":
    enter(main, parse)
