"""This checkout beside another commit's: the same measurements, in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from baselines.studies.speed.comparison import spread
from baselines.studies.speed.start_up import WHAT, start_up
from baselines.studies.speed.worker import MEASUREMENTS

ROOT = Path(__file__).resolve().parents[3]
WORKER = Path(__file__).with_name("worker.py")


@contextmanager
def checkout(folder: Path) -> Iterator[Callable[[str, float], Any]]:
    """A process that measures one checkout: a function of a measurement and its seconds, of the rate or a reason.

    Raises:
        ValueError: no checkout of this project, or one that cannot be imported.
    """
    if not (folder / "aq_gym" / "__init__.py").is_file():
        raise ValueError(f"against: {folder} is no checkout of this project, it has no folder aq_gym")
    command = [sys.executable, "-P", str(WORKER)]  # -P: without the worker's own folder on the import path
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    variables = dict(os.environ) | {"PYTHONPATH": str(folder)}
    with subprocess.Popen(command, cwd=folder, env=variables, **pipes) as process:
        assert process.stdin is not None and process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def read() -> Any:
            line = answers.readline()
            if not line:
                raise ValueError(f"against: the process that measured {folder} ended, see its messages above")
            return json.loads(line)

        def rate(name: str, seconds: float) -> Any:
            asked.write(json.dumps([name, seconds]) + "\n")
            asked.flush()
            return read()

        if not Path(found := read()).is_relative_to(folder):
            raise ValueError(f"against: the code of {folder} did not load, {found} did")
        yield rate


def compare(
    folder: Path, names: Sequence[str], rounds: int, seconds: float, start_rounds: int
) -> Iterator[dict[str, Any]]:
    """Rows of this checkout beside another one: rates, and the ratio new to old of each turn.

    Args:
        start_rounds: turns of the first use; its numbers are seconds, its ratio is old to new.

    Raises:
        ValueError: the folder is no checkout of this project.
    """
    folder = folder.resolve()
    with checkout(ROOT) as new, checkout(folder) as old:
        for name in names:
            pairs = [(new(name, seconds), old(name, seconds)) for _ in range(rounds)]
            wrong = [str(x) for x in pairs[0] if isinstance(x, str)]
            if wrong:
                yield {"what": name, "reason": "; ".join(wrong)}
                continue
            yield _row(name, MEASUREMENTS[name][0], np.array(pairs))
    times = np.array([(start_up(ROOT), start_up(folder)) for _ in range(start_rounds)])
    for k, name in enumerate(WHAT if start_rounds else ()):
        yield _row(name, "s", times[:, :, k])


def _row(name: str, unit: str, pairs: np.ndarray) -> dict[str, Any]:
    """Medians of (rounds, 2) numbers of new and old, and of the ratio that is above 1 where the new one is faster."""
    ratios = pairs[:, 1] / pairs[:, 0] if unit == "s" else pairs[:, 0] / pairs[:, 1]
    new, old = np.median(pairs, axis=0)
    return {"what": name, "unit": unit, "new": new, "old": old, **spread(ratios), "rounds": len(pairs)}
