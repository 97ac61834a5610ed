"""The settings of Stable-Baselines3's agents: the committed ones, and overrides that are checked against them."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from baselines.learners.sb3_policy import ALGORITHMS

HYPERPARAMETERS = Path(__file__).parents[1] / "sb3_hyperparameters.json"
_OURS = {"self", "policy", "env", "policy_kwargs", "verbose", "seed", "device", "tensorboard_log", "_init_setup_model"}
_MAY_BE_ZERO = ("learning_starts",)
_MAY_BE_MINUS_ONE = ("gradient_steps", "sde_sample_freq")
_SHARES = ("gamma", "gae_lambda", "tau", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps")


def hyperparameters(algorithm: str) -> dict[str, Any]:
    """The settings of an algorithm, from `HYPERPARAMETERS`.

    Raises:
        ValueError: no such algorithm; the message lists them.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    return dict(json.loads(HYPERPARAMETERS.read_text(encoding="utf-8"))[algorithm])


def overridden(algorithm: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an algorithm with some replaced; of ``model``, those that it names.

    Raises:
        ValueError: no such setting, or a value of a wrong kind or range.
    """
    settings = hyperparameters(algorithm)
    unknown = sorted(set(overrides) - set(settings))
    if unknown:
        raise ValueError(f"overrides: unknown setting(s) {', '.join(unknown)}; there are {', '.join(settings)}")
    for name, value in overrides.items():
        if type(value) is not type(settings[name]):
            kind = type(settings[name]).__name__
            raise ValueError(f"overrides[{name!r}]: expected {kind} like {settings[name]!r}, got {value!r}")
        if type(value) is int and value < 1:
            raise ValueError(f"overrides[{name!r}]: expected an integer of at least 1, got {value!r}")
    model = dict(overrides.get("model", {}))
    _check_model(algorithm, model)
    return settings | dict(overrides) | {"model": settings["model"] | model}


def _check_model(algorithm: str, model: Mapping[str, Any]) -> None:
    parameters = inspect.signature(ALGORITHMS[algorithm].__init__).parameters
    known = {name: parameter.default for name, parameter in parameters.items() if name not in _OURS}
    unknown = sorted(set(model) - set(known))
    if unknown:
        raise ValueError(
            f"overrides['model']: {algorithm} takes no {', '.join(map(repr, unknown))}; it takes {', '.join(known)}"
        )
    for name, value in model.items():
        default = known[name]
        if isinstance(default, bool):
            right, expected = isinstance(value, bool), "true or false"
        elif isinstance(default, int):
            least = 0 if name in _MAY_BE_ZERO else 1
            whole = isinstance(value, int) and not isinstance(value, bool)
            right = whole and (value >= least or (value == -1 and name in _MAY_BE_MINUS_ONE))
            expected = f"an integer of at least {least}"
        else:
            most = 1.0 if name in _SHARES else math.inf
            number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
            right = (number and 0 <= value <= most) or (value is None and default is None)
            expected = "a number from 0 to 1" if most == 1.0 else "a finite number of at least 0"
        if not right:
            raise ValueError(f"overrides['model'][{name!r}]: expected {expected}, got {value!r}")
