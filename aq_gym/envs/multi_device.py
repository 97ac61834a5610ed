"""The sequential view: in each slot the devices decide one after another."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from aq_gym.actions import checked_action
from aq_gym.envs.base import SensingEnv


class MultiDeviceEnv(SensingEnv):
    """Battery-limited sensing devices decide one after another whether to wake and sense.

    ## Description
    M devices stand at some of N locations of a monitored area. A server infers the PM2.5 map of all locations from
    each device's last reading, which ages. Every device can sense B times in T slots of 10 minutes. In each slot the
    devices 0..M-1 decide in turn; sensing refreshes the map and costs one unit of energy. The aim is the smallest
    average joint error of the map (paper, V-B).

    ## State
    (t, p, d, u, e, m): slot, energy of each device, slots since each last sensed, level when each last sensed, present
    level, and the device whose turn it is. The level is a Markov chain that the actions do not touch: the same seed
    gives the same weather whatever is done, and the same lost reports and harvests.

    ## Action Space
    ``Discrete(2)``: 0 off, 1 on. Without energy only 0 is allowed; from a delay of ``max_sleep`` slots on only 1.
    An action that is not allowed is replaced by the one that is, and ``info["forced"]`` says so. Timers have another
    space: see ``decide``.

    ## Observation Space
    ``Box`` of 2N + 6M + 4 float32, each scaled by a provable bound (`describe_observation` names every number):

    | numbers | what | bounds |
    | --- | --- | --- |
    | M | one-hot of the deciding device | [0, 1] |
    | M | energy of each device / the most that one can hold | [0, 1] |
    | N + M + 1 | if it senses: decrease of J at each location; power deficiency x own decrease; 1 | [-1, 1] |
    | N + M + 1 | if it sleeps and the later devices sense: the same | [-1, 1] |
    | 1 | remaining time / T | [0, 1] |
    | M | delays / D | [0, 1] |
    | M | records / highest level | [0, 1] |
    | 1 | level / highest level | [0, 1] |

    With ``inference="hidden"`` the level is what the server believes of it, and two numbers follow: the standard
    deviation of that belief and the average joint error now; delays are over T + 1.

    With ``observation="compact"``: 32 scale-free numbers, the same for every problem
    (`aq_gym.observation.COMPACT_FEATURES`); with ``"per_device"``: these and a row of 18 for each device
    (`aq_gym.observation.DEVICE_FEATURES`).

    ## Rewards
    Device 0: minus the average joint error after its decision; the others: the decrease that their decision brings
    (it can be negative). The rewards of a slot add up to minus the slot's average joint error, those of an episode to
    -T times the episode's. γ = 1.

    ## Starting State
    (1, B, 1, e_0, e_1, 0): in slot 0 every device has sensed outside its budget. e_0 ~ ``start``, e_1 ~ P[e_0].

    ## Episode End
    After the last decision of slot T: ``terminated``, never ``truncated``.

    ## Info
    ``action_mask`` (2,) int8, with timers (D,), ``slot``, ``turn``, ``energy`` (M,), ``delay`` (M,) [slots], ``record``
    (M,) [µg/m³], ``level`` [µg/m³], ``capped`` (device-slots in which a device without energy stayed at the longest
    delay); from `step` also ``forced``, where reports can get lost ``lost`` (whether that of the device that decided
    was), at the end of a slot ``joint_error`` and at the end of an episode ``average_joint_error`` [µg/m³]. With a
    hidden level ``level`` is what the server believes of it, the mean; ``hidden_level``, the level itself, is there
    with ``reveal=True``.

    ## Units
    Concentrations and errors in µg/m³, time in slots of 10 minutes (an hour in ``tainan2017`` and
    ``taipei2017``), energy in sensings.

    ## Arguments
    With the defaults of this class. Those that an id sets instead: ``gym.spec(id).kwargs``.

    - ``network="pku2018"``: a bundled name, a path, ``"synthetic-1000-0"`` or a `SensorNetwork`.
    - ``devices=(0, 6, 12, 18, 24)``: the locations that hold a device, in the order in which they decide; a single
      number is a single location, not a count.
    - ``horizon=60``: T, slots per episode.
    - ``energy_budget=10``: B, sensings per device.
    - ``max_sleep=12``: D, longest sleep in slots; B x D must reach T.
    - ``n_levels=None``: coarsen the network to so many levels.
    - ``fuse_measured=False``: whether a location's own fresh reading is fused with the others or kept as the value
      (paper's inference only: the others fuse every reading).
    - ``observation="full"``: or ``"compact"``, ``"per_device"``.
    - ``render_mode=None``: or ``"rgb_array"``, ``"ansi"``.
    - ``inference="paper"``: or ``"level-aware"``: the map starts from the known level and from what was learned of
      each place, and readings move it as far as they were found to tell of other places and later times; the joint
      error is then what this map claims to be off (`aq_gym.estimation.LevelAware`).
      Or ``"hidden"``: the server knows of the level only what devices report; delays grow without end.
    - ``level_noise=0.0``: with ``"level-aware"``: what the server knows of the level is off by this share of it.
    - ``belief="grown"``: of a hidden level, from the last report; or ``"chain"`` (`aq_gym.belief`).
    - ``loss=0.0``: with ``"hidden"``: probability that a report is lost: the energy is spent, the delay goes on.
    - ``energy_budgets=None``: sensings of each device, B on average; None: B each.
    - ``harvest=None``: (probability that a device gains a sensing at the end of a slot, energy up to which it does).
    - ``reveal=False``: with ``"hidden"``: whether infos hold ``hidden_level``, for evaluation.
    - ``decide="slot"``: or ``"timer"``: at its turn a device without a timer sets one, how many slots to sleep before
      it senses (``Discrete(D)``), and a step goes on to the next such choice: its reward is the sum, ``joint_error`` is
      of the last slot, ``lost`` is of the device that chooses next. M more numbers of the observation are the timers.

    ## Version History
    - v0: first release.

    Raises:
        ValueError: an argument is of the wrong type or out of range; the message names it and what would be right.
    """

    action_space: gym.spaces.Discrete

    def step(self, action: Any) -> tuple[NDArray[np.float32], SupportsFloat, bool, bool, dict[str, Any]]:
        """The device whose turn it is decides.

        Args:
            action: 0 off, 1 on; or how many slots to sleep.

        Returns:
            observation, reward [µg/m³], terminated, truncated (always False), info.

        Raises:
            ValueError: the action is none of the space's.
            gymnasium.error.ResetNeeded: before `reset`, or after the end.
        """
        if self._over or not self._begun:
            self._require_running()
        kind, n = type(action), self._episodes.n_actions
        value = int(action) if kind is int or kind is np.int64 else checked_action(action, n)
        self._actions[0] = value if 0 <= value < n else checked_action(action, n)
        return self._step(self._actions)
