"""Checkpoints and exported policies: safetensors with a JSON header. Loading one never executes code.

A checkpoint holds everything that training needs to continue bit for bit: networks, optimizer, memory, counters and
the state of the random generator. An exported policy holds the chosen network alone. A file under its final name is
complete, whoever else writes, reads or is killed at that time.
"""

import contextlib
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import safetensors.torch
import torch
from gymnasium.vector import VectorEnv
from safetensors import SafetensorError
from torch import Tensor

from agents.config import DQNConfig
from agents.dqn import DQN
from agents.environment import describe_environment, differences
from agents.files import write_whole
from agents.improvement import PairedDQN
from agents.policy import GreedyPolicy
from agents.state import below

CHECKPOINT, POLICY = "dqn-checkpoint", "dqn-policy"
VERSIONS = ("1", "2")  # of files that are read; the last is written. In version 1 the header was not checksummed
MOST_INPUTS, MOST_COUNT = 10**6, 2**62  # sizes and counts beyond are damage
SMALLEST_SCALE, LARGEST_WEIGHT = 1e-7, 1e9  # beyond, inputs of a plausible size may overflow

AnyEnv = VectorEnv[Any, Any, Any] | gym.Env[Any, Any]


class CheckpointError(ValueError):
    """A file is no checkpoint, is damaged, too new, or belongs to another environment."""


def save(path: str | Path, agent: DQN, notes: dict[str, Any] | None = None) -> Path:
    """Write everything that training needs to continue, between two rounds.

    Args:
        notes: JSON values to store beside, for instance the command.

    Returns:
        The path.

    Raises:
        OSError: it could not be written; the message names the file, and an older one is still there.
    """
    tensors, counters = agent.state()
    return _write(Path(path), CHECKPOINT, tensors, {**_identity(agent), "counters": counters, "notes": notes or {}})


def load(path: str | Path, env: AnyEnv | None = None, agent_class: type[DQN] = DQN) -> DQN:
    """Read an agent that continues where the saved one was.

    Args:
        path: of a file that `save` wrote.
        env: where given, the environment that the agent must have been trained on.
        agent_class: the variant that was saved.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is foreign, damaged, of a newer version, or of another environment or variant.
    """
    path, present = Path(path), None if env is None else describe_environment(env)
    tensors, header = _read(path, (CHECKPOINT,))
    with _naming(path):
        blank = _blank(header, agent_class, present)
        for name in agent_class.NETWORKS:
            _check_network(blank, name, below(name, tensors))
        _expect(header["counters"], agent_class.COUNTERS, "counters")
        rows = tensors["memory.observation"].shape
        if rows[1:] != (blank.config.n_environments, blank.n_inputs):
            raise ValueError(f"memory.observation has shape {tuple(rows)}, its configuration says otherwise")
        agent = agent_class(blank.n_inputs, blank.n_actions, blank.config, blank.seed, blank.environment)
        agent.restore(tensors, header["counters"])
        restored, _ = agent.state()
        wrong = [name for name in {*restored, *tensors} if _form(restored, name) != _form(tensors, name)]
        if wrong:
            raise ValueError(f"{', '.join(sorted(wrong))}: missing, left over, or of another shape or type")
    return agent


def export(path: str | Path, agent: DQN, *, observation: str = "full", card: dict[str, Any] | None = None) -> Path:
    """Write the chosen network alone, enough to act.

    Args:
        agent: whose policy is exported.
        observation: which of the environment's observations the policy reads.
        card: JSON values on how it came about: command, commit, seeds, result.

    Returns:
        The path.

    Raises:
        OSError: as for `save`.
    """
    tensors = {f"best.{key}": value for key, value in agent.chosen.state_dict().items()}
    card = {"decisions": agent.decisions, "seed": agent.seed, **(card or {})}
    return _write(Path(path), POLICY, tensors, {**_identity(agent), "observation": observation, "card": card})


def load_policy(path: str | Path, env: AnyEnv | None = None, agent_class: type[DQN] | None = None) -> GreedyPolicy:
    """Read the greedy policy of an exported file or of a checkpoint; arguments and errors as for `load`.

    Without an ``agent_class`` the file's own is taken, if it is one of this package.
    """
    path, present = Path(path), None if env is None else describe_environment(env)
    tensors, header = _read(path, (POLICY, CHECKPOINT))
    with _naming(path):
        if agent_class is None:
            agent_class = PairedDQN if header["agent"] == PairedDQN.__name__ else DQN
        blank, name = _blank(header, agent_class, present), "best"
        if "counters" in header:
            _expect(header["counters"], agent_class.COUNTERS, "counters")
            name = "best" if header["counters"]["best_error"] < math.inf else "average"
        elif len(below(name, tensors)) != len(tensors):
            raise ValueError("a policy holds the network 'best' and nothing else")
        weights = below(name, tensors)
        _check_network(blank, name, weights)
        network = blank.make_network().requires_grad_(False)
        network.load_state_dict(weights)
    card = header.get("card", header.get("notes"))
    return GreedyPolicy(network, blank.q_values, observation=header.get("observation", "full"), card=card)


def _identity(agent: DQN) -> dict[str, Any]:
    return {
        "agent": type(agent).__name__,
        "config": agent.config.to_dict(),
        "seed": agent.seed,
        "environment": agent.environment,
    }


def _blank(header: dict[str, Any], agent_class: type[DQN], present: dict[str, Any] | None) -> DQN:
    """Make as much of the recorded agent as `DQN.make_network` reads: no arrays yet, of whatever size."""
    if header["agent"] != agent_class.__name__:
        raise ValueError(f"saved from agent {header['agent']!r}, not {agent_class.__name__!r}")
    recorded = header["environment"]
    wrong = [] if present is None else differences(recorded, present)
    if wrong:
        raise ValueError("trained on another environment: " + "; ".join(wrong))
    agent = agent_class.__new__(agent_class)
    agent.n_inputs, agent.n_actions = recorded["n_inputs"], recorded["n_actions"]
    agent.config, agent.seed, agent.environment = DQNConfig.from_dict(header["config"]), header["seed"], recorded
    return agent


def _check_network(agent: DQN, name: str, tensors: dict[str, Tensor]) -> None:
    """Refuse by a ValueError weights that are not of the recorded network, or that do not play in finite numbers."""
    with torch.device("meta"):  # shapes alone, no memory
        expected = agent.make_network().state_dict()
    for key in sorted({*expected, *tensors}):
        found, right = _form(tensors, key), _form(expected, key)
        if found != right:
            raise ValueError(f"does not fit its own configuration: {name}.{key} is {found}, expected {right}")
    for key, tensor in tensors.items():
        if key in ("input_scale", "output_scale") and not (tensor >= SMALLEST_SCALE).all():
            raise ValueError(f"{name}.{key}: expected numbers of at least {SMALLEST_SCALE}")
        if not (tensor.abs() <= LARGEST_WEIGHT).all():
            raise ValueError(f"{name}.{key}: expected numbers of at most {LARGEST_WEIGHT:g}")


def _form(tensors: dict[str, Tensor], name: str) -> str:
    return f"{tensors[name].dtype} of shape {tuple(tensors[name].shape)}" if name in tensors else "missing"


def _expect(values: Any, kinds: dict[str, type], where: str) -> None:
    """Refuse by a ValueError what is no JSON object with values of these types: counts, if integers, and no NaN."""
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected an object, got {values!r:.80}")
    for name, kind in kinds.items():
        value = values.get(name)
        good = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        if good and isinstance(value, float):
            good = not math.isnan(value)
        elif good and isinstance(value, int):
            good = 0 <= value <= MOST_COUNT
        if not good:
            raise ValueError(f"{where}: {name}: expected {kind.__name__}, got {value!r:.80}")


def _write(path: Path, kind: str, tensors: dict[str, Tensor], header: dict[str, Any]) -> Path:
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    text, version = json.dumps(header, sort_keys=True), VERSIONS[-1]
    checksum = str(_checksum(contiguous, version, kind + text))
    metadata = {"format": kind, "version": version, "checksum": checksum, "header": text}
    write_whole(path, safetensors.torch.save(contiguous, metadata=metadata))
    return path


def _read(path: Path, kinds: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors, in memory of their own, and the header, both checked as far as they can be without an agent."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected one that a training wrote")
    content = path.read_bytes()
    with _naming(path):
        try:
            tensors = safetensors.torch.load(content)
            about = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        except (SafetensorError, LookupError, ValueError, AssertionError) as error:
            raise ValueError(f"truncated, damaged or no safetensors file: {error}") from error
        metadata = about.get("__metadata__") or {}
        kind, version, text = (metadata.get(key, "") for key in ("format", "version", "header"))
        if kind not in kinds:
            raise ValueError(f"a safetensors file of format {kind or 'unknown'!r:.80}, expected {' or '.join(kinds)}")
        if version not in VERSIONS:
            raise ValueError(f"version {version or 'missing':.20}, this program reads {' and '.join(VERSIONS)}")
        if metadata.get("checksum") != str(_checksum(tensors, version, kind + text)):
            raise ValueError("damaged: the checksum of its contents does not match")
        try:
            header = json.loads(text, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"damaged: its header is no JSON: {error}") from error
        more = {"counters": dict, "notes": dict} if kind == CHECKPOINT else {"observation": str, "card": dict}
        _expect(header, {"agent": str, "config": dict, "seed": int, "environment": dict, **more}, "header")
        _expect(header["environment"], {"n_inputs": int, "n_actions": int, "kwargs": dict}, "environment")
        for size in ("n_inputs", "n_actions"):
            if not 1 <= header["environment"][size] <= MOST_INPUTS:
                raise ValueError(f"environment: {size}: expected 1 to {MOST_INPUTS:,}")
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise ValueError(f"{name} holds numbers that are not finite: expected finite ones")
    return tensors, header


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _checksum(tensors: dict[str, Tensor], version: str, text: str) -> int:
    """Checksum of all that a file says; safetensors itself notices a wrong length alone."""
    total = 0 if version == "1" else zlib.crc32(text.encode())
    for name, tensor in sorted(tensors.items()):
        about = name if version == "1" else f"{name}: {_form(tensors, name)}"
        content = np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
        total = zlib.crc32(content.data, zlib.crc32(about.encode(), total))
    return total


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise a `CheckpointError` that names the file for whatever nonsense in it raises."""
    try:
        yield
    except KeyError as error:
        raise CheckpointError(f"{path}: its header or its tensors lack {error}") from error
    except (TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise CheckpointError(f"{path}: {lines[0]}") from error
