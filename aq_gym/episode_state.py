"""Copies of the state of some episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.records import State


@dataclass(frozen=True, eq=False)
class EpisodeState:
    """A copy of the state of K episodes, to be restored, branched or stored.

    The levels of the whole episode are part of it, so a restored state continues on the same levels;
    ``generators`` holds the state of each episode's random generator, so that later episodes are the same too.
    ``problem`` is the digest of the problem and view that it belongs to.
    """

    arrays: State
    generators: tuple[Mapping[str, Any], ...]
    problem: str

    def __len__(self) -> int:
        return len(self.arrays.episode)

    def __getitem__(self, rows: int | slice | NDArray[np.int64]) -> EpisodeState:
        """The states of some episodes; an integer gives a batch of one."""
        chosen = np.atleast_1d(np.arange(len(self))[rows])
        generators = tuple(self.generators[i] for i in chosen)
        return EpisodeState(State._make(x[chosen] for x in self.arrays), generators, self.problem)
