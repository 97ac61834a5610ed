"""Start the live system and measure it from outside: load, latency, memory, and SIGKILL under load.

    python -m scripts.measure_service                                  # 15 minutes, 1 GB in a temporary folder
    python -m scripts.measure_service --quick                          # the same in small, a minute
    python -m scripts.measure_service --sections load --seconds 30
    python -m scripts.measure_service --markdown docs/service-load.md  # also a page with the table

Everything runs on this machine, over loopback, with SQLite: the service as a process of its own, its clients in
others. The exit status is 1 where a limit was missed.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from baselines.studies.files import write_text
from baselines.studies.provenance import signature
from baselines.studies.service.report import Figure, fleet_figures, kill_figures, load_figures, memory_figures, page
from baselines.studies.tables import text_table
from scripts.arguments import at_least, command_parser, file_path, parsed
from scripts.command import enter

# 1,800 slots are an hour at 2 s each; the service looks back at 2,160, so that many are the least warm-up
FULL = {"seconds": 20.0, "readings": 10_000_000, "slots": 2200, "kills": 50}
QUICK = {"seconds": 2.0, "readings": 100_000, "slots": 60, "kills": 2}


def main(args: argparse.Namespace) -> None:
    size = {name: getattr(args, name) or (QUICK if args.quick else FULL)[name] for name in FULL}
    measure: dict[str, Callable[[Path], Iterator[Figure]]] = {
        "load": lambda folder: load_figures(folder, size["seconds"], args.pages),
        "fleet": lambda folder: fleet_figures(folder, int(size["readings"])),
        "memory": lambda folder: memory_figures(folder, int(size["slots"]), args.slot_seconds),
        "kills": lambda folder: kill_figures(folder, int(size["kills"]), args.seed),
    }
    figures: list[Figure] = []
    for name in args.sections or measure:
        with tempfile.TemporaryDirectory(prefix="aq_gym_service_") as folder:
            for figure in measure[name](Path(folder)):
                print(f"{figure.what}: {figure.found}", flush=True)
                figures.append(figure)
    print("\n" + text_table(["", "measured", "limit"], [figure.row for figure in figures]))
    if args.markdown is not None:
        write_text(args.markdown, page(figures, signature(args.command)))
        print(f"written to {args.markdown}")
    if not all(figure.held for figure in figures):
        raise SystemExit(1)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--sections", nargs="+", choices=("load", "fleet", "memory", "kills"), help="default: all")
    parser.add_argument("--quick", action="store_true", help="smaller defaults")
    parser.add_argument("--seconds", type=at_least(0.1, float), help="of each load (default 20)")
    parser.add_argument(
        "--pages", type=at_least(1), default=50, help="open while single readings are sent (default 50)"
    )
    parser.add_argument("--readings", type=at_least(1000), help="stored for 1,000 devices (default 10 million)")
    parser.add_argument("--slots", type=at_least(20), help="over which memory is watched (default 2200)")
    parser.add_argument("--slot-seconds", type=at_least(0.01, float), default=0.05, help="of these (default 0.05)")
    parser.add_argument("--kills", type=at_least(1), help="rounds (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--markdown", type=file_path, help="also write the table there as a page")
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
