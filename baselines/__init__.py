"""Baseline policies, learners, and the evaluator that runs all of them on the same episodes.

Names are loaded when they are used: `import baselines` costs neither numba nor torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baselines.adaptation import adapt
    from baselines.evaluation import WORDS, build_policy, evaluate, play, summarise
    from baselines.heuristics.greedy import Greedy
    from baselines.heuristics.in_turn import InSlots, InTurn
    from baselines.heuristics.rollout import Rollout
    from baselines.heuristics.simple import Random, Staggered, Synchronised, Uniform
    from baselines.learners.shipped import load_generalist, load_pretrained
    from baselines.playing import Record, play_problem, problem_of
    from baselines.saved import load_policy, save_policy

_MODULES = {
    "adaptation": ("adapt",),
    "evaluation": ("WORDS", "build_policy", "evaluate", "play", "summarise"),
    "heuristics.greedy": ("Greedy",),
    "heuristics.in_turn": ("InSlots", "InTurn"),
    "heuristics.rollout": ("Rollout",),
    "heuristics.simple": ("Random", "Staggered", "Synchronised", "Uniform"),
    "learners.shipped": ("load_generalist", "load_pretrained"),
    "playing": ("Record", "play_problem", "problem_of"),
    "saved": ("load_policy", "save_policy"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
_PARTS = ("dqn", "dynamic_programming", "evaluation", "placement", "playing", "sb3")

__all__ = [
    "WORDS",
    "Greedy",
    "InSlots",
    "InTurn",
    "Random",
    "Record",
    "Rollout",
    "Staggered",
    "Synchronised",
    "Uniform",
    "adapt",
    "build_policy",
    "evaluate",
    "load_generalist",
    "load_policy",
    "load_pretrained",
    "play",
    "play_problem",
    "problem_of",
    "save_policy",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"baselines.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'baselines' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"baselines.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_PARTS})
