"""What a first use costs, in fresh interpreters."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from baselines.studies.speed.worker import MULTI

FIRST_USE = f"import aq_gym; env = gymnasium.make('{MULTI}'); env.reset(seed=0); env.step(1)"
ONE_LINE = "numba.njit(lambda x: x + 1)(1)"
WHAT = (
    "import aq_gym, over gymnasium",
    "first use, compiled anew, over numba",
    "first use, cached, over numba",
    "a function of one line instead, compiled by numba",
)


def start_up(folder: Path | None = None) -> list[float]:
    """Seconds that fresh interpreters take: the import; the first use compiled anew, then from the cache; `ONE_LINE`.

    The last is what numba itself takes before it runs anything. The code is that of a folder's checkout, by default
    this one's.
    """
    with tempfile.TemporaryDirectory() as cache:
        variables = dict(os.environ) | {"NUMBA_CACHE_DIR": cache} | ({"PYTHONPATH": str(folder)} if folder else {})

        def seconds(before: str, code: str) -> float:
            timed = f"import time, {before}; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
            command = [sys.executable, "-c", timed]
            done = subprocess.run(command, env=variables, cwd=folder, check=True, stdout=subprocess.PIPE)
            return float(done.stdout)

        light = seconds("gymnasium", "import aq_gym")
        return [light, *(seconds("gymnasium, numba", code) for code in (FIRST_USE, FIRST_USE, ONE_LINE))]


def rows(times: Sequence[Sequence[float]]) -> list[dict[str, str]]:
    """Median and range of some rounds of `start_up`, a row each, with three significant digits at least."""
    return [
        {"what": name} | {key: f"{x:.3g}" for key, x in zip(("median", "least", "most"), numbers, strict=True)}
        for name, numbers in zip(WHAT, np.percentile(times, [50, 0, 100], axis=0).T, strict=True)
    ]
