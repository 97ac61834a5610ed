"""Hand-checked schedules, legality, and that policies do the same on one episode as on a batch."""

import json

import gymnasium as gym
import numpy as np
import pytest

from aq_gym.problem import Problem
from aq_gym.registration import ENTRIES
from baselines.evaluation import build_policy
from baselines.heuristics.greedy import TUNED, Greedy, tune, tuned_greedy
from baselines.heuristics.in_turn import InSlots, InTurn
from baselines.heuristics.index import Index
from baselines.heuristics.problems import entry_problem, same_problem
from baselines.heuristics.relay import RetryingRelay
from baselines.heuristics.rollout import Rollout
from baselines.heuristics.simple import Random, Staggered, Synchronised, Uniform
from baselines.playing import FIRST_TUNING_SEED, play_problem

MULTI = entry_problem("MultiDevice-v0")


def problem(horizon: int = 60, budget: int = 10, devices: tuple[int, ...] = (0, 6, 12, 18, 24)) -> Problem:
    return Problem.create("pku2018", devices, horizon, budget, 12)


def slots(policy: Uniform, device: int) -> list[int]:
    return np.flatnonzero(policy.schedule[:, device]).tolist()


def test_synchronised_schedule() -> None:
    policy = Synchronised(problem())
    for device in range(5):
        assert slots(policy, device) == [5, 11, 16, 22, 27, 33, 38, 44, 49, 55]
    assert policy.schedule.shape == (61, 5)


def test_staggered_schedule() -> None:
    policy = Staggered(problem())
    # one sensing every T/B = 6 slots, devices T/(BM) = 1.2 slots apart
    for device, first in enumerate((1, 2, 3, 4, 5)):
        assert slots(policy, device) == [first + 6 * j for j in range(10)]
    assert slots(Staggered(problem(24, 4, (0, 15))), 1) == [4, 10, 16, 22]
    assert slots(Staggered(problem(10, 4, (0,))), 0) == [1, 3, 6, 8]  # floor(2.5 j) + 1


def test_a_budget_larger_than_the_horizon() -> None:
    for kind in (Synchronised, Staggered):
        policy = kind(problem(horizon=2, budget=9))
        assert not policy.schedule[0].any() and policy.schedule[1:].any()
        assert play_problem(policy, policy.problem, 3, 0).sensings.max() <= 2


def test_a_bad_timetable_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(61, 5\)"):
        Uniform(problem(), np.zeros((60, 5), np.bool_))


def test_an_environment_is_no_problem() -> None:
    env = gym.make("aq_gym/TwoDevices-v0")
    for build in (
        *(Random, Staggered, Synchronised, RetryingRelay),
        lambda x: Uniform(x, np.zeros((60, 5), np.bool_)),
        lambda x: Greedy(x, 1.0),
        lambda x: Index(x, 1.0, {}),
        lambda x: InTurn(Staggered(MULTI), x),
        lambda x: InSlots(Staggered(MULTI), x),
        lambda x: Rollout(x, Index(MULTI, 1.0, {})),
        lambda x: build_policy("optimal", x),
        lambda x: play_problem(Staggered(MULTI), x, 2, 0),
    ):
        for wrong in (env, None, "TwoDevices-v0"):
            with pytest.raises(TypeError, match=r"problem: expected a Problem, such as env\.unwrapped\.problem or"):
                build(wrong)  # type: ignore[operator]


def test_random_spends_its_budget_evenly() -> None:
    free = Problem.create(
        "pku2018", MULTI.devices, 60, 10, 60
    )  # no sleep is too long, so no sensing is brought forward
    policy = Random(free, seed=3)
    env = gym.make_vec("aq_gym/MultiDevice-v0", num_envs=400, max_sleep=60, autoreset_mode="Disabled")
    observation, info = env.reset(seed=1)
    used = np.zeros((60, 5))
    for step in range(300):
        allowed = info["action_mask"]
        action = policy.act(observation, info)
        assert allowed[np.arange(400), action].all()
        used[step // 5, step % 5] = action.mean()
        observation, _, _, _, info = env.step(action)
        assert not info["forced"].any()
    assert (info["energy"] == 0).all()
    assert np.abs(used.mean() - 1 / 6) < 1e-9
    assert np.abs(used.mean(axis=1) - 1 / 6).max() < 5 * (5 / 36 / 2000) ** 0.5


def test_random_draws_are_uniform_and_the_seeds() -> None:
    policy, slot = Random(MULTI, seed=0), np.ones(20_000, np.int64)
    drawn = policy._uniform(slot, 0 * slot)
    assert np.abs(np.histogram(drawn, bins=10, range=(0, 1))[0] - 2000).max() < 6 * 2000**0.5
    later = policy._uniform(slot + 1, 0 * slot)  # same episodes, another decision
    assert abs(np.corrcoef(drawn, later)[0, 1]) < 0.03
    assert not np.array_equal(drawn, policy._uniform(slot, 0 * slot))  # new episodes
    policy.reset(0)
    assert np.array_equal(drawn, policy._uniform(slot, 0 * slot))
    assert Random(MULTI)._key != Random(MULTI)._key


def policies() -> dict[str, object]:
    return {
        "random": Random(MULTI, seed=5),
        "synchronised": Synchronised(MULTI),
        "staggered": Staggered(MULTI),
        "greedy": Greedy(MULTI, 2.0, 1.0, observation="full"),
    }


@pytest.mark.parametrize("name", ["random", "synchronised", "staggered", "greedy"])
def test_one_episode_as_in_a_batch(name: str) -> None:
    policy = policies()[name]
    together = play_problem(policy, MULTI, 2, 7).joint_error
    if hasattr(policy, "reset"):
        policy.reset(7)
    env = gym.make("aq_gym/MultiDevice-v0")
    for k in range(2):
        observation, info = env.reset(seed=7 + k)
        over = False
        while not over:
            action = policy.act(observation, info)
            assert type(action) is int
            observation, _, over, _, info = env.step(action)
        assert policy.act(observation, info) == 0  # after the end
        assert info["average_joint_error"] == pytest.approx(together[k], rel=1e-12)


def test_greedy_senses_when_it_pays() -> None:
    greedy = Greedy(MULTI, threshold=2.0, exponent=0.0)
    env = gym.make("aq_gym/MultiDevice-v0", observation="compact").unwrapped
    observation, info = env.reset(seed=0)
    for _ in range(200):
        error = float(env.map().joint_error.mean())
        state = env.get_state()
        mask = info["action_mask"]
        _, reward, _, _, _ = env.step(1)
        gain = reward if info["turn"] else error + reward
        env.set_state(state)
        if mask[1]:
            assert float(greedy.gain(observation)) == pytest.approx(gain, rel=1e-4, abs=1e-4)
        wish = gain > 2.0
        assert greedy.act(observation, info) == (wish if mask.all() else int(mask[1])) or abs(gain - 2.0) < 1e-3
        observation, _, _, _, info = env.step(greedy.act(observation, info))


def test_greedy_scales_with_the_power_deficiency() -> None:
    policy = Greedy(MULTI, threshold=2.0, exponent=1.0)
    observation = np.zeros(32, np.float32)
    observation[13] = np.log(1 + 3.0) / 8  # a decrease of 3 µg/m³
    state = {
        "turn": 0,
        "level": 50.0,
        "delay": np.full(5, 3),
        "record": np.full(5, 50.0),
        "action_mask": np.ones(2, np.int8),
    }
    rich = {"slot": 31, "energy": np.full(5, 10)} | state  # PD = (30 / 10) / 6 = 1/2: threshold 1
    poor = {"slot": 31, "energy": np.full(5, 2)} | state  # PD = (30 / 2) / 6 = 2.5: threshold 5
    assert policy.act(observation, rich) == 1 and policy.act(observation, poor) == 0


def test_greedy_reads_both_observations_alike() -> None:
    compact, full = (Greedy(MULTI, 2.5, 1.2, observation=kind) for kind in ("compact", "full"))
    errors = [play_problem(policy, MULTI, 40, 3).joint_error for policy in (compact, full)]
    assert (np.abs(errors[0] - errors[1]) < 1e-9).mean() > 0.9  # float32 may tip a tie
    with pytest.raises(ValueError, match="observation='compact'"):
        compact.act(np.zeros(94, np.float32), {"energy": np.ones(5), "slot": 1, "turn": 0})
    with pytest.raises(ValueError, match="finite"):
        Greedy(MULTI, float("nan"))


def test_a_state_of_another_problem_is_refused() -> None:
    info = gym.make("aq_gym/TwoDevices-v0").reset(seed=0)[1]
    for policy in policies().values():
        with pytest.raises(ValueError, match=r"2 device\(s\).*built for 5"):
            policy.act(np.zeros(94, np.float32), info)


def test_tuning_beats_a_constant_threshold_and_stays_off_evaluation_seeds() -> None:
    small = problem(horizon=24, budget=4, devices=(0,))
    greedy, error = tune(small, episodes=64)
    assert error == play_problem(greedy, small, 64, FIRST_TUNING_SEED).joint_error.mean()
    assert error < play_problem(Greedy(small, greedy.threshold), small, 64, FIRST_TUNING_SEED).joint_error.mean()
    assert greedy.training_seconds > 0


def test_tuned_numbers_are_committed_for_every_problem() -> None:
    tuned = json.loads(TUNED.read_text(encoding="utf-8"))["ids"]
    for name, numbers in tuned.items():
        policy = tuned_greedy(entry_problem(name))
        assert (policy.threshold, policy.exponent) == (numbers["threshold"], numbers["exponent"])
        assert numbers["seed"] >= FIRST_TUNING_SEED
    joint = tuned_greedy(entry_problem("JointDevices-v0"))
    assert joint.threshold == tuned["MultiDevice-v0"]["threshold"]
    assert set(tuned) == {entry.name for entry in ENTRIES} - {"JointDevices-v0"}


def test_problems_are_compared_by_value() -> None:
    assert same_problem(problem(), MULTI) and not same_problem(problem(horizon=48), MULTI)
    assert not same_problem(Problem.create("pku2018-spring", MULTI.devices, 60, 10, 12), MULTI)
