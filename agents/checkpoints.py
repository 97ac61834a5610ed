"""Checkpoints and exported policies: safetensors with a JSON header. Loading one never executes code.

A checkpoint holds everything that training needs to continue bit for bit: networks, optimizer, memory, counters and
the state of the random generator. An exported policy holds the chosen network alone. Both are single files, written
beside their destination, flushed to the disk and moved into place, so that a file under its final name is complete.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from agents.config import DQNConfig
from agents.dqn import DQN
from agents.environment import describe_environment, differences
from agents.improvement import PairedDQN
from agents.policy import GreedyPolicy

CHECKPOINT, POLICY = "dqn-checkpoint", "dqn-policy"
VERSION = 1  # rises when older files can no longer be read as they are

AnyEnv = VectorEnv[Any, Any, Any] | gym.Env[Any, Any]


class CheckpointError(ValueError):
    """A file is no checkpoint, is damaged, too new, or belongs to another environment."""


def save(path: str | Path, agent: DQN, notes: dict[str, Any] | None = None) -> Path:
    """Write everything that training needs to continue, between two rounds.

    Args:
        path: of the file; replaced at once if it exists.
        agent: to be saved.
        notes: JSON values to keep beside, for instance the command.

    Returns:
        The path.
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
    tensors, header = _read(Path(path), (CHECKPOINT,))
    agent = _rebuild(Path(path), header, agent_class, env)
    try:
        agent.restore(tensors, header["counters"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: does not fit its own configuration: {error}") from error
    return agent


def export(path: str | Path, agent: DQN, *, observation: str = "full", card: dict[str, Any] | None = None) -> Path:
    """Write the chosen network alone, enough to act.

    Args:
        path: of the file; replaced at once if it exists.
        agent: whose policy is exported.
        observation: which of the environment's observations the policy reads.
        card: JSON values on how it came about: command, commit, seeds, result.

    Returns:
        The path.
    """
    tensors = {f"best.{key}": value for key, value in agent.chosen.state_dict().items()}
    card = {"decisions": agent.decisions, "seed": agent.seed, **(card or {})}
    return _write(Path(path), POLICY, tensors, {**_identity(agent), "observation": observation, "card": card})


def load_policy(path: str | Path, env: AnyEnv | None = None, agent_class: type[DQN] | None = None) -> GreedyPolicy:
    """Read the greedy policy of an exported file or of a checkpoint; arguments and errors as for `load`.

    Without an ``agent_class`` the file's own is taken, if it is one of this package.
    """
    tensors, header = _read(Path(path), (POLICY, CHECKPOINT))
    if agent_class is None:
        agent_class = PairedDQN if header.get("agent") == PairedDQN.__name__ else DQN
    agent = _rebuild(Path(path), header, agent_class, env, memory=False)
    evaluated = header.get("counters", {}).get("best_error", 0.0) < math.inf
    prefix = "best." if evaluated else "average."
    weights = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    try:
        agent.average.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: does not fit its own configuration: {error}") from error
    policy = agent.policy(header.get("observation", "full"))
    policy.card = header.get("card", header.get("notes", {}))
    return policy


def _identity(agent: DQN) -> dict[str, Any]:
    return {
        "agent": type(agent).__name__,
        "config": agent.config.to_dict(),
        "seed": agent.seed,
        "environment": agent.environment,
    }


def _rebuild(
    path: Path, header: dict[str, Any], agent_class: type[DQN], env: AnyEnv | None, *, memory: bool = True
) -> DQN:
    try:
        recorded = header["environment"]
        if header["agent"] != agent_class.__name__:
            raise CheckpointError(f"{path}: saved from agent {header['agent']!r}, not {agent_class.__name__!r}")
        wrong = [] if env is None else differences(recorded, describe_environment(env))
        if wrong:
            raise CheckpointError(f"{path}: trained on another environment: " + "; ".join(wrong))
        config = DQNConfig.from_dict(header["config"])
        if not memory:
            config = config.replace(n_environments=1, replay_capacity=2)
        return agent_class(recorded["n_inputs"], recorded["n_actions"], config, header["seed"], recorded)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its header can't be understood: {error!r}") from error


def _write(path: Path, kind: str, tensors: dict[str, Tensor], header: dict[str, Any]) -> Path:
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    metadata = {
        "format": kind,
        "version": str(VERSION),
        "checksum": str(_checksum(contiguous)),
        "header": json.dumps(header, sort_keys=True),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")  # a fixed name: what a killed process left behind is overwritten
    try:
        with beside.open("wb") as file:
            file.write(serialise(contiguous, metadata=metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, too, survives a power cut
    finally:
        os.close(folder)
    return path


def _read(path: Path, kinds: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_kind(path, metadata, kinds)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise CheckpointError(f"{path}: truncated, damaged or no safetensors file: {error}") from error
    if metadata.get("checksum") != str(_checksum(tensors)):
        raise CheckpointError(f"{path}: damaged: the checksum of its tensors does not match")
    try:
        header = json.loads(metadata["header"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: its header is no JSON") from error
    return tensors, header


def _check_kind(path: Path, metadata: dict[str, str], kinds: tuple[str, ...]) -> None:
    found, version = metadata.get("format", "unknown"), metadata.get("version", "")
    if found not in kinds:
        raise CheckpointError(f"{path}: a safetensors file of format {found!r}, expected {' or '.join(kinds)}")
    if not version.isdecimal() or int(version) > VERSION:
        raise CheckpointError(f"{path}: version {version or 'missing'}, this program reads up to {VERSION}: upgrade it")


def _checksum(tensors: dict[str, Tensor]) -> int:
    """Checksum of names and contents; safetensors itself notices a wrong length alone."""
    total = 0
    for name in sorted(tensors):
        content = np.ascontiguousarray(tensors[name].numpy()).reshape(-1).view(np.uint8)
        total = zlib.crc32(content.data, zlib.crc32(name.encode(), total))
    return total
