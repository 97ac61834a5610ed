"""Infos are made when they are read, and memory that nobody holds is used again: nobody may notice either."""

from __future__ import annotations

import copy
import json
import operator
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from aq_gym.envs.infos import Infos, UnreadInfos
from aq_gym.envs.vector import JointDevicesVectorEnv, MultiDeviceVectorEnv
from aq_gym.episodes import Episodes, cumulative, streams
from aq_gym.problem import Problem

PROBLEM: dict[str, Any] = {"devices": (0, 9, 20), "horizon": 8, "energy_budget": 4, "max_sleep": 3}


def stepped(kind: Callable[..., MultiDeviceVectorEnv] = MultiDeviceVectorEnv, steps: int = 5) -> tuple[Any, Any]:
    """An environment after some steps, and the unread info of the last."""
    env = kind(3, **PROBLEM)
    env.reset(seed=0)
    rng, shape = np.random.default_rng(0), env.action_space.shape
    for _ in range(steps):
        infos = env.step(rng.integers(0, 2, shape))[4]
    return env, infos


def plain(infos: Any) -> dict[str, list[Any]]:
    return {key: value.tolist() for key, value in infos.items()}


def unread(**kwargs: Any) -> Any:
    infos = stepped(**kwargs)[1]
    assert type(infos) is UnreadInfos
    return infos


EXPECTED = plain(unread())
READ: dict[str, Callable[[Any], Any]] = {
    "[]": lambda x: x["energy"].tolist() == EXPECTED["energy"],
    "in": lambda x: "turn" in x and "joint_error" not in x,
    "get": lambda x: x.get("slot").tolist() == EXPECTED["slot"] and x.get("nothing", 5) == 5,
    "iter": lambda x: list(x) == list(EXPECTED),
    "reversed": lambda x: list(reversed(x)) == list(EXPECTED)[::-1],
    "len": lambda x: len(x) == len(EXPECTED),
    "bool": bool,
    "keys": lambda x: list(x.keys()) == list(EXPECTED),
    "values": lambda x: [v.tolist() for v in x.values()] == list(EXPECTED.values()),
    "items": lambda x: plain(x) == EXPECTED,
    "dict": lambda x: type(dict(x)) is dict and plain(dict(x)) == EXPECTED,
    "**": lambda x: plain({**x}) == EXPECTED,
    "arguments": lambda x: plain((lambda **given: given)(**x)) == EXPECTED,
    "update": lambda x: (into := {}).update(x) is None and plain(into) == EXPECTED,
    "copy": lambda x: type(x.copy()) is dict and plain(x.copy()) == EXPECTED,
    "copy.copy": lambda x: type(copy.copy(x)) is dict and plain(copy.copy(x)) == EXPECTED,
    "deepcopy": lambda x: type(copy.deepcopy(x)) is dict and plain(copy.deepcopy(x)) == EXPECTED,
    "pickle": lambda x: plain(pickle.loads(pickle.dumps(x))) == EXPECTED,
    "pickle 0": lambda x: plain(pickle.loads(pickle.dumps(x, 0))) == EXPECTED,
    "|": lambda x: plain(x | {}) == EXPECTED and plain({} | x) == EXPECTED,
    "{} |": lambda x: plain({} | x) == EXPECTED,
    "|=": lambda x: plain(x.__ior__({})) == EXPECTED,
    "==": lambda x: not operator.eq(x, {}),
    "!=": lambda x: operator.ne(x, {}),
    "== from the left": lambda x: not operator.eq({}, x),
    "another of its type": lambda x: plain(type(x)(**x)) == EXPECTED and plain(type(x)(x)) == EXPECTED,
    "fromkeys": lambda x: type(x).fromkeys("ab") == {"a": None, "b": None} and "turn" in x,
    "json": lambda x: json.loads(json.dumps(x, default=lambda array: array.tolist())) == EXPECTED,
    "repr": lambda x: repr(x).startswith("{'action_mask': array("),
    "pop": lambda x: x.pop("turn").tolist() == EXPECTED["turn"] and "turn" not in x,
    "popitem": lambda x: x.popitem()[0] == "_forced" and len(x) == len(EXPECTED) - 1,
    "del": lambda x: x.__delitem__("turn") is None and len(x) == len(EXPECTED) - 1,
    "setdefault": lambda x: x.setdefault("new", 7) == 7 and x.setdefault("turn", 7).tolist() == EXPECTED["turn"],
    "clear": lambda x: x.clear() is None and not x and list(x) == [],
    "isinstance": lambda x: isinstance(x, dict),
}


@pytest.mark.parametrize("question", READ)
def test_the_first_question_finds_an_ordinary_dict(question: str) -> None:
    infos = unread()
    assert READ[question](infos)
    if question != "isinstance":
        assert type(infos) is Infos, "what has been read is read as any dict"
        assert infos.source is None


def test_two_that_nobody_has_read_are_compared_by_what_they_tell() -> None:
    one, other = unread(), unread()
    with pytest.raises(ValueError, match="truth value of an array"):  # as of any two dicts of arrays
        operator.eq(one, other)
    assert type(one) is type(other) is Infos


def test_threads_that_ask_at_once_all_find_everything() -> None:
    for _ in range(20):
        infos, start = unread(), threading.Barrier(4)

        def ask(infos: Any = infos, start: Any = start) -> int:
            start.wait()
            return len(infos["energy"]) + len(infos)

        with ThreadPoolExecutor(4) as pool:
            assert {f.result() for f in [pool.submit(ask) for _ in range(4)]} == {3 + len(EXPECTED)}


def test_what_is_set_first_is_not_lost() -> None:
    infos = unread()
    infos["turn"] = infos["own"] = 5
    assert infos["turn"] == infos["own"] == 5 and infos["slot"].tolist() == EXPECTED["slot"]


@pytest.mark.parametrize("kind", [MultiDeviceVectorEnv, JointDevicesVectorEnv])
def test_infos_tell_of_their_step_whenever_they_are_read(kind: Callable[..., MultiDeviceVectorEnv]) -> None:
    late, soon = kind(3, **PROBLEM), kind(3, **PROBLEM)
    late.reset(seed=0)
    soon.reset(seed=0)
    rng, held, expected = np.random.default_rng(1), [], []
    for _ in range(60):  # more than two episodes
        actions = rng.integers(0, 2, late.action_space.shape)
        held.append(late.step(actions))
        seen = soon.step(actions)
        expected.append((*(x.copy() for x in seen[:4]), plain(seen[4])))
    for step, then in zip(held, expected, strict=True):
        for ours, theirs in zip(step[:4], then[:4], strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert plain(step[4]) == then[4]


@pytest.mark.parametrize("part", ["observation", "row", "info", "entry"])
def test_what_somebody_holds_is_not_written_to(part: str) -> None:
    env, _ = stepped()
    rng = np.random.default_rng(2)
    kept: list[Any] = []
    for _ in range(12):
        observation, _, _, _, infos = env.step(rng.integers(0, 2, 3))
        held = {
            "observation": lambda o=observation: o,
            "row": lambda o=observation: o[1:],
            "info": lambda i=infos: i,
            "entry": lambda i=infos: i["energy"],
        }[part]()
        kept.append((held, copy.deepcopy(held)))
        del observation, infos
    for held, then in kept:
        np.testing.assert_equal(dict(held) if part == "info" else held, then)


def test_memory_that_nobody_holds_is_used_again() -> None:
    env, _ = stepped()
    actions = np.zeros(3, np.int64)
    places = {env.step(actions)[0].ctypes.data for _ in range(6)}
    assert len(places) == 1, "one is enough for who keeps nothing"
    observation, places = env.step(actions)[0], set()
    for _ in range(6):
        observation = env.step(actions)[0]
        places.add(observation.ctypes.data)
    assert len(places) == 2, "and two for who keeps that of the last step"


def test_rows_are_used_again_by_who_reads_and_keeps_the_last_info() -> None:
    env, _ = stepped()
    actions, places, info = np.zeros(3, np.int64), set(), {}
    for _ in range(6):
        info = env.step(actions)[4]
        places.add(info["energy"].__array_interface__["data"][0])
    assert len(places) == 2
    assert len(info) > 8


def test_a_shallow_copy_draws_from_generators_that_live() -> None:
    env, _ = stepped()
    twin = copy.copy(env)
    drawn = [generator.bit_generator.state["state"]["state"] for generator in env.np_random]
    twin.reset(seed=5)
    assert [generator.bit_generator.state["state"]["state"] for generator in env.np_random] == drawn
    assert (env.np_random_seed, twin.np_random_seed) == ((0, 1, 2), (5, 6, 7))
    alone, _ = stepped()
    for each in (env, alone):
        each.reset()
    np.testing.assert_array_equal(env.get_state().arrays.path, alone.get_state().arrays.path)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_paths_that_compiled_code_draws_are_those_of_the_generators(kind: Any) -> None:
    """As a search through the cumulative probabilities finds them, with groups of episodes that are full and not."""
    problem = Problem.create("pku2018", (0, 6), 30, 5, 6)
    episodes, rows = Episodes(problem, 21), np.array([0, 2, 3, 5, 6, 7, 9, 11, 12, 14, 20])
    ours, theirs = ([np.random.Generator(kind(seed)) for seed in range(21)] for _ in range(2))
    start, transition = (cumulative(np.asarray(x)) for x in (problem.network.start, problem.network.transition))
    for _ in range(2):
        episodes.begin_drawn(rows, streams(ours), episodes.blank())
        for row in rows:
            among, levels = start, []
            for uniform in theirs[row].random(31):
                levels.append(int(np.searchsorted(among, uniform, side="right")))
                among = transition[levels[-1]]
            np.testing.assert_array_equal(episodes.path[row], np.asarray(problem.network.levels)[levels])
    assert [g.integers(1000) for g in ours] == [g.integers(1000) for g in theirs], "and they go on as those"
    with pytest.raises(ValueError, match=r"one kind of bit generator, got MT19937, PCG64"):
        streams([np.random.Generator(np.random.PCG64(0)), np.random.Generator(np.random.MT19937(0))])
