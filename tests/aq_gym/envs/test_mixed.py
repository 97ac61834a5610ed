from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from aq_gym.envs.mixed import MixedInstancesVectorEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.problem import Problem

ARGUMENTS: list[dict[str, Any]] = [
    {"network": "pku2018", "devices": [2, 7, 1], "horizon": 7, "energy_budget": 3, "max_sleep": 3},
    {"network": "pku2018-spring", "devices": [4], "horizon": 9, "energy_budget": 3, "max_sleep": 4},
    {"network": "synthetic-20-1", "devices": [0, 3], "horizon": 5, "energy_budget": 2, "max_sleep": 3},
]
PROBLEMS = [Problem.create(**arguments) for arguments in ARGUMENTS]


def padded(x: np.ndarray, size: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, size - x.shape[1])))


@pytest.mark.parametrize("mode", [mode.value for mode in AutoresetMode])
def test_it_is_the_batches_side_by_side(mode: str) -> None:
    copies = 2
    mixed = MixedInstancesVectorEnv(PROBLEMS, copies, max_devices=4, autoreset_mode=mode)
    alone = [
        MultiDeviceVectorEnv(copies, observation="per_device", autoreset_mode=mode, **arguments)
        for arguments in ARGUMENTS
    ]
    observation, infos = mixed.reset(seed=10)
    parts = [env.reset(seed=10 + copies * i) for i, env in enumerate(alone)]
    rng, size = np.random.default_rng(0), 32 + 4 * 18
    finals = 0
    for _ in range(40):
        rows = [slice(copies * i, copies * (i + 1)) for i in range(3)]
        for at, (own, info), env in zip(rows, parts, alone, strict=True):
            np.testing.assert_array_equal(observation[at], padded(own, size))
            for key, value in info.items():
                if key == "final_info":
                    part = {name: x[at] for name, x in infos[key].items()}
                    for name, x in value.items():
                        wide = x.ndim == 2 and name != "action_mask"
                        np.testing.assert_array_equal(part[name], padded(x, 4) if wide else x)
                    finals += 1
                elif key == "final_obs":
                    for got, want in zip(infos[key][at], value, strict=True):
                        assert (got is None) == (want is None)
                        if want is not None:
                            np.testing.assert_array_equal(got, padded(want[None], size)[0])
                else:
                    wide = value.ndim == 2 and key != "action_mask"
                    np.testing.assert_array_equal(infos[key][at], padded(value, 4) if wide else value)
            np.testing.assert_array_equal(mixed.action_masks()[at], env.action_masks())
        assert mixed.observation_space.contains(observation)
        if mode == "Disabled" and (over := np.concatenate([env._over for env in alone])).any():
            observation, infos = mixed.reset(options={"reset_mask": over})
            parts = [
                env.reset(options={"reset_mask": over[at]}) if over[at].any() else (env._episodes.observe(), {})
                for at, env in zip(rows, alone, strict=True)
            ]
            continue
        actions = rng.integers(0, 2, 6)
        observation, rewards, terminated, truncated, infos = mixed.step(actions)
        steps = [env.step(actions[at]) for at, env in zip(rows, alone, strict=True)]
        np.testing.assert_array_equal(rewards, np.concatenate([x[1] for x in steps]))
        np.testing.assert_array_equal(terminated, np.concatenate([x[2] for x in steps]))
        assert not truncated.any()
        parts = [(x[0], x[4]) for x in steps]
    assert (finals > 0) == (mode == "SameStep")


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="problems: expected at least one"):
        MixedInstancesVectorEnv([])
    with pytest.raises(ValueError, match="max_devices: expected at least 3"):
        MixedInstancesVectorEnv(PROBLEMS, max_devices=2)
    env = MixedInstancesVectorEnv(PROBLEMS)
    with pytest.raises(ValueError, match="options: expected nothing but reset_mask, got levels"):
        env.reset(options={"levels": [0]})
    with pytest.raises(ValueError, match=r"reset_mask'\]: expected a bool array of shape \(3,\)"):
        env.reset(options={"reset_mask": np.ones(2, np.bool_)})
    with pytest.raises(ValueError, match="seed: expected one integer or 3"):
        env.reset(seed=[1])
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action"):
        env.step([0])
    before = [part.get_state().arrays.episode.tolist() for part in env.envs]
    with pytest.raises(ValueError, match=r"action"):
        env.step([0, 1, 2])
    assert [part.get_state().arrays.episode.tolist() for part in env.envs] == before, "none of them moved"
    with pytest.raises(ResetNeeded, match="reset_mask leaves episode 1 out"):
        MixedInstancesVectorEnv(PROBLEMS).reset(options={"reset_mask": np.array([True, False, True])})
