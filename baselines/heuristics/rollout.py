"""The rollout policy: at each decision play on with either action over the same random futures, and take the better.

One step of policy improvement on its base, made anew at every decision (Bertsekas and Tsitsiklis 1996). It knows the
level chain and needs no training, but costs a hundred compiled plays a decision: slow, but above any base.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from agents.policy import GreedyPolicy
from aq_gym.episodes import Episodes
from aq_gym.kernels.chain import cumulative
from aq_gym.network_checks import as_count
from aq_gym.problem import Problem
from baselines.heuristics.index import Index
from baselines.heuristics.simple import Actions, StatePolicy, check_devices, legal
from baselines.packing import available_cores, pack
from baselines.playing import check_problem

_STATE = ("slot", "turn", "energy", "delay", "record", "level")


class Rollout(StatePolicy):
    """One-step lookahead over common random futures on top of a base policy.

    The futures are a function of the seed and the state, so decisions do not depend on how many episodes are played
    side by side, nor on the threads.

    Args:
        base: what plays on: an index policy, or a DQN's policy that can be compiled.
        futures: level paths at each decision, the same for both actions.
        seed: of the futures.
        threads: that look ahead for different episodes; None: as many as there are cores.

    Raises:
        TypeError: a base that can't be compiled.
        ValueError: a wrong number of futures or seed, a base that reads the full observation, or a hidden level.
    """

    def __init__(
        self, problem: Problem, base: Index | GreedyPolicy, futures: int = 64, seed: int = 0, threads: int | None = None
    ) -> None:
        if check_problem(problem).inference == "hidden":
            raise ValueError("problem: its level is hidden, but rollout draws the futures of a level that is known")
        if not isinstance(base, Index | GreedyPolicy):
            raise TypeError(f"base: expected an Index or a trained policy, which can be compiled, got {base!r}")
        super().__init__(problem)
        self.seed = as_count("seed", seed, 0)
        self.training_seconds = base.training_seconds
        self.futures = as_count("futures", futures, 1)
        self._layers = base.layers if isinstance(base, Index) else pack(base.network)
        self._kind = base.observation
        if self._kind == "full":
            raise ValueError("base: reads the full observation; only networks on the small ones can be compiled")
        self._threads = threads or available_cores()
        self._free: list[Episodes] = []
        self._cumulative = cumulative(np.asarray(problem.network.transition))

    def act(self, observation: Any, info: Mapping[str, Any]) -> Actions:
        """The actions, as in `aq_gym.policy.Policy`; only ``info`` is read."""
        check_devices(self.problem, info)
        masks = np.asarray(info["action_mask"], dtype=np.bool_)
        gains = np.zeros(masks.shape[:-1])
        if masks.ndim == 1:
            gains = np.asarray(self.gain(*(info[name] for name in _STATE)) if masks.all() else 0.0)
            return legal(gains > 0.0, info)
        rows = np.flatnonzero(masks.all(axis=1))
        states = [tuple(np.asarray(info[name])[k] for name in _STATE) for k in rows]
        with ThreadPoolExecutor(self._threads) as pool:
            gains[rows] = list(pool.map(lambda state: self.gain(*state), states))
        return legal(gains > 0.0, info)

    def gain(self, slot: Any, turn: Any, energy: Any, delay: Any, record: Any, level: Any) -> float:
        """The sum of slot errors that sensing saves in one state, mean over the futures [µg/m³]; as `info` has it."""
        n, problem = self.futures, self.problem
        rng = np.random.default_rng(
            [self.seed, int(slot), int(turn), *map(int, energy), *map(int, delay), int(1000 * level)]
        )
        try:
            episodes = self._free.pop()
        except IndexError:
            episodes = Episodes(problem, 2 * n, observation=self._kind)
        episodes.total_error[:] = 0.0
        unread = episodes.observe_states(slot, turn, energy, delay, record, level)
        left = problem.horizon - int(slot)
        levels = np.asarray(problem.network.levels)
        if level not in levels:
            raise ValueError(f"level: {level} µg/m³ is not one of the network's {len(levels)} levels")
        now = np.full(n, int(np.searchsorted(levels, level)))
        for step, uniforms in enumerate(rng.random((left, n)), start=int(slot) + 1):
            now = (self._cumulative[now] <= uniforms[:, None]).sum(axis=1)
            episodes.path[:n, step] = episodes.path[n:, step] = levels[now]
        actions = np.repeat(np.arange(2), n)
        episodes.decide(actions, np.empty(2 * n), unread)
        episodes.play(self._layers)
        total = episodes.total_error.copy()
        self._free.append(episodes)
        return float((total[:n] - total[n:]).mean())
