"""What each number of an observation is: names, order, units, bounds.

Three observations of the same state: ``full`` (docs/model.md), 2N + 6M + 4 numbers, is the default;
``compact`` holds 32 scale-free numbers on the deciding device and its fellows, the same for every N, M, T, B and D;
``per_device`` holds these and then a row of 18 scale-free numbers for each device, for networks that read sets.

To add an observation:

1. Here: its name in `OBSERVATIONS`, its numbers with their bounds in `ObservationLayout.of`.
2. A file in `aq_gym.kernels`, like `kernels.per_device`, with the function that writes it for one episode.
3. `aq_gym.kernels.batch`: an entry point that calls this function, and its line in `VIEWS`.
4. In tests/aq_gym/test_observation.py: known values, and play within the bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.estimation import LevelAware, mean_deviation
from aq_gym.hidden_level import LEVEL_VARIANCE
from aq_gym.problem import Problem

OBSERVATIONS = ("full", "compact", "per_device")


class Number(NamedTuple):
    """One number of an observation."""

    place: int
    segment: str
    name: str
    unit: str
    low: float  # smallest possible value in the observation
    high: float
    scale: float  # observation = quantity / scale
    value: float  # the quantity now, in its unit


class Segment(NamedTuple):
    """A run of numbers that share a meaning; bounds are those of the scaled numbers."""

    name: str
    start: int
    size: int
    meaning: str
    unit: str
    scale: float
    low: float
    high: float


# name, what it is, low; all are at most 1. "log" is the natural logarithm over 8, clipped to [-1, 1].
COMPACT_FEATURES: tuple[tuple[str, str, float], ...] = (
    ("remaining", "slots left, this one included, over the horizon", 0.0),
    ("turn", "share of the devices that have decided in this slot", 0.0),
    ("energy", "own sensings left over the budget", 0.0),
    ("energy_inverse", "1 / (1 + own sensings left)", 0.0),
    ("scarcity", "log of the own power deficiency (37), an empty battery counting as half a sensing", -1.0),
    ("scarcity_pooled", "log of the power deficiency of all devices together", -1.0),
    ("scarcity_later", "log of the power deficiency of the devices yet to decide, together", -1.0),
    ("delay", "own slots since last sensing over the longest sleep, at most 1", 0.0),
    ("delay_log", "log of 1 + own delay", 0.0),
    ("patience_log", "log of 1 + slots until a sensing is forced", 0.0),
    ("slack", "sensings left beyond those that the longest sleep will force, over the budget", -1.0),
    ("gain", "decrease of the average error if it senses, over the average error", -1.0),
    ("gain_log", "log of that decrease over the level, floored at 1e-4, plus 1", -1.0),
    ("gain_absolute_log", "log of 1 + that decrease in µg/m³, signed", -1.0),
    ("gain_own", "decrease at its own location over the average error of the map", -1.0),
    ("gain_later", "decrease if it sleeps and the later devices sense, over the average error", -1.0),
    ("gain_later_log", "log of 1 + that decrease in µg/m³, signed", -1.0),
    ("error_relative", "average error over the level, at most 1", 0.0),
    ("error_log", "log of the average error in µg/m³", -1.0),
    ("level", "level over the highest level", 0.0),
    ("level_log", "log of the level in µg/m³", -1.0),
    ("record_ratio", "log of own record over the level, times 4", -1.0),
    ("record_distance", "log of 1 + |own record - level| in µg/m³", 0.0),
    ("freshest_delay_log", "log of 1 + the smallest delay of all devices", 0.0),
    ("freshest_distance", "log of 1 + |record - level| of the freshest device; hidden: 1 + its deviation", 0.0),
    ("freshness", "mean of 1 / (1 + delay) over the devices", 0.0),
    ("delay_mean", "mean delay over the longest sleep", 0.0),
    ("record_ratio_mean", "mean over the devices of the log of record over level, times 4", -1.0),
    ("alive", "share of the devices with energy", 0.0),
    ("alive_later", "share of the devices that are yet to decide and have energy", 0.0),
    ("sensed", "share of the devices that have sensed in this slot", 0.0),
    ("sensed_count", "log of 1 + how many have sensed in this slot", 0.0),
)

# The same for each device's row of ``per_device``; an absent device's row (in a batch of mixed instances) is all zeros.
DEVICE_FEATURES: tuple[tuple[str, str, float], ...] = (
    ("present", "1: there is such a device", 0.0),
    ("decides", "1 if this device decides now", 0.0),
    ("later", "1 if it is yet to decide in this slot", 0.0),
    ("energy", "sensings left over the budget", 0.0),
    ("energy_inverse", "1 / (1 + sensings left)", 0.0),
    ("scarcity", "log of the power deficiency (37), an empty battery counting as half a sensing", -1.0),
    ("delay", "slots since last sensing over the longest sleep", 0.0),
    ("delay_log", "log of 1 + delay", 0.0),
    ("record_ratio", "log of its record over the level, times 4", -1.0),
    ("record_distance", "log of 1 + |record - level| in µg/m³", 0.0),
    ("error_relative", "error at its location over the level, at most 1", 0.0),
    ("gain", "decrease there if the deciding device senses, over the average error of the map", -1.0),
    ("quality", "log of the mean over the locations of 1 / (δ² + b): how informative a fresh reading is", -1.0),
    ("devices", "log of the number of devices", 0.0),
    ("horizon", "log of the horizon in slots", 0.0),
    ("period", "log of the horizon over the budget: slots that one sensing has to last", -1.0),
    ("patience", "log of the longest sleep in slots", 0.0),
    ("volatility", "root mean square change of the level from slot to slot over the mean level, at most 1", 0.0),
)


@dataclass(frozen=True)
class ObservationLayout:
    """The numbers of one problem's observation, in order."""

    kind: str
    segments: tuple[Segment, ...]

    @property
    def size(self) -> int:
        """How many numbers an observation has."""
        last = self.segments[-1]
        return last.start + last.size

    @property
    def low(self) -> NDArray[np.float32]:
        """(size,) smallest values."""
        return np.concatenate([np.full(s.size, s.low, np.float32) for s in self.segments])

    @property
    def high(self) -> NDArray[np.float32]:
        """(size,) largest values."""
        return np.concatenate([np.full(s.size, s.high, np.float32) for s in self.segments])

    @property
    def scale(self) -> NDArray[np.float64]:
        """(size,) what one quantity is divided by."""
        return np.concatenate([np.full(s.size, s.scale) for s in self.segments])

    def slice(self, name: str) -> slice:
        """Where a segment lies.

        Raises:
            KeyError: no segment of that name.
        """
        for s in self.segments:
            if s.name == name:
                return slice(s.start, s.start + s.size)
        raise KeyError(f"no segment {name!r}; there are {', '.join(s.name for s in self.segments)}")

    def describe(self, observation: NDArray[np.float32]) -> list[Number]:
        """Name, unit, bounds and present value of every number."""
        numbers = []
        for s in self.segments:
            for i in range(s.size):
                name = s.meaning if s.size == 1 else f"{s.meaning} [{i}]"
                value = float(observation[s.start + i]) * s.scale
                numbers.append(Number(s.start + i, s.name, name, s.unit, s.low, s.high, s.scale, value))
        return numbers

    @classmethod
    def of(cls, problem: Problem, kind: str = "full") -> ObservationLayout:
        """The layout of a problem's observation.

        Raises:
            ValueError: ``kind`` is not one of `OBSERVATIONS`.
        """
        if kind in ("compact", "per_device"):
            named = list(COMPACT_FEATURES)
            if kind == "per_device":
                for m in range(problem.n_devices):
                    named += [(f"device_{m}_{n}", f"device {m}: {w}", lo) for n, w, lo in DEVICE_FEATURES]
            return cls(kind, tuple(Segment(n, i, 1, w, "1", 1.0, lo, 1.0) for i, (n, w, lo) in enumerate(named)))
        if kind != "full":
            raise ValueError(f"observation: expected one of {', '.join(OBSERVATIONS)}, got {kind!r}")
        n, m = problem.n_locations, problem.n_devices
        error = error_bound(problem)
        budget, level, longest = float(problem.most_energy), level_bound(problem), float(problem.longest_delay)
        scarce = float(problem.energy_budget) * error
        if_on, if_off = "if the device senses", "if it sleeps and the later devices sense"
        hidden = problem.inference == "hidden"
        rows: list[tuple[str, int, str, str, float, float]] = [
            ("turn", m, "1 if this device decides now", "1", 1.0, 0.0),
            ("energy", m, "sensings left to device", "sensings", budget, 0.0),
            ("decrease_if_on", n, f"decrease of J {if_on}, location", "µg/m³", error, -1.0),
            ("own_if_on", m, f"power deficiency x own decrease {if_on}, device", "µg/m³", scarce, -1.0),
            ("on", 1, "1 while an episode runs", "1", 1.0, 0.0),
            ("decrease_if_off", n, f"decrease of J {if_off}, location", "µg/m³", error, -1.0),
            ("own_if_off", m, f"power deficiency x own decrease {if_off}, device", "µg/m³", scarce, -1.0),
            ("off", 1, "1 while an episode runs", "1", 1.0, 0.0),
            ("remaining", 1, "slots left, this one included", "slots", float(problem.horizon), 0.0),
            ("delay", m, "slots since last sensing, device", "slots", longest, 0.0),
            ("record", m, "level when last sensed, device", "µg/m³", level, 0.0),
            ("level", 1, "level of the area" + (", as the server believes" if hidden else ""), "µg/m³", level, 0.0),
        ]
        if hidden:
            rows.append(("deviation", 1, "standard deviation of that belief", "µg/m³", deviation_bound(problem), 0.0))
            rows.append(("error", 1, "average of J now", "µg/m³", error, 0.0))
        segments, start = [], 0
        for name, size, meaning, unit, scale, low in rows:
            segments.append(Segment(name, start, size, meaning, unit, scale, low, 1.0))
            start += size
        return cls(kind, tuple(segments))


def constants(problem: Problem) -> NDArray[np.float64]:
    """(5 + M,) the constants among `DEVICE_FEATURES`: "devices" ... "volatility", then each device's "quality"."""
    network = problem.network
    levels, chain = np.asarray(network.levels), np.asarray(network.transition)
    share = np.asarray(network.start) @ np.linalg.matrix_power(chain, problem.horizon)
    squares = (chain * (levels[None, :] - levels[:, None]) ** 2).sum(axis=1)
    sizes = [problem.n_devices, problem.horizon, problem.horizon / problem.energy_budget, problem.max_sleep]
    volatility = min(1.0, math.sqrt(float(share @ squares)) / float(share @ levels))
    informativeness = _informativeness(problem)
    return np.concatenate(
        [
            np.clip(np.log(sizes) / 8.0, -1.0, 1.0),
            [volatility],
            np.clip(np.log(informativeness.mean(axis=1)) / 8.0, -1.0, 1.0),
        ]
    )


def _informativeness(problem: Problem) -> NDArray[np.float64]:
    """(M, N) informativeness of one fresh reading: precision at level 1, or share of the variance explained."""
    network, rows = problem.network, list(problem.devices)
    if problem.inference == "paper":
        return np.asarray(1.0 / (network.measurement_variance + network.variance_relation[rows]))
    part = 1.0 + mean_deviation(network)
    covariance = LevelAware.of(network).covariance() + problem.level_noise**2 * np.outer(part, part)
    variance = np.maximum(np.diag(covariance), 1e-12)
    return np.asarray(np.square(covariance[rows]) / variance / variance[rows, None])


def error_bound(problem: Problem) -> float:
    """A bound on every joint error of a problem [µg/m³], hence on every difference of two.

    Level-aware: that of the prior at the highest level, since readings only lower a variance. Hidden: that of the prior
    at the highest and vaguest level that may be believed.

    A fused variance is at most each single source's (20), and those are at most δ²e² + Dσ² + b e² with the largest b
    and e; a fused mean lies among the sources' means (19), each off the level by at most the span of the levels plus
    the largest |a| e.
    """
    network = problem.network
    rows = np.asarray(problem.devices)
    top = float(network.levels[-1])
    if problem.inference == "level-aware":
        model, part = LevelAware.of(network), 1.0 + mean_deviation(network)
        prior = np.diag(model.covariance()) + np.square(problem.level_noise * part)
        return math.sqrt(float(prior.max()) * top**2 + model.floor)
    if problem.inference == "hidden":
        model, part = LevelAware.of(network), 1.0 + mean_deviation(network)
        prior = np.diag(model.covariance()) * (level_bound(problem) ** 2 + deviation_bound(problem) ** 2)
        return math.sqrt(float((prior + LEVEL_VARIANCE * np.square(part)).max()) + model.floor)
    variance = (network.measurement_variance + float(network.variance_relation[rows].max())) * top**2
    variance += network.temporal_variance * problem.max_sleep
    deviation = top - float(network.levels[0]) + float(np.abs(network.mean_relation[rows]).max()) * top
    return math.sqrt(variance + deviation**2)


def level_bound(problem: Problem) -> float:
    """The highest level, or the highest that may be believed of a hidden one [µg/m³]."""
    return max(float(problem.network.levels[-1]), problem.most_believed[0])


def deviation_bound(problem: Problem) -> float:
    """The largest standard deviation that the server may believe of a hidden level [µg/m³]; 1 where it is known."""
    return max(1.0, math.sqrt(problem.most_believed[1]))
