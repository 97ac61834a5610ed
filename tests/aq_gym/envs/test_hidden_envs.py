"""The hidden level in the environments: played by hand, docs/model.md's values by brute force; nothing leaks."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aq_gym import SensorNetwork
from aq_gym.chance import columns_of
from aq_gym.envs.joint_devices import JointDevicesEnv
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.episodes import Episodes, Layers
from aq_gym.hidden_level import HiddenLevel
from aq_gym.problem import Problem

GROWN = np.array([5.3, 0.9, 0.037, 1.47, 0.004, 70.0])  # of docs/model.md's reference values
PKU = dataclasses.replace(SensorNetwork.load("pku2018"), level_belief=GROWN)


def made_up(seed: int) -> dict[str, Any]:
    """Arguments of a made-up problem with a hidden level."""
    rng = np.random.default_rng(seed)
    n_devices, horizon, max_sleep = int(rng.integers(1, 5)), int(rng.integers(1, 14)), int(rng.integers(1, 6))
    least = -(-horizon // max_sleep)
    budgets = [least + int(x) for x in rng.integers(0, 3, n_devices)]
    budgets[0] += -sum(budgets) % n_devices
    return {
        "network": PKU if seed % 2 else dataclasses.replace(SensorNetwork.synthetic(20, seed=seed), level_belief=GROWN),
        "devices": rng.permutation(20)[:n_devices].tolist(),
        "horizon": horizon,
        "energy_budget": sum(budgets) // n_devices,
        "max_sleep": max_sleep,
        "inference": "hidden",
        "belief": ["grown", "chain"][seed // 2 % 2],
        "loss": float(rng.choice([0.0, 0.4])),
        "energy_budgets": budgets,
        "harvest": [None, (0.3, 4)][seed // 4 % 2],
    }


class HiddenWorld:
    """One episode in plain Python; every cost comes from `HiddenLevel`."""

    def __init__(self, problem: Problem, path: NDArray[np.float64]) -> None:
        self.problem, self.path = problem, path
        self.model = HiddenLevel.of(problem.network, problem.belief, problem.horizon + 1)
        self.slot, self.turn = 1, 0
        self.energy = np.array(problem.energies)
        self.delay, self.record = np.ones(problem.n_devices, dtype=int), np.full(problem.n_devices, path[0])

    def chance(self, first: int, m: int) -> bool:
        """Whether a report of this slot gets lost, or energy is harvested."""
        return bool(first) and self.path[first + m * (self.problem.horizon + 1) + self.slot] > 0

    def deviations(self, sensing: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """(N,) what the map claims now, or if some devices find the level that is believed."""
        delay, record = self.delay.copy(), self.record.copy()
        delay[list(sensing)], record[list(sensing)] = 0, self.believed()[0]
        return self.model.estimate(self.problem.devices, delay, record).deviation

    def believed(self) -> tuple[float, float]:
        """Mean and standard deviation of the level."""
        fresh = self.delay.argmin()
        mean, variance = self.model.belief.moments(self.delay[fresh], self.record[fresh])
        return float(mean), float(np.sqrt(variance))

    def decide(self, action: int) -> tuple[float, bool, bool]:
        """The reward; whether the action was replaced; whether a report got lost."""
        p, m, before = self.problem, self.turn, self.deviations().mean()
        losses, harvests, _ = columns_of(p)
        must = self.energy[m] > 0 and self.delay[m] >= p.max_sleep
        executed = 0 if self.energy[m] == 0 else 1 if must else action
        lost = bool(executed) and self.chance(losses, m)
        self.energy[m] -= executed
        if executed and not lost:
            self.delay[m], self.record[m] = 0, self.path[self.slot]
        after = self.deviations().mean()
        self.turn += 1
        if self.turn == p.n_devices:
            self.energy += [self.energy[i] < p.harvest[1] and self.chance(harvests, i) for i in range(p.n_devices)]
            self.turn, self.slot, self.delay = 0, self.slot + 1, self.delay + 1
        return float(-after if m == 0 else before - after), executed != action, lost


@pytest.mark.parametrize("seed", range(12))
def test_played_by_hand(seed: int) -> None:
    kwargs = made_up(seed)
    env, rng = MultiDeviceEnv(**kwargs, reveal=True), np.random.default_rng(seed)
    problem, layout = env.problem, env._episodes.layout
    top, error = layout.scale[layout.slice("level")][0], layout.scale[layout.slice("error")][0]
    observation, info = env.reset(seed=seed)
    world, over = HiddenWorld(problem, env.get_state().arrays.path[0]), False
    while not over:
        n, m = problem.n_locations, problem.n_devices
        mean, deviation = world.believed()
        assert (info["slot"], info["turn"]) == (world.slot, world.turn)
        for name in ("energy", "delay", "record"):
            np.testing.assert_array_equal(info[name], getattr(world, name))
        assert info["level"] == pytest.approx(mean, rel=1e-12) and info["hidden_level"] == world.path[world.slot]
        np.testing.assert_allclose(env.map().joint_error, world.deviations(), rtol=1e-9)
        assert env.observation_space.contains(observation)
        shown = {s.name: observation[layout.slice(s.name)] * s.scale for s in layout.segments}
        np.testing.assert_allclose(shown["level"], [mean], rtol=1e-6)
        np.testing.assert_allclose(shown["deviation"], [deviation], rtol=1e-6)
        np.testing.assert_allclose(shown["error"], [world.deviations().mean()], rtol=1e-6)
        np.testing.assert_allclose(shown["delay"], world.delay, rtol=1e-6)
        np.testing.assert_allclose(shown["energy"], world.energy, rtol=1e-6)
        later = tuple(i for i in range(world.turn + 1, m) if world.energy[i] > 0)
        for segment, sensing in (("decrease_if_on", (world.turn,)), ("decrease_if_off", later)):
            decrease = world.deviations() - world.deviations(sensing)
            np.testing.assert_allclose(shown[segment], decrease, rtol=1e-5, atol=1e-6 * error)
        action = int(rng.random() < 0.4)
        observation, reward, over, _, info = env.step(action)
        wanted, forced, lost = world.decide(action)
        assert reward == pytest.approx(wanted, rel=1e-9, abs=1e-9)
        assert info["forced"] == forced and info.get("lost", False) == lost
    assert top >= problem.network.levels[-1] and n == len(world.deviations())


@pytest.mark.parametrize("seed", range(6))
def test_the_joint_view_earns_the_same(seed: int) -> None:
    kwargs = made_up(seed)
    one, all_at_once, rng = MultiDeviceEnv(**kwargs), JointDevicesEnv(**kwargs), np.random.default_rng(seed)
    one.reset(seed=seed)
    all_at_once.reset(seed=seed)
    over = False
    while not over:
        actions = rng.integers(0, 2, one.problem.n_devices)
        steps = [one.step(int(a)) for a in actions]
        _, reward, over, _, info = all_at_once.step(actions)
        assert reward == pytest.approx(sum(float(step[1]) for step in steps), rel=1e-9)
        np.testing.assert_array_equal(info["forced"], [step[4]["forced"] for step in steps])
        if one.problem.loss:
            np.testing.assert_array_equal(info["lost"], [step[4]["lost"] for step in steps])


# ----------------------------------------------------------------------------------------------------- brute force


def optimum(problem: Problem) -> float:
    """The least expected cost of a slot of one device: everything that can happen is played in the environment."""
    levels, power = problem.network.levels, [np.eye(problem.network.n_levels)]
    for _ in range(problem.horizon):
        power.append(power[-1] @ problem.network.transition)
    losses, _, _ = columns_of(problem)
    episodes = Episodes(problem, 1)

    @cache
    def cost(slot: int, energy: int, delay: int, record: int) -> float:
        if slot > problem.horizon:
            return 0.0

        def after(action: int, level: int, lost: bool) -> float:
            if losses:
                episodes.state.path[0, losses + slot] = lost
            episodes.observe_states([slot], [0], [[energy]], [[delay]], [[levels[record]]], levels[[level]])
            reward = np.empty(1)
            episodes.decide(np.array([action]), reward, episodes.empty_observations())
            at = int(np.searchsorted(levels, episodes.record[0, 0]))
            return float(-reward[0]) + cost(slot + 1, int(episodes.energy[0, 0]), int(episodes.delay[0, 0]), at)

        episodes.observe_states([slot], [0], [[energy]], [[delay]], [[levels[record]]], levels[[0]])
        off, on = episodes.action_mask()[0]
        values = [after(0, 0, False)] if off else []
        if on:
            heard = sum(p * after(1, e, False) for e, p in enumerate(power[delay][record]))
            values.append((1.0 - problem.loss) * heard + (problem.loss * after(1, 0, True) if problem.loss else 0.0))
        return min(values)

    start = problem.network.start
    return float(sum(p * cost(1, problem.energy_budget, 1, u) for u, p in enumerate(start)) / problem.horizon)


@pytest.mark.parametrize(("device", "loss", "value"), [(0, 0.0, 11.157078), (13, 0.0, 10.893670), (0, 0.3, 13.658270)])
def test_models_brute_force(device: int, loss: float, value: float) -> None:
    how: dict[str, Any] = {"n_levels": 3, "inference": "hidden", "belief": "chain", "loss": loss}
    assert optimum(Problem.create(PKU, device, 6, 2, 3, **how)) == pytest.approx(value, abs=1e-6)


# ---------------------------------------------------------------------------------------------- what may not be seen


@pytest.mark.parametrize("kind", ["full", "compact", "per_device"])
def test_nothing_moves_with_the_hidden_level_until_a_device_reports(kind: str) -> None:
    kwargs = {"devices": [0, 9, 20], "horizon": 9, "energy_budget": 4, "max_sleep": 5, "inference": "hidden"}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        one, other = (
            MultiDeviceEnv(PKU, **kwargs, loss=0.4, observation=kind, render_mode="ansi", reveal=r)
            for r in (True, False)
        )
        path = rng.integers(0, 47, 10)
        differs = int(rng.integers(1, 10))
        paths = path, np.where(np.arange(10) < differs, path, rng.integers(0, 47, 10))
        seen, info = one.reset(seed=seed, options={"levels": paths[0]})
        also, told = other.reset(seed=seed, options={"levels": paths[1]})
        over = reported = moved = False
        while not over:
            np.testing.assert_array_equal(seen, also)
            assert info.pop("hidden_level") == one.problem.network.levels[paths[0][min(info["slot"], 9)]]
            assert set(info) == set(told), "hidden_level is in no info unless asked for"
            assert all(np.array_equal(info[key], told[key]) for key in told)
            assert all(np.array_equal(x, y) for x, y in zip(one.map(), other.map(), strict=True))
            assert one.render() == other.render()
            action, slot = int(rng.random() < 0.3), info["slot"]
            seen, reward, over, _, info = one.step(action)
            also, other_reward, _, _, told = other.step(action)
            reported = (
                paths[0][slot] != paths[1][slot]
                and one._episodes.record[0].tolist() != other._episodes.record[0].tolist()
            )
            if reported:
                moved = not np.array_equal(seen, also)
                break
            assert reward == other_reward
        assert moved or not reported


def test_losses_and_harvests_do_not_depend_on_the_actions() -> None:
    kwargs = {"horizon": 400, "energy_budget": 40, "max_sleep": 40, "inference": "hidden", "loss": 0.25}
    env = MultiDeviceVectorEnv(8, PKU, [0, 9], **kwargs, harvest=(0.1, 50))
    losses, harvests, length = columns_of(env.problem)
    paths = []
    for action in (0, 1):
        env.reset(seed=3)
        before = env.get_state().arrays.path
        env.step(np.full(8, action))
        np.testing.assert_array_equal(env.get_state().arrays.path, before)
        paths.append(before)
    np.testing.assert_array_equal(*paths)
    assert paths[0].shape == (8, length)
    assert paths[0][:, losses:harvests].mean() == pytest.approx(0.25, abs=0.02)
    assert paths[0][:, harvests:].mean() == pytest.approx(0.1, abs=0.02)
    without = MultiDeviceVectorEnv(8, PKU, [0, 9], **{**kwargs, "loss": 0.0})
    without.reset(seed=3)
    np.testing.assert_array_equal(without.get_state().arrays.path, paths[0][:, :losses])


def test_another_future_follows_the_last_report_not_the_hidden_level() -> None:
    env = MultiDeviceVectorEnv(300, PKU, [0, 9], 40, 5, 30, inference="hidden", loss=0.3)
    env.reset(seed=0)
    for t in range(24):
        env.step(np.full(300, int(t == 6)))  # device 0 in slot 4
    state = env.get_state()[0]
    env.set_state(state, future_seed=5)
    path, known = env._episodes.path, 13 - int(state.arrays.device["delay"].min())
    assert (path[:, : known + 1] == path[0, : known + 1]).all(), "what was reported stays"
    assert len(np.unique(path[:, 13])) > 3, "the present level is drawn anew, since nobody knows it"
    mean, variance = HiddenLevel.of(PKU, "chain", 20).belief.moments(13 - known, path[0, known])
    assert path[:, 13].mean() == pytest.approx(mean, abs=5.0 * np.sqrt(variance / 300))
    assert len(np.unique(env.get_state().arrays.path[:, 41:].mean(axis=1))) > 3, "lost reports too"
    env.set_state(state)
    assert (env._episodes.path == state.arrays.path[:, :41]).all(), "without a seed the original's"


# ------------------------------------------------------------------------------------------------------- the week


def test_a_week_of_five_devices() -> None:
    env = MultiDeviceEnv(PKU, horizon=1008, energy_budget=34, max_sleep=144, inference="hidden", loss=0.2)
    rng, over, total = np.random.default_rng(0), False, 0.0
    env.reset(seed=0)
    while not over:
        observation, reward, over, _, info = env.step(int(rng.random() < 0.03))
        total += float(reward)
        assert env.observation_space.contains(observation)
    assert -total / 1008 == pytest.approx(info["average_joint_error"])
    assert info["delay"].max() > 1, "delays grow beyond D where energy or luck is out"


@pytest.mark.parametrize("belief", ["grown", "chain"])
def test_many_devices_with_any_reports(belief: str) -> None:
    """Compiled and NumPy maps agree, also on readings that are none of the levels."""
    k, m, rng = 64, 20, np.random.default_rng(0)
    problem = Problem.create(PKU, rng.permutation(30)[:m], 300, 5, 60, inference="hidden", belief=belief)
    episodes = Episodes(problem, k, observation="compact")
    delay = np.where(rng.random((k, m)) < 0.3, rng.integers(0, 4, (k, m)), rng.integers(1, 302, (k, m)))
    record, zeros = rng.uniform(1.0, 480.0, (k, m)), np.zeros(k, np.int64)
    episodes.observe_states(zeros + 300, zeros, rng.integers(0, 6, (k, m)), delay, record, rng.choice(PKU.levels, k))
    wanted = problem.infer(delay, record, episodes.level)
    np.testing.assert_allclose(episodes.state.maps[:, 0, :30], wanted.joint_error, rtol=1e-9)
    mean, variance = problem.hidden_level.belief.moments(delay, record)
    rows, fresh = np.arange(k), delay.argmin(axis=1)
    np.testing.assert_allclose(episodes.level, mean[rows, fresh], rtol=1e-12)
    np.testing.assert_allclose(episodes.state.episode["deviation"] ** 2, variance[rows, fresh], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_pictures_where_reports_are_older_than_the_longest_sleep(mode: str) -> None:
    pytest.importorskip("matplotlib")
    kwargs = {"devices": list(range(14)), "horizon": 12, "energy_budget": 5, "max_sleep": 3, "loss": 0.2}
    env = MultiDeviceEnv(PKU, **kwargs, inference="hidden", energy_budgets=[6, *[5] * 12, 4], render_mode=mode)
    _, info = env.reset(seed=0)
    for _ in range(14 * 11):
        _, _, _, _, info = env.step(1)
    assert info["delay"].min() > 3 and info["energy"].max() == 0
    levels, reported = env.scene().levels, 12 - info["delay"]
    np.testing.assert_array_equal(levels[reported], info["record"])
    assert len(levels) == 13 and levels[-1] == pytest.approx(info["level"])
    frame = env.render()
    assert "energy (of 6)" in frame if mode == "ansi" else frame.dtype == np.uint8


# ------------------------------------------------------------------------------------------- networks and lookahead

LOSSY: dict[str, Any] = {"inference": "hidden", "loss": 0.3, "harvest": (0.1, 5)}


def test_compiled_play_and_branches_are_the_environments() -> None:
    k, rng, generator = 16, np.random.default_rng(0), [np.random.default_rng(0)] * 16
    problem = Problem.create(PKU, [0, 9], 15, 4, 6, **LOSSY)
    episodes, replay = (Episodes(problem, k, observation="compact") for _ in range(2))
    weights = np.append(rng.normal(size=32), -0.3).astype(np.float32)
    layers = Layers(np.array([32, 1]), weights)
    path, seen = episodes.draw_path(rng.random((k, episodes.n_uniforms))), episodes.empty_observations()

    def play_on(episodes: Episodes, seen: NDArray[np.float32]) -> NDArray[np.float64]:
        while episodes.slot[0] <= 15:
            episodes.decide((seen @ weights[:-1] + weights[-1] > 0).astype(np.int64), np.empty(k), seen)
        return episodes.total_error.copy()

    for each in (episodes, replay):
        each.begin(np.arange(k), path, seen)
    np.testing.assert_allclose(episodes.play(layers), play_on(replay, seen) / 15, rtol=1e-9)
    episodes.begin(np.arange(k), path, seen)
    found = episodes.branch(layers, np.full((k, 1), 8))
    replay.begin(np.arange(k), path, seen)
    for _ in range(8):
        replay.decide((seen @ weights[:-1] + weights[-1] > 0).astype(np.int64), np.empty(k), seen)
    free, state, totals = replay.action_mask().all(axis=1), replay.copy_state(generator), []
    for action in (0, 1):
        replay.restore(state, generator)
        replay.decide(np.full(k, action), np.empty(k), seen)
        totals.append(play_on(replay, seen))
    assert free.any() and np.isnan(found.gains[~free]).all()
    np.testing.assert_allclose(found.gains[free, 0, 0], (totals[0] - totals[1])[free], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["full", "compact", "per_device"])
def test_a_state_is_observed_from_what_the_server_knows(kind: str) -> None:
    """The info is enough to put a state in place; its level is the believed one."""
    env = MultiDeviceVectorEnv(8, PKU, [0, 9, 20], 20, 3, 8, **LOSSY, observation=kind)
    placed, rng = Episodes(env.problem, 8, observation=kind), np.random.default_rng(0)
    observation, info = env.reset(seed=3)
    over = np.zeros(8, np.bool_)
    while not over.any():
        again = placed.observe_states(*(info[name] for name in ("slot", "turn", "energy", "delay", "record", "level")))
        np.testing.assert_array_equal(again, observation)
        observation, _, over, _, info = env.step(rng.integers(0, 2, 8))
