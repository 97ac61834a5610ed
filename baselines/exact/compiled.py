"""How the exact solvers are compiled and spread over threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np

from aq_gym.compiling import compiled as plainly_compiled
from aq_gym.compiling import forget_stale_code

_FASTMATH = {"contract", "reassoc", "nsz", "arcp"}  # not "nnan" or "ninf": -inf marks forbidden actions

forget_stale_code(Path(__file__).parent.glob("*.py"))


def compiled(function: Callable[..., Any]) -> Any:
    """`aq_gym.compiling.compiled` with sums in any order, which no test of bytes reads."""
    return plainly_compiled(function, fastmath=_FASTMATH)


def in_threads(work: Callable[[int, int], Any], count: int, least: int = 1) -> None:
    """Call `work(begin, end)` on parts of range(count), side by side; a part has about `least` items or more."""
    threads = int(vars(numba.config)["NUMBA_NUM_THREADS"])
    parts = 1 if threads == 1 else min(4 * threads, -(-count // least))
    if parts <= 1:
        work(0, count)
        return
    edges = np.linspace(0, count, parts + 1).astype(np.int64).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))  # list: raises what a thread raised
