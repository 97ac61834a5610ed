"""This checkout beside another commit's: the same measurements, in turns."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.studies.provenance import ROOT
from baselines.studies.speed.comparison import spread
from baselines.studies.speed.start_up import WHAT, start_up
from baselines.studies.speed.worker import MEASUREMENTS

WORKER = Path(__file__).with_name("worker.py")


def measure(folder: Path, name: str, seconds: float) -> float | str:
    """The rate of a measurement of one checkout in a process of its own, or why there is none.

    Raises:
        ValueError: the code of that checkout does not load.
    """
    command = [sys.executable, "-P", str(WORKER), name, str(seconds)]  # -P: without the worker's folder on the path
    variables = dict(os.environ) | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError(f"against: the process that measured {folder} ended, see its messages above")
    code, found = json.loads(done.stdout)
    if not Path(code).is_relative_to(folder):
        raise ValueError(f"against: the code of {folder} did not load, {code} did")
    rate: float | str = found
    return rate


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
    if not (folder / "aq_gym" / "__init__.py").is_file():
        raise ValueError(f"against: {folder} is no checkout of this project, it has no folder aq_gym")
    for name in names:
        pairs = [(measure(ROOT, name, seconds), measure(folder, name, seconds)) for _ in range(rounds)]
        wrong = [str(x) for x in pairs[0] if isinstance(x, str)]
        if wrong:
            yield {"what": name, "reason": "; ".join(wrong)}
        else:
            yield _row(name, MEASUREMENTS[name][0], np.array(pairs))
    times = np.array([(start_up(ROOT), start_up(folder)) for _ in range(start_rounds)])
    for k, name in enumerate(WHAT if start_rounds else ()):
        yield _row(name, "s", times[:, :, k])


def _row(name: str, unit: str, pairs: np.ndarray) -> dict[str, Any]:
    """Medians of (rounds, 2) numbers of new and old, and of the ratio that is above 1 where the new one is faster."""
    ratios = pairs[:, 1] / pairs[:, 0] if unit == "s" else pairs[:, 0] / pairs[:, 1]
    new, old = np.median(pairs, axis=0)
    return {"what": name, "unit": unit, "new": new, "old": old, **spread(ratios), "rounds": len(pairs)}
