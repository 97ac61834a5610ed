"""The native vector environments: K episodes in one compiled batch.

Bit for bit what `gymnasium.vector.SyncVectorEnv` over single environments returns, in all three autoreset modes.
"""

import os
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from aq_gym import inference
from aq_gym.actions import checked_actions
from aq_gym.envs import arguments
from aq_gym.envs.base import infer_map, scene_of
from aq_gym.envs.infos import add_outcome, lost_reports, raw_state
from aq_gym.envs.joint_devices import joint_action_masks
from aq_gym.envs.single_device import single_location
from aq_gym.episodes import EpisodeState
from aq_gym.network import SensorNetwork
from aq_gym.network_checks import as_count
from aq_gym.problem import Problem
from aq_gym.rendering import RENDER_MODES, render

Step = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class MultiDeviceVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """K sequential views (`MultiDeviceEnv`) advanced together; arguments as there, and two more.

    - ``num_envs=1``: K, how many episodes.
    - ``autoreset_mode="NextStep"``: or ``"SameStep"``, ``"Disabled"`` (Gymnasium's names, or `AutoresetMode`).

    Infos are Gymnasium's vector infos: every key with a leading axis K and a mask ``_key`` beside it. Under
    ``SameStep`` the last slot's ``joint_error`` and the episode's ``average_joint_error`` are in ``final_info``.

    Raises:
        ValueError: as `MultiDeviceEnv`, or an unknown autoreset mode.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 6}  # noqa: RUF012
    _joint = False

    def __init__(
        self,
        num_envs: int = 1,
        network: SensorNetwork | str | os.PathLike[str] = "pku2018",
        devices: Sequence[int] | int = (0, 6, 12, 18, 24),
        horizon: int = 60,
        energy_budget: int = 10,
        max_sleep: int = 12,
        n_levels: int | None = None,
        fuse_measured: bool = False,
        observation: str = "full",
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = "NextStep",
        inference: str = "paper",
        level_noise: float = 0.0,
        belief: str = "grown",
        loss: float = 0.0,
        energy_budgets: Sequence[int] | None = None,
        harvest: Sequence[float] | None = None,
        reveal: bool = False,
        decide: str = "slot",
    ) -> None:
        num_envs = as_count("num_envs", num_envs, 1)
        special: dict[str, Any] = {"level_noise": level_noise, "belief": belief, "loss": loss}
        special |= {"energy_budgets": energy_budgets, "harvest": harvest}
        how: dict[str, Any] = {"n_levels": n_levels, "fuse_measured": fuse_measured, "inference": inference, **special}
        self.problem = Problem.create(network, devices, horizon, energy_budget, max_sleep, **how)
        self._reveal = arguments.check_reveal(reveal, self.problem)
        self.num_envs, self.render_mode = num_envs, arguments.check_mode(render_mode)
        self.autoreset_mode = arguments.autoreset_mode_of(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self._episodes = arguments.episodes_of(self.problem, num_envs, observation, self._joint, decide)
        layout = self._episodes.layout
        self.single_observation_space = gym.spaces.Box(layout.low, layout.high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = arguments.action_space_of(self._episodes)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._action_shape = self._episodes.shape
        self._generators: list[np.random.Generator] = []
        self._seeds: list[int] = []
        self._begun, self._over = np.zeros((2, num_envs), np.bool_)
        self._ready = self._waiting = False  # all have begun; some are over

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Each episode's random generator."""
        self._seed([], np.arange(0))
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Each generator's seed."""
        self._seed([], np.arange(0))
        return tuple(self._seeds)

    def _seed(self, seeds: Sequence[int | None], rows: NDArray[np.int64]) -> None:
        if not self._generators:
            drawn = [seeding.np_random() for _ in range(self.num_envs)]
            self._generators, self._seeds = [g for g, _ in drawn], [s for _, s in drawn]
        fresh = {k: seeding.np_random(seeds[k]) for k in rows if seeds[k] is not None}  # all or none
        if fresh:  # lists of its own, since a shallow copy has the same
            self._generators, self._seeds = list(self._generators), list(self._seeds)
        for k, (generator, seed) in fresh.items():
            self._generators[k], self._seeds[k] = generator, seed

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the episodes.

        Args:
            seed: an int s gives episode k the seed s + k; a list gives each its own.
            options: ``{"levels": indices}`` imposes level paths, (T + 1,) for all or (K, T + 1);
                ``{"reset_mask": mask}``, (K,) bool, resets some episodes only.

        Returns:
            Observations (K, size) and infos, the latter only of the episodes that were reset.

        Raises:
            ValueError: an unknown option, a wrong number of seeds, levels or masks of a wrong shape, type or range.
        """
        k = self.num_envs
        seeds = arguments.seeds_of(seed, k)
        options = arguments.checked_options(options)
        rows = arguments.reset_rows(options.pop("reset_mask", None), k)
        imposed = arguments.imposed_levels(options, self.problem, k)
        waiting = ~self._begun
        waiting[rows] = False
        if waiting.any():
            raise ResetNeeded(
                f"reset_mask leaves episode {int(np.argmax(waiting))} out, which was never reset: reset all first"
            )
        self._seed(seeds, rows)
        observation = self._episodes.observe() if len(rows) < k else self._episodes.empty_observations()
        self._begin(rows, observation, imposed)
        self._begun[rows], self._over[rows] = True, False
        self._ready, self._waiting = True, bool(self._over.any())
        return observation, self._raw_state(self._episodes.action_mask(), arguments.mask_of(rows, k))

    def _begin(
        self, rows: NDArray[np.int64], observation: NDArray[np.float32], imposed: NDArray[np.int64] | None
    ) -> None:
        path = self._draw_path(np.stack([self._generators[k].random(self._episodes.n_uniforms) for k in rows]))
        self._episodes.begin(rows, arguments.impose(None if imposed is None else imposed[rows], path), observation)

    def _draw_path(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """(R, n_uniforms) paths from as many uniform numbers, see `Episodes.draw_path`."""
        return self._episodes.draw_path(uniforms)

    def step(self, actions: Any) -> Step:
        """One decision in every episode (joint view: one slot).

        Args:
            actions: (K,) of 0 and 1, with timers of slots to sleep; or (K, M) in the joint view. Those of episodes that
                are being reset are ignored.

        Returns:
            observations (K, size), rewards (K,) [µg/m³], terminations, truncations (always False), infos.

        Raises:
            ValueError: an action is none of the space's.
            gymnasium.error.ResetNeeded: before `reset`, or after the end of an episode if autoreset is disabled.
        """
        k, episodes, over, waiting = self.num_envs, self._episodes, self._over, self._waiting
        usual = type(actions) is np.ndarray and actions.dtype == np.int64 and actions.shape == self._action_shape
        if not usual or waiting or not self._ready or self._joint or not actions.flags.carray:
            actions = self.check_step(actions)
        observation, mask = episodes.empty_observations(), np.empty(episodes.mask_shape, np.int8)
        rewards, ended, forced = np.zeros(k), np.zeros(k, np.int8), np.zeros(episodes.shape, np.bool_)
        turn = episodes.turn.copy() if self.problem.loss else None
        most = episodes.decide(actions, rewards, observation, ended, forced, mask)
        lost = None if turn is None else lost_reports(episodes, turn)
        if most == 0 and not waiting and lost is None:  # nothing ended and nothing begins
            infos = self._raw_state(mask) | {"forced": forced, "_forced": ended == 0}
            return observation, rewards, np.zeros(k, np.bool_), np.zeros(k, np.bool_), infos
        terminated = ended == 2
        if self.autoreset_mode == AutoresetMode.SAME_STEP and most == 2:
            infos = self._finish_and_begin(over, ended, forced, lost, observation)
            self._over, self._waiting = np.zeros(k, np.bool_), False
        else:
            if waiting:
                self._begin(np.flatnonzero(over), observation, None)
                mask = episodes.action_mask()
            infos = self._raw_state(mask)
            add_outcome(infos, episodes, ~over, ended, forced, lost)
            self._over, self._waiting = terminated.copy(), most == 2
        return observation, rewards, terminated, np.zeros(k, np.bool_), infos

    def check_step(self, actions: Any) -> NDArray[np.int64]:
        """The actions as `step` will take them, zero where an episode is being reset; raises what `step` does."""
        if not self._ready:
            raise ResetNeeded("step was called before reset: call reset() to start the episodes")
        over = self._over
        if self._waiting:
            if self.autoreset_mode == AutoresetMode.DISABLED:
                how = "reset(options={'reset_mask': terminations}) starts it anew"
                raise ResetNeeded(f"episode {int(np.argmax(over))} is over and autoreset is disabled: {how}")
            actions = np.array(actions, copy=True)
            if actions.shape == self._action_shape:
                actions[over] = 0
        return checked_actions(actions, self._action_shape, self._episodes.n_actions)

    def _finish_and_begin(
        self,
        over: NDArray[np.bool_],
        ended: NDArray[np.int8],
        forced: NDArray[np.bool_],
        lost: NDArray[np.bool_] | None,
        observation: NDArray[np.float32],
    ) -> dict[str, Any]:
        """Reset finished episodes and keep their final observations and infos, as Gymnasium does."""
        episodes, terminated = self._episodes, ended == 2
        final_info = self._raw_state(episodes.action_mask(), terminated)
        add_outcome(final_info, episodes, terminated, np.where(terminated, ended, 0), forced, lost)
        final_obs: NDArray[Any] = np.full(self.num_envs, None, dtype=object)
        for k in np.flatnonzero(terminated):
            final_obs[k] = observation[k].copy()
        self._begin(np.flatnonzero(terminated | over), observation, None)
        infos = self._raw_state(episodes.action_mask())
        add_outcome(infos, episodes, ~(terminated | over), np.where(terminated, 0, ended), forced, lost)
        infos["final_obs"], infos["_final_obs"] = final_obs, terminated.copy()
        infos["final_info"], infos["_final_info"] = final_info, terminated.copy()
        return infos

    def _raw_state(self, mask: NDArray[np.int8], rows: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        return raw_state(self._episodes, mask, rows, reveal=self._reveal)

    def action_masks(self) -> NDArray[np.bool_]:
        """(K, 2) bool, (K, D) with timers, or (K, 2M) in the joint view: the allowed actions."""
        mask = self._episodes.action_mask()
        return joint_action_masks(mask) if self._joint else mask.astype(np.bool_)

    def get_state(self) -> EpisodeState:
        """A copy of all K states; ``state[k]`` is one of them, as the single environment takes it.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self._begun.all():
            raise ResetNeeded("get_state was called before reset: there are no episodes yet")
        return self._episodes.copy_state(self._generators)

    def set_state(self, state: EpisodeState, *, future_seed: int | None = None) -> None:
        """Continue from K states, or place one state in all K episodes.

        Args:
            state: from `get_state` of a vector or a single environment of the same problem.
            future_seed: if given, the levels after the present slot are drawn anew, differently in each episode;
                without it copies of one state have the same levels.

        Raises:
            ValueError: the state belongs to another problem, or holds neither 1 nor K episodes.
        """
        self._seed([], np.arange(0))
        self._episodes.restore(state, self._generators, future_seed)
        self._begun[:] = self._ready = True
        self._over = self._episodes.slot > self.problem.horizon
        self._waiting = bool(self._over.any())

    def map(self) -> inference.Map:
        """The maps as the server infers them now, four (K, N) arrays [µg/m³; bool].

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self._begun.all():
            raise ResetNeeded("map was called before reset: there are no episodes yet")
        return infer_map(self._episodes)

    def render(self) -> tuple[Any, ...] | None:
        """One frame an episode, as `MultiDeviceEnv.render`."""
        if self.render_mode is None:
            return None
        if not self._begun.all():
            raise ResetNeeded("render was called before reset: there are no episodes to show")
        return tuple(render(scene_of(self._episodes, k), self.render_mode) for k in range(self.num_envs))


class SingleDeviceVectorEnv(MultiDeviceVectorEnv):
    """K single-device problems (`SingleDeviceEnv`); ``device`` instead of ``devices``."""

    def __init__(self, num_envs: int = 1, device: int = 0, **kwargs: Any) -> None:
        super().__init__(num_envs, devices=single_location(device), **kwargs)


class JointDevicesVectorEnv(MultiDeviceVectorEnv):
    """K joint views (`JointDevicesEnv`); actions are (K, M)."""

    _joint = True
