"""Units of their own, layers that are added, the universal index, and adaptation: never worse than what was there."""

import time
from typing import Any

import numpy as np
import pytest
import torch

import baselines
from aq_gym.episodes import Layers
from aq_gym.problem import Problem
from baselines import adaptation
from baselines.heuristics.index import AT, WIDTHS, Index, Simulator, greedy_index
from baselines.heuristics.index_tuning import best_threshold
from baselines.heuristics.relay import AdaptiveRelay
from baselines.heuristics.simple import Random, Staggered
from baselines.learners.generalist import (
    READ,
    THRESHOLD,
    UNREAD,
    greedy_threshold,
    imitated,
    in_own_unit,
    in_units_of,
    relative_errors,
    sampled,
    scaled,
    training_sampler,
    tune_for_all,
)
from baselines.learners.shipped import GENERALIST, load_generalist, load_trained
from baselines.packing import LayeredPolicy, added, errors_of, matrices, outputs, pack
from baselines.playing import play_problem

CITY = Problem.create("taipei2017", [0, 20, 40], 24, 4, 8)


def test_a_unit_scales_every_error() -> None:
    for problem in (CITY, Problem.create("tainan2017", [3, 50], 20, 4, 6, inference="level-aware", level_noise=0.1)):
        shape = problem.horizon, problem.energy_budget, problem.max_sleep
        other = Problem.create(scaled(problem.network, 0.25), problem.devices, *shape, **problem.options)
        errors = [play_problem(Staggered(p), p, 8, 0).joint_error for p in (problem, other)]
        np.testing.assert_allclose(errors[1], 0.25 * errors[0], rtol=1e-9)


def test_the_own_unit_suits_greedy_sensing() -> None:
    own = in_own_unit(CITY)
    assert greedy_threshold(own) == pytest.approx(0.5, rel=0.15)
    ratio = Simulator(own).errors([greedy_index(own, THRESHOLD), best_threshold(own, decisions=300_000)], 256, 0)
    assert ratio[0].mean() < 1.02 * ratio[1].mean()


def test_the_generalist_plays_the_same_in_every_unit() -> None:
    agent = load_generalist(CITY)
    assert agent.card["command"].startswith("python -m scripts.tune_generalist") and agent.card["commit"]
    errors = errors_of(agent, CITY, 64, 0)
    np.testing.assert_allclose(play_problem(agent, CITY, 64, 0).joint_error, errors, rtol=1e-6)
    own = in_own_unit(CITY)
    factor = float(own.network.levels[0] / CITY.network.levels[0])
    there = errors_of(load_generalist(own), own, 64, 0) / factor
    assert there.mean() == pytest.approx(errors.mean(), rel=1e-3)
    weight = pack(agent.network).weights
    assert not np.any(weight[[AT[name] for name in UNREAD]]), "what has a unit is not read"
    staggered = play_problem(Staggered(CITY), CITY, 64, 0).joint_error
    assert errors.mean() < staggered.mean()


def test_the_generalist_is_blended_and_shifted_as_does_best() -> None:
    """Where its threshold is far too high, the bound one is better than the plain one by the shift alone."""
    agent = load_trained(GENERALIST)
    plain = in_units_of(agent, CITY, 100_000)
    with torch.no_grad():  # a worse agent: it asks for a decrease 1.5 times as large
        agent.network.advantage_head.bias.copy_(agent.network.advantage_head.bias - torch.tensor([-0.2, 0.2]))
    worse = in_units_of(agent, CITY, 100_000)
    good, bad = (errors_of(x, CITY, 256, 0).mean() for x in (plain, worse))
    assert bad == pytest.approx(good, rel=0.01)


def test_the_generalist_of_a_hidden_level_is_the_adaptive_relay() -> None:
    problem = Problem.create("pku2018", [0, 15], 24, 4, 8, inference="hidden", n_levels=6)
    assert isinstance(load_generalist(problem), AdaptiveRelay)
    with pytest.raises(ValueError, match="generalist: was tuned with the paper's inference, not with 'level-aware'"):
        load_generalist(Problem.create("pku2018", [0, 15], 24, 4, 8, inference="level-aware", level_noise=0.1))


def test_adapting_where_the_level_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptation, "UNTIMED_TUNING", 100_000)
    monkeypatch.setattr(adaptation, "PAIRS", 300)
    kwargs = {"inference": "hidden", "n_levels": 6, "loss": 0.2, "energy_budgets": [3, 5]}
    problem, lines = Problem.create("pku2018", [0, 15], 24, 4, 8, **kwargs), []
    policy = baselines.adapt(Staggered(problem), problem, steps=1, report=lines.append)
    errors = {line.split(":")[0]: float(line.split(":")[1].split()[0]) for line in lines[:-1]}
    found = play_problem(policy, problem, 256, adaptation.SEED).joint_error.mean()
    assert found == pytest.approx(min(errors.values()), abs=1e-4) and found < errors["given"]


def test_the_universal_index_gets_better() -> None:
    problems = sampled(training_sampler(4), 3, 20_000)
    start = imitated(problems, 200)
    assert set(start.coefficients) == set(READ)
    lines: list[str] = []
    shape = {"generations": 2, "population": 8, "episodes": 2}
    one, two = (tune_for_all(problems, start, **shape, seed=7, report=lines.append) for _ in range(2))
    assert one.coefficients == two.coefficients and len(lines) == 6
    assert relative_errors([one], problems, 4, 0).shape == (1, 3)


def test_added_layers_add_up() -> None:
    rng = np.random.default_rng(0)
    seen = rng.uniform(-1.0, 1.0, (50, 32)).astype(np.float32)
    base = Layers(WIDTHS, rng.normal(size=33).astype(np.float32))
    wide = np.array([32, 5, 4, 1])
    other = Layers(wide, rng.normal(size=33 * 5 + 6 * 4 + 5).astype(np.float32))
    for one, two in ((base, other), (other, base)):
        both = added(one, 2.0, matrices(two.widths, two.weights), 0.5)
        np.testing.assert_allclose(outputs(both, seen), 2 * outputs(one, seen) + 0.5 * outputs(two, seen), atol=1e-5)
    policy = LayeredPolicy(CITY, both)
    played = play_problem(policy, CITY, 16, 0).joint_error
    np.testing.assert_allclose(Simulator(CITY).errors([both], 16, 0)[0], played, rtol=1e-6)


def test_adapted_is_never_worse_on_the_validation_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptation, "UNTIMED_TUNING", 300_000)
    monkeypatch.setattr(adaptation, "PAIRS", 500)
    lines: list[str] = []
    policy = baselines.adapt(Random(CITY, 0), CITY, steps=2, seed=3, report=lines.append)
    errors = {line.split(":")[0]: float(line.split(":")[1].split()[0]) for line in lines[:-1]}
    assert set(errors) >= {"given", "staggered", "greedy", "generalist", "index"}
    found = play_problem(policy, CITY, 256, adaptation.SEED).joint_error.mean()
    assert found == pytest.approx(min(errors.values()), abs=1e-4)
    again = baselines.adapt(Random(CITY, 0), CITY, steps=2, seed=3)
    assert play_problem(again, CITY, 256, adaptation.SEED).joint_error.mean() == found


def test_an_interruption_returns_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(adaptation._Adaptation, "improve", interrupt)
    monkeypatch.setattr(adaptation._Adaptation, "_tune", interrupt)
    policy = baselines.adapt(Staggered(CITY), CITY, steps=1)
    assert not isinstance(policy, Staggered) and policy.training_seconds > 0


def test_the_time_is_honoured() -> None:
    began = time.perf_counter()
    policy = baselines.adapt(Index(CITY, 0.0, {}), CITY, seconds=3.0)
    assert time.perf_counter() - began < 60.0, "also on a busy machine, compiling included"
    assert policy.training_seconds < 30.0
    for wrong in ({"seconds": 0.0}, {"seconds": float("nan")}, {"steps": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            baselines.adapt(policy, CITY, **wrong)
    with pytest.raises(TypeError, match="act"):
        baselines.adapt(3, CITY)
