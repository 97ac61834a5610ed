"""Random instances: networks, device sets, horizons and budgets, for agents that must serve more than one."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.belief import GrownBelief
from aq_gym.inference import INFERENCES
from aq_gym.kernels.chain import cumulative, draw_paths
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.synthetic import synthetic_fields

FITTED = ("pku2018", "pku2018-spring", "pku2018-summer")  # the fitted networks among the samples
RANGES = {  # least and greatest of a random network; `extent` says where a network lies
    "locations": (10.0, 1000.0),  # N
    "levels": (5.0, 500.0),  # E
    "spatial_variance": (0.3, 100.0),  # mean b of two locations, over that of pku2018
    "temporal_variance": (0.1, 20.0),  # σ², over that of pku2018
}
MEAN_LEVEL = (15.0, 150.0)  # [µg/m³]
LEVEL_SPREAD = (0.2, 1.1)  # standard deviation of the level over its mean [1]
UNLIKENESS = (0.003, 0.3)  # 1 - correlation of the level's logarithm from slot to slot [1]
TEMPORAL_SHARE = (0.02, 0.35)  # σ over the mean level [1]
PRECISION = (0.25, 4.0)  # measurement variance, over that of pku2018
N_DEVICES = np.array([m for m in range(1, 51) if m not in (5, 10, 20)])  # M, with a probability proportional to 1 / M
HORIZON = (20, 300)  # least and greatest T [slots]
PERIOD = (2.5, 13.0)  # least and greatest T / B [slots]
_BELIEF_SLOTS = 3_000  # of the path that a belief is fitted to
_MOST_WORK = 2e6  # slots x devices x locations of an episode: a few milliseconds


def extent(network: SensorNetwork) -> dict[str, float]:
    """Where a network lies, by the names of `RANGES`."""
    pku = SensorNetwork.load("pku2018")
    return {
        "locations": float(network.n_locations),
        "levels": float(network.n_levels),
        "spatial_variance": _mean_b(network) / _mean_b(pku),
        "temporal_variance": network.temporal_variance / pku.temporal_variance,
    }


def _mean_b(network: SensorNetwork) -> float:
    n = network.n_locations
    return float(network.variance_relation.sum()) / (n * (n - 1))


def random_network(rng: np.random.Generator) -> SensorNetwork:
    """A network with a random field, random noise and a random chain, within `RANGES`."""
    pku = SensorNetwork.load("pku2018")
    least, most = RANGES["locations"]
    n = round(least * (most / least) ** (rng.uniform() ** 2))  # small ones more often: they cost less
    fields = synthetic_fields(n, int(rng.integers(1, 2**31)))
    spatial = _log_uniform(rng, RANGES["spatial_variance"])
    own = np.exp(rng.uniform(0.0, 1.2) * rng.standard_normal(n))
    part = own[:, None] + own
    np.fill_diagonal(part, 0.0)
    smooth, share = fields["variance_relation"], rng.uniform()
    b = _mean_b(pku) * n * (n - 1) * spatial * (share * smooth / smooth.sum() + (1.0 - share) * part / part.sum())

    mean = _log_uniform(rng, MEAN_LEVEL)
    n_levels = round(_log_uniform(rng, RANGES["levels"]))
    levels, transition, start = _chain(rng, n_levels, mean)
    temporal = (_log_uniform(rng, TEMPORAL_SHARE) * mean) ** 2 / pku.temporal_variance
    short = rng.uniform(0.2, 0.7)
    drift = float(start @ (transition * (levels - levels[:, None]) ** 2).sum(axis=1))
    floor = _log_uniform(rng, (1e-5, 1e-3)) * mean**2
    model = [rng.uniform(0.1, 0.9), short, _log_uniform(rng, (2.0, 20.0)), rng.uniform(0.0, 1.0 - short), floor, drift]
    return SensorNetwork(
        name=f"random-{rng.integers(2**31)}",
        coordinates=fields["coordinates"],
        mean_relation=fields["mean_relation"] * math.sqrt(spatial),
        variance_relation=b,
        measurement_variance=pku.measurement_variance * _log_uniform(rng, PRECISION),
        temporal_variance=pku.temporal_variance * float(np.clip(temporal, *RANGES["temporal_variance"])),
        levels=levels,
        transition=transition,
        start=start,
        level_model=np.array(model),
    )


def _chain(rng: np.random.Generator, n: int, mean: float) -> tuple[Any, Any, Any]:
    """(n,) levels, (n, n) transition, (n,) start: the level's logarithm is a first-order autoregression in n bins."""
    spread = math.sqrt(math.log1p(rng.uniform(*LEVEL_SPREAD) ** 2))
    likeness = 1.0 - _log_uniform(rng, UNLIKENESS)
    width = mean * math.exp(2.5 * spread) / n
    levels = (np.arange(n) + 0.5) * width
    log, center = np.log(levels), math.log(mean) - spread**2 / 2.0
    step = np.maximum(spread * math.sqrt(1.0 - likeness**2), 0.25 * width / levels)  # coarse levels change too
    edges = np.log(np.arange(1, n) * width)

    def binned(middle: NDArray[np.float64], scale: NDArray[np.float64]) -> Any:
        z = np.clip((edges - middle[:, None]) / scale[:, None] * 1.8138, -700.0, 700.0)  # logistic, of that deviation
        below = np.pad(1.0 / (1.0 + np.exp(-z)), [(0, 0), (1, 1)], constant_values=((0, 0), (0.0, 1.0)))
        return np.diff(below, axis=1)

    transition = binned(center + likeness * (log - center), step)
    return np.asarray(levels), transition, binned(np.array([center]), np.array([spread]))[0]


def with_belief(network: SensorNetwork, rng: np.random.Generator) -> SensorNetwork:
    """The same network with a belief about a hidden level, fitted to a path of its own chain."""
    chances = cumulative(np.vstack([network.transition, network.start]))
    path = np.empty((1, _BELIEF_SLOTS), np.int64)
    draw_paths(rng.random(path.shape), network.n_levels, chances, path)
    belief = GrownBelief.fit([network.levels[path[0]]])
    return dataclasses.replace(network, level_belief=np.array(belief))


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return math.exp(rng.uniform(*np.log(ends)))


class InstanceSampler:
    """Draws problems, each independent of the others.

    A network is random (`random_network`) or, one in four, fitted to Peking University's campus, as it is or coarsened;
    M devices stand at random places, few more often than many; T is log-uniform; the budget pays for a sensing every
    few slots (`PERIOD`), and the longest sleep is 1.2 to 4.2 times as long; a budget is at least 2. Five, ten and
    twenty devices are left out, and so are the fitted cities tainan2017 and taipei2017: they are new to whoever learns
    on the samples.

    Args:
        seed: the same seed draws the same problems.
        inferences: how maps are inferred, equally likely; level-aware with a noise of 0 to 30 %, hidden with as many
            reports lost.
        most_work: T x M x N of an instance at most; larger ones are drawn anew.

    Raises:
        ValueError: an unknown inference, or too little work for any instance.
    """

    def __init__(self, seed: int, *, inferences: Sequence[str] = INFERENCES, most_work: float = _MOST_WORK) -> None:
        if not inferences or set(inferences) - set(INFERENCES):
            raise ValueError(f"inferences: expected some of {', '.join(INFERENCES)}, got {inferences!r}")
        if not most_work >= 1000 * HORIZON[0]:
            raise ValueError(f"most_work: expected at least {1000 * HORIZON[0]}, got {most_work!r}")
        self._rng = np.random.default_rng(seed)
        self._inferences, self._most_work = tuple(inferences), most_work

    def draw(self) -> Problem:
        """The next problem."""
        while True:
            problem = self._candidate()
            if problem.horizon * problem.n_devices * problem.n_locations <= self._most_work:
                return problem

    def _candidate(self) -> Problem:
        rng = self._rng
        network = self._fitted() if rng.random() < 0.25 else random_network(rng)
        possible = N_DEVICES[network.n_locations >= N_DEVICES]
        m = int(rng.choice(possible, p=1.0 / possible / (1.0 / possible).sum()))
        devices = rng.choice(network.n_locations, m, replace=False).tolist()
        horizon = round(_log_uniform(rng, HORIZON))
        period = min(rng.uniform(*PERIOD), horizon / 2.0)
        budget = round(horizon / period)
        sleep = math.ceil(rng.uniform(1.2, 4.2) * horizon / budget)
        inference, noise = str(rng.choice(self._inferences)), float(rng.uniform(0.0, 0.3))
        share = {"paper": {}, "level-aware": {"level_noise": noise}, "hidden": {"loss": noise}}
        options: dict[str, Any] = {"inference": inference, **share[inference]}
        if inference == "hidden" and network.level_belief is None:
            network = with_belief(network, rng)
        return Problem.create(network, devices, horizon, budget, sleep, **options)

    def _fitted(self) -> SensorNetwork:
        network = SensorNetwork.load(str(self._rng.choice(FITTED)))
        return network.coarsen(int(self._rng.integers(5, 9))) if self._rng.random() < 0.3 else network
