"""The timetables: by hand, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from aq_gym import schedules


def test_by_hand() -> None:
    together = schedules.synchronised(2, 10, 3)  # slots round(2.5), round(5), round(7.5)
    assert (np.flatnonzero(together[0]) + 1).tolist() == [2, 5, 8] and (together[0] == together[1]).all()
    apart = schedules.staggered(2, 10, 2)  # j 5 + m 2.5, rounded down, + 1
    assert [(np.flatnonzero(row) + 1).tolist() for row in apart] == [[1, 6], [3, 8]]
    assert schedules.staggered(5, 60, 10).sum(axis=1).tolist() == [10] * 5


@pytest.mark.parametrize("make", [schedules.synchronised, schedules.staggered])
def test_numbers_below_one_are_refused(make: object) -> None:
    for numbers, name in (((0, 10, 2), "n_devices"), ((2, 0, 2), "horizon"), ((2, 10, 0), "energy_budget")):
        with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
            make(*numbers)  # type: ignore[operator]
