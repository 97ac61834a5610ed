"""Environments beside Gymnasium's and EnvPool's CartPole, and beside SyncVectorEnv."""

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import aq_gym  # noqa: F401
from baselines.studies.speed import worker
from baselines.studies.speed.comparison import Comparison, Rate, named, peer
from baselines.studies.speed.worker import CITY, MULTI, TEN, Work

CARTPOLE = "CartPole-v1"


def repeated(work: Work, seconds: float) -> Rate:
    """The rate of work that is repeated for some seconds, once it has been done."""
    work()
    return partial(worker.rate, work, seconds)


def vector(name: str, mode: str, count: int, seconds: float, **kwargs: Any) -> Rate:
    """Decisions a second of a vector environment with autoreset."""
    return repeated(worker.batch(name, count, mode, **kwargs), seconds)


def envpool_cartpole(count: int, seconds: float) -> Rate:
    """EnvPool's CartPole on one thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of the precision of its own spaces
        env = peer("envpool").make_gymnasium("CartPole-v1", num_envs=count, num_threads=1)
        env.reset()
    return repeated(worker.stepped(env, count, np.int32), seconds)


def comparisons(seconds: float) -> Iterator[Comparison]:
    """Rates of decisions."""
    gymnasium, unit = named("gymnasium"), "decisions/s"
    ours, plain = (repeated(work, seconds) for work in (worker.single(MULTI, **TEN), worker.single(CARTPOLE)))
    yield Comparison("MultiDevice, M=10, gym.make", unit, ours, f"{gymnasium} CartPole-v1", plain, 2.0)
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
    ours, what = vector(CITY, "vector_entry_point", 16, seconds), "City, N=1,000 M=100, native batch of 16"
    yield Comparison(what, unit, ours, "300,000 decisions/s", lambda: 300_000.0, 1.0)
