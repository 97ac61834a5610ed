"""Baseline policies, learners, and the evaluator that runs all of them on the same episodes.

Names are loaded when they are used: `import baselines` costs neither numba nor torch nor pandas.
"""

import importlib

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

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name in _PARTS:
        return importlib.import_module(f"baselines.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'baselines' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"baselines.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_PARTS})
