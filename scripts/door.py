"""How a command ends when the user asked for something impossible: with the reason alone."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from typing import Any

TRACEBACK = "AQ_GYM_TRACEBACK"  # set it to see where an error was raised


def enter(main: Callable[[Namespace], Any], parse: Callable[[Sequence[str] | None], Namespace]) -> None:
    """Run a command; a bad argument, an unfit, missing or unreadable file ends it with a line and exit status 2."""
    args = parse(None)
    try:
        main(args)
    except (ValueError, OSError) as error:
        if os.environ.get(TRACEBACK):
            raise
        print(f"error: {error}\n(set {TRACEBACK}=1 to see where)", file=sys.stderr)
        raise SystemExit(2) from None


def json_object(text: str) -> dict[str, Any]:
    """An argument that names settings, as JSON."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArgumentTypeError(f"""expected a JSON object like '{{"name": 1}}', got {text!r}: {error}""") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError(f"""expected a JSON object like '{{"name": 1}}', got {text!r}""")
    return value
