"""Where a training stands: what its seconds were spent on, how many are left, how much is done."""

import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agents import PairedDQN

KINDS = ("training", "tuning", "validation", "compiling")
VALIDATION_SHARE = 0.2  # most of a time limit that validation may take
PAIR_COST = 3  # a pair takes about as long as so many decisions of learning
_NOTICEABLE = 5.0  # seconds of compiling after which a line says why nothing happens


class Clock:
    """Seconds by kind. A limit holds for everything but compiling.

    Args:
        spent: seconds of each of `KINDS` that earlier parts of the same training took.
    """

    def __init__(self, **spent: float) -> None:
        self.spent = dict.fromkeys(KINDS, 0.0) | spent
        self.limit = math.inf
        self._earlier = sum(self.spent.values()) - self.spent["compiling"]
        self._began = math.nan

    def start(self, limit: float) -> None:
        """Begin to count the limit, in seconds, earlier parts included."""
        self.limit, self._began = limit, time.perf_counter()

    @property
    def left(self) -> float:
        """Seconds until the limit; negative after it."""
        return self.limit - self._earlier - (time.perf_counter() - self._began)

    @contextmanager
    def count(self, kind: str) -> Iterator[None]:
        """Add the time of the block to a kind."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent[kind] += time.perf_counter() - began

    def may_validate(self, expected: float) -> bool:
        """Whether a validation of so many seconds stays within its share of the limit."""
        return self.spent["validation"] + expected <= VALIDATION_SHARE * self.limit

    def __str__(self) -> str:
        training, tuning, validation, compiling = (self.spent[kind] for kind in KINDS)
        parts = [f"{training:.1f} s of training"]
        parts += [f"{tuning:.1f} s of tuning its guide"] if tuning >= 0.05 else []
        parts += [f"{validation:.1f} s of validation"]
        return ", ".join(parts) + f" (and {compiling:.1f} s of compiling before)"


@contextmanager
def announced_compiling() -> Iterator[None]:
    """Say on stderr that kernels are compiled, if the block takes long enough to be noticed."""
    said = "compiling the kernels once, one to three minutes; later starts find them in numba's cache"
    timer = threading.Timer(_NOTICEABLE, print, (said,), {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@dataclass(frozen=True)
class Step:
    """Where training stands after a round or an improvement."""

    stage: str  # "learning" or "improving"
    share: float  # of the whole training, by its expected time or by the limit
    decisions: int
    seconds: float  # of training and tuning so far, validation and compiling not counted
    validation_error: float | None  # average joint error on the validation episodes [µg/m³], where evaluated


def share_done(stage: str, agent: PairedDQN, clock: Clock) -> float:
    """How much of a training is done, by what its parts are expected to take, or by its limit."""
    config = agent.config
    learning = config.total_decisions / (config.total_decisions + PAIR_COST * config.improvements * config.pairs)
    if stage == "learning":
        share = learning * min(1.0, agent.decisions / config.total_decisions)
    else:
        share = learning + (1.0 - learning) * agent.improvements / config.improvements
    if math.isfinite(clock.limit) and clock.limit > 0:
        share = max(share, min(1.0, 1.0 - clock.left / clock.limit))
    return share
