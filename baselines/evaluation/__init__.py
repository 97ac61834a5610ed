"""Comparing policies on the same episodes, and the policies that a word names; `registry` knows them all, on top."""

from baselines.evaluation.comparing import mean_with_interval, summarise
from baselines.evaluation.registry import WORDS, build_policy, evaluate, play

__all__ = ["WORDS", "build_policy", "evaluate", "mean_with_interval", "play", "summarise"]
