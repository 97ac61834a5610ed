"""Fetch the three raw files of the Peking University data set and check their SHA-256.

    python -m scripts.download_data                      # into data/raw/pku2018
    AQ_GYM_DATA=/mnt/mirror python -m scripts.download_data   # checks the mirror, downloads nothing
    python -m scripts.download_data --folder elsewhere

Files that are there and intact stay. The files state no licence: they are not part of the project (data/README.md).
"""

import argparse
import sys
from collections.abc import Sequence

from aq_gym import datasets
from scripts.arguments import command_parser
from scripts.command import enter


def main(args: argparse.Namespace) -> None:
    folder = datasets.download(args.folder, base_url=args.url, retries=args.retries, progress=sys.stderr.isatty())
    for name in datasets.FILES:
        print(f"{folder / name}  intact")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--folder", help="where to put the files (default: data/raw/pku2018, or the mirror itself)")
    parser.add_argument("--url", default=datasets.SOURCE, help="where the files come from")
    parser.add_argument("--retries", type=int, default=2, help="further attempts after a failure")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
