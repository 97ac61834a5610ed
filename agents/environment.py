"""What an environment is, in plain JSON values: recorded in checkpoints, and compared when one is loaded."""

import dataclasses
import hashlib
import json
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

# Arguments that say how an environment is run, not which one it is.
HOW = {"num_envs", "vectorization_mode", "vector_kwargs", "wrappers", "autoreset_mode", "render_mode"}


def describe_environment(env: VectorEnv[Any, Any, Any] | gym.Env[Any, Any]) -> dict[str, Any]:
    """Return ``n_inputs``, ``n_actions``, and ``id`` and ``kwargs`` as registered (None and {} where they are not)."""
    if isinstance(env, VectorEnv):
        observation, action = env.single_observation_space, env.single_action_space
    else:
        observation, action = env.observation_space, env.action_space
    if not isinstance(observation, gym.spaces.Box) or len(observation.shape) != 1:
        raise TypeError(f"the agents need a Box observation of one dimension, the environment has {observation}")
    if not isinstance(action, gym.spaces.Discrete) or action.start != 0:
        raise TypeError(f"the agents need Discrete actions that start at 0, the environment has {action}")
    spec = env.unwrapped.spec
    kwargs = {key: value for key, value in spec.kwargs.items() if key not in HOW} if spec else {}
    return {
        "n_inputs": int(observation.shape[0]),
        "n_actions": int(action.n),
        "id": spec.id if spec else None,
        "kwargs": json.loads(json.dumps(kwargs, default=_plain, sort_keys=True)),
    }


def differences(recorded: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """Return what differs between two descriptions, one line each."""
    return [
        f"{key}: recorded {recorded.get(key)!r}, here {present[key]!r}"
        for key in present
        if recorded.get(key) != present[key]
    ]


def check_environment(env: VectorEnv[Any, Any, Any], recorded: dict[str, Any], n_environments: int) -> None:
    """Refuse an environment, by a ValueError, that an agent was not made for."""
    wrong = differences(recorded, describe_environment(env)) if recorded["id"] else []
    if env.num_envs != n_environments:
        wrong.append(f"num_envs: the agent plays {n_environments}, here {env.num_envs}")
    if wrong:
        raise ValueError("the agent was made for another environment: " + "; ".join(wrong))


def _plain(value: object) -> object:
    """Spell an argument that JSON doesn't know; a dataclass by its class and a digest of its contents."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        text = json.dumps(fields, default=_plain, sort_keys=True)
        return {"class": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return {"class": name}
