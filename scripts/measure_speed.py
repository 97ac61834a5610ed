"""How fast, beside others doing the same: environments, exact solvers, placement search and training.

    python -m scripts.measure_speed                      # 15 minutes; results/speed.csv
    python -m scripts.measure_speed --sections environments start
    python -m scripts.measure_speed --against ../old     # beside another commit's checkout (git worktree add ../old C)
    pip install 'aq-gym[peers]'                          # quantecon, EnvPool, pymoo; else their rows are left out

Both sides of a comparison take turns on one thread, so that a busy machine slows them alike; a ratio is taken within
each turn, and the table gives the median and the range. One decision is one step of one (sub-)environment, resets
included.
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from baselines.studies.files import write_table, write_text
from baselines.studies.provenance import provenance, signature
from baselines.studies.speed import against, report
from baselines.studies.speed.worker import MEASUREMENTS
from scripts.arguments import at_least, command_parser, parsed
from scripts.command import enter


def main(args: argparse.Namespace) -> None:
    made = provenance() | {name: version(name) for name in ("gymnasium", "numpy", "numba")}
    if args.against is None:
        found = report.measure(args)
    else:
        found = report.Report()
        rows = against.compare(args.against, args.measurements, args.rounds, args.seconds, args.start_rounds)
        found.frames = list(rows)
        title = f"New beside {args.against}, in turns, {args.rounds} rounds: above 1 the new one is faster"
        found.add(title, [report.against_row(x) for x in found.frames])
    if found.frames:
        write_table(args.output, pd.DataFrame(found.frames).assign(**made))
        print(f"written to {args.output}")
    if args.markdown is not None:
        parts = ["# Speed", report.INTRODUCTION, signature(args.command), *found.tables]
        write_text(args.markdown, "\n\n".join(parts) + "\n")
        print(f"written to {args.markdown}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    sections = report.SECTIONS
    parser.add_argument("--sections", nargs="+", choices=sections, default=sections, help="default: all")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="measure beside another checkout instead")
    parser.add_argument(
        "--measurements",
        nargs="*",
        choices=tuple(MEASUREMENTS),
        default=list(MEASUREMENTS),
        help="of --against (default: all)",
    )
    parser.add_argument("--rounds", type=at_least(1), default=5, help="turns of both sides of a comparison")
    parser.add_argument("--seconds", type=float, default=0.3, help="seconds a turn, of what is repeated")
    parser.add_argument("--decisions", type=int, default=8_000, help="of SB3's training in a turn")
    parser.add_argument(
        "--reach-seconds",
        type=float,
        default=100.0,
        help="of training SB3's best agent, to whose error ours is timed; 0 leaves that row out",
    )
    parser.add_argument("--reach-seeds", type=int, nargs="+", default=[0], help="of these trainings, a round each")
    parser.add_argument("--start-rounds", type=int, default=5, help="fresh interpreters for each start-up")
    parser.add_argument("--output", type=Path, default=Path("results/speed.csv"))
    parser.add_argument("--markdown", type=Path, help="also write the tables there as a page")
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
