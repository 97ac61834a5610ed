"""The files of a training of our DQN, and the agent that one of them continues."""

from pathlib import Path
from typing import Any

from agents import PairedDQN, load, load_policy
from baselines.learners.task import SensingTask

CHECKPOINT, POLICY = "checkpoint.safetensors", "policy.safetensors"


def resumed(folder: Path | None, task: SensingTask, seed: int) -> tuple[PairedDQN, dict[str, Any]]:
    """The agent that a folder's checkpoint holds, and the notes beside it."""
    if folder is None:
        raise ValueError("resume: expected a folder to resume from, got none")
    path = folder / CHECKPOINT
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: nothing to resume there; without --resume a training begins")
    notes = load_policy(path, agent_class=PairedDQN).card
    other = task.differences(notes)
    if any("other parameters" in phrase for phrase in other):  # the id and its arguments may be the same
        raise ValueError(f"{path}: trained on another environment: {'; '.join(other)}")
    agent = load(path, task.env, PairedDQN)
    assert isinstance(agent, PairedDQN)
    was, given = {"seed": agent.seed, **agent.config.to_dict()}, {"seed": seed, **task.config.to_dict()}
    settings = [
        f"{name} was {was[name]!r}, here {value!r}"
        for name, value in given.items()
        if name not in ("total_decisions", "improvements") and was[name] != value
    ]
    if settings or other:
        raise ValueError(
            f"{path}: was trained with other settings; give the same ones to resume: {'; '.join(settings + other)}"
        )
    agent.config = task.config
    return agent, notes


def new_agent(task: SensingTask, seed: int) -> PairedDQN:
    """An agent that begins."""
    try:
        return PairedDQN.for_env(task.env, task.config, seed)
    except (RuntimeError, MemoryError) as error:  # torch raises the former where memory is lacking
        sizes = f"hidden {task.config.hidden}, replay_capacity {task.config.replay_capacity:,}"
        raise ValueError(f"{sizes}: too large for this machine's memory: {error}") from error
