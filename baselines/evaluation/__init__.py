"""Playing policies on the same episodes, comparing what came of it, and the policies that a word names.

`playing` and `comparing` know no policy; `registry` knows them all and stands on top. So names are loaded when they are
used: what plays an episode does not load every policy first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baselines.evaluation.comparing import COLUMNS, compare, mean_with_interval, summarise
    from baselines.evaluation.playing import Record, play_problem, problem_of
    from baselines.evaluation.registry import WORDS, build_policy, evaluate, load_agent, play

_ROOMS = {
    "comparing": ("COLUMNS", "compare", "mean_with_interval", "summarise"),
    "playing": ("Record", "play_problem", "problem_of"),
    "registry": ("WORDS", "build_policy", "evaluate", "load_agent", "play"),
}
_ROOM = {name: room for room, names in _ROOMS.items() for name in names}
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


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"baselines.evaluation.{name}")
    if name not in _ROOM:
        raise AttributeError(f"module 'baselines.evaluation' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"baselines.evaluation.{_ROOM[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
