import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from agents.replay import Replay
from agents.rollout import FIRST_TRAINING_SEED, play_episodes
from tests.agents.toy_environments import Battery, Ragged, vector

GAMMA, LAMBDA = 0.9, 0.6


def filled(capacity=20):
    """Stream 0: three decisions to a true end. Stream 1: two decisions, truncated. Then one more, cut, in both."""
    memory = Replay(capacity, 2, 1, 2)
    yes, no = True, False
    rows = [  # observation, reward, terminated, last, valid
        ([1, 11], [1, 10], [no, no], [no, no], [yes, yes]),
        ([2, 12], [2, 20], [no, no], [no, yes], [yes, yes]),
        ([3, 13], [3, 99], [yes, no], [yes, no], [yes, no]),
        ([4, 14], [0, 0], [no, no], [no, no], [no, no]),
        ([5, 15], [5, 50], [no, no], [yes, yes], [yes, yes]),
    ]
    for x, r, t, last, valid in rows:
        memory.append(np.array(x)[:, None], np.ones((2, 2), bool), [0, 1], r, t, last, valid)
    memory.append_end(np.array([[6.0], [16.0]]), np.ones((2, 2), bool))
    return memory


def values_of(memory):
    return memory.observation[..., 0] * 100.0  # V is a hundred times the observation


def written(memory):
    return values_of(memory)[: memory.filled].reshape(-1).astype(np.float32)


def test_lambda_returns_by_hand():
    memory = filled()
    got = memory.lambda_returns(written(memory), GAMMA, LAMBDA).reshape(-1, 2)
    g2 = 3.0
    g1 = 2 + GAMMA * ((1 - LAMBDA) * 300 + LAMBDA * g2)
    g0 = 1 + GAMMA * ((1 - LAMBDA) * 200 + LAMBDA * g1)
    h1 = 20 + GAMMA * 1300  # truncated: bootstraps from the row after
    h0 = 10 + GAMMA * ((1 - LAMBDA) * 1200 + LAMBDA * h1)
    want = [[g0, h0], [g1, h1], [g2, 0], [0, 0], [5 + GAMMA * 600, 50 + GAMMA * 1600], [0, 0]]
    np.testing.assert_allclose(got[:6], want, rtol=1e-6)
    assert not got[6:].any()


def test_one_step_by_hand():
    memory = filled()
    rewards, factors, successors = memory.one_step(np.array([0, 2, 4, 1, 3, 8, 9]), GAMMA)
    targets = rewards + factors * values_of(memory).reshape(-1)[successors]
    want = [1 + GAMMA * 200, 2 + GAMMA * 300, 3, 10 + GAMMA * 1200, 20 + GAMMA * 1300, 5 + GAMMA * 600]
    np.testing.assert_allclose(targets, [*want, 50 + GAMMA * 1600], rtol=1e-6)


def test_lambda_one_is_monte_carlo_and_lambda_zero_is_one_step():
    memory = filled()
    values = values_of(memory).astype(np.float32)
    decisions = memory.decisions()
    rewards, factors, successors = memory.one_step(decisions, GAMMA)
    one_step = rewards + factors * values.reshape(-1)[successors]
    np.testing.assert_allclose(memory.lambda_returns(written(memory), GAMMA, 0.0)[decisions], one_step, rtol=1e-6)
    full = [1 + GAMMA * 2 + GAMMA**2 * 3, 10 + GAMMA * 20 + GAMMA**2 * 1300, 2 + GAMMA * 3, 20 + GAMMA * 1300, 3]
    full += [5 + GAMMA * 600, 50 + GAMMA * 1600]  # in the order of the flat indices
    np.testing.assert_allclose(memory.lambda_returns(written(memory), GAMMA, 1.0)[decisions], full, rtol=1e-6)


def test_a_full_ring_keeps_the_newest_and_gives_the_same_returns():
    """A ring of 5 rows holds the last 5 of 6 rows, rotated; what is left has the same returns."""
    large, small = filled(), filled(capacity=10)
    assert small.n_rows == 5 and small.chronological().tolist() == [1, 2, 3, 4, 0]
    want = large.lambda_returns(written(large), GAMMA, LAMBDA).reshape(-1, 2)[1:6]
    got = small.lambda_returns(written(small), GAMMA, LAMBDA).reshape(-1, 2)[small.chronological()]
    np.testing.assert_array_equal(got, want)


def test_only_decisions_are_sampled():
    memory = filled()
    drawn = memory.sample(2_000, np.random.default_rng(0))
    assert sorted(set(drawn.tolist())) == [0, 1, 2, 3, 4, 8, 9] == memory.decisions().tolist()


@pytest.mark.parametrize("capacity", [20, 10])
def test_state_restores_identically(capacity):
    memory = filled(capacity)
    again = Replay(capacity, 2, 1, 2)
    again.restore({name: array.copy() for name, array in memory.state().items()})
    assert again.decisions().tolist() == memory.decisions().tolist()
    assert (again.position, again.filled) == (memory.position, memory.filled)
    for name in Replay.STORED:
        np.testing.assert_array_equal(getattr(again, name)[: again.filled], getattr(memory, name)[: memory.filled])
    with pytest.raises(ValueError, match="reward"):
        again.restore({**memory.state(), "reward": np.zeros((3, 3), np.float32)})
    with pytest.raises(ValueError, match="mask missing"):
        again.restore({name: array for name, array in memory.state().items() if name != "mask"})
    with pytest.raises(ValueError, match="'action': expected actions from 0 to 1"):
        again.restore({**memory.state(), "action": memory.state()["action"] + 1})
    with pytest.raises(ValueError, match="position"):
        again.restore({**memory.state(), "position": np.array([99])})


def test_too_small_a_memory_is_refused():
    with pytest.raises(ValueError, match="too small for 64 environments"):
        Replay(100, 64, 3, 2)


def test_a_memory_that_no_machine_holds_is_refused():
    with pytest.raises(ValueError, match="replay_capacity 1000000000000000 does not fit into memory"):
        Replay(10**15, 2, 32, 2)


def played(make, mode, n=5, seed=0):
    memory = Replay(60 * n, n, make().observation_space.shape[0], 2)
    draws = np.random.default_rng(7)

    def choose(observations, masks):
        assert observations.dtype == np.float32 and masks.dtype == np.bool_
        return np.where(masks[:, 1] & (draws.random(n) < 0.5), 1, np.where(masks[:, 0], 0, 1))

    totals, lengths = play_episodes(vector(make, n, mode), choose, memory, np.random.default_rng(seed))
    return memory, totals, lengths


@pytest.mark.parametrize("make", [Battery, Ragged])
def test_autoreset_modes_give_the_same_memory(make):
    """Ragged ends some episodes early and truncates others: final observations must come from the right place."""
    reference = played(make, AutoresetMode.NEXT_STEP)
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
        memory, totals, lengths = played(make, mode)
        np.testing.assert_array_equal(totals, reference[1])
        np.testing.assert_array_equal(lengths, reference[2])
        valid = reference[0].valid
        np.testing.assert_array_equal(memory.valid, valid)
        for name in ("observation", "mask", "action", "reward", "terminated", "last"):
            ours, theirs = getattr(memory, name), getattr(reference[0], name)
            np.testing.assert_array_equal(ours[valid], theirs[valid])
        follows = np.roll(valid, 1, axis=0)  # successors, final observations among them
        np.testing.assert_array_equal(memory.observation[follows], reference[0].observation[follows])
        np.testing.assert_array_equal(memory.mask[follows], reference[0].mask[follows])


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_an_episode_is_recorded_as_played(mode):
    memory, totals, lengths = played(Ragged, mode, n=8)
    assert {2, 3, 4} >= set(lengths.tolist()) and len(set(lengths.tolist())) > 1
    for k, length in enumerate(lengths):
        valid = memory.valid[:, k]
        assert valid[:length].all() and not valid[length:].any()
        assert memory.last[:, k].tolist().index(True) == length - 1 and memory.last[:, k].sum() == 1
        marks, steps = memory.observation[: length + 1, k].T
        assert steps.tolist() == list(range(length + 1)) and len(set(marks.tolist())) == 1
        np.testing.assert_array_equal(memory.reward[:length, k], memory.action[:length, k] + np.arange(length))
        assert memory.reward[:length, k].sum() == totals[k]
    ended = memory.terminated[memory.last]
    assert ended.any() and not ended.all(), "the seed must show truncated and terminated episodes"


def test_each_round_has_new_seeds_above_the_evaluation_range():
    rng, seen = np.random.default_rng(0), []
    env = vector(Battery, 3)
    reset = env.reset
    env.reset = lambda seed=None, options=None: (seen.append(seed), reset(seed=seed, options=options))[1]
    memory = Replay(300, 3, Battery().size, 2)
    for _ in range(2):
        play_episodes(env, lambda x, masks: masks.argmax(1), memory, rng)
    assert len(set(seen[0] + seen[1])) == 6 and min(seen[0] + seen[1]) >= FIRST_TRAINING_SEED


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda env: gym.wrappers.TransformReward(env, lambda r: np.nan), "the reward is not finite"),
        (lambda env: gym.wrappers.TransformObservation(env, lambda x: x * np.nan, None), "observation is not finite"),
    ],
)
def test_numbers_that_are_not_finite_are_refused(wrap, message):
    with pytest.raises(ValueError, match=message):
        played(lambda: wrap(Battery()), AutoresetMode.NEXT_STEP)


def test_masks_that_forbid_everything_are_refused():
    class Stuck(Battery):
        @classmethod
        def mask(cls, state):
            return np.array([1, 1] if state[0] < 2 else [0, 0], np.int8)

    with pytest.raises(ValueError, match="environment 0, decision 2: the action mask forbids every action"):
        played(Stuck, AutoresetMode.NEXT_STEP)


def test_masks_of_another_shape_are_refused():
    class Wide(Battery):
        @classmethod
        def mask(cls, state):
            return np.ones(3, np.int8)

    with pytest.raises(ValueError, match=r"shape \(5, 3\), expected \(5, 2\)"):
        played(Wide, AutoresetMode.NEXT_STEP)
