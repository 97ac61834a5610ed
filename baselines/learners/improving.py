"""Improvements of a policy within a time limit: fewer pairs and updates where less time is left."""

from __future__ import annotations

import copy
import math
import time

from agents import Improvement, PairedDQN, fit_advantages
from agents.dqn import torch_threads
from agents.improvement import Pairs
from baselines.learners.pairs import PairCollector

_VALUE_COST = 3  # an update of the values takes about as long as so many of the advantages
_LEAST = 500  # pairs below which an improvement of more is not worth its fit
_TRIAL_UPDATES = 10  # to learn how long one takes


class Improver:
    """Calls `PairedDQN.improve` so that it ends in time.

    Args:
        agent: that improves.
        collector: what plays its pairs.

    Attributes:
        cost: seconds that a whole improvement takes, estimated from the last one; NaN before the first.
    """

    def __init__(self, agent: PairedDQN, collector: PairCollector) -> None:
        self._agent, self._collector, self.cost = agent, collector, math.nan

    def improve(self, left: float) -> Improvement | None:
        """One step of policy iteration in at most ``left`` seconds; None where that is too little."""
        agent, config, began = self._agent, self._agent.config, time.perf_counter()
        if math.isinf(left):
            return agent.improve(self._collector)
        if left <= 0.0 or left < self.cost / 2:  # False as long as the cost is NaN
            return None
        guided = agent.improvements == 0 and config.improve_from == "guide"
        pairs = self._collector(None if guided else agent.chosen, config.pairs, agent.rng, began + left / 2)
        played = len(pairs.deltas) / config.pairs
        if len(pairs.deltas) < min(_LEAST, config.pairs):
            return None
        collecting = time.perf_counter() - began
        updates = config.pair_updates + (_VALUE_COST * config.value_updates if config.pair_cut else 0)
        fitting = updates * self._update_seconds(pairs)
        share = min(1.0, max(0.0, left - (time.perf_counter() - began)) / max(fitting, 1e-9))
        names = ("pair_updates", "value_updates")
        agent.config = config.replace(**{name: round(share * getattr(config, name)) for name in names})
        try:
            improvement = agent.improve(lambda *_: pairs)
        finally:
            agent.config = config
        self.cost = collecting / played + fitting
        return improvement

    def _update_seconds(self, pairs: Pairs) -> float:
        """How long an update of the advantages takes, tried on a copy."""
        config, network = self._agent.config, copy.deepcopy(self._agent.online)
        given = pairs.observations[:4096], pairs.deltas[:4096, 0]
        began = time.perf_counter()
        with torch_threads(config.threads):
            fit_advantages(network, *given, updates=_TRIAL_UPDATES, batch_size=config.batch_size)
        return (time.perf_counter() - began) / _TRIAL_UPDATES
