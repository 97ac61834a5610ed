from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from agents import DQN
from agents.dqn import Minibatch
from agents.gradients import Adam, FlatParameters, Perceptron
from agents.networks import DuellingQ, LinearQ, PlainQ, SetQ, StateActionQ
from tests.agents.toy_environments import Battery, small_config, vector

FORMS = {
    "linear": {"network": "linear", "duelling": False},
    "plain": {"duelling": False, "hidden": (7, 5)},
    "plain without layers": {"duelling": False, "hidden": ()},
    "duelling": {"hidden": (7, 5)},
    "one layer": {"hidden": (6,)},
}


class ByAutograd(DQN):
    """The same learner, whose loss only looks like another."""

    def loss(self, values, targets, weights=None):
        return super().loss(values, targets, weights)


def shuffled(network, generator):
    """Random weights, also in the heads, and some scaling."""
    with torch.no_grad():
        for x in network.parameters():
            x.normal_(generator=generator)
        network.input_center.normal_(generator=generator)
        network.input_scale.uniform_(0.5, 2.0, generator=generator)
        network.output_center.fill_(-3.0)
        network.output_scale.fill_(2.5)
    return network


def minibatch(n, n_inputs, n_actions, generator, weighted):
    masks = torch.rand(n, n_actions, generator=generator) < 0.6
    actions = torch.randint(n_actions, (n,), generator=generator)
    masks[torch.arange(n), actions] = True
    x, y = torch.randn(n, n_inputs, generator=generator), torch.randn(n, generator=generator)
    weights = torch.rand(n, generator=generator) if weighted else None
    assert (masks.sum(1) == 1).any() and not masks.all()
    return Minibatch(x, masks, actions, y, weights)


def content(agent):
    """What a checkpoint holds."""
    tensors, counters = agent.state()
    return {key: value.numpy().tobytes() for key, value in tensors.items()}, counters


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("delta", [None, 0.7])
@pytest.mark.parametrize("scaling", ["standard", "robust"])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_autograds(form, scaling, delta, weighted):
    generator = torch.Generator().manual_seed(1)
    agent = DQN(6, 3, small_config(**FORMS[form], input_scaling=scaling, huber_delta=delta), 0)
    shuffled(agent.online, generator)
    batch = minibatch(40, 6, 3, generator, weighted)
    loss, fitted = agent._differentiate_by_autograd(batch)
    expected = agent._flat_online.gradients.clone()
    agent._flat_online.gradients.fill_(9.0)
    assert agent._perceptrons is not None
    loss_too, fitted_too = agent._differentiate(agent._perceptrons[0], batch)
    gradients = agent._flat_online.gradients
    assert float((gradients - expected).norm()) < 1e-6 * float(expected.norm())
    assert loss_too == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(fitted_too, fitted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_state_values_are_the_networks(form, double):
    generator = torch.Generator().manual_seed(2)
    agent, plain = (
        kind(6, 3, small_config(**FORMS[form], double=double, replay_capacity=600, n_environments=100), 0)
        for kind in (DQN, ByAutograd)
    )
    for network in (agent.online, agent.target):
        shuffled(network, generator)
    for network, own in ((plain.online, agent.online), (plain.target, agent.target)):
        network.load_state_dict(own.state_dict())
    plain._perceptrons = None
    rng = np.random.default_rng(3)
    agent.memory.observation[:] = rng.normal(size=agent.memory.observation.shape)
    agent.memory.mask[:] = rng.random(agent.memory.mask.shape) < 0.5  # some allow nothing, as an end may
    plain.memory.observation[:], plain.memory.mask[:] = agent.memory.observation, agent.memory.mask
    indices = np.arange(600)
    np.testing.assert_allclose(agent.state_values(indices), plain.state_values(indices), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"returns": "one_step"},
        {"returns": "one_step", "double": False, "duelling": False, "huber_delta": 1.0},
        {"returns": "one_step", "priority": 0.6, "importance": 0.8},
        {"returns": "n_step", "max_gradient_norm": 0.1},
        {"returns": "lambda"},
    ],
    ids=["double duelling", "plain", "prioritised", "clipped n_step", "lambda"],
)
def test_learning_is_autograds(settings):
    config = small_config(start_updates=0, **settings)
    agents = []
    for kind in (DQN, ByAutograd):
        agent = kind.for_env(vector(Battery, config.n_environments), config, 0)
        env = vector(Battery, config.n_environments)
        while agent.decisions < config.start_decisions:
            agent.round(env, config.total_decisions)
        agent.updates_due = 40
        agent.learn(1e-3)
        agents.append(agent)
    for name in ("online", "target", "average"):
        for (key, one), other in zip(*(getattr(a, name).state_dict().items() for a in agents), strict=True):
            torch.testing.assert_close(one, other[1], rtol=1e-3, atol=1e-4, msg=f"{name} {key}")


def test_networks_it_knows():
    assert all(
        Perceptron.knows(n) for n in (LinearQ(4, 2), PlainQ(4, 2, ()), PlainQ(4, 2, (3,)), DuellingQ(4, 2, (3,)))
    )
    frozen, bounded, longer = PlainQ(4, 2, (3,)), PlainQ(4, 2, (3,)), PlainQ(4, 2, (3,))
    frozen.trunk[0].weight.requires_grad_(False)
    bounded.trunk[1] = nn.Tanh()
    longer.trunk.append(nn.Dropout())
    unbiased = DuellingQ(4, 2, (3,))
    unbiased.value_head = nn.Linear(3, 1, bias=False)
    others = [
        SetQ(4, 2, (3,), context=2, item=2, encoder=(3,)),
        StateActionQ(4, 2, (3,), segments=[(0, 1), (1, 2)]),
        type("Variant", (DuellingQ,), {})(4, 2, (3,)),
        DuellingQ(4, 2, (3,)).double(),
        *(frozen, bounded, longer, unbiased),
    ]
    assert not any(Perceptron.knows(network) for network in others)


@pytest.mark.parametrize("method", ["q_values", "loss"])
def test_what_a_variant_overrides_is_used(method, monkeypatch):
    """Overridden in a class or on an object: autograd differentiates it."""

    class Variant(DQN):
        pass

    config = small_config(returns="one_step", start_updates=0)
    original, calls = getattr(DQN, method), []

    def counted(*args):
        calls.append(1)
        return original(*args)

    in_class, on_object, usual = (kind(6, 2, config, 0) for kind in (Variant, DQN, DQN))
    setattr(
        Variant, method, staticmethod(counted) if method == "q_values" else lambda self, *args: counted(self, *args)
    )
    monkeypatch.setattr(
        on_object, method, counted if method == "q_values" else lambda *args: counted(on_object, *args), raising=True
    )
    monkeypatch.setattr(DQN, "_differentiate", lambda *args: pytest.fail("not what was overridden"))
    for agent in (in_class, on_object, usual):
        ones, nothing = np.ones(16, bool), np.zeros(16)
        agent.memory.append(np.zeros((16, 6)), np.ones((16, 2), bool), nothing, nothing, ~ones, ~ones, ones)
        agent.memory.append_end(np.zeros((16, 6)), np.ones((16, 2), bool))
        if agent is usual:
            with pytest.raises(pytest.fail.Exception):
                agent.update()
        else:
            before = len(calls)
            agent.update()
            assert len(calls) > before


def test_parameters_are_views_of_one_vector():
    network = DuellingQ(4, 2, (3,))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    flat = FlatParameters(network)
    assert flat.values.numel() == sum(p.numel() for p in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    flat.values.fill_(2.0)
    assert all((p == 2.0).all() for p in network.parameters())
    own = copy.deepcopy(network)
    network.load_state_dict({**network.state_dict(), "value_head.bias": torch.tensor([5.0])})
    assert (flat.values == 5.0).sum() == 1
    assert all((p == 2.0).all() for p in own.parameters())
    matrix, bias = flat.stacked(flat.values, [network.value_head, network.advantage_head])
    assert matrix.shape == (3, 3) and bias.tolist() == [5.0, 2.0, 2.0]


def test_parameters_of_several_types_are_refused():
    network = PlainQ(4, 2, (3,))
    network.head.double()
    with pytest.raises(TypeError, match="one type, got"):
        FlatParameters(network)


def test_clipping_and_averaging():
    network, slow = PlainQ(4, 2, (3,)), PlainQ(4, 2, (3,))
    flat, averaged = FlatParameters(network), FlatParameters(slow)
    for max_norm in (0.5, 50.0):
        flat.gradients.copy_(torch.linspace(-1.0, 1.0, len(flat.gradients)))
        reference = flat.gradients.clone().requires_grad_()
        reference.grad = flat.gradients.clone()
        torch.nn.utils.clip_grad_norm_([reference], max_norm)
        flat.clip(max_norm)
        torch.testing.assert_close(flat.gradients, reference.grad)
    before = averaged.values.clone()
    averaged.move_towards(flat, 0.25)
    torch.testing.assert_close(averaged.values, 0.75 * before + 0.25 * flat.values)
    averaged.move_towards(flat, 1.0)
    assert torch.equal(averaged.values, flat.values)


def test_adam_is_torchs_and_reads_its_state():
    network, generator = DuellingQ(4, 2, (3,)), torch.Generator().manual_seed(0)
    reference = copy.deepcopy(network)
    flat = FlatParameters(network)
    ours, torchs = Adam(flat, 1e-2), torch.optim.Adam(reference.parameters(), lr=1e-2, fused=True)

    def step(ours):
        for own, p in zip(flat.split(flat.gradients), reference.parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            own.copy_(p.grad)
        torchs.step()
        ours.step()

    for k in range(60):
        if k == 30:
            torchs_state = torchs.state_dict()["state"]
            moments = {f"{n}.{key}": x for n, of in torchs_state.items() for key, x in of.items()}
            assert {key: x.shape for key, x in ours.state().items()} == {key: x.shape for key, x in moments.items()}
            ours = Adam(flat, 1e-2)
            assert ours.state() == {}
            ours.restore(moments)
        step(ours)
    for own, p in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, p, rtol=1e-5, atol=1e-6)
    ours.restore({})
    assert ours.steps == 0 and not ours.mean.any() and not ours.square.any()


@pytest.mark.parametrize("kind", [DQN, ByAutograd])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))])
def test_a_copied_agent_learns_on_its_own(kind, duplicate):
    config = small_config(start_updates=10)
    env = vector(Battery, config.n_environments)
    agent = kind.for_env(env, config, 0)
    while agent.updates == 0:
        agent.round(env, config.total_decisions)
    again = duplicate(agent)
    before = content(agent)
    assert content(again) == before
    again.round(vector(Battery, config.n_environments), config.total_decisions)
    assert content(agent) == before
    agent.round(env, config.total_decisions)
    assert content(agent) == content(again) != before


def test_gradients_that_another_optimizer_dropped_come_back():
    agent = ByAutograd(6, 3, small_config(), 0)
    batch = minibatch(40, 6, 3, torch.Generator().manual_seed(1), weighted=False)
    agent._differentiate_by_autograd(batch)
    expected = agent._flat_online.gradients.clone()
    agent.online.zero_grad(set_to_none=True)
    agent._differentiate_by_autograd(batch)
    assert expected.any() and torch.equal(agent._flat_online.gradients, expected)


@pytest.mark.parametrize("kind", [DQN, ByAutograd])
def test_networks_that_were_put_in_from_outside_are_the_ones_that_learn(kind):
    config = small_config(start_updates=10)
    env = vector(Battery, config.n_environments)
    agent = kind.for_env(env, config, 0)
    while agent.updates == 0:
        agent.round(env, config.total_decisions)
    other = copy.deepcopy(agent)
    other.online = copy.deepcopy(other.online)
    other.target.load_state_dict(copy.deepcopy(other.target.state_dict()), assign=True)
    agent.round(env, config.total_decisions)
    other.round(vector(Battery, config.n_environments), config.total_decisions)
    assert content(other) == content(agent)
