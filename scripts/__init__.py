"""Commands: a thin one for each thing a user does; run from the root, `python -m scripts.NAME`."""

import sys
from types import TracebackType


def _report(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Ctrl-C while a command still imports its libraries: a word instead of a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, where)


sys.excepthook = _report
