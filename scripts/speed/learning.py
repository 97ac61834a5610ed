"""Our DQN beside Stable-Baselines3's at its own batch size and update ratio."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gymnasium as gym
import stable_baselines3

from agents import DQNConfig
from baselines.dqn import Training, train
from baselines.greedy import entry_problem
from scripts.speed.contest import Contest, Rate, named

ENV, BATCH, EVERY = "MultiDevice-v0", 32, 4  # SB3's defaults: a minibatch of 32 every fourth decision
N_ENVIRONMENTS = 64


def ours(decisions: int) -> Rate:
    """Decisions a second of our DQN, its one-step form.

    It learns between rounds of whole episodes. The random rounds' updates come after them, so that both sides do an
    update for every fourth decision but the first tenth; counted are the decisions that were played.
    """
    problem, start = entry_problem(ENV), decisions // 10
    a_round = N_ENVIRONMENTS * problem.horizon * problem.n_devices
    at_random = max(1, -(-start // a_round)) * a_round  # whole rounds
    config = DQNConfig(
        total_decisions=decisions,
        start_decisions=start,
        start_updates=(at_random - start) // EVERY,
        returns="one_step",
        batch_size=BATCH,
        replay_ratio=BATCH / EVERY,
        n_environments=N_ENVIRONMENTS,
        hidden=(64, 64),
    )

    def rate() -> float:
        training = Training(ENV, config, 0, None, validations=1, validation_episodes=2)
        began = time.perf_counter()
        train(training)
        return training.agent.decisions / (time.perf_counter() - began)

    return rate


def theirs(decisions: int) -> Rate:
    """Decisions a second of SB3's DQN on one plain environment, as its users begin."""

    def rate() -> float:
        env = gym.make(f"aq_gym/{ENV}")
        model = stable_baselines3.DQN(
            "MlpPolicy", env, batch_size=BATCH, train_freq=EVERY, learning_starts=decisions // 10, device="cpu"
        )
        start = time.perf_counter()
        model.learn(decisions)
        return decisions / (time.perf_counter() - start)

    return rate


def contests(decisions: int) -> Iterator[Contest]:
    """Decisions of training a second."""
    yield Contest(
        f"DQN training on {ENV}, batch {BATCH}, an update every {EVERY} decisions",
        "decisions/s",
        ours(decisions * 4),
        f"{named('stable-baselines3')} DQN",
        theirs(decisions),
        3.0,
    )
