"""The yardsticks, and the one evaluator that plays them all on the same episodes.

Names are loaded when they are used: `import baselines` costs neither numba nor torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baselines.dqn import load_pretrained
    from baselines.evaluation.comparing import summarise
    from baselines.evaluation.playing import Record, play_problem, problem_of
    from baselines.evaluation.registry import WORDS, build_policy, evaluate, play
    from baselines.generalist import load_generalist
    from baselines.greedy import Greedy
    from baselines.joint import InTurn
    from baselines.policies import Random, Staggered, Synchronised, Uniform
    from baselines.rollout import Rollout

_HOMES = {
    "dqn": ("load_pretrained",),
    "evaluation": (
        "Record",
        "WORDS",
        "build_policy",
        "evaluate",
        "play",
        "play_problem",
        "problem_of",
        "summarise",
    ),
    "generalist": ("load_generalist",),
    "greedy": ("Greedy",),
    "joint": ("InTurn",),
    "policies": ("Random", "Staggered", "Synchronised", "Uniform"),
    "rollout": ("Rollout",),
}
_MODULES = ("dynamic_programming", "index", "playing", "sb3", *_HOMES)
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "WORDS",
    "Greedy",
    "InTurn",
    "Random",
    "Record",
    "Rollout",
    "Staggered",
    "Synchronised",
    "Uniform",
    "build_policy",
    "evaluate",
    "load_generalist",
    "load_pretrained",
    "play",
    "play_problem",
    "problem_of",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"baselines.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'baselines' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"baselines.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
