"""What the served policy's map costs beside another policy's, on the levels that the service went through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from aq_gym.episodes import Episodes
from aq_gym.policy import Policy
from aq_gym.problem import Problem
from aq_gym.service.store import Store

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def replay(problem: Problem, policy: Policy, levels: Sequence[float]) -> float:
    """The average joint error of an episode on given levels [µg/m³].

    Args:
        problem: the instance.
        policy: who decides.
        levels: (T + 1,) of slots 0 to T; they need not be levels of the network's chain [µg/m³].
    """
    episode = Episodes(problem, 1, observation=getattr(policy, "observation", "full"))
    path, ones = np.asarray(levels, dtype=np.float64), np.ones((1, problem.n_devices), np.int64)
    episode.path[0] = path
    observation = episode.observe_states([1], [0], problem.energy_budget * ones, ones, path[0] * ones, [path[1]])
    while int(episode.slot[0]) <= problem.horizon:
        info = {name: getattr(episode, name).copy() for name in ("slot", "turn", "energy", "delay", "record", "level")}
        action = policy.act(observation, {**info, "action_mask": episode.action_mask()})
        episode.decide(np.asarray(action, np.int64).reshape(1), np.empty(1), observation)
    return float(episode.total_error[0]) / problem.horizon


class RegretCollector(Collector):
    """Regret of the last whole cycle, computed once when Prometheus first asks after its end.

    Args:
        problem: that is served.
        store: where the plans are.
        yardstick: the policy that the served one is compared with: the optimal one where it is known.
    """

    def __init__(self, problem: Problem, store: Store, yardstick: Policy) -> None:
        self._problem, self._store, self._yardstick = problem, store, yardstick
        self._known: tuple[int, float] = -1, 0.0  # the cycle's last slot, and its regret

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering asks no database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Nothing before the first cycle has ended."""
        cycle = self._store.last_cycle(self._problem.horizon)
        if not cycle:
            return
        if self._known[0] != cycle[-1][0]:
            _, levels, errors = zip(*cycle, strict=True)
            other = replay(self._problem, self._yardstick, [levels[1], *levels[1:]])
            self._known = cycle[-1][0], 100.0 * (float(np.mean(errors[1:])) / other - 1.0)
        text = "Average joint error of the last whole cycle above the yardstick's on the same levels [%]"
        yield GaugeMetricFamily("aq_regret_percent", text, value=self._known[1])
