"""Fetch the three raw files of the Peking University data set and check their SHA-256.

    python -m scripts.download_data                      # into data/raw/pku2018
    AQ_GYM_DATA=/mnt/mirror python -m scripts.download_data   # checks the mirror, downloads nothing
    python -m scripts.download_data --folder elsewhere

Files that are there and intact stay. The files state no licence: they are not part of the project (data/README.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from aq_gym import datasets


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where to put the files (default: data/raw/pku2018, or the mirror itself)")
    parser.add_argument("--url", default=datasets.SOURCE, help="where the files come from (default: %(default)s)")
    parser.add_argument("--retries", type=int, default=2, help="further attempts after a failure (default: 2)")
    options = parser.parse_args(args)
    try:
        folder = datasets.download(
            options.folder, base_url=options.url, retries=options.retries, progress=sys.stderr.isatty()
        )
    except (OSError, ValueError, ImportError) as error:
        print(f"download_data: {error}", file=sys.stderr)
        return 1
    for name in datasets.FILES:
        print(f"{folder / name}  intact")
    return 0


if __name__ == "__main__":
    sys.exit(main())
