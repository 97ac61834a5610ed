"""The level that the agent sees comes from a forecaster: the server decides before it knows the level of the slot.

The level of a slot is reported when the slot is over. Until then observation and info hold the forecast wherever the
environments have the level: as the level now, and as the record of devices that have sensed in this slot. Rewards,
errors and the weather stay the truth's, so an agent should not read the rewards of a slot while it decides in it.
"""

from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorWrapper
from numpy.typing import NDArray

from aq_gym.envs.base import SensingEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.episodes import Episodes
from aq_gym.forecasting.forecaster import Forecaster
from aq_gym.forecasting.series import Series

LevelForecast = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # (K, t) slots 0..t-1 -> (K,) slot t [µg/m³]


def persistence(reported: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level stays as it is."""
    return reported[:, -1]


def next_slot(forecaster: Forecaster) -> LevelForecast:
    """Medians of a forecaster that was fitted to the level alone; persistence where its history is too short.

    Raises:
        ValueError: it does not forecast one slot ahead.
    """
    if 1 not in forecaster.horizons:
        raise ValueError(f"forecaster: expected one that looks 1 slot ahead, this one looks {forecaster.horizons}")
    k = forecaster.horizons.index(1)

    def forecast(reported: NDArray[np.float64]) -> NDArray[np.float64]:
        series = [Series(level, level, np.zeros_like(level)) for level in reported]
        found = np.array([forecaster.predict(x)[0, k, forecaster.median] for x in series])
        return np.where(np.isnan(found), reported[:, -1], found)

    return forecast


class _Forecasts:
    """What an environment of K episodes would show if the level of the slot were its forecast."""

    def __init__(self, env: SensingEnv | MultiDeviceVectorEnv, forecaster: Forecaster | LevelForecast) -> None:
        self._env, self._reported = env, np.empty((0, 0))
        true = env._episodes
        self._episodes = Episodes(env.problem, len(true), joint=true.joint, observation=true.layout.kind)
        self._forecast = next_slot(forecaster) if isinstance(forecaster, Forecaster) else forecaster
        self._range = float(env.problem.network.levels[0]), float(env.problem.network.levels[-1])

    def replace(self, observation: NDArray[np.float32], info: dict[str, Any]) -> NDArray[np.float32]:
        """The observation from the forecast; also replaces the level and the records of this slot in the info."""
        true = self._env._episodes
        slot = int(true.slot[0])
        if (true.slot != slot).any():
            raise ValueError("ForecastLevel: expected all episodes in the same slot; reset them together")
        if slot > self._env.problem.horizon:  # over, so that every level is reported
            return observation
        if not np.array_equal(true.path[:, :slot], self._reported):
            self._reported = true.path[:, :slot].copy()
            self._level = np.clip(self._forecast(self._reported.copy()), *self._range)
        record = np.where(true.delay == 0, self._level[:, None], true.record)
        found = self._episodes.observe_states(slot, true.turn, true.energy, true.delay, record, self._level)
        one = np.ndim(info["level"]) == 0
        info["level"] = float(self._level[0]) if one else self._level.copy()
        info["record"] = record[0] if one else record
        return found.reshape(observation.shape)


class ForecastLevel(gym.Wrapper[NDArray[np.float32], Any, NDArray[np.float32], Any]):
    """A single environment whose agent sees a forecast of the level.

    >>> env = ForecastLevel(gym.make("aq_gym/MultiDevice-v0"), persistence)

    `map`, `render` and `describe_observation` of the environment within still show the truth.

    Args:
        env: with the server knowing the level, single or joint view.
        forecaster: a function of the levels of the slots before (K, t) that returns (K,) levels [µg/m³], or a fitted
            `Forecaster`. It is called once per slot; its result is clipped to the network's range.

    Raises:
        ValueError: a forecaster that does not look one slot ahead.
    """

    def __init__(self, env: gym.Env[Any, Any], forecaster: Forecaster | LevelForecast) -> None:
        super().__init__(env)
        self._forecasts = _Forecasts(env.unwrapped, forecaster)  # type: ignore[arg-type]

    def reset(self, **options: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """See `SensingEnv.reset`."""
        observation, info = self.env.reset(**options)
        return self._forecasts.replace(observation, info), info

    def step(self, action: Any) -> tuple[NDArray[np.float32], SupportsFloat, bool, bool, dict[str, Any]]:
        """See `MultiDeviceEnv.step`; the reward is that of the true level."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._forecasts.replace(observation, info), reward, terminated, truncated, info


class ForecastLevelVector(VectorWrapper):
    """`ForecastLevel` for a native vector environment, whose episodes must go side by side (no ``reset_mask``)."""

    def __init__(self, env: MultiDeviceVectorEnv, forecaster: Forecaster | LevelForecast) -> None:
        super().__init__(env)
        self._forecasts = _Forecasts(env.unwrapped, forecaster)

    def reset(self, **options: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """See `MultiDeviceVectorEnv.reset`."""
        observation, info = self.env.reset(**options)
        return self._forecasts.replace(observation, info), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """See `MultiDeviceVectorEnv.step`; the rewards are those of the true levels."""
        observation, rewards, terminated, truncated, info = self.env.step(actions)
        return self._forecasts.replace(observation, info), rewards, terminated, truncated, info
