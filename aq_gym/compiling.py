"""How numba compiles the package's loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {
    "nogil": True,  # so that Python threads compute side by side
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},  # without nnan and ninf: checks for NaN stay
    "error_model": "numpy",  # a division is not checked for zero, so that loops can be vectorised
}


def compiled(function: _Function) -> _Function:
    """The function compiled by numba; kept on disk for later processes where a directory can be written."""
    try:
        return cast(_Function, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # numba found no directory for its cache
        return cast(_Function, numba.njit(**_OPTIONS)(function))
