"""What a training was made for, as JSON values for cards and checkpoints, and how it differs from a problem at hand."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from aq_gym.problem import Problem


def network_digest(problem: Problem) -> str:
    """SHA-256 of the parameters that a problem reads of its network, whatever the network's file is called."""
    digest = hashlib.sha256()
    unread = {"coordinates"} | ({"level_model"} if problem.inference == "paper" else set())
    unread |= set() if problem.inference == "hidden" else {"level_belief"}
    for field in sorted(dataclasses.fields(problem.network), key=lambda field: field.name):
        value = getattr(problem.network, field.name)
        if field.name not in unread and isinstance(value, np.ndarray | float):
            digest.update(field.name.encode() + np.ascontiguousarray(value, np.float64).tobytes())
    return digest.hexdigest()


def describe_instance(problem: Problem) -> dict[str, Any]:
    """Everything that a problem is, as JSON values."""
    own = {field.name: _json(getattr(problem, field.name)) for field in dataclasses.fields(problem)}
    own |= {"network": problem.network.name, "parameters": network_digest(problem)}
    return own


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def instance_differences(recorded: Mapping[str, Any], problem: Problem) -> list[str]:
    """What differs from a recorded description, one phrase each; nothing where none was recorded.

    Older files lack newer options, which then had their defaults.
    """
    if not recorded:
        return []
    here = describe_instance(problem)
    parameters = here.pop("parameters")
    then = {field.name: _json(field.default) for field in dataclasses.fields(problem)} | dict(recorded)
    found = [f"{name} was {then[name]!r}, here {x!r}" for name, x in here.items() if then[name] != x]
    if recorded.get("parameters") != parameters:
        found.append(f"network {here['network']!r} has other parameters than it had")
    return found
