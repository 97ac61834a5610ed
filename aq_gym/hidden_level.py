"""The map under a hidden level: reports inform about the level and about the deviations from it.

docs/model.md, "The level hidden from the server". The map is simple kriging with a level that is all but unknown
(variance `LEVEL_VARIANCE`); each device's report counts as a reading of the level that the server believes in now.

What a hidden level changes, file by file:

1. `aq_gym.problem`: delays are not capped at D (``longest_delay``); ``belief`` and ``loss`` may be chosen.
2. `aq_gym.belief`: mean and variance of the level, given the last report; `kernels.hidden` is the same compiled.
3. `kernels.maps`: an episode's ``level`` and ``deviation`` are those of the belief, renewed with every map.
4. `kernels.level_aware`: kriging takes them for the level, with `LEVEL_VARIANCE`. This module is its reference.
5. `dynamics.sense`: a report may be lost; `aq_gym.chance` draws which.
6. `aq_gym.observation`, `kernels.full`: two more numbers, the belief's deviation and the mean error; the bounds cover
   what may be believed. `kernels.compact`: one feature is the belief's deviation.
7. `aq_gym.envs`: with ``reveal=True`` infos hold the level itself, ``hidden_level``.
8. `baselines.exact.hidden_induction`, `hidden_devices`: exact values, which sum over the levels of a report.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.belief import Belief, Moments, belief_of
from aq_gym.estimation import Estimate, LevelAware, mean_deviation
from aq_gym.parameters import NetworkParameters

LEVEL_VARIANCE = 1e4  # V0, prior variance of the level about the belief [(µg/m³)²]


@dataclass(frozen=True)
class HiddenLevel:
    """Maps from the ages and records of reports alone.

    Attributes:
        model: what is known of the deviations from the level.
        belief: mean and variance of the level after a report.
    """

    model: LevelAware
    belief: Belief

    @classmethod
    def of(cls, network: NetworkParameters, belief: str = "grown", longest: int = 1000) -> HiddenLevel:
        """The maps of a network with the belief of that name, for delays up to ``longest`` slots.

        Raises:
            ValueError: the network has no ``level_model``, no ``level_belief``, or the belief is unknown.
        """
        return cls(LevelAware.of(network), belief_of(network, belief, longest))

    def level(self, delay: ArrayLike, record: ArrayLike) -> Moments:
        """Mean and variance (...) of the level from the freshest of the reports (..., M)."""
        d, u = np.asarray(delay), np.asarray(record, dtype=np.float64)
        fresh = np.expand_dims(d.argmin(axis=-1), -1)
        return self.belief.moments(*(np.take_along_axis(x, fresh, -1)[..., 0] for x in (d, u)))

    def estimate(self, devices: ArrayLike, delay: ArrayLike, record: ArrayLike) -> Estimate:
        """The map from the last report of each device.

        Args:
            devices: (M,) locations.
            delay: (..., M) slots since the report; 0: in this slot.
            record: (..., M) the reported level [µg/m³].

        Returns:
            mean and deviation, each (..., N) [µg/m³]. The cost of a slot is the mean of the deviations.
        """
        own, d, u = np.asarray(devices), np.asarray(delay), np.asarray(record, dtype=np.float64)
        part, c = 1.0 + mean_deviation(self.model.network), self.model.covariance()
        mean, variance = self.belief.moments(d, u)  # (..., M)
        fresh = np.expand_dims(d.argmin(axis=-1), -1)
        now, uncertainty = np.take_along_axis(mean, fresh, -1), np.take_along_axis(variance, fresh, -1)  # (..., 1)
        later = d[..., None, :] < d[..., :, None]  # device k has reported after device m
        spread = np.maximum(variance, np.where(later, variance[..., None, :], 0.0).max(axis=-1))  # S
        same = self.model.correlation(d[..., :, None] - d[..., None, :]) * u[..., :, None] * u[..., None, :]
        common = LEVEL_VARIANCE + np.minimum(spread[..., :, None], spread[..., None, :])
        between = (
            np.outer(part[own], part[own]) * common + c[np.ix_(own, own)] * same + self.model.floor * np.eye(len(own))
        )  # K
        across = (self.model.correlation(d) * u * now)[..., None] * c[own]
        across = across + np.outer(part[own], part) * LEVEL_VARIANCE  # k, (..., M, N)
        weights = np.linalg.solve(between, across)
        before = np.square(part) * LEVEL_VARIANCE + np.diag(c) * (np.square(now) + uncertainty)
        left = np.maximum(before - (weights * across).sum(axis=-2), 0.0) + self.model.floor
        innovation: NDArray[np.float64] = part[own] * (mean - now)
        return Estimate(part * now + (weights * innovation[..., None]).sum(axis=-2), np.sqrt(left))

    def course(self, slot: int, delay: NDArray[np.int64], record: NDArray[np.float64]) -> NDArray[np.float64]:
        """(slot + 1,) the level since slot 0, estimated from the devices' last reports (M,) [µg/m³].

        In each slot it is the mean of the belief that the latest of these reports leads to; NaN before all of them.
        """
        reported, slots = slot - delay, np.arange(slot + 1)
        order = np.argsort(reported, kind="stable")
        latest = order[np.maximum(np.searchsorted(reported[order], slots, side="right") - 1, 0)]
        means = self.belief.moments(np.maximum(slots - reported[latest], 0), record[latest])[0]
        return np.where(slots < reported.min(), np.nan, means)
