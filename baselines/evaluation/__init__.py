"""Comparing policies on the same episodes, and the policies that a word names; `registry` knows them all, on top."""

from baselines.evaluation.comparing import COLUMNS, compare, mean_with_interval, summarise
from baselines.evaluation.registry import WORDS, build_policy, evaluate, load_agent, play
from baselines.playing import Record, play_problem, problem_of

__all__ = [
    "COLUMNS",
    "WORDS",
    "Record",
    "build_policy",
    "compare",
    "evaluate",
    "load_agent",
    "mean_with_interval",
    "play",
    "play_problem",
    "problem_of",
    "summarise",
]
