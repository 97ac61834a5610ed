"""How numba compiles the package's loops."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])
# No fast mathematics: the same functions run as plain Python (NUMBA_DISABLE_JIT=1) return the same bytes.
_OPTIONS: dict[str, Any] = {
    "nogil": True,  # so that Python threads compute side by side
    "error_model": "numpy",  # 1 / 0 is infinite: a loop with a check of every division cannot be vectorised
}


def compiled(function: _Function, **options: Any) -> _Function:
    """The function compiled by numba; cached on disk for later processes where a directory can be written."""
    try:
        return cast(_Function, numba.njit(function, cache=True, **_OPTIONS, **options))
    except RuntimeError:  # numba found no directory for its cache
        return cast(_Function, numba.njit(function, **_OPTIONS, **options))


def forget_stale_code(sources: Iterable[Path]) -> None:
    """Delete what numba cached of some modules if one of them is newer; call it before they compile anything.

    Numba compares its cache with the module of a function alone, not with the modules whose functions that one calls.
    So after an update it would go on with old code. Caches in NUMBA_CACHE_DIR are left alone.
    """
    modules = list(sources)
    newest = max(path.stat().st_mtime for path in modules)
    for path in modules:
        for index in path.parent.glob(f"__pycache__/{path.stem}.*.nbi"):
            with contextlib.suppress(OSError):  # another process was first, or the folder cannot be written
                if index.stat().st_mtime < newest:
                    index.unlink()
