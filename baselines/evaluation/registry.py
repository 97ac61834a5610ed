"""Policies by name, each with its builder; and `evaluate`, which compares them.

Builders of what needs torch import it: a comparison of heuristics loads none.
"""

import argparse
import json
import shlex
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.network_checks import as_count
from aq_gym.problem import Problem
from aq_gym.registration import ENTRIES
from baselines.evaluation.comparing import compare
from baselines.exact.one_device import optimal_policy
from baselines.heuristics.greedy import tune, tuned_greedy
from baselines.heuristics.index_tuning import Budget, index_policy
from baselines.heuristics.index_tuning import tune as tune_index
from baselines.heuristics.problems import entry_problem
from baselines.heuristics.relay import AdaptiveRelay, BestTimetable, Relay, RetryingRelay
from baselines.heuristics.simple import Random, Staggered, Synchronised
from baselines.playing import (
    check_policy,
    check_problem,
    close_match,
    differences,
    play_problem,
    problem_of,
)


def _pretrained(problem: Problem) -> Any:
    from baselines.learners.shipped import pretrained_policy

    return pretrained_policy(problem)


def _generalist(problem: Problem) -> Any:
    from baselines.learners.shipped import load_generalist

    return load_generalist(problem)


def _rollout(problem: Problem) -> Any:
    from baselines.heuristics.rollout import Rollout
    from baselines.learners.shipped import is_shipped

    return Rollout(problem, (_pretrained if is_shipped(problem) else index_policy)(problem))


_BUILDERS: dict[str, Callable[[Problem], Any]] = {
    "random": Random,
    "synchronised": Synchronised,
    "staggered": Staggered,
    "relay": Relay,
    "retrying-relay": RetryingRelay,
    "timetable": BestTimetable,
    "adaptive-relay": AdaptiveRelay,
    "greedy": tuned_greedy,
    "index": index_policy,
    "pretrained": _pretrained,
    "generalist": _generalist,
    "rollout": _rollout,
    "optimal": optimal_policy,
}
WORDS = tuple(_BUILDERS)
TIMED = ("greedy", "index", "optimal")  # what building these for a new problem computes is counted in seconds


def check_word(word: str) -> None:
    """Refuse what is none of `WORDS`."""
    if word not in _BUILDERS:
        raise ValueError(f"no policy is called {word!r}; {close_match(word, WORDS)}the words are {', '.join(WORDS)}")


def build_policy(word: str, problem: Problem) -> tuple[Any, float]:
    """The policy that one of `WORDS` means for a problem, and the seconds that it took to make or tune.

    Compiling is not counted.

    Raises:
        ValueError: an unknown name, or one that is not available for this problem ("optimal" where it is too large,
            "pretrained" where no agent is shipped).
    """
    check_word(word)
    check_problem(problem)
    if word in TIMED:
        _compile(word, problem)
    start = time.perf_counter()
    policy = _BUILDERS[word](problem)
    passed = time.perf_counter() - start
    return policy, float(getattr(policy, "training_seconds", passed))


_compiled: set[tuple[str, bool, str]] = set()  # words, each for one device or several, by kind of inference


def _compile(word: str, problem: Problem) -> None:
    """Compile what building a policy for a new problem needs, on a tiny one, before the clock starts."""
    kind = word, problem.n_devices == 1, problem.inference
    if kind in _compiled or any(not differences(problem, entry_problem(entry.name)) for entry in ENTRIES):
        return  # what is committed for the registered ids is not tuned here
    _compiled.add(kind)
    network = problem.network.coarsen(1)  # any more of a start on few levels may leave a group empty
    shape = {"devices": problem.devices[:2], "horizon": 2, "energy_budget": 1, "max_sleep": 2, "energy_budgets": None}
    tiny = replace(problem, network=network, **shape)
    if word == "greedy":
        tune(tiny, 2)
    elif word == "index":
        tune_index(tiny, Budget(episodes=2, generations=1, population=8))
    else:
        optimal_policy(tiny)


def play(policy: Any, env_id: str | Problem, episodes: int, seed: int, **env_kwargs: Any) -> NDArray[np.float64]:
    """The average joint error of each episode, (episodes,) [µg/m³]; arguments as for `evaluate`, for one policy."""
    observation = env_kwargs.pop("observation", "full")
    problem = _problem(env_id, env_kwargs)
    name = policy if isinstance(policy, str) else "policy"
    player = build_policy(policy, problem)[0] if isinstance(policy, str) else policy
    return play_problem(player, problem, episodes, seed, observation=observation, name=name).joint_error


def evaluate(
    policies: Mapping[str, Any],
    env_id: str | Problem,
    episodes: int,
    seed: int = 0,
    *,
    unavailable: Callable[[str], None] | None = None,
    **env_kwargs: Any,
) -> pd.DataFrame:
    """Play every policy on the same episodes (common random numbers: episode k has the weather of seed + k).

    Joint ids are played through the sequential view of the same problem, since the same decisions earn the same return
    there (Proposition 3); a policy that decides for all devices at once says so by an attribute ``view = "joint"``.
    A policy that was made for another problem is played all the same, with a warning that names the differences.

    Args:
        policies: a name for each, and the policy (`aq_gym.policy.Policy`) or one of `WORDS`, which are built or loaded
            for this very instance. The first is the one that the others are compared to.
        env_id: a registered id, with or without the ``aq_gym/``; or a problem, without further arguments.
        episodes: how many, at least 1. Intervals need two.
        seed: of the first episode, at least 0. Tuning uses seeds from 2**29 on, training from 2**30 on.
        unavailable: called with the reason where a word after the first has no policy for this problem, which is then
            left out; None: that is an error.
        env_kwargs: as for `gymnasium.make`. ``observation`` is what a policy reads that does not say so itself.

    Returns:
        One row a policy: ``policy``; ``joint_error`` (mean over the episodes [µg/m³]) with ``_low`` and ``_high``;
        ``difference`` to the first policy, episode by episode, likewise (intervals are 95 % percentile bootstrap);
        ``energy_used`` (sensings per device and episode); ``forced`` (share of the decisions in which the
        environment replaced the policy's action); ``decisions_per_second`` (of the policy alone, in batches, compiling
        left out); ``training_seconds`` (NaN where unknown). All but the last two are functions of the seed.

    Raises:
        TypeError: a policy has no method `act`.
        ValueError: no policies, an unknown word or id, a bad number, or arguments that the environment refuses.
    """
    if not isinstance(policies, Mapping) or not policies:
        raise ValueError(f"policies: expected a mapping of at least one name to a policy or word, got {policies!r}")
    episodes, seed = as_count("episodes", episodes, 1), as_count("seed", seed, 0)
    observation = env_kwargs.pop("observation", "full")
    for name, policy in policies.items():
        with _naming(name):
            check_word(policy) if isinstance(policy, str) else check_policy(policy, f"policies[{name!r}]")
    problem = _problem(env_id, env_kwargs)
    built: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for name, policy in policies.items():
        if isinstance(policy, str):
            try:
                with _naming(name):
                    built[name], seconds[name] = build_policy(policy, problem)
            except ValueError as error:
                if unavailable is None or not built:
                    raise
                unavailable(str(error))
            continue
        built[name], seconds[name] = policy, float(getattr(policy, "training_seconds", float("nan")))
        other = [] if (made_for := problem_made_for(policy)) is None else differences(made_for, problem)
        if other:
            warnings.warn(f"{name} was made for another problem than is played here: {'; '.join(other)}", stacklevel=2)
    table = compare(built, problem, episodes, seed, observation=observation)
    return table.assign(training_seconds=list(seconds.values()))


def _problem(env_id: str | Problem, env_kwargs: dict[str, Any]) -> Problem:
    """What is played: a problem as it is, or that of an id and arguments."""
    if not isinstance(env_id, Problem):
        return problem_of(env_id, **env_kwargs)
    if env_kwargs:
        raise ValueError(f"env_kwargs: a problem has its arguments already, so none can follow; got {env_kwargs}")
    return env_id


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"policies[{name!r}]: {error}") from error


def problem_made_for(policy: Any) -> Problem | None:
    """The problem that a policy was built for or trained on, as far as it says so: by ``problem`` or by its card."""
    if isinstance(problem := getattr(policy, "problem", None), Problem):
        return problem
    card = getattr(policy, "card", None) or {}
    kwargs = card.get("env_kwargs")
    if kwargs is None:  # older cards have the command alone
        words = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        words.add_argument("--env-kwargs", type=json.loads, default={} if "command" in card else None)
        kwargs = words.parse_known_args(shlex.split(str(card.get("command", ""))))[0].env_kwargs
    try:
        return None if kwargs is None else problem_of(card["env_id"], **kwargs)
    except (KeyError, ValueError, OSError):  # no registered id, such as the generalist's, or a network that is not here
        return None


def load_agent(kind: str, folder: Path) -> Any:
    """The policy that a training left in its folder.

    Args:
        kind: "dqn" for folders of scripts.train_dqn, "sb3" for those of scripts.train_sb3.
        folder: where it is; for "dqn" also an exported file.
    """
    files = {"dqn": "policy.safetensors", "sb3": "model.zip"}
    if not folder.exists():
        beside = sorted(path.parent.name for path in folder.parent.glob(f"*/{files[kind]}"))
        known = f"; in {folder.parent} there are {', '.join(beside[:12])}" if beside else ""
        raise ValueError(
            f"--{kind}: there is no {folder}; {close_match(folder.name, beside)}expected a folder that "
            f"scripts.train_{kind} wrote, with {files[kind]} in it{known}"
        )
    if folder.is_dir() and not (folder / files[kind]).is_file():
        other = next((f"; it holds an agent of --{x}" for x, name in files.items() if (folder / name).is_file()), "")
        raise ValueError(f"--{kind}: {folder} is no folder of scripts.train_{kind}: it has no {files[kind]}{other}")
    if kind == "dqn":
        from baselines.learners.shipped import load_trained

        return load_trained(folder)
    from baselines.learners.sb3_policy import SB3Policy

    return SB3Policy.load(folder)


def names_of(kind: str, folders: Sequence[Path]) -> list[str]:
    """A name for the agent in each folder: its kind, and as much of its path as makes it unique."""
    parts = [folder.absolute().parts for folder in folders]
    n_parts = 2 if any(x[-1] == kind for x in parts) else 1
    while n_parts < max(map(len, parts), default=0) and len({x[-n_parts:] for x in parts}) < len(set(parts)):
        n_parts += 1
    return [f"{kind} {'/'.join(x[-n_parts:])}" for x in parts]
