"""The native vector environments: bit for bit what SyncVectorEnv over single ones returns, and what goes beyond it."""

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from numpy.typing import NDArray

import aq_gym  # noqa: F401
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import JointDevicesVectorEnv, MultiDeviceVectorEnv
from aq_gym.kernels.batch import full as full_view
from aq_gym.kernels.chain import cumulative

MODES = [mode.value for mode in AutoresetMode]
# id, arguments, decisions (joint view: slots) an episode
THREE = {"devices": [2, 7, 1], "horizon": 7, "energy_budget": 3, "max_sleep": 3}
IDS: list[tuple[str, dict[str, Any], int]] = [
    ("SingleDevice-v0", {"horizon": 12, "energy_budget": 3, "max_sleep": 5}, 12),
    ("TwoDevices-v0", {"horizon": 10, "energy_budget": 3, "max_sleep": 4}, 20),
    ("MultiDevice-v0", {"horizon": 7, "energy_budget": 3, "max_sleep": 3}, 35),
    (
        "MultiDevice-v0",
        {**THREE, "observation": "compact"},
        21,
    ),
    ("MultiDevice-v0", {**THREE, "observation": "per_device"}, 21),
    (
        "MultiDevice-v0",
        {**THREE, "fuse_measured": True},
        21,
    ),
    ("JointDevices-v0", {"horizon": 8, "energy_budget": 3, "max_sleep": 3}, 8),
    ("MultiDevice-Lossy-Week-v0", {**THREE, "reveal": True, "harvest": [0.3, 5]}, 21),
    ("JointDevices-v0", {**THREE, "inference": "hidden", "loss": 0.4, "energy_budgets": [3, 3, 3]}, 7),
]
NAMES = ["single", "two", "multi", "compact", "per_device", "fused", "joint", "lossy", "joint-lossy"]
every_id = pytest.mark.parametrize(("name", "kwargs", "length"), IDS, ids=NAMES)
every_mode = pytest.mark.parametrize("mode", MODES)
SMALL: dict[str, Any] = {"devices": [0, 15, 4], "horizon": 8, "energy_budget": 3, "max_sleep": 3}


def both(name: str, kwargs: dict[str, Any], mode: str, n: int = 4) -> tuple[VectorEnv, VectorEnv]:
    """The native vector environment and Gymnasium's."""
    native = gym.make_vec(
        f"aq_gym/{name}", num_envs=n, vectorization_mode="vector_entry_point", autoreset_mode=mode, **kwargs
    )
    sync = gym.make_vec(
        f"aq_gym/{name}", num_envs=n, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **kwargs
    )
    assert isinstance(sync.unwrapped, SyncVectorEnv)
    return native, sync


def assert_same(native: Any, sync: Any, where: str = "") -> None:
    """Bit for bit: values, types, shapes, and in infos every key and mask."""
    if isinstance(sync, (tuple, list)):
        assert len(native) == len(sync), where
        for k, (a, b) in enumerate(zip(native, sync, strict=True)):
            assert_same(a, b, f"{where}[{k}]")
    elif isinstance(sync, dict):
        assert native.keys() == sync.keys(), where
        for key in sync:
            assert_same(native[key], sync[key], f"{where}.{key}")
    elif sync is None:
        assert native is None, where
    else:
        assert type(native) is type(sync), where
        assert native.dtype == sync.dtype, where
        assert native.shape == sync.shape, where
        if native.dtype == object:
            assert_same(list(native), list(sync), where)
        else:
            np.testing.assert_array_equal(native, sync, err_msg=where)


def actions(envs: VectorEnv, rng: np.random.Generator, share: float = 0.5) -> NDArray[np.int64]:
    """Any actions, legal or not."""
    return (rng.random(envs.action_space.shape) < share).astype(int)


# ------------------------------------------------------------------------------------------ parity with SyncVectorEnv


@every_id
@every_mode
def test_three_episodes_of_any_actions(name: str, kwargs: dict[str, Any], length: int, mode: str) -> None:
    native, sync = both(name, kwargs, mode)
    assert native.observation_space == sync.observation_space
    assert native.action_space == sync.action_space
    assert native.single_observation_space == sync.single_observation_space
    assert native.single_action_space == sync.single_action_space
    assert native.metadata["autoreset_mode"] == sync.metadata["autoreset_mode"] == AutoresetMode(mode)
    rng = np.random.default_rng(length)
    assert_same(native.reset(seed=5), sync.reset(seed=5), "reset")
    keys: set[str] = set()
    forced = ends = 0
    for t in range(3 * (length + 1)):
        act = actions(native, rng, share=(0.1, 0.5, 0.9)[t // (length + 1)])
        got, want = native.step(act), sync.step(act.copy())
        assert_same(got, want, f"step {t}")
        assert native.observation_space.contains(got[0])
        keys |= got[4].keys()
        forced += int(np.sum(got[4].get("forced", 0)))
        ends += int(got[2].any())
        if mode == "Disabled" and got[2].any():
            mask = {"reset_mask": got[2]}
            assert_same(native.reset(options=dict(mask)), sync.reset(options=dict(mask)), f"reset after {t}")
    assert ends == 3
    assert forced > 0
    assert {"joint_error", "_joint_error", "forced", "_forced", "action_mask", "_action_mask"} <= keys
    assert ({"final_obs", "_final_obs", "final_info", "_final_info"} <= keys) == (mode == "SameStep")
    assert ("average_joint_error" in keys) == (mode != "SameStep")


@every_id
@every_mode
def test_rows_out_of_step(name: str, kwargs: dict[str, Any], length: int, mode: str) -> None:
    """Resetting some episodes halfway: from then on they end at different times."""
    native, sync = both(name, kwargs, mode)
    rng = np.random.default_rng(1)
    assert_same(native.reset(seed=[3, 1, 4, 1]), sync.reset(seed=[3, 1, 4, 1]), "reset")
    for t in range(3 * length):
        if t in (2, length // 2, length + 3):
            mask = rng.random(4) < 0.5
            mask[t % 4] = True
            seed = [None, 7, None, 8] if t == 2 else None
            got = native.reset(seed=seed, options={"reset_mask": mask.copy()})
            want = sync.reset(seed=seed, options={"reset_mask": mask.copy()})
            assert_same(got, want, f"reset at {t}")
        act = actions(native, rng)
        got, want = native.step(act), sync.step(act.copy())
        assert_same(got, want, f"step {t}")
        if mode == "Disabled" and got[2].any():
            over = {"reset_mask": got[2]}
            assert_same(native.reset(options=dict(over)), sync.reset(options=dict(over)), f"reset after {t}")


@every_mode
def test_seeds_and_generators(mode: str) -> None:
    native, sync = both("MultiDevice-v0", SMALL, mode)
    for seed in (3, [5, 6, 7, 8], (2, 2, 2, 2), 2**70):
        assert_same(native.reset(seed=seed), sync.reset(seed=seed), str(seed))  # type: ignore[arg-type]
        assert native.np_random_seed == sync.np_random_seed
        states = [[g.bit_generator.state for g in envs.np_random] for envs in (native, sync)]
        assert states[0] == states[1]
    assert_same(native.reset(seed=[None, 4, None, None]), sync.reset(seed=[None, 4, None, None]))
    assert_same(native.reset(), sync.reset())
    assert native.np_random_seed == sync.np_random_seed
    same = native.reset(seed=[9, 9, 9, 9])[0]
    assert (same == same[0]).all()


def test_unseeded_episodes_differ() -> None:
    """Their weather over sixty slots, which no two share but by a miracle."""
    envs, others = MultiDeviceVectorEnv(4), MultiDeviceVectorEnv(4)
    assert len(envs.np_random) == len(set(envs.np_random_seed)) == 4
    envs.reset()
    others.reset()
    assert len({path.tobytes() for each in (envs, others) for path in each._episodes.path}) == 8


def test_a_wrong_number_of_seeds() -> None:
    with pytest.raises(ValueError, match=r"seed.*4"):
        MultiDeviceVectorEnv(4, **SMALL).reset(seed=[1, 2, 3])


def test_of_seeds_of_which_one_is_wrong_none_is_taken() -> None:
    envs, twin = (MultiDeviceVectorEnv(2, **SMALL) for _ in range(2))
    for each in (envs, twin):
        each.reset(seed=[1, 2])
    with pytest.raises(gym.error.Error, match="-1"):
        envs.reset(seed=[5, -1])
    assert envs.np_random_seed == (1, 2)
    np.testing.assert_array_equal(envs.reset()[0], twin.reset()[0])


@every_mode
def test_final_info_is_where_same_step_puts_it(mode: str) -> None:
    envs = MultiDeviceVectorEnv(3, autoreset_mode=mode, **SMALL)
    envs.reset(seed=0)
    total, errors = np.zeros(3), []
    for _ in range(24):
        _, rewards, terminated, _, infos = envs.step(np.zeros(3, int))
        total += rewards
        told = infos.get("final_info", infos)
        if "joint_error" in told:
            errors.append(told["joint_error"])
    assert terminated.all()
    assert ("final_info" in infos) == (mode == "SameStep")
    np.testing.assert_allclose(told["average_joint_error"], -total / 8, rtol=1e-12)
    np.testing.assert_allclose(np.mean(errors, axis=0), -total / 8, rtol=1e-12)
    if mode == "SameStep":
        assert (infos["slot"] == 1).all()
        assert (told["slot"] == 9).all()


def test_next_step_ignores_the_action_of_the_reset() -> None:
    envs = MultiDeviceVectorEnv(2, **SMALL)
    envs.reset(seed=0)
    for _ in range(24):
        terminated = envs.step(np.zeros(2, int))[2]
    assert terminated.all()
    _, rewards, terminated, truncated, infos = envs.step(np.array([7, -3]))
    assert not rewards.any() and not terminated.any() and not truncated.any()
    assert (infos["slot"] == 1).all()
    assert "forced" not in infos
    with pytest.raises(ValueError, match="actions"):
        envs.step(np.array([7, -3]))


# -------------------------------------------------------------------------------------------------- imposed levels


def test_imposed_levels() -> None:
    envs = MultiDeviceVectorEnv(3, **SMALL)
    rng = np.random.default_rng(0)
    paths = rng.integers(0, 47, (3, 9))
    levels = envs.problem.network.levels
    envs.reset(seed=0, options={"levels": paths})
    np.testing.assert_array_equal(envs.get_state().arrays.path, levels[paths])
    envs.reset(options={"levels": paths[1].tolist()})
    np.testing.assert_array_equal(envs.get_state().arrays.path, levels[paths[[1, 1, 1]]])
    mask = np.array([True, False, True])
    envs.reset(options={"levels": paths, "reset_mask": mask})
    np.testing.assert_array_equal(envs.get_state().arrays.path, levels[paths[[0, 1, 2]]])

    native, sync = both("MultiDevice-v0", SMALL, "Disabled")  # a 1-D path serves every episode, as it does there
    path = {"levels": [3] * 9}
    assert_same(native.reset(seed=2, options=dict(path)), sync.reset(seed=2, options=dict(path)))
    assert_same(native.reset(), sync.reset())


@pytest.mark.parametrize(
    "options",
    [
        *({"levels": x} for x in ([0] * 8, np.zeros((2, 9), int), np.zeros((9, 3), int), np.zeros((3, 9)), "0", None)),
        *({"levels": x} for x in ([47] * 9, [[0] * 9, [0] * 9, [0] * 8], [True] * 9, np.zeros((3, 9, 1), int))),
        *({"reset_mask": x} for x in ([True] * 3, np.zeros(3, bool), np.ones(2, bool), np.ones(3, int), True)),
        {"level": [0] * 9},
        {"levels": [0] * 9, "mask": np.ones(3, bool)},
    ],
    ids=lambda x: repr(x)[:40],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    envs = MultiDeviceVectorEnv(3, **SMALL)
    envs.reset(seed=0)
    before = envs.get_state()
    with pytest.raises(ValueError, match=r"levels|reset_mask|options"):
        envs.reset(options=options)
    after = envs.get_state()
    assert before.generators == after.generators
    for a, b in zip(before.arrays, after.arrays, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "act",
    [
        0, None, "off", [0, 1], [0, 1, 0, 1], [[0, 1, 0]], [0, 1, 2], [0, 1, -1], [0, 1, 0.5], [0.0, 1.5, 0.0],
        [0, 1, None], ["0", "1", "0"], [0, 1, float("nan")], np.zeros((3, 1), int), [0, 1, -0.5],
        [[0], [1], [0, 1]], [0, 1, 2**70], {},
    ],
    ids=lambda x: f"{type(x).__name__}-{x!r}"[:30],
)  # fmt: skip
def test_what_is_no_action_is_refused(act: Any) -> None:
    envs = MultiDeviceVectorEnv(3, **SMALL)
    envs.reset(seed=0)
    before = envs.get_state()
    with pytest.raises(ValueError, match=r"actions.*expected"):
        envs.step(act)
    for a, b in zip(before.arrays, envs.get_state().arrays, strict=True):
        np.testing.assert_array_equal(a, b)


def test_actions_of_any_type_that_the_space_contains() -> None:
    results = []
    types: list[Any] = [np.int8, np.uint64, np.float32, np.bool_]
    for act in ([0, 1, 1], (0, 1, 1), *(np.array([0, 1, 1], kind) for kind in types)):
        envs = MultiDeviceVectorEnv(3, **SMALL)
        envs.reset(seed=0)
        results.append(envs.step(act))
    for other in results[1:]:
        assert_same(results[0], other)


def test_the_callers_actions_are_left_alone() -> None:
    envs = MultiDeviceVectorEnv(2, **SMALL)
    envs.reset(seed=0)
    ones = np.ones(2, int)
    for _ in range(60):
        envs.step(ones)
        assert ones.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["MultiDevice-v0", "JointDevices-v0"])
def test_step_needs_running_episodes(name: str) -> None:
    envs = gym.make_vec(f"aq_gym/{name}", num_envs=2, autoreset_mode="Disabled", **SMALL)
    act = np.zeros(envs.action_space.shape, int)
    for call in (lambda: envs.step(act), envs.unwrapped.get_state, envs.unwrapped.map):  # type: ignore[attr-defined]
        with pytest.raises(ResetNeeded, match="before reset"):
            call()
    with pytest.raises(ResetNeeded, match="never reset"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=0)
    terminated = np.zeros(2, bool)
    while not terminated.all():
        terminated = envs.step(act)[2]
    for _ in range(2):
        with pytest.raises(ResetNeeded, match="over"):
            envs.step(act)
    envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match="episode 1 is over"):
        envs.step(act)
    envs.reset(options={"reset_mask": np.array([False, True])})
    envs.step(act)


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, None, 10**9, 10**30])
def test_num_envs(n: Any) -> None:
    with pytest.raises(ValueError, match="num_envs"):
        gym.make_vec("aq_gym/MultiDevice-v0", num_envs=n)


@pytest.mark.parametrize("mode", ["next", "", None, 3])
def test_unknown_autoreset_mode(mode: Any) -> None:
    with pytest.raises(ValueError, match=r"autoreset_mode.*NextStep, SameStep, Disabled"):
        gym.make_vec("aq_gym/MultiDevice-v0", num_envs=2, autoreset_mode=mode)


def test_autoreset_modes_by_any_name() -> None:
    for mode in AutoresetMode:
        for given in (mode, mode.value, mode.name):
            assert MultiDeviceVectorEnv(2, autoreset_mode=given, **SMALL).metadata["autoreset_mode"] is mode
    assert gym.make_vec("aq_gym/MultiDevice-v0", num_envs=2).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert "autoreset_mode" not in MultiDeviceVectorEnv.metadata, "the class is left alone"


# ---------------------------------------------------------------------------------------------- masks, maps, arrays


def test_action_masks_and_maps() -> None:
    envs = MultiDeviceVectorEnv(3, **SMALL)
    infos = envs.reset(seed=0)[1]
    rng = np.random.default_rng(0)
    for _ in range(23):
        np.testing.assert_array_equal(envs.action_masks(), infos["action_mask"].astype(bool))
        assert envs.action_masks().dtype == np.bool_
        got = envs.map()
        want = envs.problem.network.joint_error(SMALL["devices"], infos["delay"], infos["record"], infos["level"])
        np.testing.assert_allclose(got.joint_error, want, rtol=1e-12)
        infos = envs.step(actions(envs, rng))[4]
    joint: Any = gym.make_vec("aq_gym/JointDevices-v0", num_envs=2, **SMALL)
    infos = joint.reset(seed=0)[1]
    for _ in range(7):
        mask = infos["action_mask"]
        np.testing.assert_array_equal(joint.unwrapped.action_masks()[:, 0::2], mask != 1)
        np.testing.assert_array_equal(joint.unwrapped.action_masks()[:, 1::2], mask != 0)
        infos = joint.step(actions(joint, rng))[4]


def test_fresh_arrays() -> None:
    envs, twin = (MultiDeviceVectorEnv(2, **SMALL) for _ in range(2))
    rng = np.random.default_rng(0)
    outs: list[Any] = [envs.reset(seed=0)]
    wants: list[Any] = [twin.reset(seed=0)]
    for _ in range(60):
        spoil(outs[-1])
        act = actions(envs, rng)
        outs.append(envs.step(act))
        wants.append(twin.step(act))
        assert_same(outs[-1], wants[-1])


def spoil(out: Any) -> None:
    """Write nonsense into everything that was returned."""
    for value in out.values() if isinstance(out, dict) else out:
        if isinstance(value, np.ndarray):
            value[...] = 1
        elif isinstance(value, (dict, tuple)):
            spoil(value)


def test_record_episode_statistics() -> None:
    envs = RecordEpisodeStatistics(gym.make_vec("aq_gym/MultiDevice-v0", num_envs=3, **SMALL))
    envs.reset(seed=0)
    for _ in range(24):
        infos = envs.step(np.zeros(3, int))[4]
    np.testing.assert_allclose(infos["episode"]["r"], -8 * infos["average_joint_error"], rtol=1e-6)
    assert (infos["episode"]["l"] == 24).all()


# ------------------------------------------------------------------------------------------------------- snapshots


def run(envs: VectorEnv, steps: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [envs.step(actions(envs, rng)) for _ in range(steps)]


@every_id
@every_mode
def test_a_restored_state_continues_the_same(name: str, kwargs: dict[str, Any], length: int, mode: str) -> None:
    """Into the next episodes too (whose weather the restored generators draw)."""
    native = gym.make_vec(f"aq_gym/{name}", num_envs=3, autoreset_mode=mode, **kwargs)
    steps = length - 3 if mode == "Disabled" else 2 * length + 3
    native.reset(seed=0)
    run(native, 3, 0)
    envs: Any = native.unwrapped
    state = pickle.loads(pickle.dumps(envs.get_state()))
    want = [*run(native, steps, 1), native.reset()]
    envs.set_state(state)
    assert_same([*run(native, steps, 1), native.reset()], want)
    other: Any = gym.make_vec(f"aq_gym/{name}", num_envs=3, autoreset_mode=mode, **kwargs)  # never reset
    other.unwrapped.set_state(state)
    assert_same([*run(other, steps, 1), other.reset()], want)


def test_states_travel_between_single_and_vector() -> None:
    env, envs = MultiDeviceEnv(**SMALL), MultiDeviceVectorEnv(4, autoreset_mode="Disabled", **SMALL)
    env.reset(seed=0)
    for k in range(7):
        env.step(k % 2)
    state = env.get_state()
    envs.set_state(state)  # one state in every row
    rng = np.random.default_rng(0)
    plans = rng.integers(0, 2, (17, 4))
    played = [envs.step(act) for act in plans]
    assert len(set(played[-1][4]["average_joint_error"])) > 1
    for k in range(4):
        env.set_state(state)
        alone = [env.step(int(a)) for a in plans[:, k]]
        for out, batch in zip(alone, played, strict=True):
            np.testing.assert_array_equal(out[0], batch[0][k])
            assert out[1] == batch[1][k]
            assert out[2] == batch[2][k]
        assert alone[-1][4]["average_joint_error"] == played[-1][4]["average_joint_error"][k]

    envs.reset(seed=3)
    run(envs, 5, 0)
    states = envs.get_state()
    assert len(states) == 4
    want = run(envs, 19, 1)
    for k in range(4):  # and back: one row in a single environment
        env.set_state(states[k])
        rng = np.random.default_rng(1)
        for batch in want:
            out = env.step(int(actions(envs, rng)[k]))
            np.testing.assert_array_equal(out[0], batch[0][k])
            assert out[1] == batch[1][k]
    # Rows may be chosen and repeated.
    envs.set_state(states[np.array([2, 2, 0, 1])])
    np.testing.assert_array_equal(envs.get_state().arrays.path, states.arrays.path[[2, 2, 0, 1]])
    envs.set_state(states[1:2])
    assert (envs.get_state().arrays.path == states.arrays.path[1]).all()


def test_copies_of_one_state_meet_the_same_weather_unless_told_otherwise() -> None:
    envs = MultiDeviceVectorEnv(5, autoreset_mode="Disabled", **SMALL)
    envs.reset(seed=0)
    run(envs, 4, 0)
    state = envs.get_state()[2]
    envs.set_state(state)
    assert (envs.get_state().arrays.path == state.arrays.path[0]).all()
    paths = []
    for seed in (7, 7, 8):
        envs.set_state(state, future_seed=seed)
        paths.append(envs.get_state().arrays.path)
        assert (paths[-1][:, :3] == state.arrays.path[0, :3]).all()
        assert len({row.tobytes() for row in paths[-1]}) > 1
    np.testing.assert_array_equal(paths[0], paths[1])
    assert not np.array_equal(paths[0], paths[2])


def test_states_that_do_not_fit_are_refused() -> None:
    envs, three = MultiDeviceVectorEnv(4, **SMALL), MultiDeviceVectorEnv(3, **SMALL)
    three.reset(seed=0)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"state.*3 episodes.*1 or 4"):
        envs.set_state(three.get_state())
    with pytest.raises(ValueError, match=r"state.*3 episodes.*1"):
        MultiDeviceEnv(**SMALL).set_state(three.get_state())
    with pytest.raises(IndexError):
        three.get_state()[3]
    other = MultiDeviceVectorEnv(3, **{**SMALL, "devices": [0, 15, 5]})
    with pytest.raises(ValueError, match=r"state.*problem"):
        other.set_state(three.get_state())


@every_mode
def test_a_state_that_is_over(mode: str) -> None:
    """Placed beside a running one: it begins anew at the next step, or asks for a reset where that is disabled."""
    env, envs = MultiDeviceEnv(**SMALL), MultiDeviceVectorEnv(2, autoreset_mode=mode, **SMALL)
    envs.reset(seed=0)
    run(envs, 23, 0)
    last = envs.get_state()
    env.set_state(last[0])
    env.step(0)
    over = env.get_state()
    both_states = type(over)(
        type(over.arrays)(*(np.concatenate([a, b]) for a, b in zip(over.arrays, last[1].arrays, strict=True))),
        over.generators + last[1].generators,
        over.problem,
    )
    envs.set_state(both_states)
    if mode == "Disabled":
        with pytest.raises(ResetNeeded, match="episode 0 is over"):
            envs.step(np.zeros(2, int))
        return
    _, rewards, terminated, _, infos = envs.step(np.zeros(2, int))
    assert rewards[0] == 0
    assert terminated.tolist() == [False, True]
    assert infos["slot"].tolist() == [1, 1 if mode == "SameStep" else 9]
    _, rewards, terminated, _, infos = envs.step(np.zeros(2, int))
    assert rewards[0] != 0
    assert not terminated.any()


def test_pickled_in_mid_episode() -> None:
    envs = MultiDeviceVectorEnv(3, **SMALL)
    envs.reset(seed=0)
    run(envs, 10, 0)
    twin = pickle.loads(pickle.dumps(envs))
    assert_same(run(twin, 40, 1), run(envs, 40, 1))


def test_masks_of_infos_are_arrays_of_their_own() -> None:
    env = MultiDeviceVectorEnv(num_envs=3, horizon=1, energy_budget=1, max_sleep=1, autoreset_mode="SameStep")
    _, infos = env.reset(seed=0)
    infos["_slot"][:] = False
    assert infos["_turn"].all() and infos["_level"].all()
    for _ in range(5):
        _, _, terminated, _, infos = env.step(np.ones(3, np.int64))
    assert terminated.all()
    terminated[:] = False
    final = infos["final_info"]
    assert all(final[key].all() for key in ("_slot", "_forced", "_joint_error", "_average_joint_error"))


def test_strided_and_read_only_actions_are_taken_as_they_are() -> None:
    plan = np.random.default_rng(0).integers(0, 2, (3, 40))
    envs = [MultiDeviceVectorEnv(num_envs=3) for _ in range(3)]
    for env in envs:
        env.reset(seed=0)
    warm = MultiDeviceVectorEnv(num_envs=3)
    warm.reset(seed=0)
    warm.step(np.zeros(3, np.int64))
    compiled = len(full_view.signatures)
    for t in range(40):
        fixed = plan[:, t].copy()
        fixed.flags.writeable = False
        steps = [env.step(a) for env, a in zip(envs, (plan[:, t].copy(), plan[:, t], fixed), strict=True)]
        for step in steps[1:]:
            np.testing.assert_array_equal(step[0], steps[0][0])
            np.testing.assert_array_equal(step[1], steps[0][1])
    assert len(full_view.signatures) == compiled, "compiled anew for another kind of argument"


def test_joint_actions_are_taken_in_any_layout_and_type() -> None:
    plan = np.random.default_rng(0).integers(0, 2, (40, 3, 5))
    kinds = [
        np.array,
        np.asfortranarray,
        lambda a: np.flip(np.flip(a).copy()),
        lambda a: a.astype(np.uint8),
        np.ndarray.tolist,
    ]
    envs = [JointDevicesVectorEnv(num_envs=3) for _ in kinds]
    for env in envs:
        env.reset(seed=0)
    for actions in plan:
        steps = [env.step(kind(actions)) for env, kind in zip(envs, kinds, strict=True)]
        for step in steps[1:]:
            assert_same(step, steps[0])


def test_a_shallow_copy_has_the_same_generators_until_one_is_seeded() -> None:
    envs, alone = (MultiDeviceVectorEnv(3, **SMALL) for _ in range(2))
    for each in (envs, alone):
        each.reset(seed=0)
    twin = copy.copy(envs)
    twin.reset(seed=5)
    assert (envs.np_random_seed, twin.np_random_seed) == ((0, 1, 2), (5, 6, 7))
    for each in (envs, alone):
        each.reset()
    np.testing.assert_array_equal(envs.get_state().arrays.path, alone.get_state().arrays.path)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937])
def test_paths_are_what_a_search_through_the_chain_finds(kind: Any) -> None:
    envs = MultiDeviceVectorEnv(5)
    envs.reset(seed=0)
    ours, theirs = ([np.random.Generator(kind(seed)) for seed in range(5)] for _ in range(2))
    envs._generators = ours
    network = envs.problem.network
    start, transition = (cumulative(np.asarray(x)) for x in (network.start, network.transition))
    for _ in range(2):
        envs.reset()
        for k, generator in enumerate(theirs):
            among, levels = start, []
            for uniform in generator.random(61):
                levels.append(int(np.searchsorted(among, uniform, side="right")))
                among = transition[levels[-1]]
            np.testing.assert_array_equal(envs.get_state().arrays.path[k], np.asarray(network.levels)[levels])


@pytest.mark.parametrize("seed", [1.5, "3", True, b"12", [1, 2.0, 3], [1, True, 3], np.array(2.0), {1, 2, 3}])
def test_seeds_of_other_types_are_refused(seed: Any) -> None:
    envs = MultiDeviceVectorEnv(3, **SMALL)
    with pytest.raises(ValueError, match=r"seed: expected one integer or 3 of them"):
        envs.reset(seed=seed)
    assert not envs._ready


def test_numpys_integers_are_integers() -> None:
    results = [
        MultiDeviceVectorEnv(np.int64(3), **SMALL).reset(seed=seed)  # type: ignore[arg-type]
        for seed in (4, np.int64(4), np.uint8(4), [4, 5, 6], np.array([4, 5, 6]))
    ]
    for other in results[1:]:
        assert_same(other, results[0])
