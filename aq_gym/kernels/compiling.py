"""How Numba compiles the dynamics.

With ``NUMBA_DISABLE_JIT=1`` nothing is compiled: the same functions run as plain Python, so that a debugger can stop in
them, and return the same bytes. For that no option here lets the compiler reorder or fuse floating-point operations.

Numba counts references to every array that one compiled function hands to another, which takes longer than a loop over
thirty locations. So the functions of one episode, k, are inlined where they are called.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from aq_gym.compiling import compiled, forget_stale_code

_Function = TypeVar("_Function", bound=Callable[..., Any])
_HERE = Path(__file__).parent

_ABOVE = ("dynamics.py", "compiling.py", "hidden_level.py")

forget_stale_code([*_HERE.glob("*.py"), *(_HERE.parent / name for name in _ABOVE)])


def inlined(function: _Function) -> _Function:
    """For what compiled code does in one episode: compiled with its caller."""
    return compiled(function, inline="always")


def called(function: _Function) -> _Function:
    """For what compiled code calls and takes long: compiled once, without wrappers for Python."""
    return compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)
