"""Different instances side by side, for agents that must serve more than one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from aq_gym.envs.arguments import reset_rows, seeds_of
from aq_gym.envs.vector import MultiDeviceVectorEnv, Step
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from aq_gym.problem import Problem


class MixedInstancesVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Sequential views (`MultiDeviceVectorEnv`) of several problems as one batch of ``per_device`` observations.

    Episodes of problem i are those from i x ``copies`` to (i + 1) x ``copies`` - 1. Observations, and infos with a
    number for each device, are padded with zeros to ``max_devices``; a padded row's "present" is 0. Episodes of
    different lengths end at different times, so mind the autoreset mode. It serves learning: no rendering, maps, states
    to save or imposed levels; `envs` holds the batches that have them.

    Args:
        problems: at least one; each with at most ``max_devices`` devices.
        copies: episodes of each problem.
        max_devices: None: of the largest problem.
        autoreset_mode: as for `MultiDeviceVectorEnv`.

    Raises:
        ValueError: no problem, a wrong number, or too many devices.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        copies: int = 1,
        *,
        max_devices: int | None = None,
        autoreset_mode: str | AutoresetMode = "NextStep",
    ) -> None:
        if not problems:
            raise ValueError("problems: expected at least one, got none")
        largest = max(problem.n_devices for problem in problems)
        self.max_devices = largest if max_devices is None else max_devices
        if self.max_devices < largest:
            raise ValueError(f"max_devices: expected at least {largest}, as the largest problem has, got {max_devices}")
        self.envs = [
            MultiDeviceVectorEnv(
                copies,
                problem.network,
                problem.devices,
                problem.horizon,
                problem.energy_budget,
                problem.max_sleep,
                **problem.options,
                observation="per_device",
                autoreset_mode=autoreset_mode,
            )
            for problem in problems
        ]
        self.problems, self.copies, self.num_envs = tuple(problems), copies, copies * len(problems)
        self.metadata = dict(self.envs[0].metadata)
        rows = [low for _, _, low in DEVICE_FEATURES] * self.max_devices
        low = np.array([low for _, _, low in COMPACT_FEATURES] + rows, np.float32)
        self.single_observation_space = gym.spaces.Box(low, np.ones_like(low), dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.single_action_space = gym.spaces.Discrete(2)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the episodes; as `MultiDeviceVectorEnv.reset`, but levels can't be imposed on several problems.

        Raises:
            ValueError: an option other than ``reset_mask``, or a wrong number of seeds.
        """
        k = self.num_envs
        seeds = seeds_of(seed, k)
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        if options:
            raise ValueError(f"options: expected nothing but reset_mask, got {', '.join(options)}")
        rows = reset_rows(mask, k)
        begun = np.concatenate([env._begun for env in self.envs])
        begun[rows] = True
        if not begun.all():
            raise ResetNeeded(f"reset_mask leaves episode {int(np.argmin(begun))} out, which was never reset")
        observations: list[NDArray[np.float32]] = []
        infos: list[dict[str, Any]] = []
        for env, at in self._groups():
            chosen = None if mask is None else mask[at]
            if chosen is not None and not chosen.any():
                observations.append(env._episodes.observe())
                infos.append({})
                continue
            observation, info = env.reset(seed=seeds[at], options=None if chosen is None else {"reset_mask": chosen})
            observations.append(observation)
            infos.append(info)
        return self._padded(observations), self._merged(infos)

    def step(self, actions: Any) -> Step:
        """One decision in every episode; as `MultiDeviceVectorEnv.step`."""
        actions = np.asarray(actions)
        for env, rows in self._groups():  # before any of them moves
            env.check_step(actions[rows] if actions.shape == (self.num_envs,) else actions)
        steps = [env.step(actions[rows]) for env, rows in self._groups()]
        observations, rewards, terminations, truncations, infos = zip(*steps, strict=True)
        return (
            self._padded(observations),
            np.concatenate(rewards),
            np.concatenate(terminations),
            np.concatenate(truncations),
            self._merged(infos),
        )

    def action_masks(self) -> NDArray[np.bool_]:
        """(K, 2) the allowed actions."""
        return np.concatenate([env.action_masks() for env in self.envs])

    def _groups(self) -> list[tuple[MultiDeviceVectorEnv, slice]]:
        return [(env, slice(i * self.copies, (i + 1) * self.copies)) for i, env in enumerate(self.envs)]

    @property
    def _size(self) -> int:
        return len(COMPACT_FEATURES) + self.max_devices * len(DEVICE_FEATURES)

    def _padded(self, observations: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        padded = np.zeros((self.num_envs, self._size), np.float32)
        for (_, rows), part in zip(self._groups(), observations, strict=True):
            padded[rows, : part.shape[1]] = part
        return padded

    def _merged(self, infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """One info of all: where a problem's lacks a key, zeros and a mask of False."""
        merged: dict[str, Any] = {}
        for key in sorted({key for info in infos for key in info}):
            parts = [info.get(key) for info in infos]
            if key == "final_info":
                merged[key] = self._merged([part or {} for part in parts])
                continue
            like = np.asarray(next(part for part in parts if part is not None))
            width = () if like.ndim == 1 else (2,) if key == "action_mask" else (self.max_devices,)
            merged[key] = np.full((self.num_envs, *width), None if like.dtype == object else 0, like.dtype)
            for (_, rows), part in zip(self._groups(), parts, strict=True):
                if part is None:
                    continue
                if like.dtype == object:  # final observations
                    for k in np.flatnonzero([row is not None for row in part]):
                        merged[key][rows.start + k] = np.pad(part[k], (0, self._size - len(part[k])))
                elif like.ndim == 1:
                    merged[key][rows] = part
                else:
                    merged[key][rows, : part.shape[1]] = part
        return merged
