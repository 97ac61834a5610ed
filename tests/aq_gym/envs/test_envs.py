"""The single environments: masks, forced actions, ends, rewards, weather, imposed levels, refusals, snapshots, maps."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import aq_gym  # noqa: F401
from aq_gym import SensorNetwork
from aq_gym.envs.joint_devices import JointDevicesEnv
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.single_device import SingleDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv

SMALL: dict[str, Any] = {"devices": [0, 15, 4], "horizon": 8, "energy_budget": 3, "max_sleep": 3}
VIEWS: list[Callable[..., gym.Env[Any, Any]]] = [
    lambda **k: SingleDeviceEnv(device=4, horizon=8, energy_budget=3, max_sleep=3, **k),
    lambda **k: MultiDeviceEnv(**SMALL, **k),
    lambda **k: MultiDeviceEnv(**SMALL, observation="compact", **k),
    lambda **k: MultiDeviceEnv(**SMALL, observation="per_device", **k),
    lambda **k: JointDevicesEnv(**SMALL, **k),
]
views = pytest.mark.parametrize("make", VIEWS, ids=["single", "sequential", "compact", "per_device", "joint"])


def some_action(env: gym.Env[Any, Any], rng: np.random.Generator) -> Any:
    shape = env.action_space.shape
    return rng.integers(0, 2, shape) if shape else int(rng.integers(2))


def play(env: gym.Env[Any, Any], rng: np.random.Generator, steps: int | None = None) -> list[tuple[Any, ...]]:
    """To the end of the episode, or so many steps."""
    out: list[tuple[Any, ...]] = []
    while len(out) != steps:
        out.append(env.step(some_action(env, rng)))
        if out[-1][2]:
            break
    return out


def assert_same(left: Any, right: Any) -> None:
    """Bit for bit, through tuples, lists and dictionaries."""
    assert type(left) is type(right)
    if isinstance(left, (tuple, list)):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_same(a, b)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    else:
        assert left == right


# ------------------------------------------------------------------------------------ masks, forced actions, ends


def test_forced_actions_by_hand() -> None:
    """One device, B = 2, D = 3, T = 6; it sleeps as long as it may, then has no energy left."""
    env = SingleDeviceEnv(horizon=6, energy_budget=2, max_sleep=3)
    _, info = env.reset(seed=0)
    told = [(info["slot"], int(info["energy"][0]), int(info["delay"][0]), info["action_mask"].tolist(), None, 0)]
    for action in (0, 0, 0, 1, 1, 1):
        _, _, over, truncated, info = env.step(action)
        told.append((info["slot"], int(info["energy"][0]), int(info["delay"][0]), info["action_mask"].tolist(),
                     info["forced"], info["capped"]))  # fmt: skip
        assert not truncated
    assert told == [
        (1, 2, 1, [1, 1], None, 0),
        (2, 2, 2, [1, 1], False, 0),
        (3, 2, 3, [0, 1], False, 0),  # the delay has reached the longest sleep
        (4, 1, 1, [1, 1], True, 0),  # so the wish to sleep was replaced
        (5, 0, 1, [1, 0], False, 0),
        (6, 0, 2, [1, 0], True, 0),  # no energy: the wish to sense was replaced
        (7, 0, 3, [1, 0], True, 0),
    ]
    assert over


def test_the_delay_stays_at_the_longest_sleep_without_energy() -> None:
    env = SingleDeviceEnv(horizon=8, energy_budget=4, max_sleep=2)
    env.reset(seed=0)
    seen = [env.step(1)[4] for _ in range(8)]
    assert [int(i["energy"][0]) for i in seen] == [3, 2, 1, 0, 0, 0, 0, 0]
    assert [int(i["delay"][0]) for i in seen] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert [i["capped"] for i in seen] == [0, 0, 0, 0, 0, 1, 2, 3]
    assert [i["forced"] for i in seen] == [False] * 4 + [True] * 4
    assert all(i["action_mask"].tolist() == [1, 0] for i in seen[3:])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_masks_tell_what_will_be_executed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    budget, sleep = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    m = int(rng.integers(1, 4))
    env = MultiDeviceEnv(
        devices=rng.permutation(30)[:m].tolist(), horizon=budget * sleep, energy_budget=budget, max_sleep=sleep
    )
    _, info = env.reset(seed=seed)
    for decision in range(budget * sleep * m):
        mask = info["action_mask"]
        assert mask.dtype == np.int8
        assert mask.any()
        np.testing.assert_array_equal(env.action_masks(), mask.astype(bool))
        assert env.action_masks().dtype == np.bool_
        turn, energy = info["turn"], info["energy"]
        assert turn == decision % m
        action = int(rng.integers(2))
        _, reward, over, truncated, info = env.step(action)
        executed = action if mask[action] else 1 - action
        assert energy[turn] - info["energy"][turn] == executed
        assert info["forced"] is (executed != action)
        assert type(reward) is float
        assert over is (decision == budget * sleep * m - 1)
        assert truncated is False
        assert (info["energy"] >= 0).all()
        assert (info["delay"] <= sleep).all()
        alive = info["energy"] > 0
        assert not (alive & (info["delay"] > sleep)).any()


@views
def test_the_end(make: Callable[..., gym.Env[Any, Any]]) -> None:
    env: Any = make()
    env.reset(seed=3)
    played = play(env, np.random.default_rng(0))
    assert len(played) == (8 if env.problem.n_devices == 1 or "Joint" in type(env).__name__ else 24)
    assert [out[2] for out in played] == [False] * (len(played) - 1) + [True]
    obs, _, _, _, info = played[-1]
    assert info["slot"] == 9
    assert info["turn"] == 0
    assert info["level"] == env.get_state().arrays.path[0, 8], "no level is drawn for slot T + 1"
    numbers = {x.segment: x.value for x in env.describe_observation()}
    assert numbers["remaining"] == 0
    if "Joint" in type(env).__name__:
        assert info["action_mask"].tolist() == [0, 0, 0]
    else:
        assert info["action_mask"].tolist() == [1, 0]
        assert env.action_masks().tolist() == [True, False]
    layout = env._episodes.layout
    if layout.kind == "full":
        for name in ("decrease_if_on", "own_if_on", "on", "decrease_if_off", "own_if_off", "off"):
            assert not obs[layout.slice(name)].any(), name
    average = -sum(out[1] for out in played) / 8
    assert info["average_joint_error"] == pytest.approx(average, rel=1e-12)
    errors = [out[4]["joint_error"] for out in played if "joint_error" in out[4]]
    assert len(errors) == 8
    assert np.mean(errors) == pytest.approx(average, rel=1e-12)
    assert [out[4].get("average_joint_error") for out in played[:-1]] == [None] * (len(played) - 1)


# ----------------------------------------------------------------------------------------------- infos and types


@views
def test_info_has_the_documented_keys_and_types(make: Callable[..., gym.Env[Any, Any]]) -> None:
    env: Any = make()
    raw = {"action_mask", "slot", "turn", "energy", "delay", "record", "level", "capped"}
    _, info = env.reset(seed=0)
    assert info.keys() == raw
    m = env.problem.n_devices
    joint = isinstance(env, JointDevicesEnv)
    for out in [(None,) * 4 + (info,), *play(env, np.random.default_rng(0))]:
        info = out[4]
        extra = {"forced", "joint_error", "average_joint_error"}
        assert raw <= info.keys() <= raw | extra
        for key in ("energy", "delay", "record"):
            assert info[key].shape == (m,)
        assert info["action_mask"].dtype == np.int8
        assert info["action_mask"].shape == ((m,) if joint else (2,))
        assert type(info["slot"]) is type(info["turn"]) is type(info["capped"]) is int
        assert type(info["level"]) is float
        if "forced" in info:
            assert isinstance(info["forced"], np.ndarray if joint else bool)
            assert np.shape(info["forced"]) == ((m,) if joint else ())


# ------------------------------------------------------------------------------------------------------ weather


@views
def test_the_weather_ignores_the_actions(make: Callable[..., gym.Env[Any, Any]]) -> None:
    env = make()
    paths = []
    for choice in (0, 1, 2):
        env.reset(seed=11)
        play(env, np.random.default_rng(choice))
        paths.append(env.unwrapped.get_state().arrays.path)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(paths[0], paths[1])
    np.testing.assert_array_equal(paths[0], paths[2])
    env.reset(seed=12)
    assert not np.array_equal(env.unwrapped.get_state().arrays.path, paths[0])  # type: ignore[attr-defined]


def test_all_views_share_the_weather() -> None:
    paths = []
    for make in VIEWS[1:]:
        env: Any = make()
        env.reset(seed=4)
        paths.append(env.get_state().arrays.path)
    np.testing.assert_array_equal(paths[0], paths[1])
    np.testing.assert_array_equal(paths[0], paths[2])


def test_the_weather_does_not_depend_on_devices_or_energy() -> None:
    """Common random numbers hold across problems too: the draws are one per slot, made at reset."""
    paths = []
    for kwargs in (
        {"devices": [3], "energy_budget": 8},
        {"devices": [1, 2], "energy_budget": 4, "fuse_measured": True},
    ):
        env = MultiDeviceEnv(horizon=8, max_sleep=2, **kwargs)
        env.reset(seed=4)
        play(env, np.random.default_rng(0))
        env.reset()
        paths.append(env.get_state().arrays.path)
    np.testing.assert_array_equal(*paths)


def test_two_episodes_differ_and_reseeding_repeats_them() -> None:
    env = MultiDeviceEnv(**SMALL)
    runs = []
    for _ in range(2):
        runs.append([env.reset(seed=9)[0], *(env.reset()[0] for _ in range(3))])
    assert_same(runs[0], runs[1])
    assert len({obs.tobytes() for obs in runs[0]}) == 4


# ----------------------------------------------------------------------------------------------- imposed levels


@views
def test_imposed_levels(make: Callable[..., gym.Env[Any, Any]]) -> None:
    env: Any = make()
    indices = np.array([46, 0, 3, 3, 20, 1, 45, 46, 2])
    levels = env.problem.network.levels[indices]
    for given_as in (indices, indices.tolist(), tuple(indices.tolist()), indices.astype(np.uint8)):
        _, info = env.reset(seed=1, options={"levels": given_as})
        assert info["level"] == levels[1]
        assert (info["record"] == levels[0]).all()
        np.testing.assert_array_equal(env.get_state().arrays.path[0], levels)
        played = play(env, np.random.default_rng(0))
        told = [info["level"], *(out[4]["level"] for out in played if "joint_error" in out[4])]
        np.testing.assert_array_equal(told, [*levels[1:], levels[8]])


@views
def test_imposing_levels_still_makes_the_draws(make: Callable[..., gym.Env[Any, Any]]) -> None:
    one, other = make(), make()
    one.reset(seed=5)
    other.reset(seed=5, options={"levels": [0] * 9})
    assert_same(one.reset(), other.reset())
    assert_same(one.reset(options={"levels": [1] * 9}), other.reset(options={"levels": [1] * 9}))
    assert_same(one.reset(), other.reset())
    assert_same(one.reset(options={}), other.reset(options=None))


BAD_LEVELS: list[Any] = [
    [0] * 8, [0] * 10, [], [[0] * 9], np.zeros((1, 9), int), [0.0] * 9, [0.5] * 9, [float("nan")] * 9, ["0"] * 9,
    [None] * 9, [True] * 9, [0] * 8 + [47], [-1] + [0] * 8, [0] * 8 + [[0]], "0", 0, None, {"a": 1}, [2**70] * 9,
]  # fmt: skip


@pytest.mark.parametrize("levels", BAD_LEVELS, ids=lambda x: repr(x)[:25])
def test_bad_levels_are_refused(levels: Any) -> None:
    env = MultiDeviceEnv(**SMALL)
    with pytest.raises(ValueError, match="levels"):
        env.reset(options={"levels": levels})
    with pytest.raises(ValueError, match="levels"):
        gym.make("aq_gym/MultiDevice-v0", **SMALL).reset(options={"levels": levels})


@pytest.mark.parametrize(
    "options", [{"level": [0] * 9}, {"levels": [0] * 9, "wind": 3}, {3: 4}, {"reset_mask": [True]}]
)
def test_unknown_options_are_refused(options: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"options.*levels"):
        MultiDeviceEnv(**SMALL).reset(options=options)


@pytest.mark.parametrize("options", [[0] * 9, "", "levels", 0, True, 2.5, [], np.zeros(9, int)], ids=repr)
def test_options_that_are_no_mapping_are_refused(options: Any) -> None:
    for env in (MultiDeviceEnv(**SMALL), MultiDeviceVectorEnv(2, **SMALL)):
        with pytest.raises(ValueError, match=r"options: expected a mapping such as \{'levels': indices\}, got"):
            env.reset(options=options)


def test_the_refused_place_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[7\].*99.*0\.\.46"):
        MultiDeviceEnv(**SMALL).reset(options={"levels": [0, 1, 2, 3, 4, 5, 6, 99, 8]})


# ----------------------------------------------------------------------------------------------------- refusals


NO_ACTION: list[Any] = [
    2, -1, 0.5, 1.0, float("nan"), None, "on", "1", b"1", [1], (), {}, np.array([1]), np.array([]), True, False,
    np.True_, np.float32(1), np.array(1.0), np.array("1"), 2**70, np.int8(-1), np.uint8(255), 1 + 0j, object,
    torch.tensor(2), torch.tensor([1]), torch.tensor(0.5), np.timedelta64(1, "s"),
]  # fmt: skip


@pytest.mark.parametrize("action", NO_ACTION, ids=lambda x: f"{type(x).__name__}-{x!r}"[:30])
@pytest.mark.parametrize("wrapped", [True, False])
def test_what_is_no_action_is_refused(action: Any, wrapped: bool) -> None:
    env: Any = gym.make("aq_gym/MultiDevice-v0", **SMALL)
    env = env if wrapped else env.unwrapped
    env.reset(seed=0)
    env.step(0)
    before = env.unwrapped.get_state()
    with pytest.raises(ValueError, match="action: expected 0"):
        env.step(action)
    assert_same(list(env.unwrapped.get_state().arrays), list(before.arrays))
    env.step(1)


@pytest.mark.parametrize("action", [0, 1, np.int64(1), np.int8(0), np.uint8(1), np.array(1), np.array(0, np.int32)])
def test_what_is_an_action(action: Any) -> None:
    one, other = MultiDeviceEnv(**SMALL), MultiDeviceEnv(**SMALL)
    one.reset(seed=0)
    other.reset(seed=0)
    assert_same(one.step(action), other.step(int(action)))


NO_JOINT_ACTION: list[Any] = [
    1, None, "on", [1, 0], [1, 0, 1, 0], [[1, 0, 1]], [1, 0, 2], [1, 0, -1], [1, 0, 0.5], [1, 0, None],
    ["1", "0", "1"], [1, 0, float("nan")], np.ones((3, 1), int), np.full(3, 0.5), [1.0, float("inf"), 0.0],
    [[1], [0], [1, 1]], [1, 0, 2**70], {}, np.array([0, 1, 255], np.uint8),
]  # fmt: skip


@pytest.mark.parametrize("action", NO_JOINT_ACTION, ids=lambda x: f"{type(x).__name__}-{x!r}"[:30])
def test_what_is_no_joint_action_is_refused(action: Any) -> None:
    for env in (JointDevicesEnv(**SMALL), gym.make("aq_gym/JointDevices-v0", **SMALL)):
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"actions.*expected.*0"):
            env.step(action)


def test_joint_actions_of_any_type_that_the_space_contains() -> None:
    """SB3 samples MultiBinary as float32."""
    results = []
    types: list[Any] = [np.int8, np.uint64, np.float32, np.float64, np.bool_]
    for action in ([1, 0, 1], (1, 0, 1), [1.0, 0.0, 1.0], *(np.array([1, 0, 1], kind) for kind in types)):
        env = JointDevicesEnv(**SMALL)
        env.reset(seed=0)
        results.append(env.step(action))
    for other in results[1:]:
        assert_same(results[0], other)


@pytest.mark.parametrize("env_id", ["aq_gym/MultiDevice-v0", "aq_gym/JointDevices-v0"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_step_needs_a_running_episode(env_id: str, wrapped: bool) -> None:
    env: Any = gym.make(env_id, **SMALL)
    env = env if wrapped else env.unwrapped
    action = env.action_space.sample()
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(action)
    for _ in range(2):
        env.reset(seed=0)
        play(env, np.random.default_rng(0))
        for _ in range(2):
            with pytest.raises(ResetNeeded, match="after the end"):
                env.step(action)


@pytest.mark.parametrize("method", ["get_state", "map", "describe_observation", "scene"])
def test_before_the_first_reset_there_is_nothing_to_tell(method: str) -> None:
    with pytest.raises(ResetNeeded, match=method):
        getattr(MultiDeviceEnv(**SMALL), method)()


NONSENSE: list[tuple[str, str, Any]] = [
    *(("MultiDevice-v0", "devices", x) for x in ([], [0, 0], [0, 30], [-1], "01", [1.5], [True], None, np.array(3))),
    *(("MultiDevice-v0", "horizon", x) for x in (0, -1, 1.5, "60", None, True, 121)),
    *(("MultiDevice-v0", "energy_budget", x) for x in (0, 4, 2.5, None)),
    *(("MultiDevice-v0", "max_sleep", x) for x in (0, 5, "12", False)),
    *(("MultiDevice-v0", "network", x) for x in ("atlantis", None, 3)),
    *(("MultiDevice-v0", "n_levels", x) for x in (0, 48, 2.5, True)),
    *(("MultiDevice-v0", "fuse_measured", x) for x in (1, "no", None)),
    *(("MultiDevice-v0", "observation", x) for x in ("tiny", None, 3)),
    *(("SingleDevice-v0", "device", x) for x in (-1, 30, [0], "0", None, True, 0.0)),
    *(("JointDevices-v0", "devices", x) for x in ([], [0, 0], [30])),
]


@pytest.mark.parametrize(("name", "argument", "value"), NONSENSE, ids=lambda x: str(x)[:20])
@pytest.mark.parametrize("vector", [False, True])
def test_nonsense_is_refused_at_make(name: str, argument: str, value: Any, vector: bool) -> None:
    with pytest.raises(ValueError, match=argument) as caught:
        if vector:
            gym.make_vec(f"aq_gym/{name}", num_envs=2, **{argument: value})
        else:
            gym.make(f"aq_gym/{name}", **{argument: value})
    assert "expected" in str(caught.value) or len(str(caught.value)) > 40


@pytest.mark.parametrize("name", ["SingleDevice-v0", "MultiDevice-v0", "JointDevices-v0"])
def test_unknown_arguments_are_named(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match="batteries"):
        gym.make(f"aq_gym/{name}", batteries=3)
    with pytest.raises((TypeError, ValueError), match="batteries"):
        gym.make_vec(f"aq_gym/{name}", num_envs=2, batteries=3)


def test_unknown_render_mode() -> None:
    with pytest.raises(ValueError, match=r"render_mode.*rgb_array"):
        MultiDeviceEnv(**SMALL, render_mode="human")


# ---------------------------------------------------------------------------------------------------- snapshots


@views
def test_a_restored_state_continues_the_same(make: Callable[..., gym.Env[Any, Any]]) -> None:
    env: Any = make()
    env.reset(seed=2)
    play(env, np.random.default_rng(0), steps=5)
    state = env.get_state()

    def future(env: gym.Env[Any, Any]) -> list[Any]:
        rng = np.random.default_rng(7)
        return [play(env, rng), env.reset(), play(env, rng), env.reset(options={"levels": [1] * 9}), env.reset()]

    want = future(env)
    other: Any = make()
    for target in (env, other):  # also into an environment that was never reset
        target.set_state(state)
        assert_same(future(target), want)
    other.reset(seed=99)
    play(other, np.random.default_rng(3))
    other.set_state(pickle.loads(pickle.dumps(state)))
    assert_same(future(other), want)


@views
def test_a_state_branches(make: Callable[..., gym.Env[Any, Any]]) -> None:
    env: Any = make()
    env.reset(seed=2)
    play(env, np.random.default_rng(0), steps=2)
    state = env.get_state()
    saved = [x.copy() for x in state.arrays]
    zero = np.zeros(env.action_space.shape, int) if env.action_space.shape else 0
    runs = []
    for first in (zero, zero + 1, zero):
        env.set_state(state)
        runs.append([env.step(first), *play(env, np.random.default_rng(1))])
    assert_same(runs[0], runs[2])
    assert runs[0][0][1] != runs[1][0][1]
    assert_same(list(state.arrays), saved)


@pytest.mark.parametrize("seed", [-1, 2.5, "3", True, [1], np.nan], ids=repr)
def test_a_future_seed_that_is_none_leaves_the_episode_as_it_was(seed: Any) -> None:
    env, other = MultiDeviceEnv(**SMALL), MultiDeviceEnv(**SMALL)
    env.reset(seed=1)
    other.reset(seed=2)
    with pytest.raises(ValueError, match="future_seed"):
        env.set_state(other.get_state(), future_seed=seed)
    assert not np.array_equal(env.get_state().arrays.path, other.get_state().arrays.path)


def test_a_future_seed_keeps_past_and_present() -> None:
    env = MultiDeviceEnv(**SMALL)
    env.reset(seed=2)
    play(env, np.random.default_rng(0), steps=13)
    state = env.get_state()
    obs = env._episodes.observe()
    paths = []
    for seed in (0, 0, 1, 2, 3):
        env.set_state(state, future_seed=seed)
        np.testing.assert_array_equal(env._episodes.observe(), obs)
        paths.append(env.get_state().arrays.path[0])
    slot = int(state.arrays.episode["slot"][0])
    assert slot == 5
    np.testing.assert_array_equal(paths[0], paths[1])
    assert len({path.tobytes() for path in paths}) > 2
    for path in paths:
        np.testing.assert_array_equal(path[: slot + 1], state.arrays.path[0, : slot + 1])
        index = np.searchsorted(env.problem.network.levels, path)
        assert (env.problem.network.transition[index[:-1], index[1:]] > 0).all()
    env.set_state(state)
    np.testing.assert_array_equal(env.get_state().arrays.path, state.arrays.path)


def test_a_future_seed_at_the_end_changes_nothing() -> None:
    env = MultiDeviceEnv(**SMALL)
    env.reset(seed=2)
    play(env, np.random.default_rng(0))
    state = env.get_state()
    env.set_state(state, future_seed=4)
    assert_same(list(env.get_state().arrays), list(state.arrays))
    with pytest.raises(ResetNeeded):
        env.step(0)


FOREIGN: list[dict[str, Any]] = [
    {"devices": [0, 15]}, {"devices": [0, 15, 5]}, {"devices": [15, 0, 4]}, {"horizon": 7}, {"horizon": 9},
    {"energy_budget": 4}, {"max_sleep": 4}, {"fuse_measured": True}, {"n_levels": 6}, {"network": "pku2018-spring"},
]  # fmt: skip


@pytest.mark.parametrize("change", FOREIGN, ids=str)
def test_a_foreign_state_is_refused(change: dict[str, Any]) -> None:
    env, other = MultiDeviceEnv(**SMALL), MultiDeviceEnv(**{**SMALL, **change})
    other.reset(seed=0)
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(ValueError, match="state"):
        env.set_state(other.get_state())
    assert_same(list(env.get_state().arrays), list(before.arrays))


def test_a_state_of_the_other_view_is_refused() -> None:
    sequential, joint = MultiDeviceEnv(**SMALL), JointDevicesEnv(**SMALL)
    sequential.reset(seed=0)
    joint.reset(seed=0)
    with pytest.raises(ValueError, match="state"):
        joint.set_state(sequential.get_state())
    with pytest.raises(ValueError, match="state"):
        sequential.set_state(joint.get_state())


@views
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_in_mid_episode_continue_alike(
    make: Callable[..., gym.Env[Any, Any]], duplicate: Callable[[Any], Any]
) -> None:
    env = make()
    env.reset(seed=1)
    play(env, np.random.default_rng(0), steps=4)
    twin = duplicate(env)
    futures = []
    for e in (env, twin):
        rng = np.random.default_rng(2)
        futures.append([play(e, rng), e.reset(), play(e, rng)])
    assert_same(futures[0], futures[1])
    assert not any(
        np.shares_memory(a, b)
        for a, b in zip(env.unwrapped._episodes.state, twin.unwrapped._episodes.state, strict=True)  # type: ignore[attr-defined]
    )


# ------------------------------------------------------------------------------------------------ maps and views


@views
def test_map(make: Callable[..., gym.Env[Any, Any]]) -> None:
    env: Any = make()
    info = env.reset(seed=1)[1]
    network, rng = env.problem.network, np.random.default_rng(3)
    measured = 0
    for _ in range(8):
        got = env.map()
        assert all(x.shape == (30,) for x in got)
        want = network.joint_error(env.problem.devices, info["delay"], info["record"], info["level"])
        np.testing.assert_allclose(got.joint_error, want, rtol=1e-12)
        np.testing.assert_allclose(got.joint_error**2, got.standard_deviation**2 + (got.mean - info["level"]) ** 2)
        assert set(np.flatnonzero(got.measured)) == {
            d for d, delay in zip(env.problem.devices, info["delay"], strict=True) if delay == 0
        }
        measured += got.measured.sum()
        info = env.step(some_action(env, rng))[4]
    assert measured > 0 or env.problem.n_devices == 1 or isinstance(env, JointDevicesEnv)


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_proposition_3_both_views_earn_the_same(seed: int, fuse: bool) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 11))
    kwargs: dict[str, Any] = {"devices": rng.permutation(30)[:m].tolist(), "horizon": 12, "energy_budget": 4}
    kwargs |= {"max_sleep": int(rng.integers(3, 6)), "fuse_measured": fuse}
    sequential, joint = MultiDeviceEnv(**kwargs), JointDevicesEnv(**kwargs)
    sequential.reset(seed=seed)
    joint.reset(seed=seed)
    for _ in range(12):
        actions: NDArray[np.int64] = rng.integers(0, 2, m)
        _, reward, over, _, told = joint.step(actions)
        outs = [sequential.step(int(a)) for a in actions]
        assert sum(float(out[1]) for out in outs) == pytest.approx(float(reward), rel=1e-11)
        assert [out[4]["forced"] for out in outs] == told["forced"].tolist()
        info = outs[-1][4]
        assert info["joint_error"] == pytest.approx(told["joint_error"], rel=1e-11)
        for key in ("slot", "turn", "level", "capped", "energy", "delay", "record"):
            np.testing.assert_array_equal(info[key], told[key])
        assert outs[-1][2] == over
    assert info["average_joint_error"] == pytest.approx(told["average_joint_error"], rel=1e-11)


def test_a_single_device_is_the_sequential_view_with_one() -> None:
    kwargs = {"horizon": 8, "energy_budget": 3, "max_sleep": 3}
    one, other = SingleDeviceEnv(device=7, **kwargs), MultiDeviceEnv(devices=[7], **kwargs)
    assert_same(one.reset(seed=1), other.reset(seed=1))
    assert_same(play(one, np.random.default_rng(0)), play(other, np.random.default_rng(0)))


def test_a_network_object_serves_as_argument() -> None:
    network = SensorNetwork.load("pku2018").coarsen(6)
    kwargs = {"horizon": 24, "energy_budget": 4, "max_sleep": 8}
    by_value: Any = gym.make("aq_gym/MultiDevice-v0", network=network, devices=[0, 15], **kwargs)
    by_name: Any = gym.make("aq_gym/TwoDevices-v0")
    assert by_value.unwrapped.problem.network is network
    assert_same(by_value.reset(seed=3), by_name.reset(seed=3))
    assert_same(play(by_value, np.random.default_rng(0)), play(by_name, np.random.default_rng(0)))
    envs = gym.make_vec("aq_gym/MultiDevice-v0", num_envs=2, network=network, devices=[0, 15], **kwargs)
    envs.reset(seed=3)
    assert_same(pickle.loads(pickle.dumps(by_value)).unwrapped.problem.network, network)
