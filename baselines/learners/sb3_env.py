"""Stable-Baselines3's VecEnv over the native batch of a sensing environment."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from baselines.playing import native_batch


class SB3VecEnv(VecEnv):
    """The native batch of an id as Stable-Baselines3's VecEnv.

    An episode that ends begins anew in the same step: its last observation is in ``infos[k]["terminal_observation"]``,
    its ``average_joint_error`` beside it, and ``TimeLimit.truncated`` is False, since the horizon is a true end.
    ``env_method("action_masks")`` serves MaskablePPO. Put VecMonitor and VecNormalize around it as usual.

    Args:
        env_id: with or without the ``aq_gym/``.
        n_envs: K, how many episodes side by side.
        seed: of the first reset: episode k gets seed + k. None draws one.
        env_kwargs: as for `gymnasium.make`.

    Raises:
        ValueError: an unknown id, or arguments that the environment refuses.
    """

    def __init__(self, env_id: str, n_envs: int, seed: int | None = None, **env_kwargs: Any) -> None:
        env = native_batch(env_id, n_envs, autoreset_mode="SameStep", **env_kwargs)
        self.native = env
        self.env_id = env_id if "/" in env_id or ":" in env_id else f"aq_gym/{env_id}"
        self._actions: NDArray[Any] | None = None
        super().__init__(n_envs, env.single_observation_space, env.single_action_space)
        if seed is not None:
            self.seed(seed)

    def reset(self) -> VecEnvObs:
        """Begin K episodes, with the seeds of `seed` and the options of `set_options` if they were called before."""
        seeds = None if all(s is None for s in self._seeds) else self._seeds
        observation, info = self.native.reset(seed=seeds, options=self._native_options())
        names = [name for name in info if not name.startswith("_")]
        self.reset_infos = [{name: info[name][k] for name in names} for k in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observation

    def _native_options(self) -> dict[str, Any] | None:
        if not any(self._options):
            return None
        if any(set(options) != {"levels"} for options in self._options):
            raise ValueError(
                f"options: expected {{'levels': indices}} for every environment or for none, got {self._options}"
            )
        return {"levels": np.stack([options["levels"] for options in self._options])}

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions, (K,) or in joint ids (K, M), for `step_wait`; PPO answers MultiBinary in float32."""
        given = np.asarray(actions)
        whole = given.astype(np.int64)
        self._actions = whole if np.array_equal(whole, given) else given

    def step_wait(self) -> VecEnvStepReturn:
        """Observations (K, size), rewards (K,) [µg/m³], dones (K,) and K infos."""
        if self._actions is None:
            raise RuntimeError("step_wait was called without step_async: there are no actions to take")
        actions, self._actions = self._actions, None
        observation, rewards, terminated, _, info = self.native.step(actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for k in np.flatnonzero(terminated):
            infos[k] = {
                "terminal_observation": info["final_obs"][k],
                "TimeLimit.truncated": False,
                "average_joint_error": float(info["final_info"]["average_joint_error"][k]),
            }
        return observation, rewards.astype(np.float32), terminated, infos

    def close(self) -> None:
        """Close the batch."""
        self.native.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment; spaces are those of one."""
        single = {"observation_space": "single_observation_space", "action_space": "single_action_space"}
        value = getattr(self.native, single.get(attr_name, attr_name))
        own = attr_name in ("np_random", "np_random_seed")
        return [value[k] if own else value for k in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of all environments; they share the batch's, so ``indices`` must be None."""
        if indices is not None:
            raise ValueError(
                f"set_attr({attr_name!r}): the environments share one batch; set it for all (indices=None)"
            )
        setattr(self.native, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """What a method returns for each environment: action_masks, get_state or render."""
        if method_name not in ("action_masks", "get_state", "render"):
            raise AttributeError(f"env_method({method_name!r}): there are action_masks, get_state and render")
        found = getattr(self.native, method_name)(*method_args, **method_kwargs)
        return [None if found is None else found[k] for k in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """False for each: nothing stands between this and the batch."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """A picture of each environment, or None where the render mode makes none."""
        if self.render_mode != "rgb_array":
            return [None] * self.num_envs
        return list(self.native.render() or [])
