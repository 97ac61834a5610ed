"""This checkout beside another commit's: the same measurements, in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from baselines.studies.speed.comparison import spread
from baselines.studies.speed.start_up import WHAT, start_up
from baselines.studies.speed.worker import MEASUREMENTS

ROOT = Path(__file__).resolve().parents[3]
WORKER = Path(__file__).with_name("worker.py")


class Checkout:
    """A process that measures one checkout.

    Args:
        folder: of the checkout.

    Raises:
        ValueError: no checkout of this project, or one that cannot be imported.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        if not (self.folder / "aq_gym" / "__init__.py").is_file():
            raise ValueError(f"against: {folder} is no checkout of this project, it has no folder aq_gym")
        command = [sys.executable, "-P", str(WORKER)]  # -P: without the worker's own folder on the import path
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        variables = dict(os.environ) | {"PYTHONPATH": str(self.folder)}
        self._process = subprocess.Popen(command, cwd=self.folder, env=variables, **pipes)
        found = self._read()
        if not Path(found).is_relative_to(self.folder):
            self.__exit__(None, None, None)
            raise ValueError(f"against: the code of {folder} did not load, {found} did")

    def __enter__(self) -> Checkout:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin and self._process.stdout:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def rate(self, name: str, seconds: float) -> float | str:
        """The rate of a measurement, or why there is none."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, seconds]) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ValueError(f"against: the process that measured {self.folder} ended, see its messages above")
        return json.loads(line)


def compare(
    folder: Path, names: Sequence[str], rounds: int, seconds: float, start_rounds: int
) -> Iterator[dict[str, Any]]:
    """Rows of this checkout beside another one: rates, and the ratio new to old of each turn.

    Args:
        folder: of the other checkout.
        names: of `worker.MEASUREMENTS`.
        rounds: turns of each.
        seconds: a turn.
        start_rounds: turns of the first use; its numbers are seconds, its ratio is old to new.

    Raises:
        ValueError: the folder is no checkout of this project.
    """
    with Checkout(ROOT) as new, Checkout(folder) as old:
        for name in names:
            pairs = [(new.rate(name, seconds), old.rate(name, seconds)) for _ in range(rounds)]
            wrong = [str(x) for x in pairs[0] if isinstance(x, str)]
            if wrong:
                yield {"what": name, "reason": "; ".join(wrong)}
                continue
            yield _row(name, MEASUREMENTS[name][0], np.array(pairs))
    times = np.array([(start_up(ROOT), start_up(folder.resolve())) for _ in range(start_rounds)])
    for k, name in enumerate(WHAT if start_rounds else ()):
        yield _row(name, "s", times[:, :, k])


def _row(name: str, unit: str, pairs: np.ndarray) -> dict[str, Any]:
    """Medians of (rounds, 2) numbers of new and old, and of the ratio that is above 1 where the new one is faster."""
    ratios = pairs[:, 1] / pairs[:, 0] if unit == "s" else pairs[:, 0] / pairs[:, 1]
    new, old = np.median(pairs, axis=0)
    return {"what": name, "unit": unit, "new": new, "old": old, **spread(ratios), "rounds": len(pairs)}
