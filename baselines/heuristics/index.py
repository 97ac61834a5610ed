"""The index policy: sense when the logarithm of the marginal decrease exceeds a linear function of the state.

It is a linear network on the compact observation, so `aq_gym.episodes.Episodes.play` plays it compiled; its dozen
coefficients are found by the cross-entropy method (`index_tuning`). The strongest of the tuned yardsticks.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from aq_gym.episodes import Episodes, Layers
from aq_gym.network_checks import as_count
from aq_gym.observation import COMPACT_FEATURES
from aq_gym.policy import own
from aq_gym.problem import Problem
from baselines.heuristics.problems import finite
from baselines.heuristics.simple import Actions, check_devices, legal, sized
from baselines.playing import check_problem, side_by_side

NAMES = tuple(name for name, *_ in COMPACT_FEATURES)
WIDTHS = np.array([len(NAMES), 1], np.int64)
AT = {name: i for i, name in enumerate(NAMES)}


class Index:
    """Senses when ln(decrease of the average error) > constant + Σ coefficient · number of the compact observation.

    The decrease counts as at least 1e-4 of the level and at most the level, since ``gain_log`` is so bounded; a
    coefficient of ``gain_absolute_log`` = ln(1 + decrease) / 8 tells larger ones apart.
    Logarithms among those numbers are natural ones over 8, so a coefficient of 8 on ``scarcity`` makes the threshold
    proportional to the power deficiency.

    Args:
        constant: of the logarithm of the threshold, a decrease in µg/m³.
        coefficients: by the names of `aq_gym.observation.COMPACT_FEATURES`; absent ones are zero.
        training_seconds: that the tuning took.

    Raises:
        ValueError: a coefficient of no such number, or one that is not finite.
    """

    observation = "compact"

    def __init__(
        self, problem: Problem, constant: float, coefficients: Mapping[str, float], *, training_seconds: float = 0.0
    ) -> None:
        unknown = sorted(set(coefficients) - set(NAMES))
        if unknown:
            raise ValueError(f"coefficients: no number is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
        self.problem, self.training_seconds = check_problem(problem), float(training_seconds)
        self.constant = finite("constant", constant)
        self.coefficients = {name: finite(f"coefficients: {name}", x) for name, x in coefficients.items()}

    def __repr__(self) -> str:
        parts = (f"{value:+.3g} {name}" for name, value in self.coefficients.items())
        return f"ln(decrease) > {self.constant:.3g} {' '.join(parts)}"

    @property
    def weights(self) -> NDArray[np.float32]:
        """(33,) those of the linear network that senses where its output is positive, for `Episodes.play`; bias last.

        ln(decrease) = 8 (gain_log - 1) + 8 level_log, since ``gain_log`` is that of the decrease over the level.
        """
        weights = np.zeros(len(NAMES) + 1)
        weights[AT["gain_log"]] = weights[AT["level_log"]] = 8.0
        for name, coefficient in self.coefficients.items():
            weights[AT[name]] -= coefficient
        weights[-1] = -8.0 - self.constant
        return weights.astype(np.float32)

    @property
    def layers(self) -> Layers:
        """The same, ready for compiled play."""
        return Layers(WIDTHS, self.weights)

    def score(self, observation: NDArray[np.float32]) -> NDArray[np.float64]:
        """ln(decrease) less its threshold, (...) from (..., 32); positive where it would sense."""
        seen = sized(observation, self.observation, len(NAMES))
        weights = self.weights.astype(np.float64)
        return np.asarray(seen @ weights[:-1] + weights[-1])

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> Actions:
        """The actions, as in `aq_gym.policy.Policy`."""
        check_devices(self.problem, info)
        return legal(self.score(observation) > 0.0, info)


def greedy_index(problem: Problem, threshold: float) -> Index:
    """Greedy sensing with a threshold of PD² times a decrease of the average error [µg/m³]."""
    return Index(problem, math.log(threshold), {"scarcity": 16.0})


class Simulator:
    """Plays small networks, the index policy among them, on numbered episodes of one problem, compiled.

    They read the ``observation`` "compact" (as index policies do) or "per_device".
    """

    def __init__(self, problem: Problem, observation: str = "compact") -> None:
        self.problem, self.observation = problem, observation
        self.decisions = 0  # played so far
        self._most = side_by_side(problem)
        self._batches: dict[int, Episodes] = {}

    def _levels(self, size: int, first: int) -> tuple[Episodes, NDArray[np.int64]]:
        """A batch of ``size`` episodes and the level paths of the seeds ``first`` and on."""
        if size not in self._batches:
            self._batches[size] = Episodes(self.problem, size, observation=self.observation)
        length = self._batches[size].n_uniforms
        uniforms = np.stack([seeding.np_random(first + k)[0].random(length) for k in range(size)])
        return self._batches[size], self._batches[size].draw_path(uniforms)

    def errors(self, candidates: Sequence[Index | Layers], n_episodes: int, seed: int) -> NDArray[np.float64]:
        """(candidates, n_episodes) average joint errors [µg/m³] on the episodes of seeds ``seed`` and on."""
        n_episodes, seed = as_count("n_episodes", n_episodes, 1), as_count("seed", seed, 0)
        packed = [x.layers if isinstance(x, Index) else x for x in candidates]
        errors = np.empty((len(candidates), n_episodes))
        for at in range(0, n_episodes, self._most):
            size = min(self._most, n_episodes - at)
            episodes, path = self._levels(size, seed + at)
            rows, unread = np.arange(size), episodes.empty_observations()
            for row, layers in enumerate(packed):
                episodes.begin(rows, path, unread)
                errors[row, at : at + size] = episodes.play(layers)
        self.decisions += len(candidates) * n_episodes * self.problem.horizon * self.problem.n_devices
        return errors

    def observations(self, policy: Index, n_episodes: int, seed: int) -> NDArray[np.float32]:
        """(n, 32) what the policy sees where it is free to choose."""
        episodes, path = self._levels(n_episodes, seed)
        observation = episodes.empty_observations()
        episodes.begin(np.arange(n_episodes), path, observation)
        rewards, seen = np.empty(n_episodes), []
        length = self.problem.horizon * self.problem.n_devices
        self.decisions += n_episodes * length
        for _ in range(length):
            energy, delay = own(episodes.energy, episodes.turn), own(episodes.delay, episodes.turn)
            seen.append(observation[(energy > 0) & (delay < self.problem.max_sleep)])
            actions = (policy.score(observation) > 0).astype(np.int64)
            episodes.decide(actions, rewards, observation)
        return np.concatenate(seen)
