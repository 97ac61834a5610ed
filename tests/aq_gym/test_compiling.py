"""Compiled functions: with a cache on disk, and without one where no directory can be written."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest

from aq_gym.compiling import compiled


def twice(x: float) -> float:
    return 2.0 * x


def test_without_a_cache_it_compiles_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    njit, asked = numba.njit, []

    def unwritable(*function: Any, **options: Any) -> Any:
        asked.append("cache" in options)
        if "cache" in options:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*function, **options)

    monkeypatch.setattr(numba, "njit", unwritable)
    assert compiled(twice)(3.0) == 6.0 and asked[:2] == [True, False]


CALLER = """
from pathlib import Path
from aq_gym.compiling import compiled, forget_stale_code
from called import factor
forget_stale_code(Path(__file__).parent.glob("*.py"))

@compiled
def scaled(x):
    return factor() * x

if __name__ == "__main__":
    import caller
    print(caller.scaled(1.0), sum(scaled.stats.cache_hits.values()) + sum(caller.scaled.stats.cache_hits.values()))
"""
CALLED = "from aq_gym.compiling import compiled\n\n@compiled\ndef factor():\n    return {}\n"


@pytest.mark.slow
def test_an_edit_of_a_called_module_is_seen(tmp_path: Path) -> None:
    def run() -> list[str]:
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        command = [sys.executable, str(tmp_path / "caller.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "called.py").write_text(CALLED.format("2.0"))
    assert run() == ["2.0", "0"]
    assert run() == ["2.0", "1"]
    (tmp_path / "called.py").write_text(CALLED.format("3.0"))
    assert run() == ["3.0", "0"]
