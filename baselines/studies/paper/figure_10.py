"""Figure 10: how well a network and a linear function fit the values of random play."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from agents import DQNConfig
from agents.networks import make_network
from aq_gym.palette import PALETTE
from baselines.heuristics.simple import Random
from baselines.learners.task import with_segments
from baselines.playing import native_batch, problem_of
from baselines.studies.paper.report import Claim, Context, Figure

ENV = "aq_gym/MultiDevice-v0"
CONFIGURATIONS = {"network": "paper", "linear": "linear"}


class Episodes(NamedTuple):
    """Decisions of random play, episode by episode."""

    observation: torch.Tensor  # (n, size)
    action: torch.Tensor  # (n, 1)
    value: torch.Tensor  # (n,) sum of the rewards from this decision on [µg/m³]


def play(count: int, seed: int) -> Episodes:
    """Random play on so many episodes."""
    env = native_batch(ENV, count, observation="full", autoreset_mode="Disabled")
    policy = Random(env.problem, seed)
    observation, info = env.reset(seed=seed)
    observations, actions, rewards = [], [], []
    for _ in range(env.problem.horizon * env.problem.n_devices):
        observations.append(observation.copy())
        actions.append(policy.act(observation, info))
        observation, reward, _, _, info = env.step(actions[-1])
        rewards.append(reward)
    env.close()
    values = np.cumsum(np.array(rewards)[::-1], axis=0)[::-1]
    flat = np.array(observations).swapaxes(0, 1).reshape(-1, observation.shape[1])
    action, value = np.array(actions).T.reshape(-1, 1), values.T.ravel().astype(np.float32)
    return Episodes(*map(torch.from_numpy, (flat, action, value)))


def make(context: Context) -> Figure:
    """Fit both functions to the same episodes, measure their errors on others."""
    count, updates, every = context.pick((400, 20_000, 500), (8, 60, 20))
    train, test = (play(count, 2**30 + offset + context.seed) for offset in (0, 2**20))
    rows = []
    for name, configuration in CONFIGURATIONS.items():
        config = with_segments(DQNConfig.named(configuration), problem_of(ENV))
        network = make_network(config, train.observation.shape[1], 2, torch.Generator().manual_seed(context.seed))
        network.set_input_scaling(train.observation.numpy())
        network.set_output_scaling(train.value.numpy())
        for update in _fit(network, train, updates, every, context.seed):
            rows.append((name, update, _error(network, train), _error(network, test)))
            context.say(f"figure 10: {name}, update {update:,} of {updates:,}")
    table = pd.DataFrame(rows, columns=["function", "updates", "train_mse", "test_mse"])
    table[["train_mse", "test_mse"]] /= float(np.var(test.value.numpy()))
    return Figure(
        10,
        "Fitting the values of random play: a network and a linear function",
        f"MultiDevice-v0, the sums of the rewards to come in {count} episodes of random play, tested on as many "
        "others; mean squared errors over the variance of these sums",
        _claims(table),
        {"": table},
        lambda plt: _draw(plt, table),
        (
            "Much of the variance is the weather to come, which no observation contains. So no function gets near 0 on "
            "new episodes.",
        ),
    )


def _fit(network: Any, train: Episodes, updates: int, every: int, seed: int) -> Any:
    """Train step by step; yields the number of the update from time to time."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for update in range(1, updates + 1):
        part = rng.integers(len(train.value), size=512)
        loss = (_deviation(network, train, part) / network.output_scale).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % every == 0:
            yield update


def _deviation(network: Any, data: Episodes, part: Any) -> Any:
    observation, action, value = (x[part] for x in data)
    values = network(observation, torch.ones(len(observation), 2, dtype=torch.bool))
    return values.gather(1, action).squeeze(1) - value


@torch.no_grad()
def _error(network: Any, data: Episodes) -> float:
    part = np.arange(0, len(data.value), max(1, len(data.value) // 30_000))
    return float(_deviation(network, data, part).square().mean())


def _claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    best = table.groupby("function")[["train_mse", "test_mse"]].min()
    last, start = (table[table.updates == x].set_index("function") for x in (table.updates.max(), table.updates.min()))
    ratio = best.train_mse["linear"] / best.train_mse["network"]
    over = last.test_mse / last.train_mse
    first_test, best_test, last_test = (x.test_mse["network"] for x in (start, best, last))
    lowest = table[table.function == "network"].set_index("updates").test_mse.idxmin()
    keeps = bool(last_test <= 1.02 * best_test)
    return (
        Claim(
            "(a) the network's least training error is much lower than the linear function's",
            f"{best.train_mse['network']:.3f} and {best.train_mse['linear']:.3f}, {ratio:.1f} times",
            bool(ratio > 1.5),
        ),
        Claim(
            "(b) the test error is much greater than the training error, for both",
            f"network {over['network']:.2f} times, linear function {over['linear']:.2f} times at the end",
            bool((over > 1.5).all()),
        ),
        Claim(
            "(b) the network's test error still falls as training goes on",
            f"{first_test:.3f} after {table.updates.min():,} updates, at best {best_test:.3f}, at the end "
            f"{last_test:.3f}",
            bool(last_test < first_test) and keeps,
            "" if keeps else f"it rises again after {int(lowest):,} updates, with the training error still falling",
        ),
    )


def _draw(plt: Any, table: pd.DataFrame) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    for at, column, title in zip(axes, ("train_mse", "test_mse"), ("(a) training", "(b) test"), strict=True):
        for (name, part), colour in zip(table.groupby("function"), PALETTE, strict=False):
            at.plot(part.updates, part[column], marker="o", ms=3, label=name, color=colour)
        at.set(title=title, xlabel="updates", yscale="log")
        at.grid(alpha=0.3)
    axes[0].set_ylabel("mean squared error / variance")
    axes[0].legend(frameon=False)
    return figure
