"""How the benchmark's jobs run side by side, each in a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

import pandas as pd
import torch
from rich.progress import Progress

from baselines.studies.benchmark import Plan, evaluate_task, is_finished, label, train_learner

STARTING, EVALUATING = 6.0, 15.0  # seconds beside a training, and of an evaluation: for the progress bar alone
SIGNALS = (signal.SIGINT, signal.SIGTERM)
Evaluated = Callable[[str, pd.DataFrame, list[str]], None]


def prepare_worker() -> None:
    """One thread; Ctrl-C and SIGTERM are the parent's to handle, and a worker does not outlive its parent."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(plan: Plan, env_id: str, run: str | None) -> Any:
    return evaluate_task(plan, env_id) if run is None else train_learner(plan, env_id, run)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Processes started in here never see `SIGNALS`, whatever handlers they install; here these wait until the end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """SIGTERM interrupts like Ctrl-C; what follows the first of them, to write what is finished, is not disturbed.

    Yields the number of the signal that came, or nothing. Only the main thread can hear signals.
    """
    came: list[int] = []

    def stop(number: int, frame: Any) -> None:
        if not came:
            came.append(number)
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # in the background: ignored
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Bar:
    """The progress bar over all jobs, by their expected seconds."""

    def __init__(self, progress: Progress, plan: Plan, n_trainings: int, n_evaluations: int) -> None:
        self.progress, self.done = progress, 0.0
        self.expected = {False: plan.seconds + STARTING, True: EVALUATING}  # of a training, of an evaluation
        self.bar = progress.add_task("", total=n_trainings * self.expected[False] + n_evaluations * EVALUATING)

    def update(self, jobs: Sequence[tuple[str, str | None, float]]) -> None:
        now = time.monotonic()
        running = sum(min(now - since, self.expected[run is None]) for _, run, since in jobs)
        names = ", ".join(f"{label(run) if run else 'evaluation'} on {env_id}" for env_id, run, _ in jobs)
        self.progress.update(self.bar, completed=self.done + running, description=names)


def run(plan: Plan, ids: Sequence[str], processes: int, progress: Progress, evaluated: Evaluated) -> None:
    """Train and evaluate, ``processes`` jobs at a time; a job's error is raised here and ends the others."""
    left = {env_id: [x for x in plan.runs() if not is_finished(plan, env_id, x)] for env_id in ids}
    trainings = deque((env_id, name) for env_id in ids for name in left[env_id])
    evaluations = deque(env_id for env_id in ids if not left[env_id])
    for env_id in ids:
        for x in [x for x in plan.runs() if x not in left[env_id]]:
            progress.console.print(f"{env_id}: {label(x)} is trained already")
    bar = _Bar(progress, plan, len(trainings), len(ids))
    jobs: dict[Future[Any], tuple[str, str | None, float]] = {}  # id, training or None, and since when
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=prepare_worker)
    try:
        while jobs or trainings or evaluations:
            while len(jobs) < processes and (evaluations or trainings):
                env_id, name = (evaluations.popleft(), None) if evaluations else trainings.popleft()
                with _signals_blocked():
                    jobs[pool.submit(_do, plan, env_id, name)] = env_id, name, time.monotonic()
            for future in wait(jobs, timeout=0.5, return_when=FIRST_COMPLETED).done:
                env_id, name, since = jobs.pop(future)
                bar.done += bar.expected[name is None]
                if name is None:
                    evaluated(env_id, *future.result())
                    continue
                future.result()
                progress.console.print(f"{env_id}: {label(name)} trained ({time.monotonic() - since:.0f} s)")
                left[env_id].remove(name)
                if not left[env_id]:
                    evaluations.append(env_id)
            bar.update(list(jobs.values()))
    except BaseException:  # Ctrl-C too: what still runs is of no use to anyone
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
