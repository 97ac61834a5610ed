"""Running a training to its end, its time limit or an interruption; what is left can be resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from agents import GreedyPolicy
from baselines.learners.interrupts import noted_interrupts
from baselines.learners.training import Step, TaskTraining

_SAVE_EVERY = 30.0  # seconds


def train(
    training: TaskTraining, *, seconds: float = math.inf, watch: Callable[[Step], None] | None = None
) -> GreedyPolicy:
    """Run a training to its end or time limit; Ctrl-C or SIGTERM stops it early. Either way a checkpoint is left.

    A checkpoint can only be written between two steps. So Ctrl-C lets the present one end; pressed again, it drops what
    that step did, and the checkpoint is the one that was written last. While the kernels compile and the guide is
    tuned there is nothing to keep: KeyboardInterrupt is raised.

    Args:
        training: what to run.
        seconds: limit, see `TaskTraining.run`.
        watch: called after every step.

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
