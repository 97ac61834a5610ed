"""Greedy sensing: a device senses when that decreases the average error by enough. Two numbers, tuned by simulation."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.observation import ObservationLayout
from aq_gym.policy import own
from aq_gym.problem import Problem
from baselines.heuristics.index import AT
from baselines.heuristics.problems import finite, tuned_fields
from baselines.heuristics.simple import Actions, check_devices, legal, sized
from baselines.playing import FIRST_TUNING_SEED, check_problem, play_problem

TUNED = Path(__file__).with_name("greedy.json")
TUNING_EPISODES = 256  # when an instance is tuned on demand


class Greedy:
    """Senses when the marginal decrease of the average error exceeds ``threshold`` · PD ** ``exponent``.

    PD is the device's power deficiency ((T - t + 1) / p) / (T / B): above 1 when energy is scarcer than at the start.
    With ``exponent`` 0 the threshold is constant.

    Args:
        threshold: decrease that is worth a sensing [µg/m³].
        exponent: how much dearer a sensing becomes as energy becomes scarce.
        observation: which one it is given, "compact" or "full"; it reads the decrease from it.
        training_seconds: that the tuning took.

    Raises:
        ValueError: a threshold or exponent that is no finite number, or an unknown observation.
    """

    def __init__(
        self,
        problem: Problem,
        threshold: float,
        exponent: float = 0.0,
        *,
        observation: str = "compact",
        training_seconds: float = 0.0,
    ) -> None:
        self.problem = check_problem(problem)
        self.threshold, self.exponent = finite("threshold", threshold), finite("exponent", exponent)
        self.observation, self.training_seconds = observation, float(training_seconds)
        self._layout = ObservationLayout.of(problem, observation)

    def gain(self, observation: NDArray[np.float32]) -> NDArray[np.float64]:
        """Decrease of the average error if the deciding device senses, (...) [µg/m³], from (..., size)."""
        seen = sized(observation, self.observation, self._layout.size)
        if self.observation == "compact":
            log = 8.0 * seen[..., AT["gain_absolute_log"]].astype(np.float64)
            return np.asarray(np.copysign(np.expm1(np.abs(log)), log))
        decrease = self._layout.slice("decrease_if_on")
        return np.asarray(seen[..., decrease].mean(axis=-1, dtype=np.float64) * self._layout.scale[decrease.start])

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> Actions:
        """The actions, as in `aq_gym.policy.Policy`."""
        check_devices(self.problem, info)
        problem, slot = self.problem, np.asarray(info["slot"])
        energy = np.maximum(own(info["energy"], info["turn"]), 1)  # without energy it is off anyway
        deficiency = np.maximum(problem.horizon - slot + 1, 1) / energy * problem.energy_budget / problem.horizon
        return legal(self.gain(observation) > self.threshold * deficiency**self.exponent, info)


def tune(
    problem: Problem,
    episodes: int = TUNING_EPISODES,
    seed: int = FIRST_TUNING_SEED,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[Greedy, float]:
    """Find the best threshold and exponent on the same tuning episodes for all candidates.

    The threshold alone first, on a geometric grid; then both, on grids of nine around the best that shrink.

    The first episode has the seed ``seed``, by convention at least `FIRST_TUNING_SEED`.

    Returns:
        The policy and its average joint error on those episodes [µg/m³].
    """
    start = time.perf_counter()
    found: dict[tuple[float, float], float] = {}

    def best(candidates: list[tuple[float, float]]) -> tuple[float, float]:
        for pair in candidates:
            if pair not in found:
                found[pair] = float(play_problem(Greedy(problem, *pair), problem, episodes, seed).joint_error.mean())
        pair = min(found, key=lambda pair: found[pair])
        report(f"threshold {pair[0]:.4g} µg/m³, exponent {pair[1]:.3g}: {found[pair]:.4f} µg/m³ ({len(found)} tried)")
        return pair

    threshold, exponent = best([(round(0.02 * 2.0**k, 6), 0.0) for k in range(10)])
    for ratio, step in ((1.5, 0.5), (1.5, 0.5), (1.3, 0.5), (1.2, 0.25), (1.1, 0.15), (1.05, 0.1)):
        around = [
            (round(threshold * ratio**i, 6), round(exponent + step * j, 6)) for i in (-1, 0, 1) for j in (-1, 0, 1)
        ]
        threshold, exponent = best(around)
    seconds = time.perf_counter() - start
    return Greedy(problem, threshold, exponent, training_seconds=seconds), found[threshold, exponent]


def tuned_greedy(problem: Problem) -> Greedy:
    """Greedy sensing tuned for a problem: read from `TUNED` for the registered ids, else tuned now."""
    found = tuned_fields(TUNED, problem, "threshold", "exponent", "training_seconds")
    return Greedy(problem, *found[:2], training_seconds=found[2]) if found else tune(problem)[0]
