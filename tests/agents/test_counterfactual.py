import copy

import numpy as np
import pytest
import torch

from agents import fit_advantages
from agents.networks import DuellingQ, PlainQ


def pairs(n=20_000, noise=3.0):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    gap = np.where(x[:, 0] > 0.3, 1.0, -1.0) * np.abs(x[:, 1])
    return x, gap, gap + noise * rng.normal(size=n)


def gap_of(network, x):
    masks = torch.ones((len(x), 2), dtype=torch.bool)
    with torch.no_grad():
        q = network(torch.from_numpy(x), masks).numpy()
    return q[:, 1] - q[:, 0]


@pytest.mark.parametrize("kind", [DuellingQ, PlainQ])
def test_gaps_are_found_under_noise(kind):
    torch.manual_seed(0)
    network = kind(3, 2, (32, 32))
    network.set_output_scaling(np.array([-400, -200], np.float32))
    x, gap, samples = pairs()
    fit = fit_advantages(network, x, samples, updates=1_200, batch_size=512)
    new = gap_of(network, x)
    clear = np.abs(gap) > 0.5
    assert np.mean((new > 0)[clear] == (gap > 0)[clear]) > 0.9
    assert 8.0 < fit.validation_error < 11.0 and fit.validation_error < fit.validation_spread


def test_same_seed_same_weights_and_no_updates_change_nothing():
    x, _, samples = pairs(2_000)
    fitted = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        network = DuellingQ(3, 2, (8,))
        before = copy.deepcopy(network.state_dict())
        fit = fit_advantages(network, x, samples, updates=0)
        assert np.isfinite(fit.validation_error)
        assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
        fit_advantages(network, x, samples, updates=20, seed=seed)
        fitted.append(network.advantage_head.weight.detach().clone())
    assert torch.equal(fitted[0], fitted[1]) and not torch.equal(fitted[0], fitted[2])


def test_nonsense_is_refused():
    x, _, samples = pairs(100)
    with pytest.raises(ValueError, match="two actions, the network has 3"):
        fit_advantages(PlainQ(3, 3, ()), x, samples)
    with pytest.raises(ValueError, match=r"deltas \(99,\)"):
        fit_advantages(PlainQ(3, 2, ()), x, samples[1:])
    with pytest.raises(ValueError, match="finite"):
        fit_advantages(PlainQ(3, 2, ()), x, np.where(np.arange(100) == 3, np.nan, samples))
    with pytest.raises(ValueError, match="too few"):
        fit_advantages(PlainQ(3, 2, ()), x[:1], samples[:1])
