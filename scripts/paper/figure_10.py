"""Figure 10: how well a network and a linear function fit the values of random play."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from agents import DQNConfig
from agents.networks import make_network
from aq_gym.problem import Problem
from baselines.playing import native_batch
from baselines.policies import Random
from scripts.paper.figure import COLOURS, Claim, Context, Figure

ENV = "aq_gym/MultiDevice-v0"


def episodes(count: int, seed: int) -> tuple[Any, Any, Any]:
    """Observations (n, size), actions (n,) and returns still to come (n,) of random play, episode by episode."""
    env = native_batch(ENV, count, observation="full", autoreset_mode="Disabled")
    policy = Random(env.problem, seed)
    observation, info = env.reset(seed=seed)
    seen, acted, earned = [], [], []
    for _ in range(env.problem.horizon * env.problem.n_devices):
        action = policy.act(observation, info)
        seen.append(observation.copy())
        observation, reward, _, _, info = env.step(action)
        acted.append(action)
        earned.append(reward)
    env.close()
    returns = np.cumsum(np.array(earned)[::-1], axis=0)[::-1]
    flat = np.array(seen).swapaxes(0, 1).reshape(-1, observation.shape[1])
    return flat, np.array(acted).T.ravel(), returns.T.ravel().astype(np.float32)


def make(context: Context) -> Figure:
    """Fit both to the same episodes, measure on others."""
    count, updates, every = context.pick((400, 20_000, 500), (8, 60, 20))
    train = episodes(count, 2**30 + context.seed)
    test = episodes(context.pick(400, 8), 2**30 + 2**20 + context.seed)
    unit = float(np.var(test[2]))
    rows = []
    for name in ("network", "linear"):
        config = DQNConfig.named("paper" if name == "network" else "linear")
        network = make_network(_fitting(config, ENV), train[0].shape[1], 2, torch.Generator().manual_seed(context.seed))
        network.set_input_scaling(train[0])
        network.set_output_scaling(train[2])
        rows += _fit(name, network, train, test, updates, every, context)
    table = pd.DataFrame(rows, columns=["function", "updates", "train_mse", "test_mse"])
    table[["train_mse", "test_mse"]] /= unit
    best = table.groupby("function")[["train_mse", "test_mse"]].min()
    last = table[table.updates == table.updates.max()].set_index("function")
    start = table[table.updates == every].set_index("function")
    ratio = best.train_mse["linear"] / best.train_mse["network"]
    over = {name: last.test_mse[name] / last.train_mse[name] for name in ("network", "linear")}
    falls = bool(last.test_mse["network"] < start.test_mse["network"])
    lowest = table[table.function == "network"].set_index("updates").test_mse.idxmin()
    keeps = bool(last.test_mse["network"] <= 1.02 * best.test_mse["network"])
    return Figure(
        10,
        "Fitting the values of random play: a network and a linear function",
        f"MultiDevice-v0, the returns still to come of {count} episodes of random play, tested on as many others; mean "
        "squared errors over the variance of the returns",
        (
            Claim(
                "(a) the network's least training error is much lower than the linear function's",
                f"{best.train_mse['network']:.3f} and {best.train_mse['linear']:.3f}, {ratio:.1f} times",
                bool(ratio > 1.5),
            ),
            Claim(
                "(b) the test error is much greater than the training error, for both",
                f"network {over['network']:.2f} times, linear function {over['linear']:.2f} times at the end",
                all(x > 1.5 for x in over.values()),
            ),
            Claim(
                "(b) the network's test error still falls as training goes on",
                f"{start.test_mse['network']:.3f} after {every:,} updates, at best {best.test_mse['network']:.3f}, at "
                f"the end {last.test_mse['network']:.3f}",
                falls and keeps,
                "" if keeps else f"it rises again after {int(lowest):,} updates, with the training error still falling",
            ),
        ),
        {"": table},
        lambda plt: _draw(plt, table),
        (
            "Much of a return's variance is the weather to come, which no observation tells, so no function gets near "
            "0 on new episodes.",
        ),
    )


def _fitting(config: DQNConfig, env_id: str) -> DQNConfig:
    from baselines.dqn import with_segments
    from baselines.playing import problem_of

    problem: Problem = problem_of(env_id)
    return with_segments(config, problem)


def _fit(name: str, network: Any, train: Any, test: Any, updates: int, every: int, context: Context) -> list[Any]:
    rng = np.random.default_rng(context.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    rows = []
    for update in range(1, updates + 1):
        part = rng.integers(len(train[2]), size=512)
        loss = (
            ((_values(network, train, part) - torch.from_numpy(train[2][part])) / network.output_scale).square().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % every == 0:
            rows.append((name, update, _error(network, train), _error(network, test)))
            context.say(f"figure 10: {name}, update {update:,} of {updates:,}")
    return rows


def _values(network: Any, data: Any, part: Any) -> Any:
    shown = torch.from_numpy(data[0][part])
    values = network(shown, torch.ones(len(shown), 2, dtype=torch.bool))
    return values.gather(1, torch.from_numpy(data[1][part])[:, None]).squeeze(1)


@torch.no_grad()
def _error(network: Any, data: Any) -> float:
    part = np.arange(0, len(data[2]), max(1, len(data[2]) // 30_000))
    return float((_values(network, data, part) - torch.from_numpy(data[2][part])).square().mean())


def _draw(plt: Any, table: pd.DataFrame) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    for at, column, title in zip(axes, ("train_mse", "test_mse"), ("(a) training", "(b) test"), strict=True):
        for (name, part), colour in zip(table.groupby("function"), COLOURS[1:], strict=False):
            at.plot(part.updates, part[column], label=name, color=colour)
        at.set(title=title, xlabel="updates", yscale="log")
        at.grid(alpha=0.3)
    axes[0].set_ylabel("mean squared error / variance of the returns")
    axes[0].legend(frameon=False)
    return figure
