"""Limits, guides, refusals and interruptions of trainings, with tiny settings."""

import math
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents import CheckpointError, DQNConfig
from aq_gym import SensorNetwork
from baselines.learners import clock
from baselines.learners import training as training_module
from baselines.learners.clock import Step
from baselines.learners.guide import Guide
from baselines.learners.pairs import Improver, PairCollector
from baselines.learners.resumption import CHECKPOINT
from baselines.learners.run import train
from baselines.learners.shipped import load_trained
from baselines.learners.training import Training
from baselines.learners.validation import Validation
from baselines.playing import FIRST_TUNING_SEED, play_problem, problem_of

KWARGS: dict[str, Any] = {"devices": [0, 15], "horizon": 8, "energy_budget": 2, "max_sleep": 5, "n_levels": 4}
ROUND = 16 * 8 * 2  # decisions
CONFIG = DQNConfig(
    total_decisions=2 * ROUND, n_environments=16, start_decisions=ROUND, start_updates=5, replay_capacity=3 * ROUND,
    replay_ratio=1.0, batch_size=32, hidden=(8,), input_scaling="standard", improvements=1, pairs=200, pairs_kept=2,
    pair_updates=10, start="guide", improve_from="guide",
)  # fmt: skip


def training(folder: Path | None = None, config: DQNConfig = CONFIG, **kwargs: Any) -> Training:
    return Training("MultiDevice-v0", config, 0, folder, **{"validation_episodes": 64, **KWARGS, **kwargs})


def test_what_is_left_is_never_worse_than_the_guide(tmp_path: Path) -> None:
    """Networks that all do badly in validation are not returned: the guide is, as a network that loads and plays."""
    run = training(tmp_path)
    run.prepare()
    guided, own = run.validate(), run._validation.error
    run._validation.error = lambda policy: own(policy) + 1.0  # type: ignore[method-assign]
    policy = train(run)
    assert run.is_guide and run.validate() == guided < run.agent.best_error
    loaded = load_trained(tmp_path)
    assert loaded.card["policy_is"] == "its guide" and loaded.card["decisions"] == 2 * ROUND
    found = [play_problem(x, run.problem, 64, FIRST_TUNING_SEED).joint_error for x in (policy, loaded)]
    index = play_problem(Guide(run.problem).policy, run.problem, 64, FIRST_TUNING_SEED).joint_error
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].mean() == pytest.approx(guided) == pytest.approx(index.mean(), rel=1e-3)
    again = training(tmp_path, resume=True)
    train(again)
    assert again.validate() == pytest.approx(guided), "a resumption knows its guide"


def test_a_better_network_is_returned() -> None:
    run = training()
    run.prepare()
    own = run._validation.error
    run._validation.error = lambda policy: own(policy) - 100.0  # type: ignore[method-assign]
    train(run)
    assert not run.is_guide and run.validate() == run.agent.best_error < run._guide_error


def test_a_limit_is_kept_within_the_first_improvement() -> None:
    """One that would take minutes is cut into pieces that end in time; compiling does not count."""
    config = CONFIG.replace(pairs=2_000_000, pair_updates=500_000, improvements=3)
    run, steps = training(config=config), list[Step]()
    run.prepare(3.0)
    began = time.perf_counter()
    train(run, seconds=3.0, watch=steps.append)
    took = time.perf_counter() - began
    assert 1.5 < took < 20.0 and run.agent.improvements == 1, "not minutes, also on a busy machine"
    assert run.clock.spent["validation"] < 0.5 * took
    assert steps[-1].stage == "improving" and steps[-1].validation_error is not None and steps[-1].share > 0.5


def test_an_improver_cuts_updates_to_what_is_left() -> None:
    run = training(config=CONFIG.replace(improvements=1, pair_updates=100_000))
    run.prepare()
    run.agent.round(run.env, ROUND)
    improver, found = Improver(run.agent, run.task.collector(run._guide)), list[int]()
    own = run.agent.improve

    def noted(collect: Any) -> Any:
        found.append(run.agent.config.pair_updates)
        return own(collect)

    run.agent.improve = noted  # type: ignore[method-assign]
    assert improver.improve(0.0) is None and not found
    assert improver.improve(1.0) is not None
    assert 1 <= found[0] < 20_000 and run.agent.config.pair_updates == 100_000
    assert improver.improve(improver.cost / 3) is None


def test_pairs_end_in_time_and_are_at_least_a_few() -> None:
    problem = problem_of("MultiDevice-v0")
    collector = PairCollector(problem, Guide(problem).policy, threads=1)
    began = time.perf_counter()
    pairs = collector(None, 10_000_000, np.random.default_rng(0), began + 0.5)
    assert time.perf_counter() - began < 20.0 and 8 <= len(pairs.deltas) < 10_000_000
    few = collector(None, 10_000_000, np.random.default_rng(0), began)
    assert 8 <= len(few.deltas) <= 8 * 4 * 24


def test_validation_becomes_cheap_when_time_is_short() -> None:
    problem = problem_of("TwoDevices-v0")
    long, short = (Validation(problem, 3125, solvable=True, exact=True) for _ in range(2))
    long.limit(3600.0)
    assert long.exact and long.solvable and long.episodes == 3125
    short.limit(0.05)
    assert not short.exact and not short.solvable and 4 <= short.episodes < 3125
    assert "eval/regret_percent" not in short.scalars(1.0)


def test_compiling_is_announced_where_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with clock.announced_compiling():
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(clock, "_NOTICEABLE", 0.01)
    with clock.announced_compiling():
        time.sleep(0.2)
    assert capsys.readouterr().err.startswith("compiling the kernels once")


def test_kernels_are_compiled_once_before_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of the same kind on tiny episodes runs first, and its time is not that of the training."""
    lengths, own, now = list[int](), PairCollector.collect, [0.0]

    def slow(self: PairCollector, *args: Any) -> Any:
        lengths.append(self.problem.horizon)
        now[0] += float(self.problem.horizon == 4)
        return own(self, *args)

    monkeypatch.setattr(PairCollector, "collect", slow)
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(training_module, "_compiled", set())
    run = training()
    train(run)
    assert sorted(set(lengths)) == [4, 8] and lengths == sorted(lengths)
    assert run.clock.spent["compiling"] >= 1.0 and run.clock.spent["training"] == 0.0
    again = training()
    train(again)
    assert again.clock.spent["compiling"] == 0.0


def test_resuming_with_other_rewards_guide_or_network_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, config = tmp_path / "city.npz", CONFIG.replace(improvements=0, start="random", improve_from="learned")
    SensorNetwork.synthetic(20, seed=1).save(path)
    kwargs: dict[str, Any] = {"network": str(path), "n_levels": None}
    train(training(tmp_path, config, **kwargs))
    for change, expected in (
        ({"reference": False}, "reference was True, here False"),
        ({"max_sleep": 6}, "max_sleep"),
    ):
        with pytest.raises(ValueError, match=expected):
            training(tmp_path, config, resume=True, **{**kwargs, **change})
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="guide was 'greedy', here 'index'"):
        patch.setattr("baselines.learners.task.recipe", lambda env_id: {"guide": "index"})
        training(tmp_path, config, resume=True, **kwargs)
    SensorNetwork.synthetic(20, seed=2).save(path)
    with pytest.raises((CheckpointError, ValueError), match="has other parameters than it had"):
        training(tmp_path, config, resume=True, **kwargs)
    with pytest.raises(FileNotFoundError, match=r"is missing: nothing to resume there"):
        training(tmp_path / "none", config, resume=True, **kwargs)


def test_what_our_dqn_does_not_learn_is_refused_with_what_does() -> None:
    with pytest.raises(ValueError, match=r"sequential view.*MultiDevice-v0.*train_sb3"):
        Training("JointDevices-v0", CONFIG)
    for name, value in (("observation", "full"), ("num_envs", 3), ("render_mode", "ansi")):
        with pytest.raises(ValueError, match=name):
            training(**{name: value})
    with pytest.raises(ValueError, match=r"hidden \(1000000000,\).*too large"):
        training(config=CONFIG.replace(hidden=[10**9]))
    with pytest.raises(ValueError, match="seed: expected an integer of at least 0, got -1"):
        Training("MultiDevice-v0", CONFIG, -1, **KWARGS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sigterm_keeps_what_ctrl_c_keeps(
    tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step ends, the checkpoint is written, and a second request meanwhile does no harm."""
    run = training(tmp_path, CONFIG.replace(total_decisions=50 * ROUND))
    own = run.save

    def saved() -> None:
        os.kill(os.getpid(), number)
        own()

    run.save = saved  # type: ignore[method-assign]
    train(run, watch=lambda step: os.kill(os.getpid(), number))
    assert run.agent.decisions == ROUND and (tmp_path / CHECKPOINT).is_file()
    assert "what was learned so far is kept, --resume continues" in capsys.readouterr().out
    assert math.isfinite(load_trained(tmp_path).training_seconds)


def test_missing_folders_are_named_with_what_would_be_right(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no policy.safetensors: expected a folder that"):
        load_trained(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no file and no folder"):
        load_trained(tmp_path / "none")
