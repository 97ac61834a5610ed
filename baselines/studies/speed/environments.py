"""Environments beside Gymnasium's and EnvPool's CartPole, and beside SyncVectorEnv."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

import aq_gym  # noqa: F401
from baselines.studies.speed.comparison import Comparison, Rate, for_seconds, named, peer

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


def comparisons(seconds: float) -> Iterator[Comparison]:
    """Rates of decisions."""
    gymnasium = named("gymnasium")
    unit = "decisions/s"
    plain = single(CARTPOLE, seconds)
    yield Comparison(
        "MultiDevice, M=10, gym.make", unit, single(MULTI, seconds, **TEN), f"{gymnasium} CartPole-v1", plain, 2.0
    )
    for count, over_sync, over_native in ((64, 50.0, 3.0), (1024, None, 0.55)):
        ours = vector(MULTI, "vector_entry_point", count, seconds, **TEN)
        what = f"MultiDevice, M=10, native batch of {count}"
        sync = vector(MULTI, "sync", count, seconds, **TEN)
        yield Comparison(what, unit, ours, "SyncVectorEnv of ours", sync, over_sync)
        native = vector(CARTPOLE, "vector_entry_point", count, seconds)
        yield Comparison(what, unit, ours, f"{gymnasium} CartPole, native batch of {count}", native, over_native)
        if count == 64 and peer("envpool"):
            theirs = envpool_cartpole(count, seconds)
            yield Comparison(what, unit, ours, f"{named('envpool')} CartPole, batch of 64, 1 thread", theirs, 7.0)
    yield Comparison(
        "City, N=1,000 M=100, native batch of 16",
        unit,
        vector(CITY, "vector_entry_point", 16, seconds),
        "300,000 decisions/s",
        lambda: 300_000.0,
        1.0,
    )
