"""Policy iteration on made-up pairs."""

import itertools
from functools import cache

import numpy as np
import pytest
import torch

from agents import DQN, CheckpointError, PairedDQN, load, load_policy, save
from agents.improvement import Pairs
from agents.networks import DuellingQ, PlainQ
from tests.agents.toy_environments import Battery, expected_return, played_return, small_config, vector

SETTINGS = {"hidden": (32,), "pairs": 4_000, "pair_updates": 200, "batch_size": 512, "input_scaling": "standard"}


def true_gap(x):
    return np.where(x[:, 0] > 0.3, 1.0, -1.0) * (0.2 + np.abs(x[:, 1]))


def whole(x, deltas, scales):
    """Pairs played to the end."""
    x = np.asarray(x, np.float32)
    tails, cut = np.zeros((len(x), 0, 2, x.shape[1]), np.float32), np.zeros((len(x), 0), np.bool_)
    return Pairs(x, np.asarray(deltas, np.float32)[:, None], np.asarray(scales, np.float32), tails, cut)


def noisy_pairs(network, n, rng):
    """Gaps known, far below their noise; the noise differs from place to place, and its scale is known."""
    x = rng.normal(size=(n, 3)).astype(np.float32)
    scales = np.where(x[:, 2] > 0, 1.0, 8.0)
    deltas = true_gap(x) + 2.0 * scales * rng.normal(size=n)
    return whole(x, deltas, scales)


def gap(network, x):
    with torch.no_grad():
        q = network(torch.from_numpy(x), torch.ones(len(x), 2, dtype=torch.bool)).numpy()
    return q[:, 1] - q[:, 0]


def agent_of(seed=0, **settings):
    return PairedDQN(3, 2, small_config(**{**SETTINGS, **settings}), seed)


def assert_identical(one, other):
    (tensors, counters), (tensors2, counters2) = one.state(), other.state()
    assert counters == counters2
    assert tensors.keys() == tensors2.keys()
    for key, value in tensors.items():
        assert torch.equal(value, tensors2[key]), key


@pytest.mark.parametrize("settings", [{}, {"duelling": False}], ids=["duelling", "plain"])
def test_signs_are_recovered_under_noise(settings):
    agent = agent_of(pairs=20_000, pair_updates=300, **settings)
    done = agent.improve(noisy_pairs)
    x = np.random.default_rng(9).normal(size=(2_000, 3)).astype(np.float32)
    clear = (np.abs(true_gap(x)) > 0.5) & (np.abs(x[:, 0] - 0.3) > 0.15)
    assert np.mean((gap(agent.average, x) > 0)[clear] == (true_gap(x) > 0)[clear]) > 0.9
    assert done.fit.validation_error < done.fit.validation_spread
    assert 3.4 < done.fit.validation_error < 5.0, "in units of the scales the noise has a variance of 4"


@pytest.mark.parametrize(("scales", "expected"), [((1.0, 1.0), 0.0), ((1.0, 10.0), 0.98), ((10.0, 1.0), -0.98)])
def test_quiet_pairs_count_more(scales, expected):
    """One state, half of whose pairs say +1 and half -1: the weighted mean, with weights 1 / scale squared."""

    def collect(network, n, rng):
        half = np.arange(n) % 2
        deltas, noise = np.where(half, -1.0, 1.0), np.where(half, scales[1], scales[0])
        return whole(np.ones((n, 3)), deltas, noise)

    agent = agent_of()
    agent.improve(collect)
    assert gap(agent.average, np.ones((1, 3), np.float32))[0] == pytest.approx(expected, abs=0.06)


def battery_gaps(network):
    """From the exact values of the network's greedy policy: states (n, 4) and their gaps (n,), where there is a choice.

    Also the exact return of that policy."""
    policy = PairedDQN(Battery().size, 2, small_config(), 0).policy()
    policy.network = network

    @cache
    def chosen(state):
        return policy.act(Battery.encode(state), {"action_mask": Battery.mask(state)})

    @cache
    def value(slot, energy, delay):
        if slot == Battery.HORIZON:
            return 0.0
        prices = range(len(Battery.PRICES))
        return sum(worth((slot, energy, delay, p), chosen((slot, energy, delay, p))) for p in prices) / len(prices)

    def worth(state, action):
        reward, after = Battery.move(state, action)
        return reward + value(*after)

    sizes = (Battery.HORIZON, Battery.CHARGES + 1, Battery.PATIENCE + 1, len(Battery.PRICES))
    states = [s for s in itertools.product(*map(range, sizes)) if Battery.mask(s).all()]
    return states, np.array([worth(s, 1) - worth(s, 0) for s in states])


def battery_pairs(network, n, rng):
    states, gaps = battery_gaps(network)
    drawn = rng.integers(len(states), size=n)
    deltas = gaps[drawn] + 0.3 * rng.normal(size=n)
    x = np.array([Battery.encode(s) for s in states])[drawn]
    return whole(x, deltas, np.ones(n))


def test_policy_iteration_reaches_the_known_optimum():
    """Each step's pairs come from the policy that the step before has made: one step alone is not enough."""
    config = small_config(hidden=(48,), pairs=4_000, pairs_kept=1, pair_updates=300, batch_size=256)
    agent = PairedDQN(Battery().size, 2, config, 0)
    returns = [played_return(agent.policy())]
    for _ in range(4):
        agent.improve(battery_pairs)
        returns.append(played_return(agent.policy()))
    optimum = expected_return()
    assert returns[0] < 0.5 * optimum and returns[1] < 0.995 * optimum, returns
    assert optimum + 1e-9 >= returns[-1] > 0.99 * optimum, returns


def test_it_starts_from_the_policy_that_is_evaluated():
    """From the averaged network, not the online one; and the collector sees the agent's own generator."""
    agent = agent_of()
    torch.nn.init.normal_(agent.online.advantage_head.weight)
    x = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    with torch.no_grad():
        agent.average.advantage_head.bias[1] += 2.0
    before, seen = gap(agent.average, x), []

    def collect(network, n, rng):
        seen.append((gap(network, x), n, rng is agent.rng))
        return noisy_pairs(network, n, rng)

    agent.config = agent.config.replace(pair_updates=0)  # collect and fit nothing
    agent.improve(collect)
    np.testing.assert_array_equal(seen[0][0], before)
    assert seen[0][1:] == (4_000, True)
    for network in (agent.online, agent.target, agent.average):
        np.testing.assert_allclose(gap(network, x), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [lambda: PlainQ(3, 2, ()), lambda: PlainQ(3, 2, (8,)), lambda: DuellingQ(3, 2, (8,))])
def test_another_output_scale_is_the_same_function(make):
    torch.manual_seed(0)
    network, x = make(), torch.randn(100, 3)
    with torch.no_grad():
        network.set_output_scaling(np.array([-500.0, -100.0], np.float32))
        masks = torch.ones(100, 2, dtype=torch.bool)
        before = network(x, masks)
        network.rescale_outputs(0.5)
        np.testing.assert_allclose(network(x, masks), before, rtol=1e-4)
        assert float(network.output_scale) == 0.5 and float(network.output_center) == -300.0


def test_the_last_few_batches_are_fitted_together():
    agent, sizes = agent_of(pairs=1_000, pairs_kept=3, pair_updates=5), []
    for step in range(5):
        agent.improve(lambda network, n, rng: noisy_pairs(network, n + 10, rng))  # at least n
        sizes.append([len(batch.deltas) for batch in agent._batches])
        assert (agent.improvements, agent.pairs) == (step + 1, 1_010 * (step + 1))
    assert [len(s) for s in sizes] == [1, 2, 3, 3, 3]
    tensors, _ = agent.state()
    assert sorted(key for key in tensors if key.startswith("pairs")) == [
        f"pairs.{number}.{name}" for number in range(3) for name in ("deltas", "observations", "scales")
    ]


def test_the_guide_plays_on_in_the_first_step_alone():
    agent, asked = agent_of(improve_from="guide", pair_updates=5), []

    def collect(network, n, rng):
        asked.append(network)
        return noisy_pairs(agent.chosen, n, rng)

    for _ in range(3):
        agent.improve(collect)
    assert asked[0] is None and asked[1] is asked[2] is agent.chosen


class Scored:
    """A guide that knows the sign, and that is in another unit."""

    def score(self, x):
        return 7.0 * (x[:, 0] - 0.3)


def fill(memory):
    rng, k = np.random.default_rng(1), memory.n_streams
    for _ in range(memory.n_rows):
        observed, no = rng.normal(size=(k, 3)).astype(np.float32), np.zeros(k, bool)
        memory.append(observed, np.ones((k, 2), bool), np.zeros(k, int), np.zeros(k), no, no, ~no)


def quiet_pairs(network, n, rng):
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return whole(x, 2.0 * (x[:, 0] - 0.3) + 3.0 * x[:, 1], np.full(n, 2.0))


def test_steps_start_from_the_guide_and_go_a_part_of_the_way():
    """The guide's score is worth 2/7 of its unit; the pairs also tell of the second input."""
    agent = agent_of(pairs=20_000, pair_updates=600, improve_from="guide", pair_step=0.25, pairs_kept=1)
    agent.guide = Scored()
    fill(agent.memory)
    x = np.random.default_rng(5).normal(size=(500, 3)).astype(np.float32)
    for share in (0.0, 0.25, 1 - 0.75**2):
        agent.improve(quiet_pairs)
        design = np.column_stack([x[:, 0] - 0.3, x[:, 1]])
        slopes, *_ = np.linalg.lstsq(design, gap(agent.average, x), rcond=None)
        np.testing.assert_allclose(slopes, [2.0, 3.0 * share], atol=0.12)


def test_a_guide_must_have_scores_that_rise_with_the_pairs():
    agent = agent_of(improve_from="guide", pair_step=0.5)
    agent.guide = lambda observations, masks: masks[:, 1].astype(int)
    with pytest.raises(ValueError, match="the memory holds no decision between two actions"):
        agent.improve(quiet_pairs)
    fill(agent.memory)
    with pytest.raises(TypeError, match="needs a method score"):
        agent.improve(quiet_pairs)
    agent.guide = Scored()

    def contrary(network, n, rng):
        pairs = quiet_pairs(network, n, rng)
        return pairs._replace(deltas=-pairs.deltas)

    with pytest.raises(ValueError, match="the pairs fall with the guide's scores"):
        agent.improve(contrary)
    assert agent.improvements == 0


def test_minibatches_are_of_the_configured_size(monkeypatch):
    seen = []

    def fit(*args, **kwargs):
        seen.append((kwargs["batch_size"], kwargs["updates"]))

    monkeypatch.setattr("agents.improvement.fit_advantages", fit)
    agent_of(batch_size=77, pair_updates=13).improve(noisy_pairs)
    assert seen == [(77, 13)]


def test_nonsense_from_a_collector_is_refused():
    agent = agent_of()
    for change, message in (
        ({"deltas": np.full((4_000, 1), np.nan, np.float32)}, "finite"),
        ({"deltas": np.zeros(4_000, np.float32)}, r"deltas \(4000,\), cut \(4000, 0\): expected \(4000, 1\)"),
        ({"scales": np.zeros(4_000, np.float32)}, "positive"),
        ({"observations": np.zeros((4_000, 2), np.float32)}, r"expected \(n, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            agent_of().improve(lambda network, n, rng, change=change: noisy_pairs(network, n, rng)._replace(**change))
    assert agent.improvements == 0


def test_the_same_seed_gives_the_same_weights():
    agents = [agent_of(seed) for seed in (1, 1, 2)]
    for agent in agents:
        agent.improve(noisy_pairs)
    assert_identical(agents[0], agents[1])
    assert not torch.equal(agents[0].average.advantage_head.weight, agents[2].average.advantage_head.weight)


@pytest.mark.parametrize("steps_before", [0, 1, 3])
def test_resumed_equals_uninterrupted(tmp_path, steps_before):
    """Rounds of play, then improvements; saved and loaded after some of them."""
    config = small_config(
        total_decisions=3_000, start_decisions=800, replay_capacity=2_000, pairs=500, pairs_kept=2, pair_updates=30
    )
    env = vector(Battery, config.n_environments)
    agent = PairedDQN.for_env(env, config, 3)
    while agent.decisions < config.total_decisions:
        agent.round(env, config.total_decisions)
    for _ in range(steps_before):
        agent.improve(battery_pairs)
    path = save(tmp_path / "agent.safetensors", agent)
    again = load(path, agent_class=PairedDQN)
    assert_identical(agent, again)
    assert len(again._batches) == min(steps_before, 2)
    for one in (agent, again):
        one.improve(battery_pairs)
        one.improve(battery_pairs)
        one.round(env, 10_000)  # and learning can go on
    assert_identical(agent, again)
    assert again.improvements == steps_before + 2

    policy = load_policy(save(path, again), agent_class=PairedDQN)
    assert played_return(policy) == played_return(again.policy())


def cut_pairs(network, n, rng):
    """Two walks, one x[0] ahead: each step pays the distance and then shrinks it by a tenth, without end.

    A pair is cut after 3 and 6 steps; some come to an end before, paying ten distances."""
    x = rng.normal(size=(n, 3)).astype(np.float32)
    noise = 0.3 * rng.normal(size=(n, 2))
    decay = 0.9 ** np.arange(7)
    first, second = x[:, 0] * decay[:3].sum(), x[:, 0] * decay[3:6].sum()
    tails = np.zeros((n, 2, 2, 3), np.float32)
    tails[:, :, 0], tails[:, :, 1] = x[:, None], x[:, None]
    tails[:, 0, 1, 0] = x[:, 0] + x[:, 0] * decay[3]
    tails[:, 1, 1, 0] = x[:, 0] + x[:, 0] * decay[6]
    ended = rng.random(n) < 0.2
    deltas = np.stack([np.where(ended, x[:, 0] * 10.0, first), np.where(ended, 0.0, second)], 1) + noise
    cut = np.tile(~ended[:, None], (1, 2))
    tails[ended] = np.nan  # never read
    return Pairs(x, deltas.astype(np.float32), np.ones(n, np.float32), tails, cut)


def test_values_stand_for_what_was_cut_off():
    """Sum of a tenth less each time, without end: ten times the distance; the two stretches hold less than half."""
    agent = agent_of(hidden=(64,), pairs=20_000, value_updates=1_500, pair_updates=300, pairs_kept=1)
    agent.improve(cut_pairs)
    fitted = agent._batches[0]
    slope = (fitted.deltas @ fitted.observations[:, 0]) / np.square(fitted.observations[:, 0]).sum()
    assert slope == pytest.approx(10.0, rel=0.07)
    x = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    assert np.corrcoef(gap(agent.average, x), x[:, 0])[0, 1] > 0.98


def test_a_bad_batch_of_cut_pairs_leaves_the_agent_as_it_was():
    agent = agent_of(pairs=500, pair_updates=20, value_updates=20)
    agent.improve(cut_pairs)
    for field, value, message in (
        ("deltas", np.nan, "deltas, and tails where a cut was reached, must be finite"),
        ("tails", np.nan, "deltas, and tails where a cut was reached, must be finite"),
        ("scales", 0.0, "scales must be positive"),
    ):

        def broken(network, n, rng, field=field, value=value):
            batch = cut_pairs(network, n, rng)
            return batch._replace(**{field: np.full_like(getattr(batch, field), value)})

        with pytest.raises(ValueError, match=message):
            agent.improve(broken)
    assert len(agent._batches) == 1 and agent.improvements == 1
    done = agent.improve(cut_pairs)
    assert agent.improvements == 2 and done.value_error > 0.2, "at least the noise"


def test_values_are_resumed_too(tmp_path):
    agent = agent_of(pairs=500, pairs_kept=2, pair_updates=20, value_updates=20, replay_capacity=100)
    agent.improve(cut_pairs)
    again = load(save(tmp_path / "agent.safetensors", agent), agent_class=PairedDQN)
    for one in (agent, again):
        one.improve(cut_pairs)
    assert_identical(agent, again)
    assert any(key.startswith("values.") for key in agent.state()[0])


def test_checkpoints_of_the_plain_learner_are_refused(tmp_path):
    config = small_config(replay_capacity=100)
    plain = save(tmp_path / "plain.safetensors", DQN(3, 2, config, 0))
    paired = save(tmp_path / "paired.safetensors", PairedDQN(3, 2, config, 0))
    with pytest.raises(CheckpointError, match="saved from agent 'DQN', not 'PairedDQN'"):
        load(plain, agent_class=PairedDQN)
    with pytest.raises(CheckpointError, match="saved from agent 'PairedDQN', not 'DQN'"):
        load(paired)


def test_a_checkpoint_that_lacks_its_pairs_is_refused(tmp_path, monkeypatch):
    agent = agent_of(pairs=100, pair_updates=1, replay_capacity=100)
    agent.improve(noisy_pairs)
    tensors, counters = agent.state()
    monkeypatch.setattr(agent, "state", lambda: ({k: v for k, v in tensors.items() if "pairs.0" not in k}, counters))
    path = save(tmp_path / "agent.safetensors", agent)
    with pytest.raises(CheckpointError, match=r"agent\.safetensors: its header or its tensors lack 'pairs.0"):
        load(path, agent_class=PairedDQN)
