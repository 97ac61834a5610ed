"""Playing one episode in every environment of a vector environment, whichever its autoreset mode."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from agents.replay import Replay

FIRST_TRAINING_SEED = 2**30  # training episodes use seeds from here to 2**31: smaller ones are never trained on

Choose = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.int64]]
"""From observations (K, n) and masks (K, A) to allowed actions (K,)."""


@dataclass(frozen=True)
class Progress:
    """What one round of training did, and where training stands."""

    rounds: int  # so far
    decisions: int  # so far
    episodes: int  # so far
    updates: int  # so far
    mean_return: float  # of the round's episodes, exploration included
    mean_length: float  # of the round's episodes, in decisions
    loss: float  # mean over the round's updates, in output scales; NaN without updates
    mean_value: float  # mean value of the actions in the round's minibatches; NaN without updates
    epsilon: float
    learning_rate: float
    seconds: float  # of this round
    decisions_per_second: float  # of this round, learning included


def play_episodes(
    env: VectorEnv[Any, Any, Any], choose: Choose, memory: Replay, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Play one episode in each of the K environments and append it to the memory.

    Every call resets with fresh seeds from ``rng``, so nothing of the environment's state outlives it. An environment
    that ends before the others idles: it is stepped on, but not recorded. Hence the three autoreset modes give the same
    memory, and the step in which NEXT_STEP resets is never learned from.

    Returns:
        Returns and lengths of the K episodes.
    """
    mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
    n, n_actions = env.num_envs, memory.mask.shape[2]
    seeds = rng.integers(FIRST_TRAINING_SEED, 2 * FIRST_TRAINING_SEED, size=n).tolist()
    observation, info = env.reset(seed=seeds)
    allowed = read_mask(info, n, n_actions)
    observed, observed_mask = np.array(observation, dtype=np.float32), allowed  # what the memory records
    returns, lengths = np.zeros(n), np.zeros(n, dtype=np.int64)
    playing = np.ones(n, dtype=np.bool_)
    while playing.any():
        _check(playing, np.isfinite(observed).all(axis=1), lengths, "the observation is not finite")
        _check(playing, allowed.any(axis=1), lengths, "the action mask forbids every action")
        action = choose(observed, allowed)
        observation, reward, terminated, truncated, info = env.step(action)
        _check(playing, np.isfinite(reward), lengths, "the reward is not finite")
        returns += np.where(playing, reward, 0.0)
        lengths += playing
        over = terminated | truncated
        last = playing & over
        memory.append(observed, observed_mask, action, reward, terminated & playing, last, playing)
        playing = playing & ~last

        allowed = read_mask(info, n, n_actions)
        observed, observed_mask = np.array(observation, dtype=np.float32), allowed
        if mode is AutoresetMode.SAME_STEP and over.any():
            observed, observed_mask = _with_final(observed, observed_mask, info, over)
        elif mode is AutoresetMode.DISABLED and over.any() and playing.any():
            _, reset_info = env.reset(options={"reset_mask": over})
            allowed = np.where(over[:, None], read_mask(reset_info, n, n_actions), allowed)
    memory.append_end(observed, observed_mask)
    return returns, lengths


def read_mask(info: dict[str, Any], n: int, n_actions: int) -> NDArray[np.bool_]:
    """Return (n, n_actions) allowed actions of a vector info: all of them where it has no ``action_mask``."""
    if "action_mask" not in info:
        return np.ones((n, n_actions), dtype=np.bool_)
    mask = np.array(info["action_mask"], dtype=np.bool_)
    if mask.shape != (n, n_actions):
        raise ValueError(f"info['action_mask'] has shape {mask.shape}, expected {(n, n_actions)}")
    if "_action_mask" in info:
        mask |= ~np.asarray(info["_action_mask"], dtype=np.bool_)[:, None]
    return mask


def _with_final(
    observed: NDArray[np.float32], mask: NDArray[np.bool_], info: dict[str, Any], over: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Put the final observation and mask back where SAME_STEP already returns the next episode's."""
    if "final_obs" not in info:
        raise ValueError("an environment in SAME_STEP mode ended without info['final_obs']")
    for k in np.flatnonzero(over):
        observed[k] = info["final_obs"][k]
    final = read_mask(info.get("final_info", {}), *mask.shape)
    return observed, np.where(over[:, None], final, mask)


def _check(
    playing: NDArray[np.bool_], good: NDArray[np.bool_] | np.bool_, lengths: NDArray[np.int64], what: str
) -> None:
    if not (good | ~playing).all():
        k = int(np.flatnonzero(playing & ~good)[0])
        raise ValueError(f"environment {k}, decision {int(lengths[k])}: {what}")
