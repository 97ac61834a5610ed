import numpy as np
import pytest

from agents.exploration import cosine, epsilon_greedy, linear, random_actions


def test_schedules_meet_their_ends_and_middle():
    for f in (linear, cosine):
        assert [f(1.0, 0.2, x) for x in (-1.0, 0.0, 1.0, 2.0)] == pytest.approx([1.0, 1.0, 0.2, 0.2])
        assert f(1.0, 0.2, 0.5) == pytest.approx(0.6)
    assert linear(1.0, 0.0, 0.25) == pytest.approx(0.75)
    assert cosine(1.0, 0.0, 0.25) == pytest.approx(0.5 + 0.5 * np.sqrt(0.5))


def test_random_actions_are_allowed_and_in_proportion():
    masks = np.tile([[True, False, True], [False, True, False]], (20_000, 1))
    actions = random_actions(masks, np.random.default_rng(0))
    assert masks[np.arange(len(masks)), actions].all()
    assert np.mean(actions[::2] == 2) == pytest.approx(0.5, abs=0.015)
    actions = random_actions(masks, np.random.default_rng(0), weights=(1.0, 5.0, 3.0))
    assert masks[np.arange(len(masks)), actions].all()
    assert np.mean(actions[::2] == 2) == pytest.approx(0.75, abs=0.015)


def test_epsilon_greedy_explores_its_share():
    greedy, random = np.zeros(20_000, int), np.ones(20_000, int)
    rng = np.random.default_rng(0)
    assert epsilon_greedy(greedy, random, 0.3, rng).mean() == pytest.approx(0.3, abs=0.015)
    assert epsilon_greedy(greedy, random, 0.0, rng).sum() == 0
    assert epsilon_greedy(greedy, random, 1.0, rng).all()
