"""The PettingZoo view: PettingZoo's own checks, and the same dynamics as the sequential and the joint view."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

pytest.importorskip("pettingzoo")

from pettingzoo.test import api_test, parallel_api_test, seed_test, state_test
from pettingzoo.utils.conversions import aec_to_parallel

from aq_gym.envs import pettingzoo as view
from aq_gym.envs.joint_devices import JointDevicesEnv
from aq_gym.envs.multi_device import MultiDeviceEnv

SMALL: dict[str, Any] = {"devices": [0, 15, 4], "horizon": 8, "energy_budget": 3, "max_sleep": 3}


LOSSY: dict[str, Any] = {**SMALL, "inference": "hidden", "loss": 0.4, "reveal": True, "harvest": [0.3, 5]}


@pytest.mark.parametrize(
    "kwargs",
    [SMALL, {**SMALL, "devices": [7]}, {**SMALL, "observation": "compact"}, LOSSY],
    ids=["three", "one", "compact", "lossy"],
)
def test_pettingzoos_own_checks(kwargs: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        api_test(view.env(**kwargs), num_cycles=40)
        seed_test(lambda: view.env(**kwargs), num_cycles=40)
        parallel_api_test(aec_to_parallel(view.env(**kwargs)), num_cycles=40)
        state_test(view.env(**kwargs), aec_to_parallel(view.env(**kwargs)))
    assert "Passed API test" in capsys.readouterr().out


def test_names_and_spaces() -> None:
    env = view.env(**SMALL)
    assert env.possible_agents == ["device_0", "device_1", "device_2"]
    sequential = MultiDeviceEnv(**SMALL)
    for agent in env.possible_agents:
        assert env.observation_space(agent) == sequential.observation_space
        assert env.action_space(agent) == sequential.action_space
    assert len({id(env.action_space(agent)) for agent in env.possible_agents}) == 3, "each is seeded on its own"
    assert view.env().max_num_agents == 5, "the defaults are those of MultiDeviceEnv"
    with pytest.raises(ValueError, match="horizon"):
        view.env(horizon=0)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_decisions_earn_the_same(seed: int) -> None:
    kwargs = LOSSY if seed == 3 else SMALL
    env, sequential = view.env(**kwargs), MultiDeviceEnv(**kwargs)
    rng = np.random.default_rng(seed)
    for episode in range(2):
        env.reset(seed=seed if episode == 0 else None)
        obs, info = sequential.reset(seed=seed if episode == 0 else None)
        over, total, own = False, 0.0, dict.fromkeys(env.possible_agents, 0.0)
        earned = dict.fromkeys(env.possible_agents, 0.0)
        forced: dict[str, bool] = {}
        lost: dict[str, bool] = {}
        while not over:
            agent = env.agent_selection
            assert agent == f"device_{info['turn']}"
            seen, reward, terminated, truncated, told = env.last()
            np.testing.assert_array_equal(seen, obs)
            np.testing.assert_array_equal(env.state(), obs)
            np.testing.assert_array_equal(told["action_mask"], info["action_mask"])
            assert told["action_mask"].dtype == np.int8
            assert (terminated, truncated) == (False, False)
            assert told.get("forced") == forced.get(agent, False)
            assert told.get("lost", False) == lost.get(agent, False)
            assert told["level"] == info["level"]
            earned[agent] += reward
            action = int(rng.integers(2))
            obs, reward, over, _, info = sequential.step(action)
            assert env.step(action) is None
            assert env.rewards == {a: float(reward) if a == agent else 0.0 for a in env.possible_agents}
            forced[agent], lost[agent] = info["forced"], info.get("lost", False)
            own[agent] += float(reward)
            total += float(reward)
        for agent in env.agent_iter():
            _, reward, terminated, truncated, told = env.last()
            assert (terminated, truncated) == (True, False)
            assert told["average_joint_error"] == info["average_joint_error"]
            earned[agent] += reward
            env.step(None)
        assert env.agents == []
        assert earned == pytest.approx(own, rel=1e-12)
        assert sum(earned.values()) == pytest.approx(total, rel=1e-12)
        assert total == pytest.approx(-8 * info["average_joint_error"], rel=1e-12)


def test_masks_are_each_agents_own() -> None:
    """The mask that an agent is shown early is the one that it will meet at its next decision."""
    env = view.env(**SMALL)
    rng = np.random.default_rng(0)
    seen = set()
    for seed in range(5):
        env.reset(seed=seed)
        shown: dict[str, list[Any]] = {agent: [] for agent in env.agents}
        while not any(env.terminations.values()):
            agent = env.agent_selection
            for other in env.agents:
                shown[other].append(env.infos[other]["action_mask"])
            met = env.infos[agent]["action_mask"]
            assert all((mask == met).all() for mask in shown[agent])
            shown[agent] = []
            seen.add(tuple(met.tolist()))
            env.step(int(rng.integers(2)))
        assert all(env.infos[agent]["action_mask"].tolist() == [1, 0] for agent in env.agents)
    assert seen == {(1, 1), (0, 1), (1, 0)}


def test_the_parallel_conversion_is_the_joint_view() -> None:
    parallel, joint = aec_to_parallel(view.env(**SMALL)), JointDevicesEnv(**SMALL)
    parallel.reset(seed=3)
    joint.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(8):
        actions = rng.integers(0, 2, 3)
        _, rewards, terminations, _, infos = parallel.step({f"device_{m}": int(a) for m, a in enumerate(actions)})
        _, reward, over, _, info = joint.step(actions)
        assert sum(rewards.values()) == pytest.approx(float(reward), rel=1e-11)
        assert all(ended == over for ended in terminations.values())
        assert [infos[f"device_{m}"]["forced"] for m in range(3)] == info["forced"].tolist()
    assert over
    assert parallel.agents == []


def test_levels_can_be_imposed() -> None:
    env = view.env(**SMALL)
    env.reset(options={"levels": [3] * 9})
    assert env.last()[4]["level"] == 35.0
    with pytest.raises(ValueError, match="levels"):
        env.reset(options={"levels": [3] * 8})


def test_refusals() -> None:
    env = view.env(**SMALL)
    with pytest.raises(ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    for action in (2, None, "on", [1], True, 0.5):
        with pytest.raises(ValueError, match="action"):
            env.step(action)
    assert env.agent_selection == "device_0"
    for agent in env.agent_iter():
        over = env.terminations[agent]
        if over:
            with pytest.raises(ValueError, match="None"):
                env.step(1)
        env.step(None if over else 0)
    with pytest.raises(ResetNeeded):
        env.step(None)


def test_copies_continue_alike() -> None:
    env = view.env(**SMALL)
    env.reset(seed=0)
    for action in (1, 0, 0, 1):
        env.step(action)
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        twin.reset(seed=5)
        env.reset(seed=5)
        for _ in range(24):
            env.step(1)
            twin.step(1)
            assert env.rewards == twin.rewards
            np.testing.assert_array_equal(env.observe("device_1"), twin.observe("device_1"))


def test_observations_are_copies() -> None:
    env = view.env(**SMALL)
    env.reset(seed=0)
    want = env.observe("device_0").copy()
    env.observe("device_0")[:] = 9
    env.state()[:] = 9
    np.testing.assert_array_equal(env.observe("device_2"), want)


def test_before_the_first_reset_every_question_says_so() -> None:
    aec = view.env(devices=[0, 3], horizon=3, energy_budget=2, max_sleep=4)
    for ask in (aec.last, aec.state, lambda: aec.observe("device_0"), lambda: aec.step(0)):
        with pytest.raises(ResetNeeded, match="reset"):
            ask()
    aec.reset(seed=0)
    with pytest.raises(ValueError, match=r"agent: expected one of device_0, device_1, got 'device_9'"):
        aec.observe("device_9")


def test_an_agents_info_has_the_same_keys_all_along() -> None:
    """TorchRL's wrapper cannot take others."""
    aec = view.env(devices=[0, 3], horizon=3, energy_budget=2, max_sleep=4)
    aec.reset(seed=0)
    first = set(aec.infos["device_0"])
    assert {"forced", "joint_error", "average_joint_error", "action_mask"} <= first
    while not any(aec.terminations.values()):
        aec.step(0)
        assert all(set(aec.infos[agent]) == first for agent in aec.agents)
    assert aec.infos["device_1"]["average_joint_error"] > 0
