"""What the single environments share: arguments, seeding, info, snapshots, the map, rendering."""

import os
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from aq_gym import inference
from aq_gym.envs.arguments import action_space_of, check_mode, check_reveal, episodes_of, impose, imposed_levels
from aq_gym.envs.infos import hidden_level, lost_reports
from aq_gym.episodes import Episodes, EpisodeState
from aq_gym.network import SensorNetwork
from aq_gym.observation import Number
from aq_gym.problem import Problem
from aq_gym.records import EPISODE
from aq_gym.rendering import RENDER_MODES, Scene, render

_OF_INFO = itemgetter(*(list(EPISODE.names or ()).index(x) for x in ("slot", "turn", "level", "capped")))


class SensingEnv(gym.Env[NDArray[np.float32], Any]):
    """One episode of a sensing problem: the arguments of all views; how they step is left to them."""

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 6}  # noqa: RUF012
    _joint = False

    def __init__(
        self,
        network: SensorNetwork | str | os.PathLike[str] = "pku2018",
        devices: Sequence[int] | int = (0, 6, 12, 18, 24),
        horizon: int = 60,
        energy_budget: int = 10,
        max_sleep: int = 12,
        n_levels: int | None = None,
        fuse_measured: bool = False,
        observation: str = "full",
        render_mode: str | None = None,
        inference: str = "paper",
        level_noise: float = 0.0,
        belief: str = "grown",
        loss: float = 0.0,
        energy_budgets: Sequence[int] | None = None,
        harvest: Sequence[float] | None = None,
        reveal: bool = False,
        decide: str = "slot",
    ) -> None:
        special: dict[str, Any] = {"level_noise": level_noise, "belief": belief, "loss": loss}
        special |= {"energy_budgets": energy_budgets, "harvest": harvest}
        how: dict[str, Any] = {"n_levels": n_levels, "fuse_measured": fuse_measured, "inference": inference, **special}
        self.problem = Problem.create(network, devices, horizon, energy_budget, max_sleep, **how)
        self._reveal, self._lossy = check_reveal(reveal, self.problem), self.problem.loss > 0.0
        self.render_mode = check_mode(render_mode)
        self._episodes = episodes_of(self.problem, 1, observation, self._joint, decide)
        self._rows = np.zeros(1, np.int64)
        layout = self._episodes.layout
        self.observation_space = gym.spaces.Box(layout.low, layout.high, dtype=np.float32)
        self.action_space = action_space_of(self._episodes)
        self._actions, self._forced = np.zeros(self._episodes.shape, np.int64), np.zeros(self._episodes.shape, np.bool_)
        self._rewards, self._ended = np.zeros(1), np.zeros(1, np.int8)
        self._begun = self._over = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode: draws its levels and other chances, whatever the actions will be.

        Args:
            seed: seeds the random generator, as in Gymnasium.
            options: ``{"levels": indices}`` imposes the level path: T + 1 indices into ``network.levels``.

        Returns:
            The observation and the info; the info holds the mask and the raw state, no ``joint_error``.

        Raises:
            ValueError: an unknown option, or levels of a wrong length, type or range.
        """
        imposed = imposed_levels(options, self.problem, 1)
        super().reset(seed=seed)
        path = impose(imposed, self._draw_path(self.np_random.random((1, self._episodes.n_uniforms))))
        observation = self._episodes.empty_observations()
        mask = self._episodes.begin(self._rows, path, observation)
        self._begun, self._over = True, False
        return observation[0], self._raw_state(mask[0])

    def _draw_path(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """(R, n_uniforms) paths from as many uniform numbers, see `Episodes.draw_path`."""
        return self._episodes.draw_path(uniforms)

    def _step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], SupportsFloat, bool, bool, dict[str, Any]]:
        """One step with actions that were checked, of a batch of one."""
        episodes, rewards, forced = self._episodes, self._rewards, self._forced
        turn = episodes.turn.copy() if self._lossy else None
        observation, mask = episodes.empty_observations(), np.empty(episodes.mask_shape, np.int8)
        end = episodes.decide(actions, rewards, observation, self._ended, forced, mask)
        info = self._raw_state(mask[0])
        info["forced"] = forced[0].copy() if self._joint else forced.item()
        if turn is not None:
            lost = lost_reports(episodes, turn)[0]
            info["lost"] = lost.copy() if self._joint else bool(lost)
        if end:
            info["joint_error"] = float(episodes.slot_error[0])
        if end == 2:
            self._over = True
            info["average_joint_error"] = float(episodes.total_error[0]) / self.problem.horizon
        return observation[0], rewards.item(), self._over, False, info

    def _require_running(self) -> None:
        if not self._begun:
            raise ResetNeeded("step was called before reset: call reset() to start an episode")
        if self._over:
            raise ResetNeeded(
                f"step was called after the end of the episode (slot {self.problem.horizon}): call reset()"
            )

    def _raw_state(self, mask: NDArray[np.int8]) -> dict[str, Any]:
        state = self._episodes.state
        device = state.device[0]
        slot, turn, level, capped = _OF_INFO(state.episode.item())
        info = {
            "action_mask": mask,
            "slot": slot,
            "turn": turn,
            "energy": device["energy"].copy(),
            "delay": device["delay"].copy(),
            "record": device["record"].copy(),
            "level": level,
            "capped": capped,
        }
        if self._reveal:
            info["hidden_level"] = float(hidden_level(self._episodes)[0])
        return info

    def action_masks(self) -> NDArray[np.bool_]:
        """The allowed actions as MaskablePPO wants them, (2,) bool: off, on; with timers (D,)."""
        mask: NDArray[np.bool_] = self._episodes.action_mask()[0].astype(np.bool_)
        return mask

    def get_state(self) -> EpisodeState:
        """A copy of the episode's state, its weather and its random generator included.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self._begun:
            raise ResetNeeded("get_state was called before reset: there is no episode yet")
        return self._episodes.copy_state([self.np_random])

    def set_state(self, state: EpisodeState, *, future_seed: int | None = None) -> None:
        """Continue from a state of an environment of the same problem.

        Args:
            state: what `get_state` returned, of one episode.
            future_seed: if given, the levels after the state's present slot are drawn anew from this seed; without
                it the episode keeps the original's levels.

        Raises:
            ValueError: the state belongs to another problem, or holds several episodes.
        """
        if isinstance(state, EpisodeState) and len(state) != 1:
            raise ValueError(f"state: holds {len(state)} episodes, expected 1: choose one with state[i]")
        self._episodes.restore(state, [self.np_random], future_seed)
        self._begun, self._over = True, self._episodes.slot.item() > self.problem.horizon

    def map(self) -> inference.Map:
        """The map as the server infers it now: mean, standard deviation and joint error of every location.

        Returns:
            `aq_gym.inference.Map`, four (N,) arrays [µg/m³; bool].

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self._begun:
            raise ResetNeeded("map was called before reset: there is no episode yet")
        return infer_map(self._episodes).row(0)

    def describe_observation(self) -> list[Number]:
        """What each number of the observation is: name, unit, bounds, scale and present value in its unit.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self._begun:
            raise ResetNeeded("describe_observation was called before reset: there are no values yet")
        return self._episodes.layout.describe(self._episodes.observe()[0])

    def render(self) -> Any:
        """A frame of the map with devices, batteries and level trace: an image (H, W, 3) uint8, or text.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self.render_mode is None:
            gym.logger.warn(
                "render was called without a render mode: choose one with gym.make(id, render_mode='rgb_array')"
            )
            return None
        if not self._begun:
            raise ResetNeeded("render was called before reset: there is no episode to show")
        return render(self.scene(), self.render_mode)

    def scene(self) -> Scene:
        """Everything that a picture of the present moment shows, as `aq_gym.rendering.Scene`.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self._begun:
            raise ResetNeeded("scene was called before reset: there is no episode to show")
        return scene_of(self._episodes, 0)


def infer_map(episodes: Episodes) -> inference.Map:
    """The map of every episode, four (K, N) arrays."""
    return episodes.problem.infer(episodes.delay, episodes.record, episodes.level)


def scene_of(episodes: Episodes, k: int) -> Scene:
    """What a picture of episode k shows."""
    slot, problem = int(episodes.slot[k]), episodes.problem
    levels = episodes.path[k].copy()
    if problem.inference == "hidden":
        levels = problem.hidden_level.course(slot, episodes.delay[k], episodes.record[k])
    return Scene(
        problem=problem,
        slot=slot,
        turn=None if episodes.joint else int(episodes.turn[k]),
        energy=episodes.energy[k].copy(),
        delay=episodes.delay[k].copy(),
        record=episodes.record[k].copy(),
        levels=levels[: min(slot, problem.horizon) + 1],
        map=infer_map(episodes).row(k),
        past_error=float(episodes.total_error[k]) / (slot - 1) if slot > 1 else None,
    )
