"""The compiled fitness against the readable equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aq_gym import SensorNetwork, schedules
from aq_gym.placement import Fitness, all_sets, level_path

PKU = SensorNetwork.load("pku2018")


def by_the_book(
    network: SensorNetwork, locations: Any, schedule: NDArray[np.bool_], levels: NDArray[np.float64], fuse: bool = False
) -> float:
    """Slot by slot, with the equations of `inference`; no cap on the delay."""
    m = len(locations)
    delay, record, total = np.zeros(m, np.int64), np.full(m, levels[0]), 0.0
    for t in range(1, len(levels)):
        on = schedule[:m, t - 1]
        delay, record = np.where(on, 0, delay + 1), np.where(on, levels[t], record)
        total += float(network.joint_error(np.sort(locations), delay, record, levels[t], fuse_measured=fuse).mean())
    return total / (len(levels) - 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**31), st.booleans(), st.integers(1, 40))
def test_it_agrees_with_the_equations(m: int, seed: int, fuse: bool, n_slots: int) -> None:
    rng = np.random.default_rng(seed)
    network = SensorNetwork.synthetic(21, seed=3)
    schedule, path = rng.random((m, n_slots)) < 0.2, level_path(network, n_slots, seed)
    sets = np.full((3, m), -1)
    sizes = [m, 1, int(rng.integers(1, m + 1))]
    for row, size in zip(sets, sizes, strict=True):
        row[:size] = rng.permutation(21)[:size]
    found = Fitness(network, schedule, path, fuse_measured=fuse)(sets)
    expected = [by_the_book(network, row[row >= 0], schedule, path, fuse) for row in sets]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_many_sources_and_long_sleeps_do_not_overflow() -> None:
    network = SensorNetwork.synthetic(200, seed=0)
    schedule = np.zeros((200, 900), np.bool_)
    path = np.full(901, 5.0)
    found = Fitness(network, schedule, path)(np.arange(200)[None])
    assert found[0] == pytest.approx(by_the_book(network, np.arange(200), schedule, path), rel=1e-9)


def test_threads_and_order_change_nothing() -> None:
    path = level_path(PKU, 50, 0)
    schedule = schedules.staggered(3, 50, 8)
    sets = np.concatenate(list(all_sets(12, 3)))
    one, two = (Fitness(PKU, schedule, path, threads=n) for n in (1, 3))
    assert (one(sets) == two(sets)).all() and (one(sets[:, ::-1]) == two(sets)).all()
    assert one.evaluations == 2 * len(sets) == 2 * 220
    assert sorted(map(tuple, sets.tolist())) == list(map(tuple, sets.tolist())) and len(set(map(tuple, sets))) == 220


def test_the_paths_are_those_of_the_chain() -> None:
    path = level_path(PKU, 20_000, 0)
    assert path.shape == (20_001,) and np.isin(path, PKU.levels).all()
    state = np.searchsorted(PKU.levels, path)
    assert (PKU.transition[state[:-1], state[1:]] > 0).all()
    assert (path == level_path(PKU, 20_000, 0)).all() and not (path == level_path(PKU, 20_000, 1)).all()
    step = float((PKU.transition * np.square(PKU.levels[:, None] - PKU.levels)).sum(axis=1) @ PKU.start)
    assert np.square(np.diff(path)).mean() == pytest.approx(step, rel=0.15)


@pytest.mark.parametrize(
    ("schedule", "levels", "why"),
    [
        (np.zeros(5, bool), np.ones(6), r"schedule: expected \(M, T\)"),
        (np.full((2, 5), 2), np.ones(6), "schedule: expected .* of 0 and 1"),
        (np.zeros((2, 5), bool), np.ones(5), "levels: expected 6 positive numbers"),
        (np.zeros((2, 5), bool), np.zeros(6), "levels: expected 6 positive numbers"),
        (np.zeros((31, 5), bool), np.ones(6), "31 devices, but 'pku2018' has 30 locations"),
    ],
)
def test_bad_arguments_are_refused(schedule: Any, levels: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Fitness(PKU, schedule, levels)


@pytest.mark.parametrize("sets", [[[1, 1]], [[-1, -1]], [[0, 30]], [[0, 1, 2]], [0, 1], [[0.5, 1.0]]])
def test_sets_that_are_none_are_refused(sets: Any) -> None:
    fitness = Fitness(PKU, np.zeros((2, 4), np.bool_), np.ones(5))
    with pytest.raises(ValueError, match=r"^sets: "):
        fitness(sets)
    with pytest.raises(ValueError, match="n_slots: expected at least 1, got 0"):
        level_path(PKU, 0, 0)
