import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from agents import DQN, DQNConfig, train
from tests.agents.toy_environments import (
    Battery,
    Identity,
    Ragged,
    expected_return,
    played_return,
    small_config,
    vector,
)


def trained(make, config, seed=0, total=None, agent_class=DQN):
    env = vector(make, config.n_environments)
    agent = agent_class.for_env(env, config, seed)
    records = list(train(agent, env, total))
    return agent, records


def weights(agent):
    return torch.cat(
        [p.detach().reshape(-1) for net in (agent.online, agent.target, agent.average) for p in net.parameters()]
    )


@pytest.mark.parametrize("duelling", [True, False])
def test_identity_is_learned(duelling):
    agent, records = trained(Identity, small_config(total_decisions=5_000, duelling=duelling))
    assert agent.policy().act(np.eye(4), {}).tolist() == [0, 1, 2, 3]
    assert records[0].mean_return < 4 < 6 < records[-1].mean_return


def test_linear_q_learns_identity():
    agent, _ = trained(Identity, small_config(total_decisions=5_000, network="linear", duelling=False))
    assert agent.policy().act(np.eye(4), {}).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "settings",
    [
        {"returns": "lambda", "trace_decay": 0.8},
        {"returns": "one_step"},
        {"returns": "one_step", "double": False, "duelling": False, "input_scaling": "standard"},
    ],
    ids=["lambda", "double duelling one_step", "plain one_step"],
)
def test_reaches_the_known_optimum(settings):
    """Battery raises on forbidden actions, so masks hold in every decision played here too."""
    agent, _ = trained(Battery, small_config(total_decisions=12_000, epsilon_end=0.05, **settings))
    optimum, reached = expected_return(), played_return(agent.policy())
    assert optimum > 1.0
    assert reached <= optimum + 1e-9
    assert reached > 0.97 * optimum, f"{reached} of {optimum}"


def test_the_bar_of_the_optimum_is_not_low():
    greedy = expected_return(lambda s: 1 if Battery.mask(s)[1] else 0)
    lazy = expected_return(lambda s: 0 if Battery.mask(s)[0] else 1)
    assert max(greedy, lazy) < 0.9 * expected_return()


def test_same_seed_same_weights_and_another_seed_others():
    config = small_config(total_decisions=2_500)
    first, again, other = (weights(trained(Battery, config, seed)[0]) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("make", [Battery, Ragged])
def test_autoreset_modes_learn_the_same(make):
    config, results = small_config(total_decisions=1_000, start_decisions=300, start_updates=50), []
    for mode in AutoresetMode:
        env = vector(make, config.n_environments, mode)
        agent = DQN.for_env(env, config, 1)
        list(train(agent, env))
        results.append(weights(agent))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


class _Fixed(DQN):
    """Values set by hand: (1, 10) under the online network, (2, 7) under the target network."""

    def q_values(self, network, observations, masks):
        worth = [1.0, 10.0] if network is self.online else [2.0, 7.0]
        return torch.tensor([worth]).expand(len(observations), 2)


@pytest.mark.parametrize(("double", "free", "forbidden"), [(True, 7.0, 2.0), (False, 7.0, 2.0)])
def test_state_values_look_at_allowed_actions_alone(double, free, forbidden):
    agent = _Fixed(2, 2, small_config(n_environments=2, replay_capacity=8, double=double), 0)
    nothing = np.zeros(2, dtype=bool)
    agent.memory.append(np.zeros((2, 2)), np.array([[1, 1], [1, 0]], bool), [0, 0], [0, 0], nothing, nothing, ~nothing)
    assert agent.state_values(np.array([0, 1])).tolist() == [free, forbidden]


def test_double_learning_chooses_online_and_values_by_target():
    class Opposed(DQN):
        def q_values(self, network, observations, masks):
            return torch.tensor([[5.0, 1.0] if network is self.online else [0.0, 9.0]]).expand(len(observations), 2)

    for double, value in ((True, 0.0), (False, 9.0)):
        agent = Opposed(2, 2, small_config(n_environments=1, replay_capacity=4, double=double), 0)
        agent.memory.append_end(np.zeros((1, 2)), np.ones((1, 2), bool))
        assert agent.state_values(np.array([0])).tolist() == [value]


def test_one_step_targets_by_hand():
    agent = _Fixed(2, 2, small_config(n_environments=1, replay_capacity=8, returns="one_step", discount=0.5), 0)
    yes, no, both, first = np.array([True]), np.array([False]), np.ones((1, 2), bool), np.array([[True, False]])
    x = np.zeros((1, 2))
    agent.memory.append(x, both, [1], [3.0], no, no, yes)  # its successor allows action 0 alone: 3 + 0.5 * 2
    agent.memory.append(x, first, [0], [4.0], no, no, yes)  # 4 + 0.5 * 7
    agent.memory.append(x, both, [0], [5.0], yes, yes, yes)  # a true end: 5
    agent.memory.append_end(x, both)
    assert agent.targets(np.array([0, 1, 2])).tolist() == [4.0, 7.5, 5.0]


def test_a_variant_overrides_one_function():
    class Pessimist(DQN):
        def targets(self, indices):
            return super().targets(indices) - 2.0

    config = small_config(total_decisions=3_000, trace_decay=1.0)
    plain, variant = trained(Identity, config)[0], trained(Identity, config, agent_class=Pessimist)[0]
    gap = plain.policy().action_values(np.eye(4), {}).mean() - variant.policy().action_values(np.eye(4), {}).mean()
    assert gap == pytest.approx(2.0, abs=0.5)


def test_progress_counts():
    config = small_config(total_decisions=4_000, epsilon_start=0.5, epsilon_end=0.1, epsilon_fraction=0.5)
    agent, records = trained(Identity, config)
    assert [r.decisions for r in records] == [128 * (k + 1) for k in range(len(records))]
    assert records[-1].episodes == 16 * len(records) == agent.episodes
    assert records[0].epsilon == 1.0 and np.isnan(records[0].loss) and records[0].updates == 0
    first = next(r for r in records if r.updates)
    assert first.updates == 150 and first.decisions >= 1_500 > first.decisions - 128
    assert records[-1].updates == 150 + int((records[-1].decisions - first.decisions) * 8 / 128)
    assert records[-1].epsilon == pytest.approx(0.1)
    assert records[-1].learning_rate < records[0].learning_rate == 3e-3


def test_training_leaves_the_number_of_threads_alone():
    before = torch.get_num_threads()
    trained(Identity, small_config(total_decisions=200, start_updates=2, threads=before + 1))
    assert torch.get_num_threads() == before


def test_divergence_is_reported():
    config = small_config(total_decisions=4_000, learning_rate=1e30, max_gradient_norm=1e30, input_scaling="none")
    with pytest.raises(FloatingPointError, match="learning diverged before update"):
        trained(Identity, config)


def test_another_environment_is_refused():
    env = vector(Battery, 4)
    agent = DQN.for_env(env, small_config(), 0)
    assert agent.config.n_environments == 4
    with pytest.raises(ValueError, match="num_envs: the agent plays 4, here 5"):
        next(train(agent, vector(Battery, 5)))


def test_unfit_spaces_are_refused():
    class Deep(Identity):
        def __init__(self):
            super().__init__()
            self.observation_space = type(self.observation_space)(0, 1, (2, 2), np.float32)

    with pytest.raises(TypeError, match="Box observation of one dimension"):
        DQN.for_env(vector(Deep, 2), small_config(), 0)
    with pytest.raises(ValueError, match="exploration_weights has 3 entries for 2 actions"):
        DQN.for_env(vector(Battery, 2), small_config(exploration_weights=(1.0, 1.0, 1.0)), 0)


def test_policy_is_a_snapshot_and_obeys_masks():
    config = small_config(total_decisions=4_000)
    env = vector(Identity, config.n_environments)
    agent = DQN.for_env(env, config, 0)
    rounds = train(agent, env)
    for _ in range(20):
        next(rounds)
    policy = agent.policy()
    before = policy.action_values(np.eye(4), {})
    next(rounds)
    assert np.array_equal(before, policy.action_values(np.eye(4), {}))
    assert not np.array_equal(before, agent.policy().action_values(np.eye(4), {}))

    assert policy.needs_observation and policy.observation == "full"
    single = policy.act(np.eye(4)[2], {"action_mask": np.array([0, 1, 0, 0], np.int8)})
    assert single == 1 and isinstance(single, int)
    masks = np.roll(np.eye(4, dtype=np.int8), 1, axis=1)
    assert policy.act(np.eye(4), {"action_mask": masks}).tolist() == [1, 2, 3, 0]
    assert policy.act(np.eye(4)[:1], {}).shape == (1,)
    with pytest.raises(ValueError, match="the network reads 4; the policy is marked as one of observation='full'"):
        policy.act(np.zeros(5), {})


def test_named_configurations_train():
    for name in DQNConfig.names():
        config = DQNConfig.named(
            name, start_decisions=300, start_updates=5, replay_capacity=1_000, n_environments=8, batch_size=32
        )
        if config.network == "state_action":
            with pytest.raises(ValueError, match="action_segments: expected"):
                trained(Battery, config, total=600)
            config = config.replace(action_segments=[0, 1, 1, 2])
        agent, records = trained(Battery, config, total=600)
        assert agent.updates >= 5 and np.isfinite(records[-1].loss)


def test_a_start_longer_than_the_training_ends_with_it():
    """The scaling is estimated and the first fit is made all the same."""
    env = vector(Battery, 16)
    agent = DQN.for_env(env, small_config(total_decisions=400, start_decisions=100_000, start_updates=7), 0)
    while agent.decisions < 400:
        agent.round(env, 400)
    assert agent.updates == 7 and float(agent.online.input_scale.std()) > 0
