import copy
import errno
import functools
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import agents.checkpoints
import agents.files
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


def test_a_loaded_agent_owns_its_numbers(half):
    """Training on must not write into the file that the tensors came from."""
    before = half.read_bytes()
    agent = load(half)
    for _ in range(3):
        agent.round(vector(Battery, 16), 4_000)
    assert half.read_bytes() == before


def test_a_loaded_agent_does_not_depend_on_its_file(half):
    """Neither on one that was replaced, nor on one that was overwritten in place."""
    agent = load(half)
    before, _ = everything(agent)
    half.write_bytes(bytes(half.stat().st_size))
    assert all(torch.equal(value, before[name]) for name, value in agent.state()[0].items())


def test_a_failed_save_names_the_file_and_keeps_the_old_one(half, monkeypatch):
    before = half.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(agents.files.os, "fsync", full)
    with pytest.raises(OSError, match=r"could not be written \(No space left.*half.safetensors") as caught:
        save(half, fresh()[0])
    assert caught.value.errno == errno.ENOSPC
    assert half.read_bytes() == before
    assert [p.name for p in half.parent.iterdir()] == [half.name]


def test_what_a_killed_writer_left_goes_with_the_next_save(half):
    leftover, other = half.with_name(f".{half.name}.0123.tmp"), half.with_name(".other.0123.tmp")
    for path in (leftover, other):
        path.write_bytes(b"half")
    save(half, load(half))
    assert {p.name for p in half.parent.iterdir()} == {half.name, other.name}


def write_again_and_again(path):
    agent = load(path)
    for _ in range(20):
        save(path, agent)
        load(path)
        load_policy(path)


def test_writers_and_readers_of_one_file_do_not_disturb_each_other(half):
    with ThreadPoolExecutor(3) as pool:  # a lock of a folder holds between threads as it does between processes
        for done in [pool.submit(write_again_and_again, half) for _ in range(3)]:
            done.result()
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


def contents(path):
    """Tensors and metadata."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata()  # noqa: SIM118


def rewrite(path, tensors, metadata, *, version="2", seal=True, **changes):
    """Write a file with other metadata; with a checksum that fits, so that only what it says can give it away."""
    metadata = {**metadata, "version": version, **changes}
    if seal:
        text = metadata["format"] + metadata["header"]
        metadata["checksum"] = str(agents.checkpoints._checksum(tensors, version, text))
    save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize("version", ["1", "2"])
def test_files_of_both_versions_are_read(half, version):
    before = everything(load(half))[0]
    rewrite(half, *contents(half), version=version)
    after, _ = everything(load(half))
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert np.isfinite(load_policy(half).action_values(np.zeros(18), {})).all()


def test_a_changed_header_is_noticed(half):
    tensors, metadata = contents(half)
    rewrite(half, tensors, metadata, seal=False, header=metadata["header"].replace('"seed": 0', '"seed": 1'))
    with pytest.raises(CheckpointError, match=r"half.safetensors: damaged: the checksum"):
        load(half)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("config.warp", 9, "unknown setting 'warp'"),
        ("config.hidden", [7], "does not fit its own configuration"),
        ("config.hidden", [10**10, 10**10], "overflow"),
        ("config.replay_capacity", 10**12, "does not fit into memory|replay_capacity"),
        ("config.n_environments", 3, "memory.observation"),
        ("config", [], "config: expected dict"),
        ("agent", 5, "agent: expected str"),
        ("agent", "Other", "saved from agent 'Other', not 'DQN'"),
        ("seed", True, "seed: expected int"),
        ("seed", -1, "seed: expected int"),
        ("notes", None, "notes: expected dict"),
        ("environment", None, "environment: expected dict"),
        ("environment.n_inputs", 10**10, "n_inputs: expected 1 to 1,000,000"),
        ("environment.n_actions", 3, "does not fit its own configuration"),
        ("counters", [], "counters: expected dict"),
        ("counters.updates", "x", "updates: expected int, got 'x'"),
        ("counters.decisions", -1, "decisions: expected int"),
        ("counters.best_error", float("nan"), "best_error: expected float"),
        ("counters.updates_due", float("inf"), "updates_due: expected a finite number"),
        ("counters.generator", {"bit_generator": "PCG64"}, "lack 'state'"),
    ],
)
def test_nonsense_in_a_header_is_refused(half, where, value, message):
    tensors, metadata = contents(half)
    header = json.loads(metadata["header"])
    *parents, last = where.split(".")
    functools.reduce(dict.__getitem__, parents, header)[last] = value
    rewrite(half, tensors, metadata, header=json.dumps(header))
    with pytest.raises(CheckpointError, match=f"half.safetensors: .*({message})"):
        load(half)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "3"}, "version 3, this program reads 1 and 2"),
        ({"version": "9" * 5_000}, "version 99999"),
        ({"header": "{"}, "no JSON"),
        ({"header": "[" * 100_000 + "]" * 100_000}, "no JSON"),
        ({"header": "[]"}, "header: expected an object"),
        ({"header": '{"seed": 0, "seed": 1}'}, "a name stands twice"),
        ({"format": "other"}, "format 'other', expected dqn-checkpoint"),
    ],
)
def test_other_versions_and_broken_headers_are_refused(half, changes, message):
    rewrite(half, *contents(half), **changes)
    with pytest.raises(CheckpointError, match=f"half.safetensors: .*{message}"):
        load(half)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e30])
def test_weights_that_would_not_play_are_refused(finished, tmp_path, value):
    for write, read in ((save, load), (save, load_policy), (export, load_policy)):
        agent = copy.deepcopy(finished)
        with torch.no_grad():
            for network in (agent.online, agent.average):
                next(network.parameters())[0, 0] = value
        with pytest.raises(CheckpointError, match=r"agent.safetensors: .*(finite|at most 1e\+09)"):
            read(write(tmp_path / "agent.safetensors", agent))


@pytest.mark.parametrize("name", ["best.input_scale", "best.extra"])
def test_a_policy_holds_its_network_and_nothing_else(finished, tmp_path, name):
    path = export(tmp_path / "policy.safetensors", finished)
    tensors, metadata = contents(path)
    rewrite(path, {**tensors, name: torch.zeros(18)}, metadata)
    with pytest.raises(CheckpointError, match=name):
        load_policy(path)


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
import os, signal, sys, threading
from pathlib import Path
from agents import save, train
from tests.agents.test_checkpoints import fresh
path = Path(sys.argv[1])
killer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL))
agent, env = fresh()
for progress in train(agent, env):
    save(path, agent)
    if killer.ident is None:
        print(progress.decisions, flush=True)
        killer.start()
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_bit_identical(finished, tmp_path):
    path = tmp_path / "killed.safetensors"
    command = [sys.executable, "-c", PROGRAM, str(path)]
    process = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.returncode == -signal.SIGKILL, "it must still have been training"
    resumed = load(path)
    assert int(process.stdout) <= resumed.decisions < CONFIG.total_decisions
    list(train(resumed, vector(Battery, CONFIG.n_environments)))
    assert_identical(resumed, finished)


def test_modes_of_saved_files_follow_the_umask(tmp_path):
    """A checkpoint is as readable as any other file."""
    plain = tmp_path / "plain"
    plain.touch()
    path = save(tmp_path / "a.safetensors", fresh()[0])
    assert os.stat(path).st_mode == os.stat(plain).st_mode


def test_configuration_survives(half):
    assert load(half).config == CONFIG and isinstance(load(half).config, DQNConfig)
