"""Files changed at random are refused by a `CheckpointError` that names them, or valid: never a foreign exception."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load as deserialise
from safetensors.torch import save as serialise

from agents import CheckpointError, PairedDQN, export, load, load_policy, save
from agents.checkpoints import _checksum
from tests.agents.test_improvement import battery_pairs
from tests.agents.toy_environments import Battery, small_config, vector

MUTATIONS = 400  # of each kind of file
NONSENSE = [
    None, True, -1, 0, 1, 2, 7, 10**6, 10**10, 10**400, 0.5, -0.0, 1e300, float("nan"), float("inf"), "", "x", "mlp",
    "set", "\ud800", [], [1], [0, 10**10], ["x"], {}, {"a": 1}, [[1]],
]  # fmt: skip


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A checkpoint with pairs and an exported policy, as bytes."""
    folder = tmp_path_factory.mktemp("originals")
    config = small_config(
        n_environments=4, start_decisions=20, replay_capacity=60, hidden=(6,), start_updates=2, batch_size=8, pairs=20,
        pair_updates=2, pairs_kept=2,
    )  # fmt: skip
    agent = PairedDQN.for_env(vector(Battery, 4), config, 0)
    agent.round(vector(Battery, 4), 100)
    agent.improve(battery_pairs)
    return save(folder / "a", agent).read_bytes(), export(folder / "b", agent).read_bytes()


def split(content):
    about = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return {name: tensor.clone() for name, tensor in deserialise(content).items()}, about["__metadata__"]


def change_bytes(content, rng):
    """Flip, cut, double or move bytes anywhere, the beginning more often."""
    changed, kind = bytearray(content), rng.randrange(4)
    at = rng.randrange(rng.choice([8, 400, len(changed)]))
    if kind == 0:
        for _ in range(rng.choice([1, 1, 5])):
            changed[rng.randrange(at + 1)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del changed[at:]
    else:
        piece = changed[at : at + rng.randrange(1, 60)]
        place = rng.randrange(len(changed)) if kind == 2 else at
        changed[place:place] = piece
    return bytes(changed)


def change_header(metadata, rng):
    """Put nonsense, or another value of the header, at a random place of the header; or drop what stands there."""
    header = json.loads(metadata["header"])
    places = []

    def visit(node):
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            visit(node[key])

    visit(header)
    node, key = rng.choice(places)
    other, other_key = rng.choice(places)
    new = rng.choice([*NONSENSE, json.loads(json.dumps(other[other_key]))])
    if rng.random() < 0.1:
        del node[key]
    else:
        node[key] = new
    return {**metadata, "header": json.dumps(header)}


def change_tensors(tensors, rng):
    """Put extreme numbers in a tensor, or give it another shape, type or name."""
    name = rng.choice(sorted(tensors))
    tensor, kind = tensors[name], rng.randrange(6)
    if kind <= 2 and tensor.is_floating_point() and tensor.numel():
        tensor.view(-1)[rng.randrange(tensor.numel())] = rng.choice([np.nan, np.inf, -np.inf, 1e38, -1.0, 0.0, 1e-38])
    elif kind <= 3:
        tensors[name] = rng.choice([tensor.reshape(-1), tensor[None], tensor.repeat(2, *[1] * (tensor.ndim - 1))[:0]])
    elif kind == 4:
        tensors[name] = tensor.to(rng.choice([torch.float64, torch.int32, torch.bool, torch.float16, torch.bfloat16]))
    else:
        tensors[rng.choice([name + "x", *tensors])] = tensors.pop(name).clone()
    return tensors


def mutated(content, rng):
    if rng.random() < 0.4:
        return change_bytes(content, rng)
    tensors, metadata = split(content)
    metadata["version"] = rng.choice("12")
    if rng.random() < 0.5:
        metadata = change_header(metadata, rng)
    else:
        tensors = change_tensors(tensors, rng)
    if rng.random() < 0.9:  # else the checksum gives it away
        try:
            text = metadata["format"] + metadata["header"]
            metadata["checksum"] = str(_checksum(tensors, metadata["version"], text))
        except TypeError:  # bfloat16
            pass
    return serialise({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata=metadata)


@pytest.mark.parametrize("kind", ["checkpoint", "policy"])
def test_damage_is_refused_or_harmless(originals, tmp_path, kind):
    rng, content = random.Random(0), originals[kind == "policy"]
    path, refused, taken = tmp_path / "damaged.safetensors", 0, 0
    x = np.random.default_rng(0).random((3, Battery().size), dtype=np.float32)
    for number in range(MUTATIONS):
        path.write_bytes(mutated(content, rng))
        for read in (load_policy, lambda path: load(path, None, PairedDQN))[: 2 if kind == "checkpoint" else 1]:
            try:
                found = read(path)
            except CheckpointError as error:
                assert str(path) in str(error) and "\n" not in str(error), number
                refused += 1
                continue
            taken += 1
            policy = found.policy() if isinstance(found, PairedDQN) else found
            if policy.network.reads(x.shape[1]):
                assert np.isfinite(policy.action_values(x, {})).all(), number
    assert refused > MUTATIONS // 4 and taken > MUTATIONS // 40
