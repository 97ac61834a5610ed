"""The one evaluator: every policy on the same episodes, with intervals for errors and paired differences."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from aq_gym.problem import Problem
from baselines.greedy import tuned_greedy
from baselines.playing import Record, check_count, check_policy, play_problem, problem_of
from baselines.policies import Random, Staggered, Synchronised

COLUMNS = (
    "policy",
    "joint_error",
    "joint_error_low",
    "joint_error_high",
    "difference",
    "difference_low",
    "difference_high",
    "energy_used",
    "forced",
    "decisions_per_second",
    "training_seconds",
)
_RESAMPLES = 2000


def _index(problem: Problem) -> Any:
    from baselines.index import index_policy

    return index_policy(problem)


def _optimal(problem: Problem) -> Any:
    from baselines.dynamic_programming import solve, solve_joint

    numbers = (problem.horizon, problem.energy_budget, problem.max_sleep)
    if problem.n_devices == 1:
        return solve(problem.network, problem.devices[0], *numbers, **problem.options)
    return solve_joint(problem.network, problem.devices, *numbers, **problem.options)


def _pretrained(problem: Problem) -> Any:
    from baselines.dqn import pretrained_policy

    return pretrained_policy(problem)


def _generalist(problem: Problem) -> Any:
    from baselines.generalist import generalist_for

    return generalist_for(problem)


def _rollout(problem: Problem) -> Any:
    from baselines.dqn import is_shipped
    from baselines.rollout import Rollout

    return Rollout(problem, (_pretrained if is_shipped(problem) else _index)(problem))


_BUILDERS: dict[str, Callable[[Problem], Any]] = {
    "random": Random,
    "synchronised": Synchronised,
    "staggered": Staggered,
    "greedy": tuned_greedy,
    "index": _index,
    "pretrained": _pretrained,
    "generalist": _generalist,
    "rollout": _rollout,
    "optimal": _optimal,
}
WORDS = tuple(_BUILDERS)


def build_policy(word: str, problem: Problem) -> tuple[Any, float]:
    """The policy that one of `WORDS` means for a problem, and the seconds that it took to make or tune.

    Raises:
        ValueError: another word, or one that is not to be had for this problem ("optimal" where it is too large,
            "pretrained" where no agent is shipped).
    """
    if word not in _BUILDERS:
        raise ValueError(f"no policy is called {word!r}; the words are {', '.join(WORDS)}")
    start = time.perf_counter()
    policy = _BUILDERS[word](problem)
    passed = time.perf_counter() - start
    return policy, float(getattr(policy, "training_seconds", passed))


def play(policy: Any, env_id: str, episodes: int, seed: int, **env_kwargs: Any) -> NDArray[np.float64]:
    """The average joint error of each episode, (episodes,) [µg/m³]; arguments as for `evaluate`, for one policy."""
    observation = env_kwargs.pop("observation", "full")
    problem = problem_of(env_id, **env_kwargs)
    name = policy if isinstance(policy, str) else "policy"
    player = build_policy(policy, problem)[0] if isinstance(policy, str) else policy
    return play_problem(player, problem, episodes, seed, observation=observation, name=name).joint_error


def evaluate(
    policies: Mapping[str, Any],
    env_id: str,
    episodes: int,
    seed: int,
    **env_kwargs: Any,
) -> pd.DataFrame:
    """Play every policy on the same episodes (common random numbers: episode k has the weather of seed + k).

    Joint ids are played through the sequential view of the same problem, since the same decisions earn the same return
    there (Proposition 3); a policy that decides for all devices at once says so by an attribute ``view = "joint"``.

    Args:
        policies: a name for each, and the policy (`aq_gym.policy.Policy`) or one of the words "random",
            "synchronised", "staggered", "greedy", "index", "pretrained", "optimal", which are built or loaded for this
            very instance. The first is the one that the others are compared to.
        env_id: a registered id, with or without the ``aq_gym/``.
        episodes: how many, at least 1. Intervals need two.
        seed: of the first episode, at least 0. Tuning uses seeds from 2**29 on, training from 2**30 on.
        env_kwargs: as for `gymnasium.make`. ``observation`` is what a policy reads that does not say so itself.

    Returns:
        One row a policy: ``policy``; ``joint_error`` (mean over the episodes [µg/m³]) with ``_low`` and ``_high``;
        ``difference`` to the first policy, episode by episode, likewise (intervals are 95 % percentile bootstrap);
        ``energy_used`` (sensings per device and episode); ``forced`` (share of the decisions in which the
        environment replaced the policy's action); ``decisions_per_second`` (of the policy alone, in batches);
        ``training_seconds`` (NaN where the policy does not tell). All but the last two are functions of the seed.

    Raises:
        TypeError: a policy has no method `act`.
        ValueError: no policies, an unknown word or id, a bad number, or arguments that the environment refuses.
    """
    if not isinstance(policies, Mapping) or not policies:
        raise ValueError(f"policies: expected a mapping of at least one name to a policy or word, got {policies!r}")
    episodes, seed = check_count("episodes", episodes, 1), check_count("seed", seed, 0)
    for name, policy in policies.items():
        if isinstance(policy, str) and policy not in _BUILDERS:
            raise ValueError(f"policies[{name!r}]: no policy is called {policy!r}; the words are {', '.join(WORDS)}")
        if not isinstance(policy, str):
            check_policy(policy, f"policies[{name!r}]")
    observation = env_kwargs.pop("observation", "full")
    problem = problem_of(env_id, **env_kwargs)
    built: dict[str, tuple[Any, float]] = {}
    for name, policy in policies.items():
        try:
            built[name] = build_policy(policy, problem) if isinstance(policy, str) else (policy, float("nan"))
        except ValueError as error:
            raise ValueError(f"policies[{name!r}]: {error}") from error
    records, training = {}, {}
    for name, (policy, seconds) in built.items():
        records[name] = play_problem(policy, problem, episodes, seed, observation=observation, name=name)
        training[name] = float(getattr(policy, "training_seconds", seconds))
    return summarise(records, seed).assign(training_seconds=list(training.values()))


def summarise(records: Mapping[str, Record], seed: int = 0) -> pd.DataFrame:
    """The table of `evaluate` from what was played; ``seed`` is that of the resampling.

    Raises:
        ValueError: records of different numbers of episodes.
    """
    first = next(iter(records.values())).joint_error
    rows = []
    for name, record in records.items():
        if record.joint_error.shape != first.shape:
            raise ValueError(
                f"{name}: {record.joint_error.size} episodes, the first policy has {first.size}: not the same ones"
            )
        error, difference = (mean_with_interval(x, seed) for x in (record.joint_error, record.joint_error - first))
        speed = record.decisions / record.seconds if record.seconds > 0 else float("nan")
        share = record.forced / record.decisions
        rows.append((name, *error, *difference, record.sensings.mean(), share, speed, record.training_seconds))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def mean_with_interval(values: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Mean and 95 % percentile-bootstrap interval; NaN bounds for a single value."""
    mean = float(values.mean())
    if values.size < 2:
        return mean, float("nan"), float("nan")
    if np.ptp(values) == 0:
        return mean, mean, mean
    result = bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, 2_000_000 // values.size),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return mean, float(result.confidence_interval.low), float(result.confidence_interval.high)
