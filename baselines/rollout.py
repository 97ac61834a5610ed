"""Old place of `baselines.heuristics.rollout`."""

from baselines.heuristics.rollout import Rollout

__all__ = [
    "Rollout",
]
