import numpy as np
import pytest
import torch

from agents.config import DQNConfig
from agents.networks import (
    DuellingQ,
    PlainQ,
    SetQ,
    StateActionQ,
    greedy_actions,
    initialise,
    make_network,
)


def some(n=6, n_inputs=3, n_actions=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, n_inputs, generator=g), torch.rand(n, n_actions, generator=g) < 0.6


def test_duelling_values_average_to_the_state_value_over_allowed_actions():
    torch.manual_seed(0)
    network = DuellingQ(3, 4, (8,))
    x, masks = some()
    masks[0] = torch.tensor([False, True, False, False])
    masks |= torch.eye(4, dtype=torch.bool)[1]
    q = network(x, masks)
    value = network.value_head(network.trunk(x)).squeeze(1)
    mean = torch.stack([row[mask].mean() for row, mask in zip(q, masks, strict=True)])
    torch.testing.assert_close(mean, value)
    torch.testing.assert_close(q[0, 1], value[0])


def test_forbidden_advantages_change_nothing():
    torch.manual_seed(0)
    network = DuellingQ(3, 4, (8,))
    x, _ = some()
    masks = torch.tensor([[True, True, False, False]]).expand(6, 4)
    before = network(x, masks)[:, :2]
    with torch.no_grad():
        network.advantage_head.bias[2:] += 1e3
    torch.testing.assert_close(network(x, masks)[:, :2], before)


def test_standard_scaling_and_constant_inputs():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(5, 3, 4000), np.full(4000, 7.0), rng.normal(-1, 1e-3, 4000)]).astype(np.float32)
    network = PlainQ(3, 2, ())
    network.set_input_scaling(x)
    z = ((torch.from_numpy(x) - network.input_center) / network.input_scale).numpy()
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(z.std(0), [1, 0, 1], atol=1e-3)
    assert network.input_scale[1] == 1.0


def test_robust_scaling_compresses_outliers():
    x = np.random.default_rng(0).normal(0, 1, (2000, 1)).astype(np.float32)
    x[0] = 1e6
    plain, robust = PlainQ(1, 1, ()), PlainQ(1, 1, ())
    robust.compress = True
    for network in (plain, robust):
        network.set_input_scaling(x)
        torch.nn.init.ones_(network.head.weight)
        torch.nn.init.zeros_(network.head.bias)
    masks = torch.ones((2000, 1), dtype=torch.bool)
    spread = {name: network(torch.from_numpy(x), masks)[1:].std().item() for name, network in
              (("plain", plain), ("robust", robust))}  # fmt: skip
    assert spread["plain"] < 1e-3
    assert robust(torch.from_numpy(x), masks)[0].item() < 20


def test_output_scaling():
    network = PlainQ(2, 2, ())
    initialise(network, torch.Generator().manual_seed(0))
    network.set_output_scaling(np.array([-310, -290], np.float32))
    q = network(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    assert q.tolist() == [[-300.0, -300.0]] and network.output_scale.item() == 10.0
    network.set_output_scaling(np.full(5, 3.0, np.float32))
    assert network.output_scale.item() == 1.0


def test_scaling_is_part_of_the_state():
    assert {"input_center", "input_scale", "output_center", "output_scale"} <= set(DuellingQ(3, 2, (4,)).state_dict())


def test_greedy_actions_obey_masks():
    q = torch.tensor([[3.0, 9.0, 5.0], [3.0, 9.0, 5.0], [1.0, 1.0, 0.0]])
    masks = torch.tensor([[True, False, True], [True, False, False], [True, True, True]])
    assert greedy_actions(q, masks).tolist() == [2, 0, 0]
    assert greedy_actions(-q, masks).tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, DuellingQ), ({"duelling": False}, PlainQ), ({"network": "linear", "duelling": False}, PlainQ)],
)
def test_the_configured_network_is_built_from_its_generator_alone(settings, kind):
    config = DQNConfig(hidden=(5, 4), **settings)
    first = make_network(config, 3, 2, torch.Generator().manual_seed(1))
    torch.rand(3)
    again = make_network(config, 3, 2, torch.Generator().manual_seed(1))
    assert type(first) is kind
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert [layer.out_features for layer in first.trunk[::2]] == ([] if "network" in settings else [5, 4])


def sets(n=7, items=5, context=3, item=4):
    """Observations of a context and items."""
    rng = np.random.default_rng(0)
    rows = rng.normal(2.0, 3.0, (n, items, item))
    rows[:, :, 0] = 1.0
    return np.concatenate([rng.normal(size=(n, context)), rows.reshape(n, -1)], axis=1).astype(np.float32)


def set_network(x, hidden=(8,), encoder=(6,), compress=False):
    network = SetQ(x.shape[1], 2, hidden, context=3, item=4, encoder=encoder).requires_grad_(False)
    network.compress = compress
    initialise(network, torch.Generator().manual_seed(0))
    network.set_input_scaling(x)
    torch.manual_seed(1)
    torch.nn.init.normal_(network.advantage_head.weight)
    torch.nn.init.normal_(network.value_head.weight)
    return network


@pytest.mark.parametrize("compress", [False, True])
def test_a_set_has_no_order_and_no_size(compress):
    x = sets()
    network = set_network(x, compress=compress)
    masks = torch.ones((len(x), 2), dtype=torch.bool)
    values = network(torch.from_numpy(x), masks)
    assert values.std(0).min() > 1e-3
    items = x[:, 3:].reshape(len(x), 5, 4)
    shuffled = np.concatenate([x[:, :3], items[:, [3, 0, 4, 2, 1]].reshape(len(x), -1)], axis=1)
    torch.testing.assert_close(network(torch.from_numpy(shuffled), masks), values, atol=1e-5, rtol=1e-5)
    twice = np.concatenate([x, x[:, 3:]], axis=1)  # each item once more: the same mean
    torch.testing.assert_close(network(torch.from_numpy(twice), masks), values, atol=1e-5, rtol=1e-5)
    changed = x.copy()
    changed[0, 3 + 1] += 1.0
    assert not torch.allclose(network(torch.from_numpy(changed), masks)[0], values[0])


def test_items_are_scaled_alike():
    x = sets(n=400)
    network = set_network(x)
    items = x[:, 3:].reshape(-1, 4)
    np.testing.assert_allclose(network.input_center[3:], [0.0, *items[:, 1:].mean(0)], rtol=1e-5)
    np.testing.assert_allclose(network.input_scale[3:], [1.0, *items[:, 1:].std(0)], rtol=1e-5)
    np.testing.assert_allclose(network.input_center[:3], x[:, :3].mean(0), atol=1e-6)


def test_what_a_set_reads():
    x = sets()
    network = set_network(x)
    assert [n for n in range(30) if network.reads(n)] == [7, 11, 15, 19, 23, 27]
    with pytest.raises(ValueError, match="expected 3 numbers and then a multiple of 4, got 24 inputs"):
        SetQ(24, 2, (8,), context=3, item=4, encoder=(6,))
    config = DQNConfig(network="set", set_context=3, set_item=4, set_encoder=(6, 5), hidden=(9,))
    made = make_network(config, 23, 2, torch.Generator().manual_seed(0))
    assert isinstance(made, SetQ) and made.trunk[0].in_features == 3 + 5
    for wrong in ({"set_item": 0}, {"set_item": 4, "duelling": False}, {"set_item": 4, "set_encoder": (0,)}):
        with pytest.raises(ValueError, match="DQNConfig"):
            DQNConfig(network="set", **wrong)


def test_a_state_action_network_reads_each_actions_own_segment():
    torch.manual_seed(0)
    network = StateActionQ(6, 2, (8,), segments=[(4, 6), (1, 4)])
    x, masks = torch.randn(5, 6), torch.ones((5, 2), dtype=torch.bool)
    before = network(x, masks)
    for columns, changed in (([0], [True, True]), ([1, 2, 3], [False, True]), ([4, 5], [True, False])):
        other = x.clone()
        other[:, columns] += 1.0
        assert (~torch.isclose(network(other, masks), before)).all(0).tolist() == changed
    zeroed = x.clone()
    zeroed[:, 1:4] = 0.0
    torch.testing.assert_close(network(zeroed, masks)[:, 0], before[:, 0])
    for wrong in ([(4, 6)], [(4, 7), (1, 4)], [(4, 4), (1, 4)]):
        with pytest.raises(ValueError, match="segments: expected 2 pairs"):
            StateActionQ(6, 2, (8,), segments=wrong)
    config = DQNConfig(network="state_action", action_segments=(4, 6, 1, 4), duelling=False, hidden=(9,))
    assert isinstance(make_network(config, 6, 2, torch.Generator().manual_seed(0)), StateActionQ)
    with pytest.raises(ValueError, match="no duelling heads"):
        DQNConfig(network="state_action", action_segments=(4, 6, 1, 4))
    with pytest.raises(ValueError, match="pairs of start and stop"):
        DQNConfig(network="state_action", duelling=False, action_segments=(4, 6, 1))
