"""Exact dynamic programming: the names that users import; see `baselines.exact`."""

from baselines.exact.evaluation import evaluate_exactly
from baselines.exact.hidden_solution import HiddenSolution
from baselines.exact.one_device import Solution, solve
from baselines.exact.several_devices import JointSolution, solve_joint

__all__ = ["HiddenSolution", "JointSolution", "Solution", "evaluate_exactly", "solve", "solve_joint"]
