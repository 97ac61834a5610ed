"""Every registered id: DESIGN's table, the checkers, copies, specs, wrappers, and a fresh process."""

import copy
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics

from aq_gym import SensorNetwork, reference_scores
from aq_gym.registration import ENTRIES, TRACE

# id: M, devices, T, B, D, network, coarsened to
TABLE: dict[str, tuple[list[int], int, int, int, str, int | None]] = {
    "SingleDevice-v0": ([0], 60, 10, 12, "pku2018", None),
    "SingleDevice-Day-v0": ([0], 144, 24, 24, "pku2018", None),
    "TwoDevices-v0": ([0, 15], 24, 4, 8, "pku2018", 6),
    "MultiDevice-v0": ([0, 6, 12, 18, 24], 60, 10, 12, "pku2018", None),
    "MultiDevice-Day-v0": (list(range(0, 30, 3)), 144, 24, 24, "pku2018", None),
    "JointDevices-v0": ([0, 6, 12, 18, 24], 60, 10, 12, "pku2018", None),
    "SingleDevice-LevelAware-v0": ([0], 60, 10, 12, "pku2018", None),
    "TwoDevices-LevelAware-v0": ([0, 15], 24, 4, 8, "pku2018", 6),
    "MultiDevice-LevelAware-v0": ([0, 6, 12, 18, 24], 60, 10, 12, "pku2018", None),
    "SingleDevice-Hidden-v0": ([0], 60, 10, 12, "pku2018", None),
    "TwoDevices-Hidden-v0": ([0, 15], 24, 4, 8, "pku2018", 6),
    "MultiDevice-Hidden-Week-v0": ([0, 6, 12, 18, 24], 1008, 34, 144, "pku2018", None),
    "MultiDevice-Lossy-Week-v0": ([0, 6, 12, 18, 24], 1008, 34, 144, "pku2018", None),
    "City-v0": (list(range(0, 1000, 10)), 144, 24, 24, "synthetic-1000-0", None),
    "Tainan-v0": ([i * 92 // 20 for i in range(20)], 72, 12, 12, "tainan2017", None),
}
IDS = [f"aq_gym/{name}" for name in TABLE]
every_id = pytest.mark.parametrize("env_id", IDS)
# The classes and the kinds of inference; what else the ids differ in is data.
SOME = ("MultiDevice-v0", "JointDevices-v0", "MultiDevice-Lossy-Week-v0")
some_ids = pytest.mark.parametrize("env_id", [f"aq_gym/{name}" for name in SOME])


def test_no_id_more_or_less() -> None:
    assert {i for i in gym.registry if i.startswith("aq_gym/")} == {*IDS, f"aq_gym/{TRACE.name}"}
    assert [entry.name for entry in ENTRIES] == list(TABLE)
    for entry in ENTRIES:
        assert len(entry.prose) > 30
        assert entry.prose.endswith(".")


@pytest.mark.parametrize("name", TABLE)
def test_the_instances_are_designs(name: str) -> None:
    devices, horizon, budget, sleep, network, n_levels = TABLE[name]
    kwargs = gym.spec(f"aq_gym/{name}").kwargs
    assert kwargs.get("devices", [kwargs.get("device")]) == devices
    assert (kwargs["horizon"], kwargs["energy_budget"], kwargs["max_sleep"]) == (horizon, budget, sleep)
    assert (kwargs["network"], kwargs.get("n_levels")) == (network, n_levels)
    assert kwargs["fuse_measured"] is False, "every id says which it uses"
    envs: Any = gym.make_vec(f"aq_gym/{name}", num_envs=2)
    for problem in (gym.make(f"aq_gym/{name}").unwrapped.problem, envs.unwrapped.problem):  # type: ignore[attr-defined]
        assert problem.devices == tuple(devices)
        assert (problem.horizon, problem.energy_budget, problem.max_sleep) == (horizon, budget, sleep)
        assert problem.fuse_measured is False
        hidden = "Hidden" in name or "Lossy" in name
        assert problem.inference == ("level-aware" if "LevelAware" in name else "hidden" if hidden else "paper")
        assert (problem.belief, problem.loss) == ("grown", 0.2 if "Lossy" in name else 0.0)
        assert problem.level_noise == (0.2 if "LevelAware" in name else 0.0)
        wanted = SensorNetwork.load(network)
        assert problem.network == (wanted.coarsen(n_levels) if n_levels else wanted)
    assert envs.unwrapped.num_envs == 2
    n, m = problem.n_locations, len(devices)
    assert envs.single_observation_space.shape == (2 * n + 6 * m + 4 + 2 * hidden,)
    joint = name == "JointDevices-v0"
    assert envs.single_action_space == (gym.spaces.MultiBinary(m) if joint else gym.spaces.Discrete(2))


@every_id
def test_every_default_can_be_overridden(env_id: str) -> None:
    where: dict[str, Any] = {"device": 2} if "Single" in env_id else {"devices": [2, 1]}
    env: Any = gym.make(env_id, network="pku2018-summer", n_levels=5, horizon=6, energy_budget=3, max_sleep=4, **where)
    problem = env.unwrapped.problem
    assert problem.network == SensorNetwork.load("pku2018-summer").coarsen(5)
    assert problem.devices == ((2,) if "Single" in env_id else (2, 1))
    assert (problem.horizon, problem.energy_budget, problem.max_sleep) == (6, 3, 4)
    assert gym.make(env_id, fuse_measured=True).unwrapped.problem.fuse_measured  # type: ignore[attr-defined]


@every_id
def test_gymnasiums_checker(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id).unwrapped, skip_render_check=True)


@every_id
def test_sb3s_checker(env_id: str) -> None:
    check = pytest.importorskip("stable_baselines3.common.env_checker").check_env
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(gym.make(env_id).unwrapped, skip_render_check=True)


@some_ids
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies(env_id: str, duplicate: Any) -> None:
    env = gym.make(env_id)
    env.reset(seed=0)
    twin = duplicate(env)
    action = env.action_space.sample()
    one, other = env.step(action), twin.step(action)
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1:4] == other[1:4]
    fresh = duplicate(gym.make(env_id))
    np.testing.assert_array_equal(fresh.reset(seed=3)[0], gym.make(env_id).reset(seed=3)[0])


@every_id
def test_specs_survive_json(env_id: str) -> None:
    spec = gym.spec(env_id)
    assert json.loads(spec.to_json())["id"] == env_id
    again = EnvSpec.from_json(spec.to_json())
    assert again == spec
    one, other = gym.make(again), gym.make(env_id)
    np.testing.assert_array_equal(one.reset(seed=1)[0], other.reset(seed=1)[0])
    assert one.spec is not None
    made = EnvSpec.from_json(one.spec.to_json())  # of the environment, wrappers and all
    np.testing.assert_array_equal(gym.make(made).reset(seed=1)[0], one.reset(seed=1)[0])
    fewer: Any = gym.make(env_id, horizon=2)
    again_fewer: Any = gym.make(EnvSpec.from_json(fewer.spec.to_json()))
    assert again_fewer.unwrapped.problem.horizon == 2


@some_ids
def test_record_episode_statistics(env_id: str) -> None:
    env: Any = RecordEpisodeStatistics(gym.make(env_id, horizon=4))
    env.reset(seed=0)
    over, steps = False, 0
    while not over:
        _, _, over, _, info = env.step(env.action_space.sample())
        steps += 1
    assert info["episode"]["l"] == steps
    assert info["episode"]["r"] == pytest.approx(-4 * info["average_joint_error"], rel=1e-6)


@every_id
def test_the_mask_suits_the_action_space(env_id: str) -> None:
    env: Any = gym.make(env_id, horizon=6)
    _, info = env.reset(seed=0)
    env.action_space.seed(0)
    over = False
    while not over:
        mask = info["action_mask"]
        masks = env.get_wrapper_attr("action_masks")()
        assert masks.dtype == np.bool_
        if isinstance(env.action_space, gym.spaces.Discrete):
            assert masks.tolist() == mask.astype(bool).tolist()
            action: Any = env.action_space.sample(mask=mask)
        else:
            assert masks.shape == (2 * len(mask),)
            action = env.action_space.sample(mask=mask)
        _, _, over, _, info = env.step(action)
        assert not np.any(info["forced"]), "an action drawn with the mask is never replaced"


@every_id
def test_vectors_report_their_spec(env_id: str) -> None:
    envs = gym.make_vec(env_id, num_envs=2, vectorization_mode="vector_entry_point")
    assert envs.spec is not None
    assert envs.spec.id == env_id
    obs, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(obs)
    assert envs.step(envs.action_space.sample())[0].shape == obs.shape
    envs.close()


def test_a_fresh_process_needs_no_import(root: Path) -> None:
    make = "gym.make('aq_gym:' + i).close(); gym.make_vec('aq_gym:' + i, num_envs=2)"
    code = f"import gymnasium as gym, sys\nfor i in sys.argv[1:]: {make}"
    subprocess.run([sys.executable, "-W", "error", "-c", code, *IDS], check=True, cwd=root)


# ------------------------------------------------------------------------------------------------ reference scores


def test_reference_scores() -> None:
    with pytest.raises(ValueError, match=r"env_id.*Atlantis-v0"):
        reference_scores("aq_gym/Atlantis-v0")
    for name in TABLE:
        scores = reference_scores(f"aq_gym/{name}")
        assert scores == reference_scores(name) == reference_scores(f"aq_gym:aq_gym/{name}")
        sampled = scores["sampled"]
        assert {"random", "synchronised", "staggered"} <= set(sampled) and scores["episodes"] >= 200
        assert all(0 < row["low"] < row["joint_error"] < row["high"] < 100 for row in sampled.values())
        least = min(row["joint_error"] for row in sampled.values())
        optimum = scores["optimum"]
        assert ("optimal" in sampled) == (optimum is not None)
        if optimum is not None:  # on common episodes nothing is below the optimal policy
            assert sampled["optimal"]["joint_error"] == least and scores["best_known"] == optimum
            assert sampled["optimal"]["low"] < optimum < sampled["optimal"]["high"]
        else:
            assert scores["best_known"] == least
        assert gym.spec(f"aq_gym/{name}").reward_threshold == pytest.approx(-scores["best_known"] * TABLE[name][1])
        sampled["random"]["joint_error"] = 0.0
        assert reference_scores(name)["sampled"]["random"]["joint_error"] != 0, "a copy"
    for name, optimum in (
        ("SingleDevice-v0", 12.52599),
        ("SingleDevice-Day-v0", 12.59033),
        ("TwoDevices-v0", 7.991333),
    ):
        assert reference_scores(name)["optimum"] == pytest.approx(optimum, rel=1e-6)


# ------------------------------------------------------------------------------------------------------ companions


@pytest.mark.slow
def test_asynchronous_environments_in_spawned_processes() -> None:
    envs = gym.make_vec(
        "aq_gym/MultiDevice-v0", num_envs=2, vectorization_mode="async", vector_kwargs={"context": "spawn"}, horizon=4
    )
    native = gym.make_vec("aq_gym/MultiDevice-v0", num_envs=2, horizon=4)
    try:
        np.testing.assert_array_equal(envs.reset(seed=0)[0], native.reset(seed=0)[0])
        for t in range(25):
            act = np.array([t % 2, t % 3 == 0], int)
            got, want = envs.step(act), native.step(act)
            for a, b in zip(got[:4], want[:4], strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        envs.close()


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["aq_gym/MultiDevice-v0", "aq_gym/JointDevices-v0"])
def test_maskable_ppo_finds_the_masks(env_id: str) -> None:
    torch = pytest.importorskip("torch")
    maskable = pytest.importorskip("sb3_contrib").MaskablePPO
    torch.set_num_threads(1)

    class Watched(gym.Wrapper[Any, Any, Any, Any]):
        forced = steps = 0

        def step(self, action: Any) -> Any:
            out = self.env.step(np.asarray(action) if np.ndim(action) else int(action))
            Watched.forced += int(np.sum(out[4]["forced"]))
            Watched.steps += 1
            return out

    env = Watched(gym.make(env_id, horizon=8, energy_budget=3, max_sleep=3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sb3_contrib's own
        model = maskable("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=1, seed=0, device="cpu")
        model.learn(128)
    assert Watched.steps >= 128
    assert Watched.forced == 0, "with its masks no action has to be replaced"
    masks = env.get_wrapper_attr("action_masks")()
    action, _ = model.predict(env.reset(seed=0)[0], action_masks=masks)
    assert env.action_space.contains(action) or np.ndim(action) == 0
