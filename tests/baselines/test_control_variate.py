"""Reference rewards: what is added depends on the levels alone, and nothing else changes."""

from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from agents import DQN, DQNConfig
from baselines.heuristics.simple import Staggered
from baselines.learners.reference_reward import ReferenceReward
from baselines.playing import native_batch, play_problem

SMALL: dict[str, Any] = {"devices": (0, 15, 7), "horizon": 12, "energy_budget": 4, "max_sleep": 5, "n_levels": 5}
K = 6


def wrapped(mode: str = "NextStep", **kwargs: Any) -> ReferenceReward:
    env = native_batch("MultiDevice-v0", K, observation="compact", autoreset_mode=mode, **{**SMALL, **kwargs})
    return ReferenceReward(env)


def played(env: Any, actions: np.ndarray, seed: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards (decisions, K), what was added (decisions, K), and the episodes' errors (K,)."""
    env.reset(seed=seed)
    rewards, added = [], []
    for action in actions:
        _observation, reward, terminated, _, info = env.step(action)
        rewards.append(reward)
        added.append(info.get("reference_error", np.zeros(K)))
    assert terminated.all()
    return np.array(rewards), np.array(added), info["average_joint_error"]


def wishes(seed: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((SMALL["horizon"] * len(SMALL["devices"]), K)) < share).astype(np.int64)


@pytest.mark.parametrize("fuse", [False, True])
def test_rewards_sum_to_staggered_sensings_error_less_ones_own(fuse: bool) -> None:
    env, actions = wrapped(fuse_measured=fuse), wishes(0, 0.4)
    rewards, added, error = played(env, actions)
    problem = env.problem
    reference = play_problem(Staggered(problem), problem, K, 7).joint_error
    assert (np.abs(reference - error) > 0.01).all()
    np.testing.assert_allclose(rewards.sum(0), problem.horizon * (reference - error), rtol=1e-9)
    np.testing.assert_allclose(added.sum(0), problem.horizon * reference, rtol=1e-9)
    np.testing.assert_allclose(env.added, added.sum(0), rtol=1e-12)
    assert (added.reshape(problem.horizon, -1, K)[:, 1:] == 0).all() and (added[:: problem.n_devices] > 0).all()


def test_what_is_added_does_not_depend_on_the_actions() -> None:
    env = wrapped()
    first, second, other = (
        played(env, wishes(a, b), seed)[1] for a, b, seed in ((0, 0.1, 7), (1, 0.9, 7), (0, 0.1, 8))
    )
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first[0], other[0])


def test_the_environment_itself_is_untouched() -> None:
    """Same observations, and the same rewards but for what was added."""
    env, actions = wrapped(), wishes(2, 0.4)
    rewards, added, error = played(env, actions)
    bare, bare_added, bare_error = played(env.env, actions)
    np.testing.assert_allclose(rewards - added, bare, atol=1e-12)
    np.testing.assert_array_equal(error, bare_error)
    assert not bare_added.any()
    seeds = [3, 1, 4, 1, 5, 9]
    np.testing.assert_array_equal(env.reset(seed=seeds)[0], env.env.reset(seed=seeds)[0])


def test_episodes_of_one_seed_are_alike_whichever_their_place() -> None:
    env = wrapped()
    _, forwards, _ = played(env, wishes(0, 0.3), [1, 2, 3, 4, 5, 6])
    _, backwards, _ = played(env, wishes(0, 0.3), [6, 5, 4, 3, 2, 1])
    np.testing.assert_array_equal(forwards, backwards[:, ::-1])


def test_the_spread_of_returns_shrinks() -> None:
    env = wrapped()
    spreads = []
    for added in (True, False):
        returns = [(rewards - (0 if added else extra)).sum(0) for rewards, extra, _ in
                   (played(env, wishes(s, 0.3), 100 * s) for s in range(20))]  # fmt: skip
        spreads.append(np.std(returns))
    assert spreads[0] < 0.7 * spreads[1]


def test_imposed_levels_reach_the_reference_too() -> None:
    env = wrapped()
    path = np.random.default_rng(0).integers(0, 5, SMALL["horizon"] + 1)
    env.reset(seed=0, options={"levels": path})
    added = env.step(np.zeros(K, np.int64))[4]["reference_error"]
    assert np.ptp(added) == 0
    env.reset(seed=0)
    assert np.ptp(env.step(np.zeros(K, np.int64))[4]["reference_error"]) > 0


def test_what_cannot_be_paired_is_refused() -> None:
    env = wrapped()
    for seed in (None, [None] * K, [1, 2, None, 4, 5, 6]):
        with pytest.raises(ValueError, match="seed: expected an int or one a sub-environment"):
            env.reset(seed=seed)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(K, np.int64))
    with pytest.raises(ValueError, match=r"options\['reset_mask'\]: all episodes"):
        env.reset(seed=0, options={"reset_mask": np.arange(K) < 3})


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_reference_is_not_lost_silently_after_the_end(mode: str) -> None:
    env = wrapped(mode=mode)
    env.reset(seed=0)
    for action in wishes(0, 0.3):
        env.step(action)
    with pytest.raises(ResetNeeded, match="episodes are over"):
        env.step(np.zeros(K, np.int64))


def test_a_refused_action_does_not_put_the_twin_ahead() -> None:
    env, actions = wrapped(), wishes(0, 0.3)
    expected = played(env, actions)[0]
    env.reset(seed=7)
    with pytest.raises(ValueError, match="action"):
        env.step(np.full(K, 2))
    np.testing.assert_array_equal(env.step(actions[0])[1], expected[0])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_works_in_rounds_of_the_learner(mode: str) -> None:
    env = wrapped(mode=mode)
    config = DQNConfig(
        n_environments=K, hidden=(8,), start_decisions=1, start_updates=3, batch_size=32, replay_capacity=2_000
    )
    agent = DQN.for_env(env, config, 0)
    total = 0.0
    for _ in range(3):
        progress = agent.round(env, 10_000)
        total += K * progress.mean_return
        error = (env.added.mean() - progress.mean_return) / SMALL["horizon"]
        assert 1.0 < error < 60.0, "without what was added, minus the slots' errors are left"
    assert agent.updates > 0 and progress.mean_length == SMALL["horizon"] * len(SMALL["devices"])
    assert agent.memory.reward.sum() == pytest.approx(total, rel=1e-4), "the memory holds what was added as well"


def test_close_closes_both() -> None:
    env = wrapped()
    env.close()
    assert env.env.closed and env.twin.closed
