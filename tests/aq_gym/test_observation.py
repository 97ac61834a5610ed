"""Observations: inside their space for any problem, as documented number by number, and never the live buffer."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aq_gym import SensorNetwork
from aq_gym.envs.joint_devices import JointDevicesEnv
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES, ObservationLayout, error_bound
from aq_gym.problem import Problem

Arguments = dict[str, Any]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["full", "compact", "per_device", "joint"]))
def test_always_inside_the_space(made_up_problem: Callable[..., Arguments], seed: int, kind: str) -> None:
    arguments = made_up_problem(seed, extreme=True, max_devices=8)
    env: Any = JointDevicesEnv(**arguments) if kind == "joint" else MultiDeviceEnv(**arguments, observation=kind)
    rng = np.random.default_rng(seed)
    top = env.problem.network.n_levels
    obs, _ = env.reset(options={"levels": rng.integers(0, top, env.problem.horizon + 1)})
    share, over = rng.random(), False
    while True:
        assert obs.dtype == np.float32
        outside = np.flatnonzero(~((obs >= env.observation_space.low) & (obs <= env.observation_space.high)))
        assert not len(outside), f"{env.describe_observation()[outside[0]]}: {obs[outside[0]]}"
        assert env.observation_space.contains(obs)
        if over:
            break
        action = (
            (rng.random(env.problem.n_devices) < share).astype(int) if kind == "joint" else int(rng.random() < share)
        )
        obs, _, over, _, _ = env.step(action)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
@example(seed=1700)  # reaches the bound, but for rounding
def test_the_bound_on_errors_holds(made_up_problem: Callable[..., Arguments], seed: int) -> None:
    problem = Problem.create(**made_up_problem(seed, extreme=True))
    rng, levels = np.random.default_rng(seed), problem.network.levels
    size = (50, problem.n_devices)
    delay, record = rng.integers(0, problem.max_sleep + 1, size), rng.choice(levels, size)
    level = rng.choice(levels, 50)
    record = np.where(delay == 0, level[:, None], record)
    for fuse in (False, True):
        errors = problem.network.joint_error(problem.devices, delay, record, level, fuse_measured=fuse)
        assert errors.max() <= error_bound(problem) * (1 + 1e-12)


def test_the_bound_counts_the_time_asleep(made_up_network: Callable[..., SensorNetwork]) -> None:
    """Where only the temporal variance matters: one low level, and a long sleep."""
    network = replace(made_up_network(np.random.default_rng(0), 2, 1), levels=np.array([0.1]), temporal_variance=50.0)
    problem = Problem.create(network, [0], 8, 1, 8)
    assert network.joint_error([0], [8], [0.1], 0.1).min() > 19.9
    assert network.joint_error([0], [8], [0.1], 0.1).max() <= error_bound(problem) < 20.1


def test_the_space_is_tight_where_it_can_be() -> None:
    """No empty intervals, and the bounds that a quantity can reach are reached."""
    env = MultiDeviceEnv(devices=[0, 3], horizon=4, energy_budget=2, max_sleep=2)
    space = env.observation_space
    assert space.shape == (2 * 30 + 6 * 2 + 4,)
    assert (space.low < space.high).all()
    assert set(space.low.tolist()) == {-1.0, 0.0}
    assert set(space.high.tolist()) == {1.0}
    seen = [env.reset(options={"levels": [46, 0, 46, 0, 46]})[0]]
    seen += [env.step(0)[0] for _ in range(8)]
    low, high = np.min(seen, axis=0), np.max(seen, axis=0)
    for name, reached in (
        ("turn", 1),
        ("energy", 1),
        ("on", 1),
        ("off", 1),
        ("remaining", 1),
        ("delay", 1),
        ("level", 1),
    ):
        where = env._episodes.layout.slice(name)
        assert (high[where] == reached).all(), name
    assert low[env._episodes.layout.slice("remaining")] == 0


def test_layout() -> None:
    problem = Problem.create("pku2018", [0, 6, 12], 12, 3, 4)
    layout = ObservationLayout.of(problem)
    n, m = 30, 3
    sizes = [s.size for s in layout.segments]
    assert sizes == [m, m, n, m, 1, n, m, 1, 1, m, m, 1]
    assert [s.start for s in layout.segments] == np.cumsum([0, *sizes[:-1]]).tolist()
    assert layout.size == 2 * n + 6 * m + 4 == len(layout.low) == len(layout.high) == len(layout.scale)
    assert layout.slice("delay") == slice(75, 78)
    with pytest.raises(KeyError, match=r"velocity.*turn, energy"):
        layout.slice("velocity")
    with pytest.raises(ValueError, match=r"observation.*full, compact.*'tiny'"):
        ObservationLayout.of(problem, "tiny")
    with pytest.raises(ValueError, match="observation"):
        MultiDeviceVectorEnv(2, devices=[0], observation="tiny")


@pytest.mark.parametrize("kind", ["full", "compact", "per_device"])
def test_describe_observation(kind: str) -> None:
    env = MultiDeviceEnv(devices=[0, 6, 12], horizon=12, energy_budget=3, max_sleep=4, observation=kind)
    env.reset(seed=0)
    for action in (1, 0, 0, 0):
        obs, _, _, _, info = env.step(action)
    numbers = env.describe_observation()
    assert [x.place for x in numbers] == list(range(len(obs)))
    assert len({(x.segment, x.name) for x in numbers}) == len(numbers), "every number has its own name"
    assert all(x.unit and x.segment for x in numbers)
    np.testing.assert_allclose([x.value / x.scale for x in numbers], obs, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal([x.low for x in numbers], env.observation_space.low)
    np.testing.assert_array_equal([x.high for x in numbers], env.observation_space.high)
    if kind != "full":
        names = [name for name, _, _ in COMPACT_FEATURES]
        if kind == "per_device":
            names += [f"device_{m}_{name}" for m in range(3) for name, _, _ in DEVICE_FEATURES]
        assert [x.segment for x in numbers] == names
        return
    value = {x.segment: [y.value for y in numbers if y.segment == x.segment] for x in numbers}
    units = {x.segment: x.unit for x in numbers}
    np.testing.assert_allclose(value["energy"], info["energy"], rtol=1e-6)
    np.testing.assert_allclose(value["delay"], info["delay"], rtol=1e-6)
    np.testing.assert_allclose(value["record"], info["record"], rtol=1e-6)
    np.testing.assert_allclose(value["level"], info["level"], rtol=1e-6)
    np.testing.assert_allclose(value["remaining"], 12 - info["slot"] + 1, rtol=1e-6)
    assert (units["record"], units["delay"], units["decrease_if_on"]) == ("µg/m³", "slots", "µg/m³")
    # A sensing now lowers each location's error by what the description says.
    before = env.map().joint_error
    env.step(1)
    np.testing.assert_allclose(value["decrease_if_on"], before - env.map().joint_error, rtol=1e-5, atol=1e-4)


def test_fresh_arrays() -> None:
    env = MultiDeviceEnv(devices=[0, 6], horizon=6, energy_budget=3, max_sleep=4)
    first, info = env.reset(seed=0)
    results = [(first, info)]
    results += [(out[0], out[4]) for out in (env.step(k % 2) for k in range(12))]
    copies = [(o.copy(), {k: np.copy(v) for k, v in i.items()}) for o, i in results]
    arrays = [o for o, _ in results] + [v for _, i in results for v in i.values() if isinstance(v, np.ndarray)]
    assert not any(np.shares_memory(a, b) for k, a in enumerate(arrays) for b in arrays[:k])
    for array in arrays:
        array[...] = 77  # spoiling what was returned must not spoil the episode
    obs, info = env.reset(seed=0)
    for k, (want, want_info) in enumerate(copies):
        np.testing.assert_array_equal(obs, want)
        for key, value in want_info.items():
            np.testing.assert_array_equal(info[key], value)
        if k < 12:
            obs, _, _, _, info = env.step(k % 2)


# ------------------------------------------------------------------------------------- the compact observation


def clip(x: float) -> float:
    return min(1.0, max(-1.0, x))


def ln(x: float) -> float:
    """The documented "log": natural, over 8, clipped; of at least 1e-12."""
    return clip(log(max(x, 1e-12)) / 8)


def signed(x: float) -> float:
    return ln(1 + x) if x >= 0 else -ln(1 - x)


def compact(model: Any) -> dict[str, float]:
    """`COMPACT_FEATURES` computed from the plain model by their documentation."""
    p, over = model.problem, model.over
    m, turn, e = p.n_devices, 0 if over else model.turn, model.level
    left = p.horizon - model.slot + 1
    energy, delay, record = model.energy, model.delay, model.record
    # The end shows the last slot's error with all its decisions made; before, the present one's.
    error = model.last_error if over else model.errors().mean()
    gain = gain_own = gain_later = 0.0
    if not over:
        decrease, _ = model.decreases([turn])
        gain, gain_own = decrease.mean(), decrease[p.devices[turn]]
        gain_later = model.decreases(model.later())[0].mean()
    share = p.energy_budget / p.horizon
    after = energy[turn + 1 :]
    # A sensing is forced in every slot in which the delay has reached the longest sleep, if it sleeps whenever it can.
    forced = sum(1 for k in range(left) if (delay[turn] + k) % p.max_sleep == 0 and delay[turn] + k > 0)
    freshest = int(np.argmin(delay))
    return {
        "remaining": left / p.horizon,
        "turn": turn / m,
        "energy": energy[turn] / p.energy_budget,
        "energy_inverse": 1 / (1 + energy[turn]),
        "scarcity": ln(left * share / max(energy[turn], 0.5)),
        "scarcity_pooled": ln(left * share * m / max(energy.sum(), 0.5)),
        "scarcity_later": ln(left * share * len(after) / max(after.sum(), 0.5)) if len(after) else 0.0,
        "delay": delay[turn] / p.max_sleep,
        "delay_log": ln(1 + delay[turn]),
        "patience_log": ln(1 + p.max_sleep - delay[turn]),
        "slack": clip((energy[turn] - forced) / p.energy_budget),
        "gain": clip(gain / error),
        "gain_log": clip(1 + log(max(gain / e, 1e-4)) / 8),
        "gain_absolute_log": signed(gain),
        "gain_own": clip(gain_own / error),
        "gain_later": clip(gain_later / error),
        "gain_later_log": signed(gain_later),
        "error_relative": min(1.0, error / e),
        "error_log": ln(error),
        "level": e / p.network.levels[-1],
        "level_log": ln(e),
        "record_ratio": clip(4 * ln(record[turn] / e)),
        "record_distance": ln(1 + abs(record[turn] - e)),
        "freshest_delay_log": ln(1 + delay.min()),
        "freshest_distance": ln(1 + abs(record[freshest] - e)),
        "freshness": float(np.mean(1 / (1 + delay))),
        "delay_mean": delay.mean() / p.max_sleep,
        "record_ratio_mean": clip(4 * float(np.mean(np.log(record / e))) / 8),
        "alive": float(np.mean(energy > 0)),
        "alive_later": (after > 0).sum() / m,
        "sensed": float(np.mean(delay == 0)),
        "sensed_count": ln(1 + (delay == 0).sum()),
    }


@pytest.mark.parametrize("seed", range(18))
def test_compact_numbers_are_what_they_are_called(
    made_up_problem: Callable[..., Arguments], world: type, seed: int
) -> None:
    arguments = made_up_problem(100 + seed, extreme=seed >= 9)
    env = MultiDeviceEnv(**arguments, observation="compact")
    problem, rng = env.problem, np.random.default_rng(seed)
    path = rng.integers(0, problem.network.n_levels, problem.horizon + 1)
    obs, _ = env.reset(options={"levels": path})
    model = world(problem, problem.network.levels[path])
    share = rng.random()
    names = [name for name, _, _ in COMPACT_FEATURES]
    total = 0.0
    while True:
        want = compact(model)
        assert list(want) == names
        np.testing.assert_allclose(obs, list(want.values()), rtol=2e-7, atol=2e-7, err_msg=str(names))
        if model.over:
            break
        action = int(rng.random() < share)
        if model.turn == 0:
            total = 0.0
        total += model.decide(action)[0]
        model.last_error = -total
        obs = env.step(action)[0]


def volatility(problem: Problem) -> float:
    """Of the level in the last slot, by summing over all pairs of levels."""
    network, share = problem.network, problem.network.start
    for _ in range(problem.horizon):
        share = share @ network.transition
    change = sum(
        share[i] * network.transition[i, j] * (network.levels[j] - network.levels[i]) ** 2
        for i in range(network.n_levels)
        for j in range(network.n_levels)
    )
    return min(1.0, float(np.sqrt(change)) / float(share @ network.levels))


def rows_of(model: Any, unrest: float) -> np.ndarray:
    """`DEVICE_FEATURES` of every device, (M, 18), computed from the plain model by their documentation."""
    p, e = model.problem, model.level
    energy, delay, record = model.energy, model.delay, model.record
    need = (p.horizon - model.slot + 1) * p.energy_budget / p.horizon
    errors, (decrease, _) = model.errors(), model.decreases([model.turn])
    rows = [
        {
            "present": 1.0,
            "decides": float(m == model.turn),
            "later": float(m > model.turn),
            "energy": energy[m] / p.energy_budget,
            "energy_inverse": 1 / (1 + energy[m]),
            "scarcity": ln(need / max(energy[m], 0.5)),
            "delay": delay[m] / p.max_sleep,
            "delay_log": ln(1 + delay[m]),
            "record_ratio": clip(4 * ln(record[m] / e)),
            "record_distance": ln(1 + abs(record[m] - e)),
            "error_relative": min(1.0, errors[p.devices[m]] / e),
            "gain": clip(decrease[p.devices[m]] / errors.mean()),
            "quality": ln(np.mean(1 / (p.network.measurement_variance + p.network.variance_relation[p.devices[m]]))),
            "devices": ln(p.n_devices),
            "horizon": ln(p.horizon),
            "period": ln(p.horizon / p.energy_budget),
            "patience": ln(p.max_sleep),
            "volatility": unrest,
        }
        for m in range(p.n_devices)
    ]
    assert list(rows[0]) == [name for name, _, _ in DEVICE_FEATURES]
    return np.array([list(row.values()) for row in rows])


@pytest.mark.parametrize("seed", range(12))
def test_per_device_rows_are_what_they_are_called(
    made_up_problem: Callable[..., Arguments], world: type, seed: int
) -> None:
    arguments = made_up_problem(200 + seed, extreme=seed >= 6)
    env = MultiDeviceEnv(**arguments, observation="per_device")
    twin = MultiDeviceEnv(**arguments, observation="compact")
    problem, rng = env.problem, np.random.default_rng(seed)
    path = rng.integers(0, problem.network.n_levels, problem.horizon + 1)
    obs, _ = env.reset(options={"levels": path})
    compact_obs, _ = twin.reset(options={"levels": path})
    model, share = world(problem, problem.network.levels[path]), rng.random()
    unrest = volatility(problem)
    while not model.over:
        np.testing.assert_allclose(obs[:32], compact_obs, rtol=1e-6, atol=1e-12)  # sums may be reordered
        rows = obs[32:].reshape(problem.n_devices, len(DEVICE_FEATURES))
        np.testing.assert_allclose(rows, rows_of(model, unrest), rtol=2e-7, atol=2e-7)
        action = int(rng.random() < share)
        model.decide(action)
        obs, compact_obs = env.step(action)[0], twin.step(action)[0]


def test_compact_has_the_same_size_for_every_problem() -> None:
    shapes = {
        MultiDeviceEnv(
            devices=d, horizon=t, energy_budget=t, max_sleep=2, observation="compact"
        ).observation_space.shape
        for d, t in (([0], 3), (list(range(30)), 20))
    }
    assert shapes == {(32,)}
