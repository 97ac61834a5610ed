"""The evaluator: the same episodes for all, whatever the chunks; known figures; intervals; refusals."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import baselines
from aq_gym import SensorNetwork
from aq_gym.problem import Problem
from baselines import evaluate, play, play_problem, problem_of, summarise
from baselines.evaluation import COLUMNS, WORDS, load_agent
from baselines.evaluation.registry import build_policy, names_of
from baselines.exact.several_devices import solve_joint
from baselines.heuristics.problems import entry_problem
from baselines.heuristics.simple import Staggered
from baselines.playing import Record

MULTI = entry_problem("MultiDevice-v0")
TINY: dict[str, Any] = {"horizon": 12, "energy_budget": 2, "max_sleep": 6, "n_levels": 4, "devices": [0, 15]}


class Always:
    """Wishes the same action, legal or not."""

    def __init__(self, action: int) -> None:
        self.action = action

    def act(self, observation: Any, info: Any) -> Any:
        return np.full(len(info["slot"]), self.action)


def test_uniform_sensing_earns_what_the_model_says() -> None:
    table = evaluate(
        {w: w for w in ("staggered", "synchronised", "random", "greedy")}, "aq_gym/MultiDevice-v0", 2_500, 0
    )
    rows = table.set_index("policy")
    # reference values with a standard error of 0.04, ours have 0.08: four standard errors of the difference
    assert rows.joint_error["synchronised"] == pytest.approx(8.38, abs=0.36)
    assert rows.joint_error["staggered"] == pytest.approx(5.88, abs=0.36)
    assert rows.joint_error["synchronised"] - rows.joint_error["staggered"] == pytest.approx(2.50, abs=0.15)
    assert rows.difference_low["random"] > 0 and rows.difference_high["greedy"] < 0
    assert (rows.energy_used.drop("greedy") == 10).all() and (rows.forced == 0).all()


def test_the_table_of_a_solvable_instance() -> None:
    table = evaluate({"best": "optimal", "staggered": "staggered", "random": "random"}, "TwoDevices-v0", 400, 5, **TINY)
    assert tuple(table.columns) == COLUMNS and table.policy.tolist() == ["best", "staggered", "random"]
    best = table.iloc[0]
    problem = problem_of("TwoDevices-v0", **TINY)
    optimum = solve_joint(problem.network, problem.devices, 12, 2, 6).expected_error
    assert best.joint_error_low - 0.5 < optimum < best.joint_error_high + 0.5
    assert (table.joint_error_low < table.joint_error).all() and (table.joint_error < table.joint_error_high).all()
    assert best.difference == best.difference_low == best.difference_high == 0
    assert (table.difference_low[1:] > 0).all()
    assert np.allclose(table.difference, table.joint_error - best.joint_error, rtol=0, atol=1e-12)
    paired = table.difference_high[1:] - table.difference_low[1:]
    assert (paired < (table.joint_error_high - table.joint_error_low)[1:]).all()
    assert best.training_seconds > 0 and (table.training_seconds[1:] == 0).all()
    assert (table.decisions_per_second > 0).all()


def test_the_same_seed_gives_the_same_table() -> None:
    timed = ["decisions_per_second", "training_seconds"]
    words = {"random": "random", "staggered": "staggered"}
    first, again, other = (evaluate(words, "TwoDevices-v0", 60, seed, **TINY).drop(columns=timed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert first.joint_error[1] != other.joint_error[1]


@pytest.mark.parametrize("word", ["random", "staggered", "greedy"])
def test_chunks_do_not_matter(word: str) -> None:
    policy = baselines.build_policy(word, MULTI)[0]
    whole, parts, single = (play_problem(policy, MULTI, 7, 11, most=most) for most in (7, 3, 1))
    assert np.array_equal(whole.joint_error, parts.joint_error) and np.array_equal(
        whole.joint_error, single.joint_error
    )
    assert np.array_equal(whole.sensings, parts.sensings) and whole.decisions == single.decisions == 7 * 300
    assert np.array_equal(whole.joint_error[2:], play_problem(policy, MULTI, 5, 13).joint_error) or word == "random"


def test_forced_decisions_and_energy_are_counted() -> None:
    problem = problem_of("TwoDevices-v0", **TINY)  # T 12, B 2, D 6
    off, on = (play_problem(Always(action), problem, 20, 0) for action in (0, 1))
    # off: the delay is 1 in slot 1, hence 6 in slots 6 and, after a delay of 1 in slot 7, 12: two forced sensings
    assert off.forced == 20 * 2 * 2 and (off.sensings == 2).all() and off.decisions == 20 * 24
    # on: two sensings, then ten slots without energy
    assert on.forced == 20 * 2 * 10 and (on.sensings == 2).all()
    share = evaluate({"on": Always(1)}, "TwoDevices-v0", 20, 0, **TINY)
    assert (
        share.forced[0] == pytest.approx(10 / 12) and share.energy_used[0] == 2 and np.isnan(share.training_seconds[0])
    )


def record(errors: list[float], **kwargs: Any) -> Record:
    return Record(np.array(errors), np.full(len(errors), 2.0), 3, 30, 0.5, **kwargs)


def test_differences_of_a_made_up_case() -> None:
    table = summarise({"a": record([1.0, 5.0, 9.0, 3.0]), "b": record([1.5, 5.5, 9.5, 3.5], training_seconds=7.0)})
    assert table.joint_error.tolist() == [4.5, 5.0]
    # every episode is worse by exactly a half: the interval of the difference has no width, those of the errors do
    assert table.loc[1, ["difference", "difference_low", "difference_high"]].tolist() == [0.5, 0.5, 0.5]
    assert table.joint_error_low[1] < 4 < 6 < table.joint_error_high[1]
    assert table.forced.tolist() == [0.1, 0.1] and table.decisions_per_second.tolist() == [60.0, 60.0]
    assert table.training_seconds[1] == 7.0
    with pytest.raises(ValueError, match="not the same"):
        summarise({"a": record([1.0]), "b": record([1.0, 2.0])})


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    rows = [summarise({"a": record(rng.normal(3.0, 1.0, 100).tolist())}, seed).iloc[0] for seed in range(200)]
    covered = np.mean([row.joint_error_low < 3.0 < row.joint_error_high for row in rows])
    assert 0.90 < covered < 0.985
    assert np.mean([row.joint_error_high - row.joint_error_low for row in rows]) == pytest.approx(
        2 * 1.96 / 10, rel=0.05
    )


def test_one_episode_has_no_interval() -> None:
    table = evaluate({"staggered": "staggered"}, "TwoDevices-v0", 1, 0, **TINY)
    assert np.isfinite(table.joint_error[0]) and np.isnan(table.joint_error_low[0])


def test_joint_ids_and_joint_policies_play_the_same_episodes() -> None:
    joint = play("staggered", "aq_gym/JointDevices-v0", 5, 2)
    assert np.array_equal(joint, play("staggered", "aq_gym/MultiDevice-v0", 5, 2))
    problem = problem_of("TwoDevices-v0", **TINY)
    numbers = (problem.network, problem.devices, 12, 2, 6)
    one_by_one, at_once = (solve_joint(*numbers, view=view) for view in ("sequential", "joint"))
    errors = [play_problem(policy, problem, 30, 0).joint_error for policy in (one_by_one, at_once)]
    assert np.allclose(*errors, rtol=1e-9)


def test_play_gives_the_errors_that_evaluate_averages() -> None:
    errors = play("staggered", "TwoDevices-v0", 30, 4, **TINY)
    table = evaluate({"x": "random", "y": "staggered"}, "TwoDevices-v0", 30, 4, **TINY)
    assert errors.shape == (30,) and errors.mean() == table.joint_error[1]
    of_problem = play("staggered", problem_of("TwoDevices-v0", **TINY), 30, 4)
    np.testing.assert_array_equal(errors, of_problem)


def test_a_policy_sees_the_observation_that_it_asks_for() -> None:
    class Looks(Always):
        sizes: set[int] = set()  # noqa: RUF012

        def act(self, observation: Any, info: Any) -> Any:
            self.sizes.add(observation.shape[1])
            return super().act(observation, info)

    policy = Looks(0)
    evaluate({"a": policy}, "TwoDevices-v0", 2, 0, **TINY)
    evaluate({"a": policy}, "TwoDevices-v0", 2, 0, observation="compact", **TINY)
    assert policy.sizes == {2 * 30 + 6 * 2 + 4, 32}
    policy.observation = "full"
    policy.sizes.clear()
    evaluate({"a": policy}, "TwoDevices-v0", 2, 0, observation="compact", **TINY)
    assert policy.sizes == {76}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"policies": {}}, ValueError, "policies: expected a mapping of at least one"),
        ({"policies": ["random"]}, ValueError, "policies: expected a mapping"),
        (
            {"policies": {"a": "greed"}},
            ValueError,
            "'greed'; did you mean 'greedy'. the words are random, synchronised",
        ),
        ({"policies": {"a": object()}}, TypeError, r"policies\['a'\]: expected an object with a method act"),
        ({"policies": {"a": Always}}, TypeError, "the class Always"),
        ({"policies": {"a": "optimal"}}, ValueError, "fewer devices or levels"),
        (
            {"policies": {"a": SimpleNamespace(act=lambda o, i: 1)}},
            ValueError,
            r"a: act gave no valid actions.*shape \(2,\)",
        ),
        ({"policies": {"a": Always(2)}}, ValueError, "a: act gave no valid actions.*got 2"),
        ({"policies": {"a": SimpleNamespace(act=print, view="x")}}, ValueError, "view: expected"),
        ({"env_id": "aq_gym/Nowhere-v0"}, ValueError, "known: aq_gym/SingleDevice-v0"),
        ({"env_id": "aq_gym/MultiDevice-v9"}, ValueError, "known: aq_gym/SingleDevice-v0"),
        ({"env_id": "CartPole:CartPole-v1"}, ValueError, "known: aq_gym/SingleDevice-v0"),
        ({"env_id": "CartPole-v1"}, ValueError, "known: aq_gym/SingleDevice-v0"),
        ({"env_id": 3}, ValueError, "env_id: expected one of"),
        ({"episodes": 0}, ValueError, "episodes: expected an integer of at least 1, got 0"),
        ({"episodes": 2.5}, ValueError, "episodes"),
        ({"seed": -1}, ValueError, "seed"),
        ({"horizon": 0}, ValueError, "horizon"),
        ({"horizont": 9}, ValueError, "horizont"),
        ({"num_envs": 9}, ValueError, "num_envs"),
        ({"env_id": MULTI, "horizon": 9}, ValueError, "a problem has its arguments already.*got {'horizon': 9}"),
        ({"decide": "timer"}, ValueError, r"decide: .*only 'slot' .*got 'timer'; baselines.InSlots\(policy, problem\)"),
    ],
)
def test_nonsense_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "policies": {"a": "random"},
        "env_id": "aq_gym/MultiDevice-v0",
        "episodes": 2,
        "seed": 0,
    }
    with pytest.raises(error, match=message):
        evaluate(**(arguments | change))


def test_every_public_name_is_there() -> None:
    for name in baselines.__all__:
        assert getattr(baselines, name) is not None and name in dir(baselines)
    with pytest.raises(AttributeError, match="evaluate"):
        baselines.nothing
    simple, learned = ("random", "synchronised", "staggered", "greedy", "index"), ("pretrained", "generalist")
    relays = ("relay", "retrying-relay", "timetable", "adaptive-relay")
    assert {*simple, *relays, *learned, "rollout", "optimal"} == set(WORDS)


def test_imposed_levels_are_those_that_are_played() -> None:
    rng = np.random.default_rng(0)
    paths = rng.integers(0, MULTI.network.n_levels, (5, MULTI.horizon + 1))
    policy = Staggered(MULTI)
    whole, parts = (play_problem(policy, MULTI, 5, 0, levels=paths, most=most) for most in (5, 2))
    np.testing.assert_array_equal(whole.joint_error, parts.joint_error)
    other = play_problem(policy, MULTI, 5, 99, levels=paths)
    np.testing.assert_array_equal(whole.joint_error, other.joint_error)
    last = play_problem(policy, MULTI, 1, 0, levels=paths[4:])
    assert whole.joint_error[4] == last.joint_error[0]
    with pytest.raises(ValueError, match="levels: expected a path for each of 4 episodes, got 5"):
        play_problem(policy, MULTI, 4, 0, levels=paths)


def test_a_policy_of_another_problem_is_played_with_a_warning_that_says_so() -> None:
    other = Staggered(problem_of("TwoDevices-v0", **(TINY | {"energy_budget": 3})))
    with pytest.warns(UserWarning, match="a was made for another problem .*its energy_budget is 3, here 2$"):
        table = evaluate({"a": other}, "TwoDevices-v0", 2, 0, **TINY)
    assert len(table) == 1
    trained = SimpleNamespace(act=Always(0).act, card={"env_id": "TwoDevices-v0", "command": "x --env-kwargs '{}'"})
    with pytest.warns(UserWarning, match="its network is 'pku2018/6'"):
        evaluate({"b": trained}, "MultiDevice-v0", 1, 0)
    evaluate({"c": Staggered(MULTI)}, "MultiDevice-v0", 1, 0)  # its own: no warning, which would be an error here


def test_a_word_without_a_policy_is_left_out_only_on_request_and_never_the_first() -> None:
    words, reasons = {"a": "staggered", "b": "optimal", "c": "timetable"}, list[str]()
    table = evaluate(words, MULTI, 2, unavailable=reasons.append)
    assert list(table.policy) == ["a"] and len(reasons) == 2 and "inference='hidden'" in reasons[1]
    with pytest.raises(ValueError, match=r"policies\['b'\]: .*4\.4e\+20 states"):
        evaluate(words, MULTI, 2)
    with pytest.raises(ValueError, match="inference='hidden'"):
        evaluate({"c": "timetable", "a": "staggered"}, MULTI, 2, unavailable=reasons.append)


@pytest.mark.parametrize("name", ["City-v0", "Tainan-v0", "MultiDevice-Day-v0", "MultiDevice-Hidden-Week-v0"])
def test_the_optimum_of_a_large_problem_is_refused_with_its_size(name: str) -> None:
    with pytest.raises(ValueError, match=r"would take \S+ bytes of memory, more than max_bytes"):
        build_policy("optimal", problem_of(name))


@pytest.mark.parametrize("inference", ["paper", "hidden"])
def test_an_optimum_is_built_where_all_days_begin_at_one_level(inference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled before the clock starts needs a smaller network; groups of such a start can be empty."""
    monkeypatch.setattr("baselines.evaluation.registry._compiled", set())
    network = replace(SensorNetwork.load("pku2018").coarsen(4), start=np.array([0.0, 1.0, 0.0, 0.0]))
    problem = Problem.create(network, [0], 4, 2, 3, inference=inference)
    policy, _ = build_policy("optimal", problem)
    assert 0.0 < policy.expected_error < 20.0


def test_the_first_call_which_may_compile_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("baselines.playing.time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Slow(Always):
        def act(self, observation: Any, info: Any) -> Any:
            now[0] += 3.0 if now[0] == 0.0 else 0.5
            return super().act(observation, info)

    problem = problem_of("TwoDevices-v0", **TINY)
    assert play_problem(Slow(0), problem, 2, 0).seconds == pytest.approx(0.5 * 24)


def test_a_missing_folder_is_answered_with_what_would_be_right(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "policy.safetensors").touch()
    with pytest.raises(ValueError, match=r"there is no .*agnt; did you mean 'agent'\? .*scripts.train_dqn"):
        load_agent("dqn", tmp_path / "agnt")
    with pytest.raises(ValueError, match=r"has no model.zip; it holds an agent of --dqn"):
        load_agent("sb3", tmp_path / "agent")


def test_folders_of_the_same_name_are_told_apart() -> None:
    paths = [Path("a/agent"), Path("b/agent"), Path("b/other")]
    assert names_of("dqn", paths) == ["dqn a/agent", "dqn b/agent", "dqn b/other"]
    assert names_of("dqn", paths[1:]) == ["dqn agent", "dqn other"] and names_of("dqn", []) == []
    assert names_of("dqn", [Path("a/dqn")]) == ["dqn a/dqn"], "not dqn dqn"
