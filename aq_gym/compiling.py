"""How numba compiles the package's loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])
# No fast mathematics: the same functions run as plain Python (NUMBA_DISABLE_JIT=1) return the same bytes.
_OPTIONS: dict[str, Any] = {
    "nogil": True,  # so that Python threads compute side by side
    "error_model": "numpy",  # 1 / 0 is infinite: a loop with a check of every division cannot be vectorised
}


def compiled(function: _Function) -> _Function:
    """The function compiled by numba; cached on disk for later processes where a directory can be written."""
    try:
        return cast(_Function, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # numba found no directory for its cache
        return cast(_Function, numba.njit(**_OPTIONS)(function))
