"""An agent that learns to act as an expert policy does, by DAgger (Ross, Gordon and Bagnell 2011).

In the first round the expert plays; in later rounds the network plays and the expert says what it would have done. The
network reads the compact observation, so the agent needs neither the expert nor its tables.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from agents import DQNConfig, PairedDQN
from agents.counterfactual import gap
from agents.fitting import LEARNING_RATE, minimise
from agents.rollout import FIRST_TRAINING_SEED
from aq_gym.envs.vector import MultiDeviceVectorEnv
from baselines.playing import FIRST_TUNING_SEED, native_batch, play_problem

BATCH_SIZE = 2_048


class Imitation(NamedTuple):
    """The agent of the round that did best, and how it and its expert did on the same validation episodes."""

    agent: PairedDQN
    errors: NDArray[np.float64]  # (episodes,) average joint error [µg/m³]
    expert_errors: NDArray[np.float64]  # (episodes,)
    decisions: int  # that the expert labelled
    seconds: float


def imitate(
    expert: Any,
    env_id: str,
    *,
    rounds: int = 4,
    updates: int = 1_500,
    episodes: int = 24,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
    **env_kwargs: Any,
) -> Imitation:
    """Learn to act as ``expert`` does in an environment.

    Args:
        expert: a `Policy` that acts on a batch's infos.
        env_id: registered id of the sequential view.
        rounds: of play and fitting; each is fitted to the decisions of all rounds so far.
        updates: minibatches of a round.
        episodes: played in each round, and in validation.
        progress: is called after each round with its number and its error in validation [µg/m³].
        env_kwargs: as for `gymnasium.make`.
    """
    began, rng = time.perf_counter(), np.random.default_rng(seed)
    env = native_batch(env_id, episodes, **{**env_kwargs, "observation": "compact"})
    config = DQNConfig(hidden=(64, 64), input_scaling="standard", n_environments=episodes, replay_capacity=2 * episodes)
    agent = PairedDQN.for_env(env, config, seed)
    expert_errors = play_problem(expert, env.problem, episodes, FIRST_TUNING_SEED).joint_error
    best, seen, wishes = expert_errors, [], []
    for number in range(rounds):
        player = agent.policy("compact", present=True) if number else expert
        found, wished = _play(env, player, expert, FIRST_TRAINING_SEED + (seed * rounds + number) * episodes)
        seen.append(found)
        wishes.append(wished)
        if number == 0:
            agent.online.set_input_scaling(found)
        _fit(agent, np.concatenate(seen), np.concatenate(wishes), updates, rng)
        learned = agent.policy("compact", present=True)
        errors = play_problem(learned, env.problem, episodes, FIRST_TUNING_SEED).joint_error
        if errors.mean() < agent.best_error:
            best = errors
        agent.keep_best(float(errors.mean()))
        if progress:
            progress(number + 1, float(errors.mean()))
    return Imitation(agent, best, expert_errors, sum(len(x) for x in wishes), time.perf_counter() - began)


def _play(
    env: MultiDeviceVectorEnv, player: Any, expert: Any, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The observations of all free decisions of an episode each, and what the expert wished in them."""
    observation, info = env.reset(seed=seed)
    seen, wishes, over = [], [], np.zeros(env.num_envs, np.bool_)
    while not over.all():
        actions = np.asarray(player.act(observation, info))
        wished = actions if player is expert else np.asarray(expert.act(observation, info))
        free = info["action_mask"].all(axis=1)
        seen.append(observation[free])
        wishes.append(wished[free].astype(np.float32))
        observation, _, over, _, info = env.step(actions)
    return np.concatenate(seen), np.concatenate(wishes)


def _fit(
    agent: PairedDQN,
    observations: NDArray[np.float32],
    wishes: NDArray[np.float32],
    updates: int,
    rng: np.random.Generator,
) -> None:
    """Logistic regression of the expert's actions on the network's action gap, in place."""
    x, y = torch.from_numpy(observations), torch.from_numpy(wishes)

    def loss(step: int, batch: torch.Tensor) -> torch.Tensor:
        return binary_cross_entropy_with_logits(gap(agent.online, x[batch]), y[batch])

    minimise(agent.online, loss, np.arange(len(x)), rng, updates, BATCH_SIZE, LEARNING_RATE)
    agent.adopt(agent.online)
