"""Less noise in the rewards: subtract what staggered sensing earns under the same levels.

The levels are exogenous, so the error that a timetable leaves in a slot, whatever is measured, is a constant of the
level path: subtracting it changes no comparison of actions, but most of the spread of returns goes.
"""

from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import VectorWrapper
from numpy.typing import NDArray

from aq_gym.envs.vector import JointDevicesVectorEnv, MultiDeviceVectorEnv
from baselines.heuristics.simple import Staggered


class ReferenceReward(VectorWrapper[Any, Any, Any, Any, Any]):
    """Rewards plus the slot's average joint error under staggered sensing, added as the slot's first device decides.

    A twin in the joint view plays the timetable on the same seeds, hence the same levels. All episodes must stand in
    the same slot, as they do after a reset of all. ``info["reference_error"]`` (K,) is what was added [µg/m³].

    Args:
        env: a native vector environment of the sequential view; autoreset must not be needed: reset every episode.

    Attributes:
        added: (K,) what was added since the last reset [µg/m³].
    """

    def __init__(self, env: MultiDeviceVectorEnv) -> None:
        super().__init__(env)
        problem = env.problem
        self.problem, self._actions = problem, Staggered(problem).schedule.astype(np.int64)  # (T + 1, M)
        self.twin = JointDevicesVectorEnv(env.num_envs, **problem.arguments, autoreset_mode="Disabled")
        self._decisions = 0
        self.added = np.zeros(env.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start both with the same seeds."""
        if seed is None or (not isinstance(seed, int) and None in seed):
            raise ValueError("seed: expected an int or one a sub-environment, so that the twin has the same levels")
        if options and "reset_mask" in options:
            raise ValueError("options['reset_mask']: all episodes must stand in the same slot, so reset all of them")
        started = self.env.reset(seed=seed, options=options)
        self.twin.reset(seed=seed, options=options)
        self._decisions, self.added = 0, np.zeros(self.num_envs)
        return started

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One decision; the first one of a slot also plays the twin's slot."""
        if self._decisions == self.problem.horizon * self.problem.n_devices:
            raise ResetNeeded("the episodes are over: reset(seed=...) starts them and the reference anew")
        observation, reward, terminated, truncated, info = self.env.step(actions)
        slot, turn = divmod(self._decisions, self.problem.n_devices)
        self._decisions += 1
        reference: NDArray[np.float64] = np.zeros(self.num_envs)
        if turn == 0:
            decisions = np.broadcast_to(self._actions[slot + 1], (self.num_envs, self.problem.n_devices))
            reference = -self.twin.step(decisions)[1]
        self.added += reference
        info["reference_error"] = reference
        return observation, reward + reference, terminated, truncated, info

    def close(self, **kwargs: Any) -> None:
        """Close both."""
        self.twin.close(**kwargs)
        self.env.close(**kwargs)
