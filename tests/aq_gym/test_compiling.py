"""Compiled functions: with a cache on disk, and without one where no directory can be written."""

from __future__ import annotations

from typing import Any

import numba
import pytest

from aq_gym.compiling import compiled


def twice(x: float) -> float:
    return 2.0 * x


def test_without_a_cache_it_compiles_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    njit, asked = numba.njit, []

    def unwritable(**options: Any) -> Any:
        asked.append("cache" in options)
        if "cache" in options:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", unwritable)
    assert compiled(twice)(3.0) == 6.0 and asked == [True, False]
