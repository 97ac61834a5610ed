"""Playing a policy on numbered episodes, in the native vector environment.

Seeds. Episode k of a run with seed s has the weather of seed s + k, whatever the policy. By convention evaluations use
seeds below `FIRST_TUNING_SEED`, tuning and validation those from there to 2**30, training those from 2**30 on
(`agents.rollout.FIRST_TRAINING_SEED`), so that nothing is measured on what it was fitted to.
"""

import dataclasses
import difflib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from aq_gym.envs.trace import MultiDeviceTraceVectorEnv
from aq_gym.envs.vector import JointDevicesVectorEnv, MultiDeviceVectorEnv
from aq_gym.network_checks import as_count
from aq_gym.problem import Problem
from aq_gym.registration import ENTRIES

FIRST_TUNING_SEED = 2**29
MOST_EPISODES = 512  # side by side: enough to hide the cost of a call
_MOST_BYTES = 4 << 20  # of the environments' fields, so that they stay in the processor's cache
_RUN = {"num_envs", "autoreset_mode", "render_mode", "vectorization_mode", "vector_kwargs", "wrappers"}


@dataclass(frozen=True)
class Record:
    """Results of some episodes under one policy."""

    joint_error: NDArray[np.float64]  # (episodes,) average joint error of each [µg/m³]
    sensings: NDArray[np.float64]  # (episodes,) sensings per device
    forced: int  # decisions in which the environment replaced the policy's action
    decisions: int
    seconds: float  # spent in the policy's act; its first call, which may compile, counts like the others
    training_seconds: float = float("nan")  # that the policy says it took to make


def check_policy(policy: Any, name: str = "policy") -> None:
    """Refuse what cannot play."""
    if isinstance(policy, type) or not callable(getattr(policy, "act", None)):
        what = f"the class {policy.__name__}, not one of its objects" if isinstance(policy, type) else repr(policy)
        raise TypeError(f"{name}: expected an object with a method act(observation, info), got {what}")


def check_problem(problem: Any) -> Problem:
    """The problem; what is none, such as an environment, is refused."""
    if not isinstance(problem, Problem):
        raise TypeError(
            f"problem: expected a Problem, such as env.unwrapped.problem or problem_of('MultiDevice-v0'), got "
            f"{type(problem).__name__}"
        )
    return problem


def close_match(given: str, known: Sequence[str]) -> str:
    """A question for an error message, "did you mean ...? ", or nothing where no known word is like the given one."""
    found = difflib.get_close_matches(given, known, 1)
    return f"did you mean {found[0]!r}? " if found else ""


def native_batch(env_id: str, num_envs: int, **kwargs: Any) -> MultiDeviceVectorEnv:
    """The native vector environment of an id, without wrappers.

    Args:
        env_id: with or without the ``aq_gym/``.
        num_envs: episodes side by side.
        kwargs: as for `gymnasium.make_vec`.
    """
    ids = [f"aq_gym/{entry.name}" for entry in ENTRIES]
    known = ", ".join(ids)
    if not isinstance(env_id, str):
        raise ValueError(f"env_id: expected one of {known}, got {env_id!r}")
    name = env_id if "/" in env_id or ":" in env_id else f"aq_gym/{env_id}"
    known = f"{close_match(name, ids)}known: {known}"
    try:
        env = gym.make_vec(name, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs)
    except (gym.error.UnregisteredEnv, gym.error.MissingArgument, ModuleNotFoundError) as error:
        raise ValueError(f"env_id: {env_id!r} is no registered id with a native batch; {known}") from error
    except TypeError as error:
        named = ", ".join(map(repr, kwargs))
        raise ValueError(
            f"{env_id} does not take these arguments, {named}; those of gymnasium.make are given one by one, "
            f"as in horizon=30: {error}"
        ) from error
    native = env.unwrapped
    if isinstance(native, MultiDeviceTraceVectorEnv):
        env.close()
        raise ValueError(
            f"env_id: {env_id} plays recorded readings, while levels are drawn from the network's chain here; "
            "compare policies on recorded readings by python -m scripts.backtest"
        )
    if not isinstance(native, MultiDeviceVectorEnv):
        env.close()
        raise ValueError(f"env_id: {env_id!r} is no sensing problem of aq_gym; {known}")
    return native


def problem_of(env_id: str, **env_kwargs: Any) -> Problem:
    """The problem that an id and arguments to it stand for.

    Args:
        env_id: with or without the ``aq_gym/``.
        env_kwargs: as for `gymnasium.make`, but nothing on how the environment is run, and no timers.

    Raises:
        ValueError: unknown id, no sensing problem, or arguments that the environment refuses.
    """
    if env_kwargs.get("decide", "slot") != "slot":
        raise ValueError(
            f"decide: policies are trained and compared slot by slot, so only 'slot' is possible here, got "
            f"{env_kwargs['decide']!r}; baselines.InSlots(policy, problem) is a policy of timers that decides in slots"
        )
    bad = sorted(_RUN & set(env_kwargs))
    if bad:
        raise ValueError(f"env_kwargs: {', '.join(bad)} would say how to run {env_id}; leave that to the evaluator")
    env = native_batch(env_id, 1, **env_kwargs)
    env.close()
    return env.problem


def differences(problem: Problem, here: Problem) -> list[str]:
    """In what two problems differ, a sentence each; empty where they are the same."""
    found = []
    if problem.network != here.network:
        # The paper's inference does not read what level-aware inference learned of a network.
        bare = [dataclasses.replace(x.network, level_model=None, level_belief=None) for x in (problem, here)]
        if problem.inference != "paper" or bare[0] != bare[1]:
            mine, others = (f"{x.network.name!r} ({x.network.n_levels} levels)" for x in (problem, here))
            found.append(f"its network is {mine}, here {'another of that name' if mine == others else others}")
    return found + field_differences(described(problem), described(here))


def field_differences(made_for: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The fields in which two of `described` differ, a sentence each, with both values."""
    found = []
    for name in {**made_for, **here}:
        mine, others = made_for.get(name), here.get(name)  # None: as if there were no such option
        if mine != others:
            found.append(f"its {name} {'are' if name == 'devices' else 'is'} {_plain(mine)}, here {_plain(others)}")
    return found


def described(problem: Problem) -> dict[str, Any]:
    """A problem as JSON has it, but for its network: what a stored policy depends on."""
    sizes = {name: int(getattr(problem, name)) for name in ("horizon", "energy_budget", "max_sleep")}
    options = {name: list(x) if isinstance(x, tuple) else x for name, x in problem.options.items()}
    return {"devices": [int(x) for x in problem.devices], **sizes, **options}


def _plain(value: Any) -> str:
    """A value, or how many of them where they are many."""
    if value is None:
        return "not given"
    return str(value) if not isinstance(value, list) or len(value) <= 12 else f"{len(value)} of them"


def side_by_side(problem: Problem) -> int:
    """How many episodes are best played together."""
    return max(16, min(MOST_EPISODES, _MOST_BYTES // (72 * problem.n_locations)))


def play_problem(
    policy: Any,
    problem: Problem,
    episodes: int,
    seed: int,
    *,
    observation: str = "full",
    name: str = "policy",
    most: int | None = None,
    levels: NDArray[np.int64] | None = None,
) -> Record:
    """Play a policy on episodes seed, seed + 1, ...; the result does not depend on how many run side by side.

    Policies are asked device by device, in the sequential view; one with an attribute ``view = "joint"`` is asked for
    all devices at once, (K, M) actions, in the joint view of the same problem (the same decisions earn the same there).

    Args:
        policy: as `aq_gym.policy.Policy`; its ``reset(seed)``, if any, is called once before the first episode.
        problem: what is played.
        episodes: how many, at least 1.
        seed: of the first, at least 0.
        observation: what a policy reads that does not say so by an attribute ``observation``.
        name: of the policy, for messages.
        most: episodes side by side; by default chosen from the size of the problem.
        levels: (episodes, T + 1) level paths to impose, as `reset` takes them; None: those of the seeds.

    Raises:
        TypeError: the policy has no method `act`, or the problem is none.
        ValueError: a bad number, an unknown observation or view, levels that don't fit, or actions that are none.
    """
    check_policy(policy, name)
    check_problem(problem)
    episodes, seed = as_count("episodes", episodes, 1), as_count("seed", seed, 0)
    if levels is not None and len(levels) != episodes:
        raise ValueError(f"levels: expected a path for each of {episodes} episodes, got {len(levels)}")
    view = getattr(policy, "view", "sequential")
    if view not in ("sequential", "joint"):
        raise ValueError(f"{name}.view: expected 'sequential' or 'joint', got {view!r}")
    joint = view == "joint"
    if hasattr(policy, "reset"):
        policy.reset(seed)
    most = side_by_side(problem) if most is None else most
    parts = []
    for first in range(0, episodes, most):
        env = (JointDevicesVectorEnv if joint else MultiDeviceVectorEnv)(
            min(most, episodes - first),
            **problem.arguments,
            observation=getattr(policy, "observation", None) or observation,
            autoreset_mode="Disabled",
        )
        shape = (env.num_envs, -1) if env.num_envs > 1 else (-1,)
        options = None if levels is None else {"levels": levels[first : first + env.num_envs].reshape(shape)}
        parts.append(_play_together(policy, env, seed + first, name, options))
        env.close()
    return Record(
        np.concatenate([part.joint_error for part in parts]),
        np.concatenate([part.sensings for part in parts]),
        sum(part.forced for part in parts),
        sum(part.decisions for part in parts),
        sum(part.seconds for part in parts),
        float(getattr(policy, "training_seconds", float("nan"))),
    )


def _play_together(
    policy: Any, env: MultiDeviceVectorEnv, seed: int, name: str, options: dict[str, Any] | None
) -> Record:
    observation, info = env.reset(seed=seed, options=options)
    forced, over = 0, False
    seconds: list[float] = []  # of each call
    while not over:
        start = time.perf_counter()
        actions = policy.act(observation, info)
        seconds.append(time.perf_counter() - start)
        try:
            observation, _, terminated, _, info = env.step(actions)
        except ValueError as error:
            raise ValueError(f"{name}: act gave no valid actions: {error}") from error
        forced += int(info["forced"].sum())
        over = bool(terminated.all())
    problem = env.problem
    sensings = problem.energy_budget - info["energy"].mean(axis=1)
    decisions = env.num_envs * problem.horizon * problem.n_devices
    later = seconds[1:] or seconds  # the first call compiles what was not compiled yet
    spent = sum(later) * len(seconds) / len(later)
    return Record(info["average_joint_error"], sensings, forced, decisions, spent)
