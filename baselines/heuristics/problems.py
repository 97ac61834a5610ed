"""The problems of the registered ids, and the numbers that were tuned for them."""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any

from aq_gym.problem import Problem
from aq_gym.registration import ENTRIES
from baselines.playing import differences


@lru_cache(maxsize=16)
def entry_problem(name: str) -> Problem:
    """The problem of a registered id, given without ``aq_gym/``."""
    entries = {entry.name: entry for entry in ENTRIES}
    if name not in entries:
        raise ValueError(f"name: expected one of {', '.join(entries)}, got {name!r}")
    kwargs = dict(entries[name].kwargs)
    devices = kwargs.pop("devices", None)
    return Problem.create(devices=kwargs.pop("device") if devices is None else devices, **kwargs)


def same_problem(a: Problem, b: Problem) -> bool:
    """Whether two problems are equal by value, as far as they are read."""
    return a.devices == b.devices and not differences(a, b)


def finite(name: str, value: Any) -> float:
    """The value as a float; what is no finite number is refused."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value!r}")
    return float(value)


def read_tuned(path: Path) -> dict[str, dict[str, Any]]:
    """Tuned numbers by id, from a file of `scripts.tune_greedy` or `scripts.tune_index`; none without a file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON object of tuned numbers: {error}") from error
    ids = content.get("ids") if isinstance(content, dict) else None
    if not isinstance(ids, dict) or not all(isinstance(numbers, dict) for numbers in ids.values()):
        raise ValueError(f'{path}: expected a JSON object {{"ids": {{ID: {{...}}}}}} of tuned numbers')
    return ids


committed = lru_cache(maxsize=2)(read_tuned)  # once


def tuned_fields(path: Path, problem: Problem, *names: str) -> list[Any] | None:
    """Those entries of the numbers that are committed for a problem, or None where there are none."""
    for name, numbers in committed(path).items():
        if same_problem(problem, entry_problem(name)):
            return [field(numbers, key, f"{path}: {name}") for key in names]
    return None


def field(numbers: Mapping[str, Any], name: str, where: str) -> Any:
    """An entry of tuned numbers."""
    if name not in numbers:
        raise ValueError(f"{where}: {name} is missing, there are {', '.join(numbers) or 'no entries'}")
    return numbers[name]
