"""One network for many instances: collected, trained, resumed and played with tiny settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from aq_gym.problem import Problem
from aq_gym.sampler import InstanceSampler
from baselines.heuristics.problems import entry_problem
from baselines.heuristics.simple import Staggered
from baselines.learners.compiled import compiled_error
from baselines.learners.generalist import GeneralistTraining, recipe
from baselines.learners.mixed import MixedPairCollector, MixedValidation
from baselines.learners.resumption import CHECKPOINT
from baselines.learners.run import train
from baselines.learners.shipped import load_generalist, load_trained
from baselines.playing import play_problem
from scripts import train_generalist, zero_shot

CONFIG = recipe().replace(
    n_environments=4, hidden=[8], pairs=200, pair_updates=10, improvements=3, batch_size=32, pair_cut=4
)


def small(seed: int) -> InstanceSampler:
    return InstanceSampler(seed, n_devices=(1, 2, 3), horizon=(6, 10), period=(2.0, 4.0), inferences=("paper",))


def training(folder: Path | None, resume: bool = False, improvements: int = 3) -> GeneralistTraining:
    config = CONFIG.replace(improvements=improvements)
    return GeneralistTraining(
        config, 5, folder, sampler=small, validation_instances=3, validation_episodes=8, resume=resume
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generalist")
    train(training(folder))
    return folder


def test_resumed_training_ends_like_an_uninterrupted_one(finished: Path, tmp_path: Path) -> None:
    train(training(tmp_path, improvements=1))
    train(training(tmp_path, resume=True))
    one, two = (load_file(folder / CHECKPOINT) for folder in (finished, tmp_path))
    assert one.keys() == two.keys()
    for key, value in one.items():
        np.testing.assert_array_equal(value.numpy(), two[key].numpy(), err_msg=key)


def test_a_resumption_with_another_validation_measures_the_best_anew(tmp_path: Path) -> None:
    first = training(tmp_path, improvements=1)
    train(first)
    shape: dict[str, Any] = {"sampler": small, "validation_episodes": 8, "resume": True}
    same, other = (GeneralistTraining(CONFIG, 5, tmp_path, validation_instances=n, **shape) for n in (3, 2))
    best = first.agent.best_error
    assert first.validate() == same.validate() == best != other.validate()
    assert other.agent.best_error == other.validate()


def test_it_plays_any_instance_and_compiled_play_is_the_same(finished: Path) -> None:
    policy = load_trained(finished)
    assert policy.observation == "per_device"
    for problem in (small(1).draw(), Problem.create("synthetic-20-3", list(range(12)), 6, 2, 4)):
        played = play_problem(policy, problem, 16, 3).joint_error
        np.testing.assert_allclose(compiled_error(policy, problem, 16, 3), played, rtol=1e-9)
    assert 3 < 12, "also of more devices than it was trained on"


@pytest.mark.parametrize("cut", [0, 4])
def test_pairs_are_those_of_fresh_instances_whatever_the_threads(cut: int) -> None:
    one, three = (MixedPairCollector(small, 5, cut=cut, threads=n)(None, 100, np.random.default_rng(2)) for n in (1, 3))
    assert one.cut.shape == (100, 2 if cut else 0) and one.cut.any() == bool(cut)
    for part, same in zip(one, three, strict=True):
        np.testing.assert_array_equal(part, same)
    assert one.observations.shape == (100, 32 + 18)
    assert one.tails.shape == (100, 2 if cut else 0, 2, 32 + 18)
    present = np.exp(8.0 * one.observations[:, 32 + 13]).round()
    sampler = small(int(np.random.default_rng(2).integers(2**30, 2**31)))
    expected = [sampler.draw().n_devices for _ in range(5)]
    assert present.reshape(5, 20).tolist() == [[m] * 20 for m in expected]
    normal = (one.deltas[:, 0] / one.scales).reshape(5, 20).std(axis=1)
    np.testing.assert_allclose(normal, 1.0, rtol=1e-4)


def test_validation_is_relative_to_greedy(finished: Path) -> None:
    sampler = small(9)
    problems = [sampler.draw() for _ in range(3)]
    validation, policy = MixedValidation(problems, 32), load_trained(finished)
    ratios = [compiled_error(policy, p, 32, 2**29).mean() / g for p, g in zip(problems, validation.greedy, strict=True)]
    assert validation.error(policy) == pytest.approx(np.mean(ratios))


def test_the_shipped_agent_beats_staggered_sensing_where_it_never_trained() -> None:
    for name in ("SingleDevice-v0", "MultiDevice-v0", "Tainan-v0"):
        problem = entry_problem(name)
        agent = load_generalist(problem)
        found = compiled_error(agent, problem, 512, 0)
        uniform = play_problem(Staggered(problem), problem, 512, 0).joint_error
        gain = uniform - found
        assert gain.mean() > 4 * gain.std() / 512**0.5


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.train_generalist.recipe", lambda: CONFIG)
    monkeypatch.setattr(
        "scripts.train_generalist.GeneralistTraining",
        lambda *a, **k: GeneralistTraining(*a, sampler=small, validation_instances=2, validation_episodes=8, **k),
    )
    folder = tmp_path / "run"
    train_generalist.main(train_generalist.parse(["--folder", str(folder), "--improvements", "1", "--quiet"]))
    said = capsys.readouterr().out
    assert "256 pairs" in said and "relative to greedy sensing, on 8 episodes of each of 2 instances" in said
    with pytest.raises(ValueError, match="holds a checkpoint: --resume continues it"):
        train_generalist.main(train_generalist.parse(["--folder", str(folder), "--quiet"]))
    given = ["--agent", str(folder), "--episodes", "64", "--instances", "SingleDevice-v0", "TwoDevices-v0"]
    given += ["--markdown", str(tmp_path / "z.md")]
    table = zero_shot.main(zero_shot.parse([*given, "--csv", str(tmp_path / "z.csv")]))
    assert table.policy.tolist() == ["staggered", "index", "trained there", "generalist"] * 2
    assert table.percent.isna().tolist() == [False, True, False, False] * 2
    rows = table[table.policy == "generalist"]
    assert (rows.percent_low < rows.percent).all() and (rows.percent < rows.percent_high).all()
    assert (tmp_path / "z.csv").read_text().startswith("instance,policy,joint_error,percent")
    page = (tmp_path / "z.md").read_text()
    assert page.count("\n| ") == 2 + 8 and "| 64 |" in page and "python -m scripts.train_generalist" in page
