"""Old place of `baselines.heuristics.in_turn`."""

from baselines.heuristics.in_turn import InTurn

__all__ = [
    "InTurn",
]
