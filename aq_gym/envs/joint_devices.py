"""The joint view: all devices decide at once."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from aq_gym.actions import checked_actions
from aq_gym.envs.base import SensingEnv


class JointDevicesEnv(SensingEnv):
    """The same problem as `MultiDeviceEnv`, one step a slot: all devices decide at once.

    ## Description
    The simultaneous-action MDP of V-B. Its optimum equals that of the sequential view (Proposition 3), and the same
    decisions earn the same return. Not with a hidden level: there a report is known to the later devices of its slot.

    ## State
    (t, p, d, u, e) with one entry of p, d, u for each device.

    ## Action Space
    ``MultiBinary(M)``: 0 off, 1 on. Entries that are not allowed are replaced, and ``info["forced"]`` (M,) says so.

    ## Observation Space
    ``Box`` of 2N + 6M + 4 float32, laid out as in `MultiDeviceEnv`: the one-hot is zero, the third segment supposes
    that every device with energy senses, the fourth is zero.

    ## Rewards
    Minus the average joint error of the slot [µg/m³]; γ = 1.

    ## Starting State
    (1, B, 1, e_0, e_1), e_0 ~ ``start``, e_1 ~ P[e_0].

    ## Episode End
    After slot T: ``terminated``, never ``truncated``.

    ## Info
    As in `MultiDeviceEnv`, with ``turn`` 0, ``forced`` (M,) and ``joint_error`` in every step. ``action_mask`` follows
    ``MultiBinary``: (M,) int8, 0 off, 1 on, 2 free. With a hidden level ``level`` is what the server believes of it.

    ## Units
    Concentrations and errors in µg/m³, time in slots of 10 minutes, energy in sensings.

    ## Arguments
    With the defaults of this class. Those that an id sets instead: ``gym.spec(id).kwargs``.

    - ``network="pku2018"``, ``devices=(0, 6, 12, 18, 24)``, ``horizon=60``, ``energy_budget=10``, ``max_sleep=12``,
      ``n_levels=None``, ``fuse_measured=False``, ``observation="full"``, ``render_mode=None``,
      ``inference="paper"``, ``level_noise=0.0``, ``belief="grown"``, ``loss=0.0``, ``energy_budgets=None``,
      ``harvest=None``, ``reveal=False``, ``decide="slot"``: as in `MultiDeviceEnv`; observations of the device that
      decides, and timers, are not available here.

    ## Version History
    - v0: first release.

    Raises:
        ValueError: an argument is of the wrong type or out of range; the message names it and what would be right.
    """

    action_space: gym.spaces.MultiBinary
    _joint = True

    def step(self, action: Any) -> tuple[NDArray[np.float32], SupportsFloat, bool, bool, dict[str, Any]]:
        """All devices decide.

        Args:
            action: (M,) of 0 (off) and 1 (on).

        Returns:
            observation (2N + 6M + 4,), reward [µg/m³], terminated, truncated (always False), info.

        Raises:
            ValueError: the action is not M zeros and ones.
            gymnasium.error.ResetNeeded: before `reset`, or after the end.
        """
        self._require_running()
        return self._step(checked_actions(action, (self.problem.n_devices,))[None])

    def action_masks(self) -> NDArray[np.bool_]:
        """(2M,) bool, off and on of each device, as MaskablePPO wants it for ``MultiBinary``."""
        mask: NDArray[np.bool_] = joint_action_masks(self._episodes.action_mask())[0]
        return mask


def joint_action_masks(mask: NDArray[np.int8]) -> NDArray[np.bool_]:
    """(K, M) of 0 off, 1 on, 2 free -> (K, 2M): off and on of each device."""
    return np.stack([mask != 1, mask != 0], axis=-1).reshape(len(mask), -1)
