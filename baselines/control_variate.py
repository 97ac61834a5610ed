"""Less noise in the rewards: subtract what a fixed schedule earns under the same levels.

The levels are exogenous, so whatever a schedule that never looks at the devices earns on an episode's level path is a
constant of that path: subtracting it changes no comparison of actions, but most of the spread of returns goes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from aq_gym.policy import Policy


class ReferenceReward(VectorWrapper[Any, Any, Any, Any, Any]):
    """Rewards less those that a reference policy earns in a twin environment of the same seeds.

    The twin plays the same decision of the same episode with the same levels. ``info["reference_reward"]`` (K,) holds
    what was subtracted [µg/m³].

    Args:
        env: a native vector environment of this package.
        twin: another one, made alike.
        policy: the reference; its reward must depend on the levels alone, as that of a fixed schedule does.

    Raises:
        ValueError: the two are not of the same problem and number.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], twin: VectorEnv[Any, Any, Any], policy: Policy) -> None:
        super().__init__(env)
        if twin.num_envs != env.num_envs or twin.single_action_space != env.single_action_space:
            raise ValueError(f"twin: expected {env.num_envs} environments like the first, got {twin}")
        self.twin, self.policy = twin, policy
        self._twin_observation: NDArray[np.float32] | None = None
        self._twin_info: dict[str, Any] = {}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start both with the same seeds.

        Raises:
            ValueError: no seed was given: the twin could not meet the same levels.
        """
        if seed is None:
            raise ValueError("seed: expected an int or one a sub-environment, so that the twin meets the same levels")
        self._twin_observation, self._twin_info = self.twin.reset(seed=seed, options=options)
        return self.env.reset(seed=seed, options=options)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One decision in both; the reward is the difference."""
        decisions = self.policy.act(self._twin_observation, self._twin_info)  # type: ignore[arg-type]
        self._twin_observation, reference, _, _, self._twin_info = self.twin.step(decisions)
        observation, reward, terminated, truncated, info = self.env.step(actions)
        info["reference_reward"] = reference
        return observation, reward - reference, terminated, truncated, info

    def close(self, **kwargs: Any) -> None:
        """Close both."""
        self.twin.close(**kwargs)
        self.env.close(**kwargs)
