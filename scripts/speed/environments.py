"""Environments beside Gymnasium's and EnvPool's CartPole, beside SyncVectorEnv, and beside our own kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numba
import numpy as np

import aq_gym  # noqa: F401
from aq_gym.episodes import Episodes
from aq_gym.problem import Problem
from scripts.speed.contest import Contest, Rate, for_seconds, named, peer

CARTPOLE, MULTI, CITY = "CartPole-v1", "aq_gym/MultiDevice-v0", "aq_gym/City-v0"
TEN = {"devices": list(range(0, 30, 3))}  # the plain task of the table: M=10, N=30


def single(name: str, seconds: float, **kwargs: Any) -> Rate:
    """Steps a second of a plain environment, resets included."""
    env = gym.make(name, **kwargs)
    actions = list(np.random.default_rng(0).integers(0, 2, 256))
    env.reset(seed=0)

    def work() -> None:
        for action in actions:
            _, _, over, cut, _ = env.step(action)
            if over or cut:
                env.reset()

    work()
    return for_seconds(work, len(actions), seconds)


def vector(name: str, mode: str, count: int, seconds: float, **kwargs: Any) -> Rate:
    """Decisions a second of a vector environment with autoreset."""
    env = gym.make_vec(name, num_envs=count, vectorization_mode=mode, **kwargs)
    return _stepped(lambda: env.reset(seed=0), env.step, count, seconds)


def _stepped(reset: Callable[[], Any], step: Callable[[Any], Any], count: int, seconds: float, kind: Any = int) -> Rate:
    actions = list(np.random.default_rng(0).integers(0, 2, (16, count)).astype(kind))
    reset()

    def work() -> None:
        for action in actions:
            step(action)

    work()
    return for_seconds(work, count * len(actions), seconds)


def envpool_cartpole(count: int, seconds: float) -> Rate:
    """EnvPool's CartPole on one thread."""
    env = peer("envpool").make_gymnasium("CartPole-v1", num_envs=count, num_threads=1)
    return _stepped(env.reset, env.step, count, seconds, np.int32)


def kernel(count: int, seconds: float, **kwargs: Any) -> Rate:
    """Our compiled step alone, into the same arrays; episodes begin anew together."""
    made = {"network": "pku2018", "devices": (0, 6, 12, 18, 24), "horizon": 60, "energy_budget": 10, "max_sleep": 12}
    problem = Problem.create(**(made | kwargs))
    episodes, rng = Episodes(problem, count), np.random.default_rng(0)
    path = episodes.draw_path(rng.random((count, problem.horizon + 1)))
    seen, told = episodes.blank(), episodes.blank_rows()
    given = np.zeros(count), np.zeros(count, np.int8), seen, told, *episodes.arguments
    actions = list(rng.integers(0, 2, (problem.horizon * problem.n_devices, count)))

    def work() -> None:
        episodes.begin(np.arange(count), path, seen)
        for action in actions:
            episodes.direct(0, action, *given)

    work()
    return for_seconds(work, count * len(actions), seconds)


@numba.njit(fastmath=True, error_model="numpy")
def _divide(repeats, source, target):  # type: ignore[no-untyped-def]
    for _ in range(repeats):
        for j in range(source.shape[0]):
            target[j] = 1.0 / source[j]


@numba.njit(fastmath=True, error_model="numpy")
def _draw_roots(repeats, source, target):  # type: ignore[no-untyped-def]
    for _ in range(repeats):
        for j in range(source.shape[0]):
            target[j] = np.sqrt(source[j])


def divider(divisions: int, roots: int, seconds: float) -> Rate:
    """How often a core could do so many double-precision divisions and roots of rows of 32 a second, and no more."""
    source, repeats = np.random.default_rng(0).random(32) + 1.0, 20_000
    target = np.empty_like(source)
    work = ((_divide, divisions), (_draw_roots, roots))
    for function, _ in work:
        function(1, source, target)
    rates = [for_seconds(lambda f=function: f(repeats, source, target), repeats, seconds / 2) for function, _ in work]
    return lambda: 1.0 / sum(count / rate() for rate, (_, count) in zip(rates, work, strict=True))


def update(seconds: float) -> Rate:
    """How often the kernel finds what the map becomes if a device senses, and if it does not and the others do."""
    from aq_gym import kernels

    episodes = Episodes(Problem.create("pku2018", TEN["devices"], 60, 10, 12), 1, observation="compact")
    seen, repeats = episodes.blank(), 20_000
    episodes.begin(np.arange(1), episodes.draw_path(np.random.default_rng(0).random((1, 61))), seen)
    given = dict(zip((*kernels.Constants._fields, "block"), episodes.arguments, strict=True))

    @numba.njit(fastmath=True, error_model="numpy")
    def repeat(repeats, lanes, relation, block, work):  # type: ignore[no-untyped-def]
        rows = kernels._pointer(relation, 0), kernels._pointer(block, 0), kernels._pointer(work, 0)
        for _ in range(repeats):
            kernels._suppose(lanes, 1, 10.0, 0.1, 0.2, 1.0, *rows)

    arguments = kernels.LANES, given["relation"], given["block"], given["work"]
    repeat(1, *arguments)
    return for_seconds(lambda: repeat(repeats, *arguments), repeats, seconds)


def contests(seconds: float) -> Iterator[Contest]:
    """Rates of decisions."""
    gymnasium = named("gymnasium")
    unit = "decisions/s"
    plain = single(CARTPOLE, seconds)
    yield Contest(
        "MultiDevice, M=10, gym.make", unit, single(MULTI, seconds, **TEN), f"{gymnasium} CartPole-v1", plain, 2.0
    )
    pool = {count: vector(CARTPOLE, "vector_entry_point", count, seconds) for count in (64, 1024)}
    for count in (64, 1024):
        ours = vector(MULTI, "vector_entry_point", count, seconds, **TEN)
        what = f"MultiDevice, M=10, native batch of {count}"
        yield Contest(what, unit, ours, "SyncVectorEnv of ours", vector(MULTI, "sync", count, seconds, **TEN), 25.0)
        goal = {64: 4.0, 1024: 1.0}[count]
        yield Contest(what, unit, ours, f"{gymnasium} CartPole, native batch of {count}", pool[count], goal)
        if count == 64 and peer("envpool"):
            theirs = envpool_cartpole(count, seconds)
            yield Contest(what, unit, ours, f"{named('envpool')} CartPole, batch of 64, 1 thread", theirs, 9.0)
        goal = {64: 1 / 1.4, 1024: 1 / 1.2}[count]
        yield Contest(what, unit, ours, "our kernel alone", kernel(count, seconds, **TEN), goal)
    yield Contest(
        "errors if on and if off, 32 locations",
        "updates/s",
        update(seconds),
        "the core's divider: 3 divisions and 2 roots",
        divider(3, 2, seconds),
        0.9,
    )
    yield Contest(
        "City, N=1,000 M=100, native batch of 16",
        unit,
        vector(CITY, "vector_entry_point", 16, seconds),
        "50,000 decisions/s",
        lambda: 50_000.0,
        1.0,
    )
