"""Tuned and adapted policies as a JSON file: numbers alone, so that loading one executes nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from aq_gym.episodes import Layers
from aq_gym.files import write_atomically
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from aq_gym.problem import Problem
from baselines.heuristics.greedy import Greedy
from baselines.heuristics.index import Index
from baselines.heuristics.simple import Staggered
from baselines.packing import LayeredPolicy, layers_of
from baselines.playing import described, field_differences

FILE = "tuned.json"
_INTEGERS, _NUMBERS = ("widths", "encoder_widths"), ("weights", "encoder_weights")


def save_policy(policy: Any, problem: Problem, folder: str | Path) -> Path:
    """Write what `baselines.adapt` returns, or an index or greedy policy, as ``tuned.json`` in a folder.

    Args:
        policy: of one of these kinds, or one that can be compiled; others, such as `Rollout`, cannot be written.
        problem: that it was tuned for.
        folder: made where it is missing; `load_policy` and ``scripts.serve --policy`` take it.

    Raises:
        TypeError: another kind of policy.
    """
    if isinstance(policy, Index):
        how: dict[str, Any] = {"kind": "index", "constant": policy.constant, "coefficients": policy.coefficients}
    elif isinstance(policy, Greedy):
        names = ("threshold", "exponent", "observation")
        how = {"kind": "greedy", **{name: getattr(policy, name) for name in names}}
    elif isinstance(policy, Staggered):
        how = {"kind": "staggered"}
    elif (layers := layers_of(policy)) is not None:
        how = {"kind": "layers", **{name: np.asarray(x).tolist() for name, x in layers._asdict().items()}}
    else:
        raise TypeError(
            f"policy: a {type(policy).__name__} cannot be written as numbers; expected staggered, greedy or index "
            "sensing, what baselines.adapt returned, or a duelling DQN that reads 'compact' or 'per_device'"
        )
    path = Path(folder) / FILE
    seconds = float(getattr(policy, "training_seconds", 0.0))
    content = {**how, "training_seconds": seconds if np.isfinite(seconds) else 0.0, "problem": described(problem)}
    write_atomically(path, (json.dumps(content) + "\n").encode())
    return path


def load_policy(folder: str | Path, problem: Problem) -> Any:
    """The policy that `save_policy` wrote, for a problem of the same devices, lengths and options, on any network.

    Raises:
        ValueError: no such file, or a policy for another problem.
    """
    path = Path(folder) / FILE if Path(folder).is_dir() else Path(folder)
    try:
        content = json.loads(path.read_text("utf-8"))
        made_for, kind = dict(content.pop("problem")), content.pop("kind")
        seconds = {"training_seconds": float(content.pop("training_seconds"))}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else repr(error)
        raise ValueError(f"{path}: expected a policy that baselines.save_policy wrote; {why}") from None
    if other := field_differences(made_for, described(problem)):
        raise ValueError(
            f"{path}: made for another problem: {'; '.join(other)}; name the id and arguments that it was made for"
        )
    try:
        if kind == "index":
            return Index(problem, **content, **seconds)
        if kind == "greedy":
            return Greedy(problem, **content, **seconds)
        if kind == "staggered":
            return Staggered(problem)
        if kind == "layers":
            return LayeredPolicy(problem, _layers(content), **seconds)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"{path}: damaged; {error}") from None
    raise ValueError(f"{path}: unknown kind {kind!r}")


def _layers(content: dict[str, Any]) -> Layers:
    """Layers whose sizes and numbers fit together."""
    parts = {name: np.array(content[name], np.int64) for name in _INTEGERS}
    parts |= {name: np.array(content[name], np.float32) for name in _NUMBERS}
    for widths, weights in zip(_INTEGERS, _NUMBERS, strict=True):
        n = parts[widths]
        if len(parts[weights]) != int(((n[:-1] + 1) * n[1:]).sum()) or not np.isfinite(parts[weights]).all():
            raise ValueError(f"{weights}: expected finite numbers, as many as the {widths} {n.tolist()} need")
    layers, encoder = Layers(**parts), parts["encoder_widths"]
    inputs = len(COMPACT_FEATURES) + (int(encoder[-1]) if len(encoder) else 0)
    if layers.widths[0] != inputs or layers.widths[-1] != 1 or (len(encoder) and encoder[0] != len(DEVICE_FEATURES)):
        raise ValueError(f"widths: expected {inputs} inputs and 1 output, got {layers.widths.tolist()}")
    return layers
