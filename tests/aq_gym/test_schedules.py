"""The timetables: by hand, and what they refuse."""

from typing import Any

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
def test_impossible_numbers_are_refused(make: Any) -> None:
    for numbers, message in (
        ((0, 10, 2), "n_devices: expected an integer of at least 1, got 0"),
        ((2, 0, 2), "horizon: expected an integer of at least 1, got 0"),
        ((2, 10, 0), "energy_budget: expected an integer of at least 1, got 0"),
        ((2, 10.0, 2), "horizon: expected an integer of at least 1, got 10.0"),
        ((2, 10, 10**30), "energy_budget: expected an integer of at most 1,000,000,000"),
        ((10**5, 10**5, 2), "n_devices x horizon: expected at most 1,000,000,000, got 100000 x 100000"),
    ):
        with pytest.raises(ValueError, match=message):
            make(*numbers)
