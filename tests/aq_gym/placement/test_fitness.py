"""The compiled fitness against the readable equations."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aq_gym import SensorNetwork, schedules
from aq_gym.placement import Fitness, all_sets, level_path
from aq_gym.placement.search import random_sets

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


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("n", [2, 30, 32, 33, 70])
@pytest.mark.parametrize("m", [1, 2, 5, 6, 9, 10, 22])
def test_it_agrees_at_every_size(n: int, m: int, fuse: bool) -> None:
    m, n_slots, rng = min(m, n), 12, np.random.default_rng(100 * n + m)
    network = SensorNetwork.synthetic(n, seed=n)
    schedule = rng.random((m, n_slots)) < 0.3
    schedule[m // 2] = False  # a row that never senses
    sets = random_sets(n, m, 6, rng)
    sets[rng.random(sets.shape) < 0.2] = -1  # rows that are not used
    sets = sets[(sets >= 0).any(axis=1)]
    for path in (level_path(network, n_slots, n), rng.uniform(1.0, 300.0, n_slots + 1)):
        found = Fitness(network, schedule, path, fuse_measured=fuse)(sets)
        expected = [by_the_book(network, row[row >= 0], schedule, path, fuse) for row in sets]
        np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("m", [12, 30])
def test_a_set_is_worth_the_same_to_the_last_bit_in_any_company(m: int) -> None:
    network, rng = SensorNetwork.synthetic(40, seed=1), np.random.default_rng(0)
    schedule, path = rng.random((m, 30)) < 0.3, level_path(network, 30, 0)
    sets = random_sets(40, m, 700, rng)
    sets[:300][np.arange(m) >= rng.integers(1, m, 300)[:, None]] = -1  # all sizes
    order = rng.permutation(len(sets))
    one, three = (Fitness(network, schedule, path, threads=n) for n in (1, 3))
    found = one(sets)
    assert (one(sets[order]) == found[order]).all() and (three(sets) == found).all()
    assert [one(row[row >= 0][None])[0] for row in sets[:320]] == found[:320].tolist()


def test_plain_python_returns_the_same_bytes(root: Path) -> None:
    code = (
        "import numpy as np\nfrom aq_gym import SensorNetwork, schedules\nfrom aq_gym.placement import Fitness\n"
        "network = SensorNetwork.synthetic(3, 1)\n"
        "fitness = Fitness(network, schedules.staggered(2, 4, 1), [50.0, 55.0, 30.0, 80.0, 80.0])\n"
        "print(fitness([[0, 2], [1, -1], [1, 2]]).tobytes().hex())\n"
    )
    compiled, plain = (
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "NUMBA_DISABLE_JIT": switch},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for switch in ("0", "1")
    )
    assert compiled == plain and len(compiled) == 3 * 16 + 1


@pytest.mark.parametrize("fuse", [False, True])
def test_slots_that_are_alike_count_as_one(fuse: bool) -> None:
    schedule = np.tile([[False, True, False, False], [False, True, False, True]], (1, 50))
    path = np.where(np.arange(201) // 40 % 2 == 0, 35.0, 70.0)
    ours = Fitness(PKU, schedule, path, fuse_measured=fuse)
    assert len(ours._slots.weight) < 60
    assert ours([[3, 17]])[0] == pytest.approx(by_the_book(PKU, [3, 17], schedule, path, fuse), rel=1e-12)


def test_great_and_small_numbers_do_not_overflow() -> None:
    path = np.array([1e6, 1e-3, 1e-3, 5.0, 1e6, 1e6])
    for m in (3, 7, 20, 23):
        schedule, chosen = np.zeros((m, 5), np.bool_), np.arange(m)
        found = Fitness(PKU, schedule, path)(chosen[None])
        assert found[0] == pytest.approx(by_the_book(PKU, chosen, schedule, path), rel=1e-9)


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
    with pytest.raises(ValueError, match="n_slots: expected an integer of at least 1, got 0"):
        level_path(PKU, 0, 0)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"fuse_measured": "False"}, "fuse_measured: expected True or False, got 'False'"),
        ({"threads": 0}, "threads: expected an integer of at least 1, got 0"),
        ({"threads": 2.5}, "threads: expected an integer of at least 1, got 2.5"),
        ({"levels": [9.0, 9.0, -1.0]}, "levels: expected 3 positive numbers.* the smallest is -1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Fitness(**{"network": PKU, "schedule": np.zeros((2, 2), np.bool_), "levels": np.ones(3)} | options)


def test_a_level_path_has_a_whole_number_of_slots_and_a_seed() -> None:
    for slots, seed, name in ((2.5, 0, "n_slots"), ("3", 0, "n_slots"), (True, 0, "n_slots"), (3, None, "seed")):
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least"):
            level_path(PKU, slots, seed)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed: expected an integer of at least 0, got -1"):
        level_path(PKU, 3, -1)
