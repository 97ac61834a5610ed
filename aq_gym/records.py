"""The named arrays that `aq_gym.dynamics` and the kernels read: of a problem, of an episode, of a device.

A new field of the state is one line in `EPISODE` or `DEVICE`; or in `State`, if its shape is another. That stores,
copies and restores it. What else a field may need:

- a value at the start: `dynamics.reset`; a change: `dynamics.decide`, `decide_together`, `end_slot`;
- a place in infos: `envs.base.SensingEnv._raw_state` and the names in `envs.infos`; in observations: `observation`;
- if the future depends on it: `kernels.branches.same_state`, `Episodes.observe_states`, the exact solvers' states.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

EPISODE = np.dtype(
    [
        ("slot", "i8"),  # 1..T; 0: not begun, T + 1: over
        ("turn", "i8"),  # the device that decides; 0 in the joint view
        ("capped", "i8"),  # device-slots so far in which a delay stayed at D
        ("level", "f8"),  # now, or what the server believes of it; after the end that of slot T [µg/m³]
        ("deviation", "f8"),  # standard deviation of that belief; 0 where the level is known [µg/m³]
        ("mean_error", "f8"),  # average joint error now [µg/m³]
        ("last_error", "f8"),  # the same of the last slot that ended [µg/m³]
        ("total_error", "f8"),  # sum over all slots that ended [µg/m³]
    ]
)
DEVICE = np.dtype(
    [
        ("location", "i8"),  # constant
        ("budget", "i8"),  # constant: sensings at the beginning
        ("energy", "i8"),  # sensings left
        ("delay", "i8"),  # slots since it last sensed
        ("record", "f8"),  # the level when it did [µg/m³]
        ("lost", "i8"),  # whether its last decision was a sensing whose report got lost
        ("timer", "i8"),  # the slot in which it senses next, 0: none is set; see `aq_gym.timed_episodes`
    ]
)
PARAMETERS = np.dtype(
    [
        ("n_locations", "i8"),  # N
        ("horizon", "i8"),  # T [slots]
        ("energy_budget", "i8"),  # B [sensings]
        ("most_energy", "i8"),  # that a device can hold [sensings]
        ("max_sleep", "i8"),  # D [slots]
        ("longest_delay", "i8"),  # D, or beyond the horizon where the level is hidden [slots]
        ("losses", "i8"),  # column of ``path`` where the lost reports begin, or 0
        ("harvests", "i8"),  # column of ``path`` where the harvested sensings begin, or 0
        ("harvest_cap", "i8"),  # energy up to which a device harvests [sensings]
        ("keep_measured", "?"),  # whether a location measured in this slot keeps its reading, not fused (III-B)
        ("measurement_variance", "f8"),  # δ² [1]
        ("temporal_variance", "f8"),  # σ² [(µg/m³)² per slot]
        ("fresh_error", "f8"),  # δ: joint error of a location that keeps its reading, over e [1]
        ("error_bound", "f8"),  # of every joint error [µg/m³]
        ("top_level", "f8"),  # the highest level [µg/m³]
        ("deviation_bound", "f8"),  # of every deviation of a belief [µg/m³]
        ("noise", "f8"),  # level-aware: variance of what the server knows of the level, over e² [1]
        ("drift", "f8"),  # level-aware: mean squared change of the level from slot to slot [(µg/m³)²]
        ("floor", "f8"),  # level-aware, hidden: variance that no level explains [(µg/m³)²]
        ("hidden", "?"),  # whether the server knows of the level only what devices report
        ("chain", "?"),  # hidden: the belief is the level chain's
        *((f"belief_{name}", "f8") for name in ("q0", "q1", "q2", "m")),  # hidden: see `aq_gym.belief.GrownBelief`
    ]
)


class Parameters(NamedTuple):
    """One problem; rows of locations are padded to P numbers."""

    numbers: NDArray[Any]  # (1,) `PARAMETERS`
    relation: NDArray[np.float64]  # (3, M, P) devices to locations, rows: see `kernels.precision` or `level_aware` [1]
    prior: NDArray[np.float64] | None  # rows: `kernels.level_aware`, `kernels.hidden`; None: the paper's inference [1]
    constants: NDArray[np.float64]  # (5 + M,) constants that observations show, see `observation.constants` [1]


class State(NamedTuple):
    """K episodes."""

    episode: NDArray[Any]  # (K,) `EPISODE`
    device: NDArray[Any]  # (K, M) `DEVICE`, in the order in which they decide
    path: NDArray[np.float64]  # (K, ·) the levels of slots 0..T [µg/m³]; T + 1 columns a device: 1 where a report would
    # get lost, if any can; T + 1 more: 1 where energy is harvested, if any can
    maps: NDArray[np.float64]  # (K, 7, P) joint errors and precision sums, rows: see `kernels.precision`
