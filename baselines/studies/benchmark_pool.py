"""How the benchmark's jobs run side by side, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

import pandas as pd
import torch
from rich.progress import Progress

from baselines.studies.benchmark import Plan, evaluate_task, is_finished, label, train_learner

Evaluated = Callable[[str, pd.DataFrame, list[str]], None]


def prepare_worker() -> None:
    """One thread; Ctrl-C is the parent's to handle, and a worker does not outlive its parent."""
    if hasattr(os, "setpgrp"):  # a terminal sends Ctrl-C to the parent's group
        os.setpgrp()
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(plan: Plan, env_id: str, run: str | None) -> Any:
    return evaluate_task(plan, env_id) if run is None else train_learner(plan, env_id, run)


def run(plan: Plan, ids: Sequence[str], processes: int, progress: Progress, evaluated: Evaluated) -> None:
    """Train and evaluate, ``processes`` jobs at a time; a job's error is raised here and ends the others."""
    left = {env_id: [x for x in plan.runs() if not is_finished(plan, env_id, x)] for env_id in ids}
    trainings = deque((env_id, name) for env_id in ids for name in left[env_id])
    evaluations = deque(env_id for env_id in ids if not left[env_id])
    for env_id in ids:
        for x in [x for x in plan.runs() if x not in left[env_id]]:
            progress.console.print(f"{env_id}: {label(x)} is trained already")
    bar = progress.add_task("", total=len(trainings) + len(ids))
    jobs: dict[Future[Any], tuple[str, str | None]] = {}  # id, and training or None
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=prepare_worker)
    try:
        while jobs or trainings or evaluations:
            while len(jobs) < processes and (evaluations or trainings):
                env_id, name = (evaluations.popleft(), None) if evaluations else trainings.popleft()
                jobs[pool.submit(_do, plan, env_id, name)] = env_id, name
            running = ", ".join(f"{label(run) if run else 'evaluation'} on {env_id}" for env_id, run in jobs.values())
            progress.update(bar, description=running)
            for future in wait(jobs, return_when=FIRST_COMPLETED).done:
                env_id, name = jobs.pop(future)
                found = future.result()
                progress.advance(bar)
                if name is None:
                    evaluated(env_id, *found)
                    continue
                progress.console.print(f"{env_id}: {label(name)} trained")
                left[env_id].remove(name)
                if not left[env_id]:
                    evaluations.append(env_id)
    except BaseException:  # Ctrl-C too: what still runs is of no use to anyone
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
