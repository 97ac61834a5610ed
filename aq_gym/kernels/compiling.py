"""How Numba compiles the dynamics.

With ``NUMBA_DISABLE_JIT=1`` nothing is compiled: the same functions run as plain Python, so that a debugger can stop in
them, and return the same bytes. For that no option here lets the compiler reorder or fuse floating-point operations.

Numba counts references to every array that one function hands to another, which takes longer than a loop over thirty
locations. So what takes arrays works on many episodes in a call, ``rows``; what is called for each takes numbers and
records only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from aq_gym.compiling import compiled, forget_stale_code

_Function = TypeVar("_Function", bound=Callable[..., Any])
_HERE = Path(__file__).parent

forget_stale_code([*_HERE.glob("*.py"), _HERE.parent / "dynamics.py", _HERE.parent / "compiling.py"])


def inner(function: _Function) -> _Function:
    """The same for what only compiled code calls: without wrappers for Python, which take long to build."""
    return compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def outer(function: _Function) -> _Function:
    """For what only leads from one function to others: compiled with its caller, else all below is compiled twice."""
    return compiled(function, inline="always")
