"""Timers: the same episodes as with a decision in every slot, one step a sensing."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from aq_gym.envs.joint_devices import JointDevicesEnv
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import JointDevicesVectorEnv, MultiDeviceVectorEnv
from aq_gym.episodes import Layers
from aq_gym.observation import COMPACT_FEATURES

LOSSY: dict[str, Any] = {"inference": "hidden", "loss": 0.3, "harvest": (0.1, 5), "reveal": True}
SMALL: dict[str, Any] = {"devices": [0, 9, 20], "horizon": 20, "energy_budget": 4, "max_sleep": 5}


@pytest.mark.parametrize("how", [{}, LOSSY, {"inference": "level-aware"}], ids=["paper", "lossy", "aware"])
@pytest.mark.parametrize("kind", ["full", "compact", "per_device"])
def test_the_same_sensings_earn_the_same(how: dict[str, Any], kind: str) -> None:
    for seed in range(4):
        timers = MultiDeviceEnv(**SMALL, **how, decide="timer", observation=kind)
        slots = MultiDeviceEnv(**SMALL, **how, observation=kind)
        rng, over, steps = np.random.default_rng(seed), False, 0
        seen, info = timers.reset(seed=seed)
        plain, told = slots.reset(seed=seed)
        wake = np.zeros(3, dtype=int)
        while not over:
            at = {name: told[name] for name in ("slot", "turn", "delay", "record", "energy", "level")}
            assert all(np.array_equal(info[name], value) for name, value in at.items()), "whose choice it is"
            np.testing.assert_array_equal(seen[:-3], plain)
            left = np.where(wake > 0, wake - info["slot"] + 1, 0)
            np.testing.assert_allclose(seen[-3:], left / 5, rtol=1e-6)
            assert timers.observation_space.contains(seen)
            m, mask = info["turn"], info["action_mask"]
            assert mask.tolist() == [int(k <= max(5 - info["delay"][m], 0)) for k in range(5)]
            sleep = int(rng.integers(0, 5))
            seen, reward, over, _, info = timers.step(sleep)
            steps += 1
            assert info["forced"] == (not mask[sleep])
            wake[m] = at["slot"] + min(sleep, max(5 - at["delay"][m], 0))
            earned, done = 0.0, False
            while not done:
                turn = told["turn"]
                senses = int(wake[turn] == told["slot"] and told["energy"][turn] > 0)
                wake[turn] *= 1 - senses
                plain, more, done, _, told = slots.step(senses)
                assert not told["forced"]
                earned += float(more)
                done = done or (wake[told["turn"]] == 0 and told["energy"][told["turn"]] > 0)
            assert reward == pytest.approx(earned, rel=1e-12)
        assert told["average_joint_error"] == info["average_joint_error"]
        assert steps <= 3 * 5 + 20, "a choice a sensing, not a slot"


@pytest.mark.parametrize("mode", [mode.value for mode in AutoresetMode])
def test_the_native_vector_is_single_ones_side_by_side(mode: str) -> None:
    kwargs = {**SMALL, **LOSSY, "decide": "timer", "observation": "compact"}
    env_id = "aq_gym/MultiDevice-Hidden-Week-v0"
    native = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode, **kwargs)
    sync = gym.make_vec(env_id, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **kwargs)
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(native.reset(seed=4)[0], sync.reset(seed=4)[0])
    for _ in range(40):
        actions = rng.integers(0, 5, 3)
        one, other = native.step(actions), sync.step(actions)
        for x, y in zip(one[:4], other[:4], strict=True):
            np.testing.assert_array_equal(x, y)
        for key in ("action_mask", "energy", "delay", "forced", "lost", "average_joint_error"):
            if key in other[4]:
                np.testing.assert_array_equal(np.asarray(one[4][key]), other[4][key], err_msg=key)
        if one[2].any() and mode == "Disabled":
            mask = {"reset_mask": one[2]}
            np.testing.assert_array_equal(native.reset(options=dict(mask))[0], sync.reset(options=dict(mask))[0])


def test_timers_are_part_of_the_state() -> None:
    env, twin = (MultiDeviceVectorEnv(2, **SMALL, **LOSSY, decide="timer") for _ in range(2))
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        env.step(rng.integers(0, 5, 2))
    twin.set_state(env.get_state())
    for _ in range(5):
        actions = rng.integers(0, 5, 2)
        for x, y in zip(env.step(actions)[:3], twin.step(actions)[:3], strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_state_with_timers_is_no_state_without() -> None:
    one, other = (MultiDeviceVectorEnv(2, **SMALL, **LOSSY, decide=decide) for decide in ("timer", "slot"))
    one.reset(seed=0)
    other.reset(seed=0)
    for env, state in ((one, other.get_state()), (other, one.get_state())):
        with pytest.raises(ValueError, match=r"state: belongs to another problem.* sequential, timed or joint alike"):
            env.set_state(state)


@pytest.mark.parametrize("env_id", ["aq_gym/SingleDevice-Hidden-v0", "aq_gym/TwoDevices-Hidden-v0"])
def test_checkers(env_id: str) -> None:
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, decide="timer").unwrapped, skip_render_check=True)
        sb3.check_env(gym.make(env_id, decide="timer").unwrapped, skip_render_check=True)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="decide: expected 'slot' or 'timer', got 'never'"):
        MultiDeviceEnv(decide="never")
    for joint in (JointDevicesEnv, JointDevicesVectorEnv):
        with pytest.raises(ValueError, match="decide: expected 'slot', got 'timer'"):
            joint(decide="timer")
    env = MultiDeviceEnv(**SMALL, decide="timer", observation="compact")
    env.reset(seed=0)
    for action in (-1, 5, 1.5, None, True):
        with pytest.raises(ValueError, match="action: expected an integer from 0 to 4, slots to sleep"):
            env.step(action)
    many = MultiDeviceVectorEnv(2, **SMALL, decide="timer", observation="compact")
    many.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions\[1\]: expected an integer from 0 to 4, slots to sleep, got 5"):
        many.step(np.array([0, 5]))
    widths = np.array([len(COMPACT_FEATURES), 1])
    with pytest.raises(ValueError, match="layers"):
        env._episodes.play(Layers(widths, np.zeros(len(COMPACT_FEATURES) + 1, np.float32)))
