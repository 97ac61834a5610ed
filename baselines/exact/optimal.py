"""The optimal policy of a problem, whatever its number of devices."""

from __future__ import annotations

from typing import Any

from aq_gym.problem import Problem
from baselines.exact.one_device import solve
from baselines.exact.several_devices import solve_joint


def optimal_policy(problem: Problem) -> Any:
    """The exact solution.

    Raises:
        ValueError: the problem is too large.
    """
    if problem.n_devices > 1:
        return solve_joint(**problem.arguments)
    arguments = problem.arguments
    return solve(device=arguments.pop("devices")[0], **arguments)
