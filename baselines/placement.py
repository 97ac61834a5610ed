"""Placement and scheduling together: what a set of locations is worth when a policy decides who wakes.

The paper places devices for a fixed power control matrix. A policy reacts to where the devices stand, and where they
should stand depends on the policy; so the two are improved in turn.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents import GreedyPolicy
from aq_gym.network_checks import as_count
from aq_gym.placement import greedy_search
from aq_gym.problem import Problem
from baselines.heuristics.index import Index, Simulator
from baselines.heuristics.index_tuning import best_threshold, index_policy
from baselines.learners.shipped import load_generalist
from baselines.packing import available_cores, pack
from baselines.playing import FIRST_TUNING_SEED

Player = Index | GreedyPolicy
PLAYERS: dict[str, Callable[[Problem], Any]] = {
    "greedy": best_threshold,
    "index": index_policy,
    "generalist": load_generalist,
}
"""From a problem to the policy that is tuned to it: greedy is the best of thirty thresholds, tuned in a second or two;
the generalist needs no tuning."""
SEARCH_SEED = FIRST_TUNING_SEED + 2**21  # of the episodes that a search looks at: no tuning or validation plays them


def player(word: str, problem: Problem) -> Player:
    """The policy of `PLAYERS` for a problem.

    Raises:
        ValueError: an unknown word, or the generalist of a hidden level.
    """
    if word not in PLAYERS:
        raise ValueError(f"policy: expected one of {', '.join(PLAYERS)}, got {word!r}")
    if word == "generalist" and problem.inference == "hidden":
        raise ValueError("policy: the generalist of a hidden level is a relay, which no search plays; take greedy")
    return PLAYERS[word](problem)


class PolicyFitness:
    """The average joint error of location sets under one policy, on the same episodes for all sets.

    Args:
        policy: plays on any set; index policies keep the coefficients that they have.
    """

    def __init__(self, problem: Problem, policy: Player, *, episodes: int = 256, seed: int = SEARCH_SEED) -> None:
        self.problem, self.episodes, self.seed = problem, as_count("episodes", episodes, 1), seed
        self._observation = policy.observation
        self._layers = policy if isinstance(policy, Index) else pack(policy.network)

    def __call__(self, sets: ArrayLike) -> NDArray[np.float64]:
        """(K,) average joint errors [µg/m³] of (K, m) sets, -1 filling up those of fewer locations."""
        places = [np.sort(row[row >= 0]) for row in np.asarray(sets)]
        with ThreadPoolExecutor(min(8, available_cores())) as pool:
            return np.array(list(pool.map(lambda devices: self.episode_errors(devices).mean(), places)))

    def episode_errors(self, devices: ArrayLike) -> NDArray[np.float64]:
        """(episodes,) average joint errors [µg/m³] of one set."""
        simulator = Simulator(moved(self.problem, devices), self._observation)
        return simulator.errors([self._layers], self.episodes, self.seed)[0]


def moved(problem: Problem, devices: ArrayLike) -> Problem:
    """The same problem with other devices."""
    places = [int(x) for x in np.asarray(devices)]
    return Problem.create(**problem.arguments | {"devices": places})


@dataclass(frozen=True)
class Stage:
    """Where the alternation stands."""

    devices: tuple[int, ...]
    policy: Player  # tuned to them
    error: float  # on the episodes that the search looks at [µg/m³]


def place_together(
    problem: Problem, word: str, *, rounds: int = 4, episodes: int = 256, watch: Callable[[Stage], None] | None = None
) -> list[Stage]:
    """Swap locations under the policy, tune the policy to the new ones, and again, until it stops paying.

    Returns:
        The start and every round that paid; the last is the best.

    Raises:
        ValueError: an unknown word.
    """
    stages: list[Stage] = []
    devices = tuple(sorted(problem.devices))
    for number in range(as_count("rounds", rounds, 0) + 1):
        if number:
            last = stages[-1]
            fitness = PolicyFitness(problem, last.policy, episodes=episodes)
            devices = greedy_search(fitness, problem.network.n_locations, len(devices), start=last.devices).locations
            if devices == last.devices:
                break
        policy = player(word, moved(problem, devices))
        error = float(PolicyFitness(problem, policy, episodes=episodes).episode_errors(devices).mean())
        if stages and error >= stages[-1].error:
            break
        stages.append(Stage(devices, policy, error))
        if watch:
            watch(stages[-1])
    return stages
