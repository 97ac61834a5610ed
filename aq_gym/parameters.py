"""The fitted numbers that the equations read; `aq_gym.network.SensorNetwork` is the object that holds them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LEVEL_MODEL = ("lasting", "short", "memory", "long", "floor", "drift")  # see `aq_gym.estimation.LevelAware`
LEVEL_BELIEF = ("q0", "q1", "q2", "h", "k", "m")  # see `aq_gym.belief.GrownBelief`
OPTIONAL = ("coordinates", "level_model", "level_belief")  # may be None


class NetworkParameters(Protocol):
    """What the equations need of a network; N locations. `SensorNetwork` explains each field."""

    # ruff: noqa: D102 - SensorNetwork documents them

    @property
    def name(self) -> str: ...

    @property
    def n_locations(self) -> int: ...

    @property
    def measurement_variance(self) -> float: ...  # delta^2 [1]

    @property
    def temporal_variance(self) -> float: ...  # sigma^2 [(µg/m³)² per slot]

    @property
    def mean_relation(self) -> NDArray[np.float64]: ...  # (N, N) a [1]

    @property
    def variance_relation(self) -> NDArray[np.float64]: ...  # (N, N) b [1]

    @property
    def level_model(self) -> NDArray[np.float64] | None: ...  # (6,) in the order of LEVEL_MODEL

    @property
    def level_belief(self) -> NDArray[np.float64] | None: ...  # (6,) in the order of LEVEL_BELIEF

    @property
    def levels(self) -> NDArray[np.float64]: ...  # (E,) [µg/m³]

    @property
    def transition(self) -> NDArray[np.float64]: ...  # (E, E) [1]

    @property
    def coordinates(self) -> NDArray[np.float64] | None: ...  # (N, 2) [m]

    @property
    def slot_minutes(self) -> float: ...
