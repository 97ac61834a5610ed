"""Write README.md's tables: the ids from the registry, the benchmark from its CSV.

    python -m scripts.readme_tables runs/benchmark/TIME-full/benchmark.csv
    python -m scripts.readme_tables            # the table of ids alone
    python -m scripts.readme_tables runs/benchmark/TIME-full/benchmark.csv --page docs/benchmark.md

Each stands between two comments, `<!-- NAME -->` and `<!-- end of NAME -->`; nothing else of the file is touched. A
page holds the benchmark alone, with what its training seeds say (seeds.csv) and its curves.png beside it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aq_gym.network import write_atomically
from baselines.studies.readme import benchmark_table, ids_table, page, replace
from scripts.arguments import command_parser
from scripts.command import enter

README = Path(__file__).parents[1] / "README.md"


def main(args: argparse.Namespace) -> str:
    if args.page is not None:
        if args.benchmark is None:
            raise ValueError("--page: name the benchmark's CSV too")
        text = page(args.benchmark, args.page)
        write_atomically(args.page, text.encode())
        return text
    text = replace(args.readme.read_text(encoding="utf-8"), "ids", ids_table())
    if args.benchmark is not None:
        text = replace(text, "benchmark", benchmark_table(args.benchmark))
    write_atomically(args.readme, text.encode())
    return text


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("benchmark", nargs="?", type=Path, help="the benchmark's CSV")
    parser.add_argument("--page", type=Path, help="write a page of a benchmark of several training seeds instead")
    parser.add_argument("--readme", type=Path, default=README)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
