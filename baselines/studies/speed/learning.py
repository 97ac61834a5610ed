"""Our DQN beside Stable-Baselines3's agents: decisions a second, and the time to the same error."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import stable_baselines3

from agents import DQNConfig
from baselines import sb3
from baselines.evaluation import evaluate
from baselines.heuristics.problems import entry_problem
from baselines.learners.run import train
from baselines.learners.training import Training
from baselines.studies.speed.comparison import Comparison, Rate, named
from baselines.studies.stored_trainings import recipe_config
from baselines.studies.tables import comparison

ENV, BATCH, EVERY = "MultiDevice-v0", 32, 4  # SB3's defaults: a minibatch of 32 every fourth decision
N_ENVIRONMENTS = 64
BEST, ROLLOUTS = "ppo", 2  # the best of SB3's agents on that id; it is validated after so many of its rollouts
VALIDATION_EPISODES, EVALUATION_EPISODES = 512, 4_000
OURS = 0.05  # of the other's time, for which our recipe is asked


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


Curve = list[tuple[float, float]]
"""What the validations of one training found: seconds and average joint error [µg/m³]."""


def reached(curve: Curve, error: float) -> float:
    """Seconds until a validation found at most that error [µg/m³]; infinity if none did."""
    return min((seconds for seconds, found in curve if found <= error), default=math.inf)


def train_theirs(seed: int, seconds: float, steps: int | None = None) -> tuple[sb3.SB3Policy, Curve]:
    """SB3's best agent with our settings, on our native batch; the policy that was best in validation."""
    curve, chosen = Curve(), sb3.hyperparameters(BEST)
    decisions = 10 * chosen["steps"] if steps is None else steps  # the time is the limit
    with tempfile.TemporaryDirectory() as folder:
        policy = sb3.train(
            BEST,
            ENV,
            folder,
            seed=seed,
            steps=decisions,
            seconds=seconds,
            validations=max(1, decisions // (ROLLOUTS * chosen["n_envs"] * chosen["model"]["n_steps"])),
            validation_episodes=VALIDATION_EPISODES,
            progress=False,
            watch=lambda at, error: curve.append((at, error)),
        )
    return policy, curve


def train_ours(config: DQNConfig, seed: int, seconds: float, error: float) -> tuple[Any, Curve]:
    """Our DQN until a validation finds at most that error, validated after every round and every improvement.

    Its seconds include the tuning of the guide that it starts from.
    """
    limits: dict[str, Any] = {"validations": config.total_decisions, "validation_episodes": VALIDATION_EPISODES}
    training, curve = Training(ENV, config, seed, None, threads=1, **limits), Curve()
    for step in training.run(seconds):
        if step.validation_error is not None:
            curve.append((step.seconds, step.validation_error))
        if math.isfinite(reached(curve, error)) or step.seconds >= seconds:
            break
    return training.policy(), curve


def race(config: DQNConfig, seed: int, seconds: float) -> tuple[float, float, float]:
    """Train SB3's best agent for some seconds, then our DQN until it is as good on the same episodes, at most as long.

    Returns:
        The least error that SB3's agent validated with [µg/m³], and the seconds that ours and SB3's took to it.
    """
    best, theirs = train_theirs(seed, seconds)
    error = min(found for _, found in theirs)
    policy, ours = train_ours(config, seed, seconds, error)
    policies = {f"SB3 {BEST.upper()}": best, "our DQN": policy}
    print(f"seed {seed}, {EVALUATION_EPISODES:,} other episodes")
    print(comparison(evaluate(policies, ENV, EVALUATION_EPISODES, 0), next(iter(policies)), digits=3), flush=True)
    return error, reached(ours, error), reached(theirs, error)


def reach(seconds: float, seeds: Sequence[int]) -> Comparison:
    """Who is sooner as good: trainings a second up to the least validated error of SB3's best agent.

    One race a seed, run here: the error is known only then. What both sides compile is compiled before. Ours has the
    recipe for a training of `OURS` of the time; an error that it does not find in all of the time counts as rate 0.
    """
    config = recipe_config(ENV, OURS * seconds)
    train_theirs(0, math.inf, 10_000)
    train_ours(config.replace(improvements=2, pairs=64, pair_updates=2, value_updates=2), 0, math.inf, 0.0)
    found, ours, theirs = zip(*(race(config, seed, seconds) for seed in seeds), strict=True)
    errors = " and ".join(f"{x:.2f}" for x in found)
    return Comparison(
        f"training on {ENV} to the least joint error of the peer in {seconds:g} s: {errors} µg/m³; one round a seed",
        "times/s",
        (1.0 / x for x in ours).__next__,
        f"{named('stable-baselines3')} {BEST.upper()}, our settings",
        (1.0 / x for x in theirs).__next__,
        10.0,
        rounds=len(seeds),
    )


def comparisons(decisions: int, seconds: float = 0.0, seeds: Sequence[int] = (0,)) -> Iterator[Comparison]:
    """Decisions of training a second; and with ``seconds`` of the peer's training, the time to the same error."""
    yield Comparison(
        f"DQN training on {ENV}, batch {BATCH}, an update every {EVERY} decisions",
        "decisions/s",
        ours(decisions * 4),
        f"{named('stable-baselines3')} DQN",
        theirs(decisions),
        2.0,
    )
    if seconds:
        yield reach(seconds, seeds)
