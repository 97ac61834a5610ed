"""The fields of a sensor network: what the equations read; `aq_gym.network.SensorNetwork` adds loading and saving."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aq_gym import network_checks as checks

DEFAULT_SLOT_MINUTES = 10.0
OPTIONAL = ("coordinates", "level_model", "level_belief")  # may be None


@dataclass(frozen=True, eq=False)
class NetworkParameters:
    """Parameters of an air-quality sensor network with N candidate locations and E levels of the area's air quality.

    Every array is stored as a read-only float64 copy, and everything is checked on construction.

    Attributes:
        measurement_variance: normalised measurement variance, delta² (1), > 0 [1]. A reading of x at level e is
            N(x, delta² e²).
        temporal_variance: temporal deviation variance, sigma² (2)(3), >= 0 [(µg/m³)² per slot].
        mean_relation: (N, N), `a[i, j]`: normalised mean deviation from location i to j (4), zero diagonal [1].
        variance_relation: (N, N), `b[i, j]`: normalised added variance from i to j (5), >= 0, zero diagonal [1].
        levels: (E,) values of the area's level, strictly increasing, > 0 [µg/m³].
        transition: (E, E) Markov matrix, `transition[e, f]` = P(next level f | level e), rows sum to 1 (8).
        start: (E,) distribution of the level of slot 0, sums to 1 (7).
        coordinates: (N, 2) metres east and north of the locations' mean, or None where unknown.
        level_model: (6,) what level-aware inference needs (`aq_gym.estimation.LevelAware`): lasting [1], short [1],
            memory [slots], long [1], floor [(µg/m³)²], drift [(µg/m³)²]; or None where it was not learned.
        level_belief: (6,) what the server believes of a level that is hidden from it (`aq_gym.belief.GrownBelief`): q0
            [(µg/m³)²], q1 [µg/m³], q2 [1], h [1], k [1/slot], m [µg/m³]; or None where it was not fitted.
        name: what the network is called in messages and cards.
        slot_minutes: length of a slot, the time between two rows of the readings [minutes].

    Raises:
        ValueError: a field has a wrong shape, sign, sum or type; the message names the field and what is right.
    """

    measurement_variance: float
    temporal_variance: float
    mean_relation: NDArray[np.float64]
    variance_relation: NDArray[np.float64]
    levels: NDArray[np.float64]
    transition: NDArray[np.float64]
    start: NDArray[np.float64]
    coordinates: NDArray[np.float64] | None = None
    name: str = "custom"
    level_model: NDArray[np.float64] | None = None
    slot_minutes: float = DEFAULT_SLOT_MINUTES
    level_belief: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for field in ("measurement_variance", "temporal_variance", "slot_minutes"):
            object.__setattr__(self, field, checks.as_number(field, getattr(self, field)))
        for field in checks.ARRAYS:
            value = getattr(self, field)
            if field not in OPTIONAL or value is not None:
                object.__setattr__(self, field, checks.as_array(field, value))
        checks.check_scalars(self.name, self.slot_minutes, self.measurement_variance, self.temporal_variance)
        checks.check_relations(self.mean_relation, self.variance_relation)
        checks.check_chain(self.levels, self.transition, self.start)
        checks.check_spread(self.measurement_variance, self.temporal_variance, self.variance_relation, self.levels)
        checks.check_coordinates(self.coordinates, self.n_locations)
        checks.check_level_model(self.level_model, float(self.levels[-1]))
        checks.check_level_belief(self.level_belief, float(self.levels[-1]))

    @property
    def n_locations(self) -> int:
        """Number of candidate locations, N."""
        return int(self.mean_relation.shape[0])

    @property
    def n_levels(self) -> int:
        """Number of levels of the area's air quality, E."""
        return int(self.levels.shape[0])
