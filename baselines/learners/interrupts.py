"""Ctrl-C and SIGTERM during a training: the present step ends first, so that what was learned can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Whether the user asked to stop.

    Attributes:
        asked: how often.
        patient: a second request waits too, for instance while files are written.
    """

    def __init__(self) -> None:
        self.asked, self.patient = 0, False

    def note(self, number: int, frame: Any) -> None:
        """A signal handler: count the first request; the second one raises KeyboardInterrupt."""
        del number, frame
        self.asked += 1
        if self.patient:
            return
        if self.asked > 1:
            raise KeyboardInterrupt
        print("interrupted: finishing this step; once more drops it", flush=True)


@contextmanager
def noted_interrupts() -> Iterator[Interrupts]:
    """Note Ctrl-C and SIGTERM instead of ending. Outside the main thread, which alone gets signals, none is noted."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = [signal.signal(number, interrupts.note) for number in SIGNALS]
    try:
        yield interrupts
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
