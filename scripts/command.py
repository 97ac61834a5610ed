"""Exit handling of commands: results, or a one-line error that says what to fix."""

import contextlib
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

TRACEBACK = "AQ_GYM_TRACEBACK"  # set it to see where an error was raised
FAILED, INTERRUPTED, UNREAD = 2, 130, 141  # exit statuses; the last two as shells have them
_USERS = (ValueError, OSError, ImportError, MemoryError, OverflowError, FloatingPointError)


def enter(main: Callable[[Namespace], Any], parse: Callable[[Sequence[str] | None], Namespace]) -> None:
    """Run a command.

    A bad argument, an unfit, missing or unreadable file, a library that is not installed, or a lack of memory ends it
    with a line and exit status 2. Ctrl-C or SIGTERM, where the command does not handle them, ends it with a line and
    130; a reader that closed stdout with 141 and no word.
    """
    args = parse(None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(args)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
        raise SystemExit(UNREAD) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise SystemExit(INTERRUPTED) from None
    except _USERS as error:
        if os.environ.get(TRACEBACK):
            raise
        reason = "not enough memory" if isinstance(error, MemoryError) else " ".join(str(error).split())
        say(f"error: {reason or repr(error)}\n(set {TRACEBACK}=1 to see where)")
        _give_up_stdout()
        raise SystemExit(FAILED) from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # nothing is left to be lost
            signal.signal(number, signal.SIG_IGN)


def say(line: str) -> None:
    """A line on stderr."""
    with contextlib.suppress(OSError):  # stderr is closed too: nobody reads it
        print(line, file=sys.stderr, flush=True)


def _give_up_stdout() -> None:
    """Let Python's last flush go nowhere if stdout is closed or full."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
