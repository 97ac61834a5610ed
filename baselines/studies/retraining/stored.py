"""What a service stored."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.problem import Problem
from aq_gym.service.artefacts import POLICY, Promoted
from aq_gym.service.level import planned_levels, readings_table
from aq_gym.service.store import Store
from baselines.evaluation import WORDS
from baselines.heuristics.problems import entry_problem, same_problem
from baselines.learners.shipped import PRETRAINED, pretrained_ids

HELD_OUT = 0.25  # of the slots, the newest
LEAST_EPISODES = 8  # whose slots must be stored, where an agent is tried on them
LEAST_SLOTS = 288


class Stored(NamedTuple):
    """Some slots of a service, without a gap between them."""

    first: int  # slot of the first row
    readings: NDArray[np.float64]  # (T, M) [µg/m³], NaN where a device did not read
    levels: NDArray[np.float64]  # (T,) as the service estimated them [µg/m³], NaN where it did not

    @property
    def cut(self) -> int:
        """Rows before it are learned from, the others held out."""
        return round((1.0 - HELD_OUT) * len(self.levels))

    @property
    def last(self) -> int:
        """The last slot."""
        return self.first + len(self.levels) - 1

    def about(self) -> dict[str, Any]:
        """For a manifest."""
        parts = (np.int64(self.first), self.readings, self.levels)
        digest = hashlib.sha256(b"".join(x.tobytes() for x in parts)).hexdigest()
        count = int((~np.isnan(self.readings)).sum())
        return {"readings": count, "slots": [self.first, self.last], "sha256": digest}


def read(store: Store, slots: int, horizon: int | None = None) -> Stored:
    """The newest slots of a service's database; ``horizon``: of the agent that is tried on them, if any.

    Raises:
        ValueError: too few of them, or no reading in them.
    """
    plan = store.last_plan()
    until = -1 if plan is None else plan.slot
    first = max(0, until - slots + 1)
    levels = planned_levels(store, first, until)
    known, least = int((~np.isnan(levels)).sum()), LEAST_SLOTS if horizon is None else LEAST_EPISODES * (horizon + 1)
    if known < least:
        raise ValueError(
            f"database: expected at least {least} planned slots to learn from, got {known} of at most {slots} "
            "that are asked for"
        )
    return Stored(first, readings_table(store, first, until), levels)


def agent_file(promoted: Promoted, word: str, problem: Problem) -> Path | None:
    """The weights of the running agent: the promoted ones, those that are shipped, its own; None for a heuristic."""
    if word in WORDS and word != "pretrained":
        return None
    if word == "pretrained":
        found = (PRETRAINED / f"{x}.safetensors" for x in pretrained_ids() if same_problem(problem, entry_problem(x)))
    else:
        found = (x for x in (Path(word), Path(word) / POLICY) if x.is_file() and x.suffix != ".json")
    return promoted.files.get(POLICY) or next(found, None)
