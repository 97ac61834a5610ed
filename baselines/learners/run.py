"""Running a training to its end, its time limit or an interruption; what is left can be resumed."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from agents import GreedyPolicy
from baselines.learners.clock import Step
from baselines.learners.training import Training

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAVE_EVERY = 30.0  # seconds


class Interrupts:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.asked = 0  # how often
        self.patient = False  # a second request waits too, for instance while files are written

    def note(self, number: int, frame: Any) -> None:
        """A signal handler: count the first request; the second one raises KeyboardInterrupt."""
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


def train(
    training: Training, *, seconds: float = math.inf, watch: Callable[[Step], None] | None = None
) -> GreedyPolicy:
    """Run a training to its end or time limit; Ctrl-C or SIGTERM stops it early. Either way a checkpoint is left.

    A checkpoint can only be written between two steps. So Ctrl-C lets the present one end; pressed again, it drops what
    that step did, and the checkpoint is the one that was written last. While the kernels compile and the guide is
    tuned there is nothing to keep: KeyboardInterrupt is raised.

    The limit is that of `Training.run`; ``watch`` is called after every step.

    Returns:
        The policy that was best on the validation episodes.
    """
    training.prepare(seconds)
    saved, between, stopped, steps = time.perf_counter(), True, False, training.run(seconds)
    with noted_interrupts() as interrupts:
        try:
            while not interrupts.asked:
                between = False
                step = next(steps, None)
                between = True
                if step is None:
                    break
                if watch:
                    watch(step)
                if time.perf_counter() - saved > _SAVE_EVERY:
                    training.save()
                    saved = time.perf_counter()
            stopped = interrupts.asked > 0
        except KeyboardInterrupt:
            stopped = True
        finally:
            interrupts.patient = True
            steps.close()
        if between:
            training.save()
        training.interrupted = stopped
        if stopped:
            print("interrupted: what was learned so far is kept, --resume continues", flush=True)
    return training.policy()
