"""The compiled dynamics against the equations, on random problems, states and actions: every number.

Rewards and maps to 1e-9; decreases that the full observation shows are computed in single precision.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from aq_gym import SensorNetwork
from aq_gym.envs.joint_devices import JointDevicesEnv
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.episodes import Episodes
from aq_gym.observation import error_bound
from aq_gym.problem import Problem

Arguments = dict[str, Any]


def close(got: Any, want: Any, scale: float, what: str) -> None:
    """Equal to 1e-9 of the scale (an error in µg/m³ that both were computed from)."""
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9 * scale, err_msg=what)


def check_state(
    env: gym.Env[Any, Any], obs: NDArray[np.float32], info: dict[str, Any], model: Any, joint: bool
) -> None:
    """Everything that an observation and an info say of the present, against the plain model."""
    assert (info["slot"], info["turn"], info["capped"]) == (model.slot, 0 if joint else model.turn, model.capped)
    for key in ("energy", "delay", "record"):
        np.testing.assert_array_equal(info[key], getattr(model, key))
    assert info["level"] == model.level
    scale = error_bound(model.problem)
    tolerance = {"rtol": 1e-7, "atol": 2e-9}
    if not joint and model.problem.inference == "paper":  # decreases are computed in single precision
        tolerance = {"rtol": 5e-5, "atol": 1e-7}
    np.testing.assert_allclose(obs, model.full(scale, joint), **tolerance)
    close(env.unwrapped.map().joint_error, model.errors(), model.errors().max(), "map")


def levels_of(problem: Problem, rng: np.random.Generator) -> NDArray[np.int64]:
    """Any level path, whether likely or not: the dynamics take no notice."""
    return rng.integers(0, problem.network.n_levels, problem.horizon + 1)


CASES = [*((seed, False) for seed in range(24)), *((seed, True) for seed in range(10))]


@pytest.mark.parametrize(("seed", "aware"), CASES)
def test_sequential_view(made_up_problem: Callable[..., Arguments], world: type, seed: int, aware: bool) -> None:
    arguments = made_up_problem(seed, extreme=seed >= 12, aware=aware)
    env = MultiDeviceEnv(**arguments)
    problem, rng = env.problem, np.random.default_rng(seed)
    path = levels_of(problem, rng)
    obs, info = env.reset(seed=seed, options={"levels": path})
    model = world(problem, problem.network.levels[path])
    share = rng.random()
    so_far = total = 0.0
    while not model.over:
        check_state(env, obs, info, model, joint=False)
        assert info["action_mask"].tolist() == model.allowed(model.turn)
        first, slot = model.turn == 0, model.slot
        action = int(rng.random() < share)
        want, forced = model.decide(action)
        obs, reward, terminated, truncated, info = env.step(action)
        so_far = reward if first else so_far + reward
        total += reward
        if model.slot == slot:
            average = float(model.errors().mean())
            close(-so_far, average, average, "average error after the decision")
            assert "joint_error" not in info
        else:
            assert info["joint_error"] == pytest.approx(-so_far, rel=1e-9)
        close(reward, want, abs(so_far), "reward")
        assert (info["forced"], terminated, truncated) == (forced, model.over, False)
        assert ("average_joint_error" in info) == model.over
    check_state(env, obs, info, model, joint=False)
    assert info["action_mask"].tolist() == [1, 0]
    assert info["average_joint_error"] == pytest.approx(-total / problem.horizon, rel=1e-9)


@pytest.mark.parametrize(("seed", "aware"), CASES)
def test_joint_view(made_up_problem: Callable[..., Arguments], world: type, seed: int, aware: bool) -> None:
    arguments = made_up_problem(seed, extreme=seed >= 12, aware=aware)
    env = JointDevicesEnv(**arguments)
    problem, rng = env.problem, np.random.default_rng(seed)
    path = levels_of(problem, rng)
    obs, info = env.reset(options={"levels": path})
    model = world(problem, problem.network.levels[path])
    total = 0.0
    while not model.over:
        check_state(env, obs, info, model, joint=True)
        allowed = [model.allowed(m) for m in range(problem.n_devices)]
        assert info["action_mask"].tolist() == [2 if all(x) else int(x[1]) for x in allowed]
        assert env.action_masks().tolist() == [y for x in allowed for y in x]
        actions = rng.integers(0, 2, problem.n_devices)
        played = [model.decide(a) for a in actions]
        obs, reward, terminated, truncated, info = env.step(actions)
        want = sum(r for r, _ in played)
        close(reward, want, abs(want), "reward")
        close(info["joint_error"], -want, abs(want), "joint_error")
        assert info["forced"].tolist() == [f for _, f in played]
        assert (terminated, truncated) == (model.over, False)
        total += reward
    check_state(env, obs, info, model, joint=True)
    assert info["action_mask"].tolist() == [0] * problem.n_devices
    assert info["average_joint_error"] == pytest.approx(-total / problem.horizon, rel=1e-9)


@pytest.mark.parametrize("n_locations", [31, 32, 33, 64, 97])
@pytest.mark.parametrize("fuse", [False, True])
def test_blocks_of_locations(world: type, n_locations: int, fuse: bool) -> None:
    """Rows that fill their last block, or just do not."""
    network, rng = SensorNetwork.synthetic(n_locations, seed=n_locations), np.random.default_rng(n_locations)
    devices = [0, n_locations - 1, n_locations // 2]
    instance = {"horizon": 6, "energy_budget": 3, "max_sleep": 4, "fuse_measured": fuse}
    env = MultiDeviceEnv(network=network, devices=devices, **instance)  # type: ignore[arg-type]
    path = levels_of(env.problem, rng)
    obs, info = env.reset(options={"levels": path})
    model = world(env.problem, network.levels[path])
    while not model.over:
        check_state(env, obs, info, model, joint=False)
        action = int(rng.random() < 0.4)
        want, _ = model.decide(action)
        obs, reward, _, _, info = env.step(action)
        assert reward == pytest.approx(want, rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("variance", [1e-9, 1e-6, 0.2])
@pytest.mark.parametrize("fuse", [False, True])
def test_sensors_that_hardly_err_and_ones_that_do(world: type, fuse: bool, variance: float) -> None:
    """A location's own reading then outweighs all others by far; what these add is still shown."""
    network = dataclasses.replace(SensorNetwork.load("pku2018"), measurement_variance=variance)
    env = MultiDeviceEnv(network, (0, 6, 12, 18), 8, 3, 4, fuse_measured=fuse)
    rng = np.random.default_rng(0)
    path = levels_of(env.problem, rng)
    obs, info = env.reset(options={"levels": path})
    model = world(env.problem, network.levels[path])
    while not model.over:
        check_state(env, obs, info, model, joint=False)
        action = int(rng.random() < 0.4)
        model.decide(action)
        obs, _, _, _, info = env.step(action)


def test_the_end_shows_each_devices_last_error() -> None:
    for fuse in (False, True):
        env = MultiDeviceEnv(horizon=6, energy_budget=3, max_sleep=6, fuse_measured=fuse, observation="per_device")
        obs, info = env.reset(seed=3)
        rng, terminated = np.random.default_rng(3), False
        while not terminated:
            obs, _, terminated, _, info = env.step(int(rng.random() < 0.5))
        network, devices = env.problem.network, env.problem.devices
        last = network.joint_error(devices, info["delay"] - 1, info["record"], info["level"], fuse_measured=fuse)
        shown = obs[32:].reshape(5, 18)[:, 10]
        np.testing.assert_allclose(shown, np.minimum(1.0, last[list(devices)] / info["level"]), rtol=1e-6)


def test_many_devices_fresh_and_old(world: type) -> None:
    """M = 30 on the campus, both ways of treating fresh readings: all sense in slot 1, none later."""
    for fuse in (False, True):
        env = MultiDeviceEnv(devices=range(30), horizon=6, energy_budget=3, max_sleep=4, fuse_measured=fuse)
        _, info = env.reset(options={"levels": [46, 0, 46, 0, 46, 23, 1]})
        model = world(env.problem, env.problem.network.levels[[46, 0, 46, 0, 46, 23, 1]])
        while not model.over:
            action = int(model.slot == 1)
            want, _ = model.decide(action)
            before = info["slot"]
            _, reward, _, _, info = env.step(action)
            close(reward, want, 465.0 * 1e-3, "reward")
            assert ("joint_error" in info) == (info["slot"] != before)


def test_marginal_rewards_can_be_negative() -> None:
    """The rule of inference costs: with 29 fresh neighbours the kept measurement is worse than the inferred value."""
    rewards = {}
    for fuse in (False, True):
        env = MultiDeviceEnv(devices=range(30), horizon=2, energy_budget=2, max_sleep=2, fuse_measured=fuse)
        env.reset(options={"levels": [10, 10, 10]})
        rewards[fuse] = [float(env.step(1)[1]) for _ in range(30)]
    assert min(rewards[False][1:]) < 0 < min(rewards[True][1:])


def test_a_longest_sleep_of_one(world: type) -> None:
    """D = 1: every device must sense in every slot."""
    env = MultiDeviceEnv(devices=[0, 3], horizon=3, energy_budget=3, max_sleep=1)
    _, info = env.reset(seed=0)
    for _ in range(6):
        assert info["action_mask"].tolist() == [0, 1]
        _, _, terminated, _, info = env.step(0)
        assert info["forced"] is True
    assert terminated
    assert info["energy"].tolist() == [0, 0]


# --------------------------------------------------------------------------------------------------- the levels


def test_levels_follow_the_chain(made_up_network: Callable[..., SensorNetwork]) -> None:
    network = made_up_network(np.random.default_rng(1), 2, 5)
    assert (network.transition == 0).any()
    envs = MultiDeviceVectorEnv(200, network=network, devices=[0], horizon=60, energy_budget=12, max_sleep=5)
    infos = envs.reset(seed=0)[1]
    path = [infos["record"][:, 0], infos["level"]]
    for _ in range(59):
        infos = envs.step(np.zeros(200, int))[4]
        path.append(infos["level"])
    index = np.searchsorted(network.levels, np.array(path))
    np.testing.assert_array_equal(network.levels[index], np.array(path))

    count = np.zeros((5, 5))
    np.add.at(count, (index[:-1].ravel(), index[1:].ravel()), 1)
    rows = count.sum(axis=1, keepdims=True)
    assert not count[network.transition == 0].any(), "a step of probability zero"
    deviation = np.sqrt(np.maximum(rows * network.transition * (1 - network.transition), 1))
    assert np.abs((count - rows * network.transition) / deviation).max() < 5
    first = np.bincount(index[0], minlength=5)
    assert (np.abs(first - 200 * network.start) < 5 * np.sqrt(200 * network.start * (1 - network.start)) + 1).all()


def test_no_uniform_number_reaches_an_impossible_level() -> None:
    def paths(start: NDArray[np.float64], transition: NDArray[np.float64], uniforms: Any) -> NDArray[np.int64]:
        network = SensorNetwork(
            measurement_variance=0.01,
            temporal_variance=1.0,
            mean_relation=np.zeros((2, 2)),
            variance_relation=0.01 - 0.01 * np.eye(2),
            levels=np.arange(1.0, len(start) + 1),
            transition=transition,
            start=start,
        )
        path = Episodes(Problem.create(network, [0], 6, 3, 2), 1).draw_path(np.asarray(uniforms))
        assert path.min() >= 0
        assert (start[path[:, 0]] > 0).all()
        assert (transition[path[:, :-1], path[:, 1:]] > 0).all()
        return path

    edges = np.array([0.0, 0.1, np.nextafter(0.1, 1), 0.3, 0.4, 0.7, 1 - 1e-16, np.nextafter(1.0, 0), 0.5])
    uniforms = np.random.default_rng(0).choice(edges, (2000, 7))
    start = np.array([0, 0.1, 0.2, 0.7, 0])
    rows = [[1, 0, 0, 0, 0], [0, 0.1, 0.3, 0.6, 0], [0, 0, 0, 1, 0], [0, 0.7, 0.3, 0, 0], [0, 0, 0, 0, 1]]
    paths(start, np.array(rows), uniforms)
    # Inversion: the first level whose cumulative probability exceeds the number.
    low, high = paths(start, np.array(rows), [[0.05] * 7, [0.95] * 7]).tolist()
    assert (low, high) == ([1] * 7, [3, 2, 3, 2, 3, 2, 3])

    # Ten tenths add up to less than one in floating point; the eleventh level is impossible all the same.
    tenths = np.array([0.1] * 10 + [0.0])
    assert np.cumsum(tenths)[-1] == np.nextafter(1.0, 0)
    assert (paths(tenths, np.tile(tenths, (11, 1)), uniforms) == 9).any()
