"""Where a training stands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agents import PairedDQN
from baselines.learners.clock import Clock

PAIR_COST = 3  # a pair takes about as long as so many decisions of learning


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
