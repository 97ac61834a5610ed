"""The compiled network against torch, and the pairs that are played with it."""

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import DQN, DQNConfig, GreedyPolicy, PairedDQN
from agents.networks import DuellingQ, PlainQ, SetQ, initialise
from aq_gym.episodes import Episodes
from aq_gym.observation import COMPACT_FEATURES
from aq_gym.problem import Problem
from baselines.heuristics.index_tuning import best_threshold
from baselines.heuristics.simple import Staggered
from baselines.learners.pairs import PairCollector, _doubtful
from baselines.packing import pack
from baselines.playing import play_problem

SIZE = len(COMPACT_FEATURES)
SMALL = {"network": "pku2018", "devices": (0, 15, 7), "horizon": 16, "energy_budget": 4, "max_sleep": 5, "n_levels": 4}


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem.create(**SMALL)


@pytest.fixture(scope="module")
def observations(problem: Problem) -> np.ndarray:
    """(n, 32) seen under random play."""
    rng, episodes = np.random.default_rng(0), Episodes(problem, 32, observation="compact")
    seen = episodes.empty_observations()
    episodes.begin(np.arange(32), episodes.draw_path(rng.random((32, problem.horizon + 1))), seen)
    rows = []
    for _ in range(problem.horizon * problem.n_devices):
        rows.append(seen.copy())
        episodes.decide((rng.random(32) < 0.3).astype(np.int64), np.zeros(32), seen)
    return np.concatenate(rows)


def duelling(observations: np.ndarray, hidden: tuple[int, ...] = (24, 16), seed: int = 0, scale: float = 1.0) -> Any:
    """A random network that senses in a third of the decisions."""
    torch.manual_seed(seed)
    network = DuellingQ(SIZE, 2, hidden).requires_grad_(False)
    initialise(network, torch.Generator().manual_seed(seed))
    network.set_input_scaling(observations)
    network.set_output_scaling(np.array([-300.0 - scale, -300.0 + scale], np.float32))
    torch.nn.init.normal_(network.advantage_head.weight)
    gap = gap_of(network, observations) / scale
    network.advantage_head.bias[1] += float(-np.quantile(gap, 2 / 3))
    return network


def gap_of(network: Any, observations: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        scores = network.double()(torch.from_numpy(observations).double(), torch.ones(len(observations), 2).bool())
    network.float()
    return (scores[:, 1] - scores[:, 0]).numpy()


def packed_gap(widths: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What the layers that `pack` lists compute, plainly."""
    x, at = x.astype(np.float64), 0
    for i, (n, m) in enumerate(itertools.pairwise(widths)):
        x = x @ weights[at : at + n * m].reshape(n, m) + weights[at + n * m : at + (n + 1) * m]
        x = np.maximum(x, 0.0) if i + 2 < len(widths) else x
        at += (n + 1) * m
    assert at == len(weights) and x.shape[1] == 1
    return x[:, 0]


@pytest.mark.parametrize("hidden", [(), (8,), (24, 16), (9, 8, 7)])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_packed_gap_is_the_networks(observations: np.ndarray, hidden: Any, scale: float) -> None:
    network = duelling(observations, hidden, scale=scale)
    widths, weights, *_ = pack(network)
    assert widths.tolist() == [SIZE, *hidden, 1] and weights.dtype == np.float32
    random = np.random.default_rng(1).uniform(-1, 1, (2_000, SIZE)).astype(np.float32)
    for x in (observations, random):
        expected = gap_of(network, x)
        assert expected.std() > 0.2 * scale
        np.testing.assert_allclose(packed_gap(widths, weights, x), expected, atol=1e-5 * scale, rtol=1e-5)


def set_network(observations: np.ndarray, encoder: tuple[int, ...], hidden: tuple[int, ...]) -> Any:
    """A random network over sets that senses in a third of the decisions; its scaling is not trivial."""
    network = SetQ(observations.shape[1], 2, hidden, context=SIZE, item=18, encoder=encoder).requires_grad_(False)
    initialise(network, torch.Generator().manual_seed(0))
    network.set_input_scaling(observations)
    network.set_output_scaling(np.array([-3.0, 5.0], np.float32))
    torch.manual_seed(0)
    torch.nn.init.normal_(network.advantage_head.weight)
    network.advantage_head.bias[1] += float(-np.quantile(gap_of(network, observations), 2 / 3) / 4.0)
    return network


@pytest.mark.parametrize("encoder", [(8,), (10, 6)])
@pytest.mark.parametrize("arguments", [SMALL, {**SMALL, "devices": 3}], ids=["three", "one"])
def test_compiled_play_is_the_torch_policy_over_sets(arguments: Any, encoder: Any) -> None:
    problem, k = Problem.create(**arguments), 40
    env = gym.make_vec("aq_gym/MultiDevice-v0", k, observation="per_device", autoreset_mode="Disabled", **arguments)
    episodes = Episodes(problem, k, observation="per_device")
    rng = np.random.default_rng(2)
    path = episodes.draw_path(rng.random((k, problem.horizon + 1)))
    observation, info = env.reset(seed=0, options={"levels": path})
    seen, over = [], False
    while not over:
        seen.append(observation)
        observation, _, terminated, _, info = env.step(rng.integers(0, 2, k))
        over = terminated.all()
    network = set_network(np.concatenate(seen), encoder, (24, 16))

    observation, info = env.reset(seed=0, options={"levels": path})
    policy, over, asked = GreedyPolicy(network, DQN.q_values, observation="per_device"), False, []
    while not over:
        actions = policy.act(observation, info)
        asked.append(actions)
        observation, _, terminated, _, info = env.step(actions)
        over = terminated.all()
    assert 0.05 < np.mean(asked) < 0.95
    episodes.begin(np.arange(k), path, episodes.empty_observations())
    np.testing.assert_allclose(episodes.play(pack(network)), info["average_joint_error"], rtol=1e-12)
    points = np.tile(np.arange(6), (k, 1))
    episodes.begin(np.arange(k), path, episodes.empty_observations())
    features, gains, *_ = episodes.branch(pack(network), points)
    gains = gains[..., 0]
    first = np.stack(seen[:1])[0]
    np.testing.assert_allclose(features[:, 0][~np.isnan(gains[:, 0])], first[~np.isnan(gains[:, 0])], atol=1e-6)
    with pytest.raises(ValueError, match=r"layers: expected .* 'per_device' observations"):
        Episodes(problem, k, observation="compact").play(pack(network))


def test_the_guide_plays_the_same_whichever_observation(problem: Problem) -> None:
    guide = best_threshold(problem, decisions=20_000)
    compact, rows = (
        PairCollector(problem, guide, observation=kind, n_episodes=8, points=5)(None, 300, np.random.default_rng(0))
        for kind in ("compact", "per_device")
    )
    np.testing.assert_allclose(rows.deltas, compact.deltas, atol=1e-9)
    np.testing.assert_allclose(rows.observations[:, :SIZE], compact.observations, atol=1e-6)
    assert rows.observations.shape[1] == SIZE + 18 * problem.n_devices


def test_unfit_networks_are_refused() -> None:
    for network in (PlainQ(SIZE, 2, (4,)), PlainQ(SIZE, 2, ())):
        with pytest.raises(TypeError, match=rf"only a duelling network .* got {type(network).__name__}$"):
            pack(network)
    robust = DuellingQ(SIZE, 2, (4,))
    robust.compress = True
    with pytest.raises(TypeError, match="got DuellingQ with input_scaling robust"):
        pack(robust)


@pytest.mark.parametrize("arguments", [SMALL, {**SMALL, "devices": 3, "fuse_measured": True}], ids=["three", "one"])
def test_compiled_play_is_the_torch_policy_in_the_vector_environment(arguments: Any, observations: np.ndarray) -> None:
    network = duelling(observations, seed=3)
    problem, k = Problem.create(**arguments), 40
    env = gym.make_vec("aq_gym/MultiDevice-v0", k, observation="compact", autoreset_mode="Disabled", **arguments)
    episodes = Episodes(problem, k, observation="compact")
    path = episodes.draw_path(np.random.default_rng(2).random((k, problem.horizon + 1)))
    episodes.begin(np.arange(k), path, episodes.empty_observations())
    error = episodes.play(pack(network))

    policy = GreedyPolicy(network, DQN.q_values, observation="compact")
    observation, info = env.reset(seed=0, options={"levels": path})
    over, asked = False, []
    while not over:
        actions = policy.act(observation, info)
        asked.append(actions)
        observation, _, terminated, _, info = env.step(actions)
        assert not info["forced"].any()
        over = terminated.all()
    np.testing.assert_allclose(error, info["average_joint_error"], rtol=1e-12)
    np.testing.assert_array_equal(episodes.energy, info["energy"])
    np.testing.assert_array_equal(episodes.record, info["record"])
    assert 0.1 < np.mean(asked) < 0.9


def test_collected_pairs(problem: Problem, observations: np.ndarray) -> None:
    network = duelling(observations)
    collect = PairCollector(problem, n_episodes=16, points=5)
    pairs = collect(network, 1_000, np.random.default_rng(0))
    again = PairCollector(problem, n_episodes=16, points=5)(network, 1_000, np.random.default_rng(0))
    for part, same in zip(pairs, again, strict=True):
        np.testing.assert_array_equal(part, same)
        assert part.dtype in (np.float32, np.bool_) and np.isfinite(part).all()
    n = len(pairs.deltas)
    assert n == 1_000 and pairs.observations.shape == (n, SIZE) and pairs.scales.shape == (n,)
    other = collect(network, 1_000, np.random.default_rng(1))
    assert not np.array_equal(other.deltas[:100], pairs.deltas[:100])

    levels = np.asarray(problem.network.levels)
    found = pairs.scales - 10.0
    nearest = levels[np.abs(found[:, None] - levels).argmin(1)]
    np.testing.assert_allclose(found, nearest, rtol=1e-4)
    assert set(nearest) == set(levels)


@pytest.mark.parametrize("cut", [0, 3])
def test_pairs_do_not_depend_on_the_threads(problem: Problem, observations: np.ndarray, cut: int) -> None:
    network = duelling(observations)
    one, three = (
        PairCollector(problem, n_episodes=8, cut=cut, threads=n)(network, 400, np.random.default_rng(3)) for n in (1, 3)
    )
    for part, same in zip(one, three, strict=True):
        np.testing.assert_array_equal(part, same)


def test_a_cut_pair_is_the_beginning_of_the_whole_one(problem: Problem, observations: np.ndarray) -> None:
    network = duelling(observations)
    whole, cut, late = (
        PairCollector(problem, n_episodes=16, points=5, cut=slots)(network, 600, np.random.default_rng(0))
        for slots in (0, 2, problem.horizon)
    )
    np.testing.assert_array_equal(cut.observations, whole.observations)
    done = ~cut.cut[:, 1]
    assert 0.05 < done.mean() < 0.95
    np.testing.assert_allclose(cut.deltas[done].sum(1), whole.deltas[done, 0], rtol=1e-5, atol=1e-5)
    assert not np.allclose(cut.deltas[~done].sum(1), whole.deltas[~done, 0])
    np.testing.assert_array_equal(late.deltas[:, 0], whole.deltas[:, 0])
    assert not late.cut.any() and not late.deltas[:, 1].any()


def test_scores_are_the_networks_at_free_decisions(problem: Problem, observations: np.ndarray) -> None:
    network, episodes = duelling(observations), Episodes(problem, 16, observation="compact")
    path = episodes.draw_path(np.random.default_rng(4).random((16, problem.horizon + 1)))
    scores = np.empty((16, problem.horizon * problem.n_devices), np.float32)
    seen = episodes.empty_observations()
    episodes.begin(np.arange(16), path, seen)
    error = episodes.play(pack(network), scores)
    episodes.begin(np.arange(16), path, seen)
    for decision in range(scores.shape[1]):
        want, free = packed_gap(*pack(network)[:2], seen), episodes.action_mask().all(axis=1)
        np.testing.assert_array_equal(np.isnan(scores[:, decision]), ~free)
        np.testing.assert_allclose(scores[free, decision], want[free], rtol=1e-3, atol=1e-3)
        episodes.decide((want > 0).astype(np.int64), np.zeros(16), seen)
    np.testing.assert_allclose(error, episodes.total_error / problem.horizon)
    with pytest.raises(ValueError, match="scores: expected"):
        episodes.play(pack(network), scores[:3])


def test_most_points_are_where_the_policy_is_in_doubt(problem: Problem) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2_000, 48)).astype(np.float32)
    scores[:, ::7] = np.nan
    points = _doubtful(scores, 6, rng)
    assert (np.diff(points, axis=1) > 0).all() and points.shape == (2_000, 6)
    found = np.take_along_axis(scores, points, axis=1)
    assert not np.isnan(found).any()
    assert np.mean(np.abs(found) < 0.25) > 2 * np.nanmean(np.abs(scores) < 0.25)
    assert np.mean(np.abs(found) > 1.5) > 0.2 * np.nanmean(np.abs(scores) > 1.5), "but every state is visited"


def test_without_a_network_the_guide_plays_on(problem: Problem) -> None:
    guide = best_threshold(problem)
    pairs = PairCollector(problem, guide, n_episodes=8)(None, 400, np.random.default_rng(0))
    layer = linear_gap(guide.weights)
    same = PairCollector(problem, n_episodes=8)(layer, 400, np.random.default_rng(0))
    np.testing.assert_array_equal(pairs.deltas, same.deltas)
    with pytest.raises(ValueError, match="None means the guide"):
        PairCollector(problem)(None, 10, np.random.default_rng(0))


def test_others_may_repeat_what_they_did_while_the_guide_plays_alone(
    problem: Problem, observations: np.ndarray
) -> None:
    guide, network = best_threshold(problem), duelling(observations)

    def deltas(played: Any, **how: bool) -> np.ndarray:
        collect = PairCollector(problem, guide, n_episodes=8, **how)  # type: ignore[arg-type]
        return collect(played, 400, np.random.default_rng(0)).deltas

    assert (deltas(None, alone_first=True) == deltas(None, alone=True)).all()
    assert (deltas(network, alone_first=True) == deltas(network)).all()
    for played in (None, network):
        assert (deltas(played, alone=True) != deltas(played)).any()


def linear_gap(weights: np.ndarray) -> DuellingQ:
    """A duelling network without hidden layers whose gap has these 32 weights and bias."""
    network = DuellingQ(SIZE, 2, ()).requires_grad_(False)
    torch.nn.init.zeros_(network.advantage_head.weight)
    torch.nn.init.zeros_(network.advantage_head.bias)
    network.advantage_head.weight[1] = torch.from_numpy(weights[:-1])
    network.advantage_head.bias[1] = float(weights[-1])
    return network


def test_the_collector_plays_on_with_the_network_it_is_given(problem: Problem, observations: np.ndarray) -> None:
    """Common random numbers: only the policies that play on differ."""
    drawn = [
        PairCollector(problem, n_episodes=16, points=5)(
            duelling(observations, seed=seed), 500, np.random.default_rng(0)
        ).deltas
        for seed in (0, 1)
    ]
    assert not np.array_equal(drawn[0][:300], drawn[1][:300])


def test_deltas_are_the_gain_of_sensing(problem: Problem) -> None:
    """Against a policy that never senses unless forced, a sensing now saves error; against one that always does, it
    costs a sensing that the end would have needed."""
    names = [name for name, _, _ in COMPACT_FEATURES]
    means = []
    for bias in (-1.0, 1.0):
        network = DuellingQ(SIZE, 2, (4,)).requires_grad_(False)
        torch.nn.init.zeros_(network.advantage_head.weight)
        network.advantage_head.bias[:] = torch.tensor([0.0, bias])
        pairs = PairCollector(problem, n_episodes=64, points=6)(network, 2_000, np.random.default_rng(0))
        energy = pairs.observations[:, names.index("energy")]
        assert (energy > 0).all(), "where the battery is empty there is no choice"
        means.append(float(pairs.deltas.mean()))
    assert means[0] > 0.5 and means[0] > means[1]


def test_a_problem_without_choices_is_refused_not_looped_on(observations: np.ndarray) -> None:
    forced = Problem.create(**{**SMALL, "energy_budget": 16, "max_sleep": 1})
    with pytest.raises(ValueError, match=r"no pairs: all .* decisions tried were forced; energy_budget 16"):
        PairCollector(forced, n_episodes=8, points=4)(duelling(observations), 10, np.random.default_rng(0))


def test_improvements_lead_from_lazy_sensing_past_staggered(problem: Problem) -> None:
    """Pairs alone: from a policy that sleeps until it must. The first step falls into states that it never saw."""
    config = DQNConfig(hidden=(16,), input_scaling="none", pairs=2_000, pair_updates=150, batch_size=256)
    agent, collect = PairedDQN(SIZE, 2, config, seed=0), PairCollector(problem)
    for _ in range(5):
        agent.improve(collect)
    ours, staggered = (
        play_problem(policy, problem, 500, 0).joint_error for policy in (agent.policy("compact"), Staggered(problem))
    )
    gain = staggered - ours
    assert gain.mean() > 4 * gain.std() / len(gain) ** 0.5, f"{ours.mean()} against {staggered.mean()}"
