"""What a plan says of the devices, as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.problem import Problem

FIRST_LEVEL = 50.0  # µg/m³, of a slot that nobody has reported for yet; it decides nothing


@dataclass
class PlanningState:
    """What is known of the devices when a slot begins, and their energy after its decisions; lists in the database."""

    energy: NDArray[np.int64]  # (M,) sensings left
    delay: NDArray[np.int64]  # (M,) slots since the last report that came
    record: NDArray[np.float64]  # (M,) level when it was made [µg/m³]
    missed: NDArray[np.int64]  # (M,) slot of the scheduled report whose loss made the device stale; -1: it is not
    lost: NDArray[np.int64]  # (M,) scheduled reports in a row that did not come
    excused: NDArray[np.int64]  # (M,) others in a row that did not come, around stops of the service, and do not count

    @property
    def stale(self) -> NDArray[np.bool_]:
        """(M,) devices that are not counted on until they report again."""
        return self.missed >= 0

    def to_json(self) -> dict[str, Any]:
        """As lists."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> PlanningState:
        """From lists; older ones have no ``lost`` or no ``excused``."""
        record = np.array(state["record"], dtype=np.float64)
        energy, delay, missed = (np.array(state[x], dtype=np.int64) for x in ("energy", "delay", "missed"))
        lost, excused = (np.array(state.get(x, 0 * missed), dtype=np.int64) for x in ("lost", "excused"))
        return cls(energy, delay, record, missed, lost, excused)

    @classmethod
    def first(cls, problem: Problem) -> PlanningState:
        """Before anybody reported."""
        n, nothing = problem.n_devices, np.full(problem.n_devices, -1)
        old = np.full(n, problem.longest_delay + 1)
        lost, excused = np.zeros((2, n), np.int64)
        return cls(np.array(problem.energies), old, np.full(n, FIRST_LEVEL), nothing, lost, excused)


def promised_errors(
    problem: Problem, state: PlanningState, due: NDArray[np.bool_], level: float
) -> NDArray[np.float64]:
    """(N,) joint errors if all reports come that are due (M,), and find the level that is believed [µg/m³]."""
    delay = np.where(due, 0, np.minimum(state.delay, problem.longest_delay))
    return np.asarray(problem.infer(delay, np.where(due, level, state.record), level).joint_error)
