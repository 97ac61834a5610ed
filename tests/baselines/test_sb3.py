"""Stable-Baselines3 on the native batch: its conventions, its wrappers, its learners."""

import json
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from baselines import play, play_problem
from baselines.learners.sb3_env import SB3VecEnv
from baselines.learners.sb3_policy import ALGORITHMS, CARD, MODEL, SB3Policy, hyperparameters, overridden
from baselines.learners.sb3_training import _Watcher, train
from baselines.playing import FIRST_TUNING_SEED

pytestmark = pytest.mark.xdist_group("sb3")
Capture = pytest.CaptureFixture[str]
TINY: dict[str, Any] = {"horizon": 8, "energy_budget": 2, "max_sleep": 5}
SMALL: dict[str, dict[str, Any]] = {
    "dqn": {"n_envs": 4, "model": {"buffer_size": 2000, "batch_size": 32, "learning_starts": 100, "train_freq": 8}},
    "qrdqn": {"n_envs": 4, "model": {"buffer_size": 2000, "batch_size": 32, "learning_starts": 100, "train_freq": 8}},
    "ppo": {"n_envs": 4, "model": {"n_steps": 40, "batch_size": 80, "n_epochs": 2}},
    "maskable_ppo": {"n_envs": 4, "model": {"n_steps": 40, "batch_size": 80, "n_epochs": 2}},
}


def same(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(a, b)


def test_equals_sb3s_own_dummy_vec_env() -> None:
    ours = SB3VecEnv("aq_gym/TwoDevices-v0", 3, seed=5, **TINY)
    theirs = DummyVecEnv([lambda: gym.make("aq_gym/TwoDevices-v0", **TINY)] * 3)
    theirs.seed(5)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    same(ours.reset(), theirs.reset())
    assert ours.reset_infos[1]["level"] == theirs.reset_infos[1]["level"]
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(3 * 16 + 5):
        actions = rng.integers(0, 2, 3)
        (o, r, d, infos), (o2, r2, d2, infos2) = ours.step(actions), theirs.step(actions)
        same(o, o2)
        same(r, r2)
        same(d, d2)
        same(np.stack(ours.env_method("action_masks")), np.stack(theirs.env_method("action_masks")))
        assert r.dtype == r2.dtype and len(infos) == 3
        for mine, other in zip(infos, infos2, strict=True):
            assert ("terminal_observation" in mine) == ("terminal_observation" in other)
            if "terminal_observation" in mine:
                ended += 1
                same(mine["terminal_observation"], other["terminal_observation"])
                assert mine["TimeLimit.truncated"] is False and other["TimeLimit.truncated"] is False
                assert mine["average_joint_error"] == pytest.approx(other["average_joint_error"])
    assert ended == 9


def test_wrappers_see_whole_episodes() -> None:
    env = VecNormalize(VecMonitor(SB3VecEnv("TwoDevices-v0", 2, seed=1, **TINY)), gamma=1.0)
    env.reset()
    scaled = []
    for step in range(16):
        observation, rewards, dones, infos = env.step(np.array([0, 1]))
        scaled.append(np.array_equal(rewards, env.get_original_reward()))
        assert dones.all() == (step == 15)
    for info in infos:
        assert info["episode"]["l"] == 16
        assert info["episode"]["r"] == pytest.approx(-8 * info["average_joint_error"], rel=1e-5)
    assert 1 < np.abs(observation).max() <= 10 and not scaled[0]


def test_masks_attributes_and_options() -> None:
    env = VecMonitor(SB3VecEnv("TwoDevices-v0", 3, seed=1, **TINY))
    env.reset()
    assert is_masking_supported(env) and get_action_masks(env).shape == (3, 2)
    assert len(env.env_method("get_state", indices=[0, 2])) == 2
    assert env.get_attr("problem", 1)[0].horizon == 8 and env.get_attr("render_mode") == [None] * 3
    assert env.get_attr("action_space") == [gym.spaces.Discrete(2)] * 3
    assert env.env_is_wrapped(gym.Wrapper) == [False] * 3 and not env.has_attr("nothing")
    env.set_attr("note", 7)
    assert env.get_attr("note") == [7] * 3
    with pytest.raises(ValueError, match="indices=None"):
        env.set_attr("note", 8, indices=0)
    with pytest.raises(AttributeError, match="action_masks, get_state and render"):
        env.env_method("fly")
    env.set_options({"levels": [2] * 9})
    env.reset()
    assert all(info["level"] == info["record"][0] for info in env.unwrapped.reset_infos)
    env.set_options([{}, {}, {"levels": [2] * 9}])
    with pytest.raises(ValueError, match="for every environment or for none"):
        env.reset()


def test_seeds_and_misuse() -> None:
    first, again = (SB3VecEnv("TwoDevices-v0", 2, seed=9, **TINY).reset() for _ in range(2))
    same(first, again)
    env = SB3VecEnv("TwoDevices-v0", 2, seed=9, **TINY)
    assert not np.array_equal(env.reset(), env.reset())  # the second goes on with the generators
    with pytest.raises(RuntimeError, match="step_async"):
        env.step_wait()
    with pytest.raises(ValueError, match="known: aq_gym/SingleDevice-v0"):
        SB3VecEnv("CartPole-v1", 2)


def test_images() -> None:
    env = SB3VecEnv("TwoDevices-v0", 2, seed=9, render_mode="rgb_array", **TINY)
    env.reset()
    assert [image.ndim for image in env.get_images()] == [3, 3]
    assert env.render().ndim == 3
    assert SB3VecEnv("TwoDevices-v0", 2, **TINY).get_images() == [None, None]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_learns_saves_and_plays(algorithm: str, tmp_path: Path) -> None:
    options = {
        "steps": 640,
        "validations": 2,
        "validation_episodes": 8,
        "progress": False,
        "overrides": SMALL[algorithm],
    }
    policy = train(algorithm, "TwoDevices-v0", tmp_path, **options, **TINY)
    problem = SB3VecEnv("TwoDevices-v0", 1, **TINY).native.problem
    played = play_problem(policy, problem, 8, FIRST_TUNING_SEED)
    card = json.loads((tmp_path / CARD).read_text())
    # what was validated in training, with the statistics of that moment, is what was saved
    assert played.joint_error.mean() == pytest.approx(card["validation_error"], rel=1e-9)
    assert policy.training_seconds == card["training_seconds"] > 0 and card["algorithm"] == algorithm
    assert card["best_after"] <= card["decisions"] and card["decisions"] >= 640
    if algorithm == "maskable_ppo":
        assert played.forced == 0
    again = train(algorithm, "TwoDevices-v0", tmp_path / "again", **options, **TINY)
    same(played.joint_error, play_problem(again, problem, 8, FIRST_TUNING_SEED).joint_error)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    assert {"rollout/ep_rew_mean", "eval/mean_reward", "eval/joint_error", "train/loss", "time/fps"} <= set(events)
    lines = EventAccumulator(str(tmp_path / "staggered")).Reload().Scalars("eval/joint_error")
    assert [point.step for point in lines] == [0, 640]


def test_a_rollout_longer_than_the_training_is_not_validated_all_along(tmp_path: Path) -> None:
    seen: list[float] = []
    options: dict[str, Any] = {"validations": 5, "validation_episodes": 4, "progress": False}
    options |= {"overrides": SMALL["ppo"], "watch": lambda seconds, error: seen.append(error)}
    shape = TINY | {"max_sleep": 8, "energy_budgets": [1, 3]}
    policy = train("ppo", "TwoDevices-v0", tmp_path, steps=20, **options, **shape)
    assert policy.card["decisions"] == 4 * 40, "a whole rollout"
    assert policy.card["env_kwargs"]["energy_budgets"] == [1, 3], "which compiling on short episodes takes too"
    assert len(seen) == 5 + 1, "one every four decisions up to the twentieth, and one at the end"


@pytest.mark.slow
def test_joint_ids(tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 160, "validations": 1, "validation_episodes": 4, "progress": False}
    policy = train("maskable_ppo", "JointDevices-v0", tmp_path, overrides=SMALL["maskable_ppo"], **options, **TINY)
    assert policy.view == "joint"
    problem = SB3VecEnv("JointDevices-v0", 1, **TINY).native.problem
    assert play_problem(policy, problem, 4, 0).forced == 0
    with pytest.raises(ValueError, match="dqn cannot decide for all devices"):
        train("dqn", "JointDevices-v0", tmp_path / "dqn", **options, **TINY)
    trained = train("ppo", "JointDevices-v0", tmp_path / "ppo", overrides=SMALL["ppo"], **options, **TINY)
    assert play_problem(trained, problem, 4, 0).decisions == 4 * 8 * 5


def test_sb3s_evaluation_agrees_with_ours(tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 160, "validations": 1, "validation_episodes": 4, "progress": False}
    policy = train("ppo", "TwoDevices-v0", tmp_path, overrides=SMALL["ppo"], **options, **TINY)
    env = VecNormalize.load(
        str(tmp_path / "vecnormalize.pkl"),
        VecMonitor(SB3VecEnv("TwoDevices-v0", 5, seed=40, observation="compact", **TINY)),
    )
    env.training = env.norm_reward = False
    reward, _ = evaluate_policy(policy.model, env, n_eval_episodes=5)
    ours = play_problem(policy, env.get_attr("problem")[0], 5, 40).joint_error.mean()
    assert reward == pytest.approx(-8 * ours, rel=1e-5)


def test_ctrl_c_keeps_the_best_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def press(self: Any) -> bool:
        if self.num_timesteps >= 100:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(_Watcher, "_on_step", press)
    options: dict[str, Any] = {"steps": 1000, "validation_episodes": 4, "progress": False, "overrides": SMALL["ppo"]}
    policy = train("ppo", "TwoDevices-v0", tmp_path, **options, **TINY)
    assert (
        policy.card["decisions"] == policy.card["best_after"] == 100
        and "interrupted after 100 decisions" in capsys.readouterr().out
    )
    assert not list(tmp_path.glob("partial-*"))


def test_a_used_folder_is_refused_and_damage_is_named(tmp_path: Path) -> None:
    options: dict[str, Any] = {"validations": 1, "validation_episodes": 4, "progress": False, "seed": 123_456_789}
    train("ppo", "TwoDevices-v0", tmp_path, steps=160, overrides=SMALL["ppo"], **options, **TINY)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}
    with pytest.raises(ValueError, match="holds a training: --folder names another place"):
        train("ppo", "TwoDevices-v0", tmp_path, steps=160, overrides=SMALL["ppo"], **options, **TINY)
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}
    (tmp_path / MODEL).write_bytes(before[MODEL][:-100])
    with pytest.raises(ValueError, match=r"model\.zip or vecnormalize\.pkl is damaged"):
        SB3Policy.load(tmp_path)
    (tmp_path / CARD).write_text("[1]")
    with pytest.raises(ValueError, match=r"card\.json: damaged"):
        SB3Policy.load(tmp_path)


def test_a_failed_save_names_the_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    options: dict[str, Any] = {"validations": 1, "validation_episodes": 4, "progress": False}
    with pytest.raises(OSError, match=r"could not be written.*model\.zip"):
        train("ppo", "TwoDevices-v0", tmp_path, steps=160, overrides=SMALL["ppo"], **options, **TINY)
    assert not [path for path in tmp_path.iterdir() if "model" in path.name or "card" in path.name]


def test_time_limit(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "steps": 10_000_000,
        "validation_episodes": 4,
        "progress": False,
        "overrides": SMALL["ppo"],
    }
    policy = train("ppo", "TwoDevices-v0", tmp_path, seconds=0.5, **options, **TINY)
    assert policy.training_seconds < 5


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of dqn, ppo"):
        hyperparameters("sarsa")
    with pytest.raises(ValueError, match=r"unknown setting\(s\) gama"):
        train("ppo", "TwoDevices-v0", tmp_path, overrides={"gama": 1})
    with pytest.raises(ValueError, match=r"overrides\['model'\]: expected dict like .*, got 3"):
        train("ppo", "TwoDevices-v0", tmp_path, overrides={"model": 3})
    for model, expected in (
        ({"foo": 1}, "ppo takes no 'foo'; it takes learning_rate"),
        ({"gamma": 2.0}, "'gamma'.*from 0 to 1, got 2.0"),
        ({"n_steps": 0}, "'n_steps'.*at least 1, got 0"),
        ({"learning_rate": math.nan}, "'learning_rate'.*finite"),
        ({"batch_size": "many"}, "'batch_size'.*integer"),
    ):
        with pytest.raises(ValueError, match=expected):
            overridden("ppo", {"model": model})
    with pytest.raises(ValueError, match=r"overrides\['n_envs'\].*at least 1"):
        overridden("ppo", {"n_envs": 0})
    with pytest.raises(ValueError, match="does not work with these settings"):
        train("ppo", "TwoDevices-v0", tmp_path, overrides={"policy_kwargs": {"shape": 3}}, **TINY)
    with pytest.raises(ValueError, match="seed: expected an integer of at least 0, got -1"):
        train("ppo", "TwoDevices-v0", tmp_path, seed=-1, **TINY)
    with pytest.raises(FileNotFoundError, match=r"card\.json is missing: expected a folder that scripts.train_sb3"):
        SB3Policy.load(tmp_path)
    assert not (tmp_path / MODEL).exists()


def test_a_model_as_a_policy_of_another_observation_or_view_is_refused() -> None:
    compact = PPO("MlpPolicy", SB3VecEnv("TwoDevices-v0", 2, observation="compact", **TINY), device="cpu")
    joint = PPO("MlpPolicy", SB3VecEnv("JointDevices-v0", 2, **TINY), device="cpu")
    with pytest.raises(ValueError, match=r"shape \(3, 76\): the model reads 32; observation='full' of this SB3Policy"):
        play(SB3Policy(compact), "TwoDevices-v0", 3, 0, **TINY)
    with pytest.raises(ValueError, match=r"view: expected 'joint' for a model that acts in MultiBinary\(5\), got 'seq"):
        SB3Policy(joint)
    with pytest.raises(ValueError, match="view: expected 'sequential' for a model that acts in Discrete"):
        SB3Policy(compact, view="joint")


def test_settings_keep_the_discount_at_one() -> None:
    for algorithm in ALGORITHMS:
        settings = hyperparameters(algorithm)
        assert settings["model"]["gamma"] == 1.0 and settings["why"]
