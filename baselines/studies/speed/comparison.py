"""Two ways to do the same work, timed in turns."""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rate = Callable[[], float]
"""Does some work and returns how much of it a second."""


@dataclass(frozen=True)
class Comparison:
    """Our way and another's. ``goal``: the least ratio of the rates that we want."""

    what: str
    unit: str
    ours: Rate
    peer: str
    theirs: Rate
    goal: float | None = None
    rounds: int | None = None  # at most so many, of what takes long

    def run(self, rounds: int) -> dict[str, Any]:
        """Medians of the rates and of their ratio, with its range."""
        rounds = min(rounds, self.rounds or rounds)
        pairs = np.array([(self.ours(), self.theirs()) for _ in range(rounds)])
        ours, theirs = np.median(pairs, axis=0)
        what = {"what": self.what, "peer": self.peer, "unit": self.unit, "ours": ours, "theirs": theirs}
        return {**what, **spread(pairs[:, 0] / pairs[:, 1]), "goal": self.goal, "rounds": rounds}


def spread(ratios: NDArray[np.float64]) -> dict[str, Any]:
    """The median of ratios, and their range."""
    return {"ratio": np.median(ratios), "least": ratios.min(), "most": ratios.max()}


def timed(work: Callable[[], Any], amount: float) -> Rate:
    """The rate of a piece of work that is so much."""

    def rate() -> float:
        start = time.perf_counter()
        work()
        return amount / (time.perf_counter() - start)

    return rate


def peer(name: str) -> Any:
    """A peer's module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def named(name: str) -> str:
    """A distribution with its version."""
    return f"{name} {version(name)}"
