"""Arguments that several commands share."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path


def at_least(least: float, kind: type[float] = int) -> Callable[[str], float]:
    """An argument's type: a number of at least ``least``."""
    what = "an integer" if kind is int else "a number"

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise ArgumentTypeError(f"expected {what}, got {text!r}") from None
        if not value >= least:  # NaN is none either
            raise ArgumentTypeError(f"expected at least {least:g}, got {text}")
        return value

    return read


def file_path(text: str) -> Path:
    """An argument's type: a file to write. A folder is refused before the work begins."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"expected a file, but {text} is a folder")
    return path


def add_results(parser: ArgumentParser, name: str) -> None:
    """The arguments on what a study writes."""
    default = Path("results") / f"{name}.csv"
    parser.add_argument("--csv", type=file_path, default=default, help=f"the numbers (default {default})")
    parser.add_argument("--markdown", type=file_path, help="also write a page with the tables")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def parsed(parser: ArgumentParser, arguments: Sequence[str] | None, once: Sequence[str] = ()) -> Namespace:
    """The arguments, and ``given``: as they were typed. Lists named in ``once`` lose what they repeat."""
    args = parser.parse_args(arguments)
    for name in once:
        setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    return args
