"""The paper's figures 8 to 13 from the real data: PNG, CSV, and a verdict on each of its claims.

    python -m scripts.reproduce_paper                   # all of them, about half an hour on two cores; report.html
    python -m scripts.reproduce_paper --figure 12       # one
    python -m scripts.reproduce_paper --quick           # tiny sizes, a minute: for a look, not for its numbers

The paper's formulas and numbers are lost, so its claims are compared qualitatively. Figures 8 and 9 need the raw
readings (`python -m scripts.download_data`, or AQ_GYM_DATA). Without them they are left out, and the report says so.
Each finished figure is written at once. A later run of the same code uses it again; --figure makes it anew.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from baselines.studies.files import write_text
from baselines.studies.paper import figure_08, figure_09, figure_10, figure_11, figure_12, figure_13
from baselines.studies.paper.report import Context, Figure, html_report, read_card, text_report, write_figure
from baselines.studies.provenance import signature, sources
from scripts.arguments import at_least, command_parser, file_path, parsed
from scripts.command import enter

MODULES = figure_08, figure_09, figure_10, figure_11, figure_12, figure_13
FIGURES: dict[int, Callable[[Context], Figure]] = {number: x.make for number, x in enumerate(MODULES, 8)}


def main(args: argparse.Namespace) -> list[Figure]:
    console, made = Console(), []
    args.folder.mkdir(parents=True, exist_ok=True)
    say: Callable[[str], None] = (lambda line: None) if args.quiet else (lambda line: console.print(line, style="dim"))
    context = Context(args.seed, args.quick, say)
    asked = {"quick": args.quick, "seed": args.seed, "sources_sha256": sources()}
    made_by = signature(args.command)
    report = args.folder / "report.html"
    for number in args.figure or FIGURES:
        card = read_card(args.folder, number)
        if card and card.get("asked") == asked and not (args.figure or args.anew):
            console.print(f"figure {number}: there already, --figure {number} makes it anew")
            continue
        try:
            figure = FIGURES[number](context)
        except FileNotFoundError as error:
            if args.figure:
                raise
            (args.folder / f"figure_{number:02d}.json").unlink(missing_ok=True)  # not of this code or these sizes
            console.print(f"figure {number} is left out: {error}")
            continue
        write_figure(figure, args.folder, made_by, asked)
        write_text(report, html_report(args.folder, FIGURES))
        made.append(figure)
        show(console, figure)
    write_text(report, html_report(args.folder, FIGURES))
    console.print(f"written to {report}")
    if args.markdown is not None:
        write_text(args.markdown, text_report(args.folder, FIGURES))
        console.print(f"written to {args.markdown}")
    return made


def show(console: Console, figure: Figure) -> None:
    """The claims of a figure and their verdicts."""
    console.print(f"[bold]figure {figure.number}: {figure.title}[/bold]")
    for claim in figure.claims:
        colour = "green" if claim.agrees else "red"
        console.print(f"  [{colour}]{claim.verdict}[/{colour}]: {claim.says}", highlight=False)
        measured = f"{claim.measured}; {claim.why}" if claim.why else claim.measured
        console.print(f"      {measured}", highlight=False, markup=False)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--figure", type=int, nargs="+", choices=FIGURES, metavar="N", help="8 to 13 (default: all)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--anew", action="store_true", help="also what is done")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--folder", type=Path, help="default results/paper, with --quick results/paper-quick")
    parser.add_argument("--markdown", type=file_path, help="also write the verdicts as a page")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    args = parsed(parser, arguments)
    if args.folder is None:
        args.folder = Path("results") / ("paper-quick" if args.quick else "paper")
    if args.folder.exists() and not args.folder.is_dir():
        parser.error(f"--folder: expected a folder, but {args.folder} is a file")
    return args


if __name__ == "__main__":
    enter(main, parse)
