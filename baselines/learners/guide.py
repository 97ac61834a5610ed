"""The guide: the policy a training starts from, and a lower bound on its result."""

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import DQNConfig, PairedDQN
from aq_gym.observation import COMPACT_FEATURES
from aq_gym.problem import Problem
from baselines.heuristics.index import Index, Simulator
from baselines.heuristics.index_tuning import GRID_DECISIONS, TUNED, best_threshold, index_policy, thresholds
from baselines.heuristics.problems import tuned_fields
from baselines.heuristics.simple import legal
from baselines.packing import set_gap
from baselines.playing import FIRST_TUNING_SEED

GUIDES = ("greedy", "index")
GUIDE_SEED = FIRST_TUNING_SEED + 2**20  # not the validation episodes
_TUNING_SHARE = 0.1  # of a time limit that tuning may take
_INDEX_SECONDS = 600.0  # of training in all, below which no index policy is tuned on demand: that takes minutes


class Guide:
    """What ``start="guide"`` explores around, and the policy that ``improve_from="guide"`` improves on.

    Near sensible play returns are far less noisy than under random play.

    Args:
        name: "greedy", with the best of thirty thresholds, or "index", the tuned index policy.
        seconds: of the training that starts from it: tuning takes a small share of them.
        known: what `to_json` gave of a guide of the same problem; it is not tuned again.

    Raises:
        ValueError: another name.
    """

    def __init__(
        self, problem: Problem, name: str = "greedy", *, seconds: float = math.inf, known: dict[str, Any] | None = None
    ) -> None:
        if name not in GUIDES:
            raise ValueError(f"guide: expected one of {', '.join(GUIDES)}, got {name!r}")
        if known is not None:
            self.policy = Index(problem, known["constant"], known["coefficients"], training_seconds=known["seconds"])
        elif name == "index" and (seconds >= _INDEX_SECONDS or tuned_fields(TUNED, problem) is not None):
            self.policy = index_policy(problem)
        else:
            self.policy = _threshold_within(problem, _TUNING_SHARE * seconds)
        self.training_seconds = self.policy.training_seconds

    def score(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """(K,) advantages of sensing, in no unit, of (K, 32 or more) observations."""
        return np.asarray(self.policy.score(observations[:, : len(COMPACT_FEATURES)]), np.float64)

    def __call__(self, observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(K,) allowed actions of (K, 32 or more) observations and (K, 2) masks."""
        return np.asarray(legal(self.score(observations) > 0.0, {"action_mask": masks}))

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint holds of it, so that a resumption need not tune it again."""
        policy = self.policy
        return {"constant": policy.constant, "coefficients": policy.coefficients, "seconds": policy.training_seconds}


def index_agent(index: Index, environment: dict[str, Any]) -> PairedDQN:
    """An index policy as a network without hidden layers on the compact observation, saved like a learned one."""
    config = DQNConfig(hidden=(), input_scaling="none", scale_outputs=False, n_environments=1, replay_capacity=2)
    size, kwargs = len(COMPACT_FEATURES), environment["kwargs"] | {"observation": "compact"}
    agent = PairedDQN(size, 2, config, 0, environment | {"n_inputs": size, "kwargs": kwargs})
    for network in (agent.online, agent.target, agent.average, agent.best):
        set_gap(network, index.weights)
    return agent


def _threshold_within(problem: Problem, seconds: float) -> Index:
    """The best threshold; where time is short, of fewer candidates on fewer episodes."""
    if math.isinf(seconds):
        return best_threshold(problem, GUIDE_SEED)
    candidates, simulator, began = thresholds(problem), Simulator(problem), time.perf_counter()
    simulator.errors(candidates[:1], 1, GUIDE_SEED)
    plays = max(1, int(seconds / (time.perf_counter() - began)))
    if plays >= 4 * len(candidates):
        decisions = plays * problem.horizon * problem.n_devices
        return best_threshold(problem, GUIDE_SEED, min(GRID_DECISIONS, decisions))
    candidates = candidates[:: 1 + 4 * len(candidates) // plays]
    errors = simulator.errors(candidates, max(1, plays // len(candidates)), GUIDE_SEED).mean(axis=1)
    best = candidates[int(errors.argmin())]
    return Index(problem, best.constant, best.coefficients, training_seconds=time.perf_counter() - began)
