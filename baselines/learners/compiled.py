"""A network's error by compiled play."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents import GreedyPolicy
from aq_gym.problem import Problem
from baselines.heuristics.index import Simulator
from baselines.packing import pack


def compiled_error(policy: GreedyPolicy, problem: Problem, episodes: int, seed: int) -> NDArray[np.float64]:
    """(episodes,) average joint errors [µg/m³] of a network's policy on the episodes of seeds ``seed`` and on.

    The same episodes as `baselines.evaluate` plays, and as a rule faster.

    Raises:
        CannotBeCompiledError: the network is none that `pack` takes.
    """
    return Simulator(problem, policy.observation).errors([pack(policy.network)], episodes, seed)[0]
