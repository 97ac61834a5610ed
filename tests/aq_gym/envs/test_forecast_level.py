"""The level that the agent sees is a forecast: nothing else changes, and nothing of the true level shows too soon."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from aq_gym.envs.forecast_level import ForecastLevel, ForecastLevelVector, persistence
from aq_gym.envs.vector import JointDevicesVectorEnv, MultiDeviceVectorEnv
from aq_gym.forecasting.forecaster import Persistence
from aq_gym.forecasting.series import Series

OPTIONS: dict[str, Any] = {"devices": (0, 6, 12), "horizon": 8, "energy_budget": 3, "max_sleep": 4}
RNG = np.random.default_rng(5)
PATHS = RNG.integers(1, 12, size=(4, 9))


def play(env: Any, levels: NDArray[np.int64], actions: NDArray[np.int64]) -> tuple[list[Any], list[Any], list[Any]]:
    """Observations, rewards and infos of some steps."""
    observation, info = env.reset(seed=1, options={"levels": levels})
    seen, rewards, infos = [observation], [], [info]
    for action in actions:
        observation, reward, *_, info = env.step(action)
        seen.append(observation)
        rewards.append(reward)
        infos.append(info)
    return seen, rewards, infos


@pytest.mark.parametrize("observation", ["full", "compact", "per_device"])
def test_a_perfect_forecast_changes_nothing(observation: str) -> None:
    env = MultiDeviceVectorEnv(4, **OPTIONS, observation=observation, autoreset_mode="SameStep")
    truth = env.problem.network.levels[PATHS]
    actions = RNG.integers(2, size=(24, 4))
    perfect = ForecastLevelVector(env, lambda reported: truth[:, reported.shape[1]])
    found, plain = play(perfect, PATHS, actions), play(env, PATHS, actions)
    assert all(np.array_equal(a, b) for a, b in zip(found[0][:-1], plain[0][:-1], strict=True))
    assert np.array_equal(found[1], plain[1])
    for a, b in zip(found[2][:-1], plain[2][:-1], strict=True):
        assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", [MultiDeviceVectorEnv, JointDevicesVectorEnv])
def test_no_observation_moves_with_a_level_before_it_is_reported(kind: Any) -> None:
    joint = kind is JointDevicesVectorEnv
    actions = RNG.integers(2, size=(8, 4, 3) if joint else (24, 4))
    env = ForecastLevelVector(kind(4, **OPTIONS, autoreset_mode="Disabled"), persistence)
    other = PATHS.copy()
    other[:, 5:] = (PATHS[:, 5:] + 3) % 40
    one, two = play(env, PATHS, actions), play(env, other, actions)
    until = 5 if joint else 15  # observations of slots 1 to 5, whose own level is not reported yet
    for k in range(until):
        assert np.array_equal(one[0][k], two[0][k])
        assert np.array_equal(one[2][k]["level"], two[2][k]["level"])
        assert np.array_equal(one[2][k]["record"], two[2][k]["record"])
    assert not np.array_equal(one[0][until], two[0][until])
    assert not np.array_equal(one[1], two[1])  # rewards are the truth's


def test_the_single_environment_shows_what_the_batch_shows() -> None:
    actions = RNG.integers(2, size=24)
    env = gym.make("aq_gym/MultiDevice-v0", **OPTIONS)
    forecaster = Persistence((1, 3)).fit([Series(np.full(9, 50.0), np.full(9, 50.0), np.zeros(9))])
    single = play(ForecastLevel(env, forecaster), PATHS[0], actions)
    batch = MultiDeviceVectorEnv(1, **OPTIONS, autoreset_mode="Disabled")
    together = play(ForecastLevelVector(batch, persistence), PATHS[0], actions[:, None])
    assert all(np.array_equal(a, b[0]) for a, b in zip(single[0], together[0], strict=True))
    assert single[2][3]["level"] == env.unwrapped.problem.network.levels[PATHS[0, 1]]  # in slot 2, that of slot 1


def test_a_restored_state_is_forecast_anew() -> None:
    env = MultiDeviceVectorEnv(4, **OPTIONS, autoreset_mode="Disabled")
    wrapped = ForecastLevelVector(env, persistence)
    play(wrapped, PATHS, np.zeros((4, 4), np.int64))
    kept = env.get_state()
    later = wrapped.step(np.zeros(4, np.int64))
    play(wrapped, PATHS[::-1], np.zeros((4, 4), np.int64))
    env.set_state(kept)
    assert np.array_equal(wrapped.step(np.zeros(4, np.int64))[0], later[0])


def test_bad_forecasters_and_mixed_slots_are_refused() -> None:
    env = MultiDeviceVectorEnv(2, **OPTIONS)
    with pytest.raises(ValueError, match="1 slot ahead"):
        ForecastLevelVector(env, Persistence((3,)))
    wrapped = ForecastLevelVector(env, persistence)
    wrapped.reset()
    wrapped.step(np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="same slot"):
        for _ in range(3):
            wrapped.step(np.zeros(2, np.int64))
        wrapped.reset(options={"reset_mask": np.array([True, False])})
