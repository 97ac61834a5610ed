from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import agents.checkpoints
from agents import DQN, CheckpointError, DQNConfig, export, load, load_policy, save, train
from agents.environment import describe_environment
from tests.agents.toy_environments import Battery, Identity, small_config, vector

ROOT = Path(__file__).resolve().parents[2]
CONFIG = small_config(total_decisions=4_000, start_decisions=800, replay_capacity=2_000)


def everything(agent):
    tensors, counters = agent.state()
    return {**{k: v.clone() for k, v in tensors.items()}}, counters


def assert_identical(one, other):
    (tensors, counters), (tensors2, counters2) = everything(one), everything(other)
    assert counters == counters2
    assert tensors.keys() == tensors2.keys()
    for key, value in tensors.items():
        assert torch.equal(value, tensors2[key]), key


def fresh(seed=0, config=CONFIG):
    env = vector(Battery, config.n_environments)
    return DQN.for_env(env, config, seed), env


@pytest.fixture(scope="module")
def finished():
    """An agent trained without interruption."""
    agent, env = fresh()
    list(train(agent, env))
    return agent


@pytest.fixture(scope="module")
def half_content(tmp_path_factory):
    """A checkpoint of the same training, taken on the way."""
    agent, env = fresh()
    rounds = train(agent, env)
    for _ in range(20):
        next(rounds)
    assert agent.updates > 0 and agent.memory.filled == agent.memory.n_rows, "the ring must have wrapped"
    return save(tmp_path_factory.mktemp("half") / "half", agent, {"command": "test"}).read_bytes()


@pytest.fixture
def half(half_content, tmp_path):
    """That checkpoint as a file of one's own."""
    path = tmp_path / "half.safetensors"
    path.write_bytes(half_content)
    return path


@pytest.mark.parametrize("rounds", [1, 8, 20])
def test_resumed_equals_uninterrupted(rounds, finished, tmp_path):
    agent, env = fresh()
    running = train(agent, env)
    for _ in range(rounds):
        next(running)
    path = save(tmp_path / "agent.safetensors", agent)
    again = load(path)
    assert_identical(agent, again)
    list(train(again, vector(Battery, CONFIG.n_environments)))
    assert_identical(again, finished)


def test_prioritised_replay_resumes_identically(tmp_path):
    config = CONFIG.replace(priority=0.6, returns="one_step")
    whole, cut = fresh(3, config)[0], fresh(3, config)[0]
    env = vector(Battery, config.n_environments)
    list(train(whole, env))
    running = train(cut, env)
    for _ in range(9):
        next(running)
    again = load(save(tmp_path / "agent.safetensors", cut))
    list(train(again, env))
    assert_identical(again, whole)


def test_a_loaded_agent_owns_its_numbers(half):
    """Training on must not write into the file that the tensors came from."""
    before = half.read_bytes()
    agent = load(half)
    for _ in range(3):
        agent.round(vector(Battery, 16), 4_000)
    assert half.read_bytes() == before


def test_a_failed_save_keeps_the_old_file(half, monkeypatch):
    before = half.read_bytes()

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(agents.checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save(half, fresh()[0])
    assert half.read_bytes() == before
    assert [p.name for p in half.parent.iterdir()] == [half.name]


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_truncated_files_are_refused(half, keep):
    content = half.read_bytes()
    half.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    for read in (load, load_policy):
        with pytest.raises(CheckpointError, match="truncated, damaged or no safetensors file"):
            read(half)


def test_a_flipped_bit_is_noticed(half):
    content = bytearray(half.read_bytes())
    content[-1000] ^= 4
    half.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        load(half)


def test_foreign_files_are_refused(tmp_path):
    text = tmp_path / "a.safetensors"
    text.write_text("Lorem ipsum dolor sit amet, consectetur adipiscing elit")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load(text)
    save_file({"weight": torch.zeros(3)}, text)
    with pytest.raises(CheckpointError, match="format 'unknown', expected dqn-checkpoint"):
        load(text)
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "b.safetensors")


def test_pickles_are_never_opened(tmp_path):
    path = tmp_path / "evil.pt"
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self):
            return Path.touch, (touched,)

    torch.save({"x": Evil()}, path)
    with pytest.raises(CheckpointError):
        load(path)
    assert not touched.exists()


def rewritten(path, **metadata):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        old = file.metadata()
    tensors = {k: v.clone() for k, v in load_file(path).items()}
    save_file(tensors, path, metadata={**old, **metadata})
    return old


def test_newer_versions_and_broken_headers_are_refused(half):
    old = rewritten(half, version="2")
    with pytest.raises(CheckpointError, match="version 2, this program reads up to 1"):
        load(half)
    rewritten(half, version="1", header="{")
    with pytest.raises(CheckpointError, match="no JSON"):
        load(half)
    header = json.loads(old["header"])
    rewritten(half, header=json.dumps({**header, "config": {**header["config"], "warp": 9}}))
    with pytest.raises(CheckpointError, match="unknown setting 'warp'"):
        load(half)
    rewritten(half, header=json.dumps({**header, "config": {**header["config"], "hidden": [7]}}))
    with pytest.raises(CheckpointError, match="does not fit its own configuration"):
        load(half)
    rewritten(half, header=json.dumps({k: v for k, v in header.items() if k != "environment"}))
    with pytest.raises(CheckpointError, match="environment"):
        load(half)


def test_other_environments_are_refused(half):
    with pytest.raises(CheckpointError, match=r"another environment: n_inputs: recorded 18, here 4"):
        load(half, vector(Identity, 16))
    assert load(half, Battery()).decisions == load(half, vector(Battery, 3)).decisions


def test_ids_and_arguments_are_compared(tmp_path):
    gym.register("Toy-v0", entry_point=lambda n=4: Identity(n), kwargs={"n": 4})
    try:
        env = gym.make_vec("Toy-v0", num_envs=4, vectorization_mode="sync")
        assert describe_environment(env) == {"n_inputs": 4, "n_actions": 4, "id": "Toy-v0", "kwargs": {"n": 4}}
        agent = DQN.for_env(env, small_config(), 0)
        path = save(tmp_path / "a.safetensors", agent)
        assert load(path, gym.make("Toy-v0")).environment["kwargs"] == {"n": 4}
        with pytest.raises(CheckpointError, match=r"kwargs: recorded \{'n': 4\}, here \{'n': 5\}"):
            load(path, gym.make("Toy-v0", n=5))
        with pytest.raises(CheckpointError, match="id: recorded 'Toy-v0', here None"):
            load(path, Identity())
        with pytest.raises(ValueError, match=r"made for another environment: .*here \{'n': 5\}"):
            agent.round(gym.make_vec("Toy-v0", num_envs=4, vectorization_mode="sync", n=5), 100)
    finally:
        gym.registry.pop("Toy-v0")


def test_another_variant_is_refused(half):
    class Variant(DQN):
        pass

    with pytest.raises(CheckpointError, match="saved from agent 'DQN', not 'Variant'"):
        load(half, agent_class=Variant)


def test_exported_policy_plays_the_same(finished, tmp_path):
    path = export(tmp_path / "policy.safetensors", finished, observation="compact", card={"result": 1.5})
    assert path.stat().st_size < 30_000
    policy = load_policy(path, Battery())
    rng = np.random.default_rng(0)
    x = rng.random((50, 18), dtype=np.float32)
    info = {"action_mask": np.array([[1, 1], [0, 1]] * 25, np.int8)}
    np.testing.assert_array_equal(policy.action_values(x, info), finished.policy().action_values(x, info))
    assert policy.observation == "compact"
    assert policy.card == {"decisions": finished.decisions, "seed": 0, "result": 1.5}
    with pytest.raises(CheckpointError, match="format 'dqn-policy', expected dqn-checkpoint"):
        load(path)
    with pytest.raises(CheckpointError, match="another environment"):
        load_policy(path, Identity())
    whole = load_policy(save(tmp_path / "whole.safetensors", finished))
    np.testing.assert_array_equal(policy.action_values(x, info), whole.action_values(x, info))


PROGRAM = """
import sys
from pathlib import Path
from agents import DQN, load, save, train
from tests.agents.toy_environments import Battery, small_config, vector
path = Path(sys.argv[1])
config = small_config(total_decisions=8_000, start_decisions=800, replay_capacity=2_000, threads=1)
env = vector(Battery, config.n_environments)
agent = load(path, env) if path.exists() else DQN.for_env(env, config, 5)
for progress in train(agent, env):
    save(path, agent)
    print(progress.decisions, flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_bit_identical(tmp_path):
    path = tmp_path / "killed.safetensors"
    command = [sys.executable, "-c", PROGRAM, str(path)]
    for pause in (0.05, 0.13):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout:
            first = int(process.stdout.readline())
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL, "it must still have been training"
        assert load(path).decisions >= first
    resumed = load(path)
    assert 0 < resumed.decisions < resumed.config.total_decisions
    agent, env = fresh(5, resumed.config)
    for each in (resumed, agent):
        list(train(each, env))
    assert_identical(resumed, agent)


def test_modes_of_saved_files_follow_the_umask(tmp_path):
    """A checkpoint is as readable as any other file."""
    plain = tmp_path / "plain"
    plain.touch()
    path = save(tmp_path / "a.safetensors", fresh()[0])
    assert os.stat(path).st_mode == os.stat(plain).st_mode


def test_configuration_survives(half):
    assert load(half).config == CONFIG and isinstance(load(half).config, DQNConfig)
