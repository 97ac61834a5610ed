"""Old place of `baselines.heuristics.greedy`."""

from baselines.heuristics.greedy import TUNED, TUNING_EPISODES, Greedy, tune, tuned_greedy
from baselines.heuristics.problems import entry_problem, same_problem

__all__ = [
    "TUNED",
    "TUNING_EPISODES",
    "Greedy",
    "entry_problem",
    "same_problem",
    "tune",
    "tuned_greedy",
]
