"""Training Stable-Baselines3's agents on a sensing problem: the same validation, limits and lines as for our DQN."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from agents.rollout import FIRST_TRAINING_SEED
from aq_gym.network_checks import as_count
from baselines.heuristics.simple import Staggered
from baselines.learners.clock import VALIDATION_SHARE, Clock, announced_compiling
from baselines.learners.instance import describe_instance
from baselines.learners.run import Interrupts, noted_interrupts
from baselines.learners.sb3_env import SB3VecEnv
from baselines.learners.sb3_policy import ALGORITHMS, OFF_POLICY, SB3Policy, check_unused, overridden, save, save_card
from baselines.learners.task import TINY
from baselines.learners.validation import Validation, solvable
from baselines.playing import problem_of


class _Watcher(BaseCallback):
    """Plays the present policy on the same validation episodes now and then; saves the best; ends a training in time.

    The card counts the whole run, whenever its best policy came.
    """

    def __init__(
        self,
        folder: Path,
        card: dict[str, Any],
        every: int,
        validation: Validation,
        clock: Clock,
        watch: Callable[[float, float], None] | None,
    ) -> None:
        super().__init__()
        self.folder, self.card, self.every, self.watch = folder, card, every, watch
        self.validation, self.clock, self.interrupts = validation, clock, Interrupts()
        self.best, self.began, self.before = math.inf, time.perf_counter(), 0.0  # seconds of validation before learning
        self._next, self._validated, self._cost = every, -1, 0.0
        self._cycle_began, self._late = math.nan, False

    def _on_rollout_start(self) -> None:
        """Estimate from the last cycle whether collecting and fitting once more would end too late."""
        now = time.perf_counter()
        self._late = self.clock.left < now - self._cycle_began + self._cost  # False as long as that is NaN
        self._cycle_began = now

    def _on_step(self) -> bool:
        if self._next <= min(self.num_timesteps, self.card["steps"]):  # the last rollout may go on beyond these
            self._next += self.every
            if self.clock.may_validate(self._cost):
                self.validate()
        return not (self._late or self.interrupts.asked or self.clock.left <= self._cost)

    def seconds(self) -> float:
        """Spent so far on training, the validations left out."""
        return time.perf_counter() - self.began - (self.clock.spent["validation"] - self.before)

    def validate(self) -> None:
        """Validate the present policy, unless it has just been."""
        if self._validated == self.model.num_timesteps:
            return
        began, seconds = time.perf_counter(), self.seconds()
        self._validated = self.model.num_timesteps
        with self.clock.count("validation"):
            self._validate(seconds)
        self._cost = time.perf_counter() - began

    def _validate(self, seconds: float) -> None:
        normalise = self.model.get_vec_normalize_env()
        assert normalise is not None
        policy = SB3Policy(self.model, normalise, observation=self.card["observation"], view=self.card["view"])
        error = self.validation.error(policy)
        scalars = self.validation.scalars(error) | {"time/training_seconds": seconds}
        for tag, value in scalars.items():
            self.logger.record(tag, value)
        self.logger.record("time/total_timesteps", self.model.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.model.num_timesteps)
        spent = {"decisions": self.model.num_timesteps, "training_seconds": seconds}
        if error < self.best:
            self.best = error
            found = {"validation_error": error, "validation_episodes": self.validation.episodes}
            self.card |= found | {"best_after": spent["decisions"]}
            save(self.folder, self.model, normalise, self.card | spent)
        elif math.isfinite(self.best):
            save_card(self.folder, self.card | spent)
        if self.watch:
            self.watch(seconds, error)


def train(
    algorithm: str,
    env_id: str,
    folder: str | Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    seconds: float = math.inf,
    validations: int = 20,
    validation_episodes: int | None = None,
    progress: bool = True,
    watch: Callable[[float, float], None] | None = None,
    overrides: Mapping[str, Any] | None = None,
    note: Mapping[str, Any] | None = None,
    **env_kwargs: Any,
) -> SB3Policy:
    """Train with the settings of `HYPERPARAMETERS`; returns the policy that is best on validation episodes.

    Training uses seeds from 2**30 on, validation those of tuning, from 2**29 on. Interrupted by Ctrl-C or SIGTERM, or
    by the time limit, it validates once more and returns the best so far.

    Args:
        algorithm: "dqn", "ppo", "qrdqn" or "maskable_ppo"; joint ids need one of the last two's kind (PPO).
        env_id: with or without the ``aq_gym/``.
        folder: receives the model, the statistics, a card, and TensorBoard's events.
        steps: decisions, by default the settings' number; the last rollout is played to its end.
        seed: of the model and its environments, at least 0.
        seconds: limit of training and validation together; compiling comes before.
        validations: how many, evenly spread; fewer where a limit leaves them a fifth of the time.
        validation_episodes: each time; by default as many as 150,000 decisions make, from 16 to 512.
        progress: show SB3's progress bar.
        watch: called after every validation with the seconds of training so far and the average joint error [µg/m³].
        overrides: settings that replace those of the file; of ``model``, those that it names.
        note: what else to write on the card, such as the command and commit.
        env_kwargs: as for `gymnasium.make`; ``observation`` overrides the settings'.

    Raises:
        ValueError: an unknown algorithm or setting, an id that is no sensing environment, bad arguments to it, or a
            folder that holds another training.
    """
    folder, settings = Path(folder), overridden(algorithm, overrides or {})
    seed, validations = as_count("seed", seed, 0), as_count("validations", validations, 1)
    steps = as_count("steps", settings["steps"] if steps is None else steps, 1)
    check_unused(folder)
    env, problem = _environment(algorithm, env_id, settings, env_kwargs)
    joint = isinstance(env.action_space, gym.spaces.MultiBinary)
    reads = env_kwargs.pop("observation", "full" if joint else settings["observation"])
    if algorithm in OFF_POLICY:
        settings["model"]["learning_starts"] = min(settings["model"]["learning_starts"], steps // 4)
    card = {
        "algorithm": algorithm,
        "env_id": env.unwrapped.env_id,
        "env_kwargs": {key: x if isinstance(x, int | float | str | list) else repr(x) for key, x in env_kwargs.items()},
        "observation": reads,
        "view": "joint" if joint else "sequential",
        "seed": seed,
        "steps": steps,
        "settings": settings,
        "instance": describe_instance(problem),
        **(note or {}),
    }
    episodes = validation_episodes or max(16, min(512, 150_000 // (problem.horizon * problem.n_devices)))
    validation = Validation(problem, episodes, solvable=solvable(env.unwrapped.env_id, env_kwargs))
    clock = Clock()
    watcher = _Watcher(folder, card, max(1, steps // validations), validation, clock, watch)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks gain nothing from more
    try:
        with clock.count("compiling"), announced_compiling():
            _compile(env_id, validation.solvable, {} if joint else {"observation": reads}, env_kwargs)
        model = _make_model(algorithm, env, settings, seed)
        model.set_logger(configure(str(folder), ["tensorboard"]))
        clock.start(seconds)
        with clock.count("validation"):
            validation.limit(seconds)
            validation.draw_yardsticks(folder, steps, VALIDATION_SHARE / 2 * seconds)
        every = settings["n_envs"] if algorithm in OFF_POLICY else 1  # episodes; rollouts
        _learn(model, steps, watcher, log_interval=every, progress_bar=progress)
    finally:
        torch.set_num_threads(threads)
        env.close()
    if not math.isfinite(watcher.best):
        raise RuntimeError(f"{algorithm} on {env_id}: no policy with a finite validation error came of the training")
    policy = SB3Policy.load(folder)
    policy.card |= {f"{kind}_seconds": clock.spent[kind] for kind in ("validation", "compiling")}
    save_card(folder, policy.card)
    return policy


def _environment(algorithm: str, env_id: str, settings: Mapping[str, Any], env_kwargs: dict[str, Any]) -> Any:
    """The wrapped batch, and the problem."""
    others = {key: x for key, x in env_kwargs.items() if key != "observation"}
    problem = problem_of(env_id, **others)  # refuses what would say how to run the id
    joint = isinstance(SB3VecEnv(env_id, 1, **others).action_space, gym.spaces.MultiBinary)
    if joint and algorithm in OFF_POLICY:
        raise ValueError(
            f"algorithm: {algorithm} cannot decide for all devices at once; {env_id} needs ppo or maskable_ppo"
        )
    reads = {} if joint else {"observation": settings["observation"]}
    env = VecNormalize(
        VecMonitor(SB3VecEnv(env_id, settings["n_envs"], **{**reads, **env_kwargs})),
        norm_obs=settings["normalise_observation"],
        norm_reward=settings["normalise_reward"],
        gamma=settings["model"]["gamma"],
    )
    return env, problem


def _compile(env_id: str, solvable: bool, observation: dict[str, Any], env_kwargs: dict[str, Any]) -> None:
    """Play and validate on episodes of a few slots, so that no clock runs while numba compiles."""
    env = SB3VecEnv(env_id, 2, seed=0, **observation, **{**env_kwargs, **TINY})
    env.reset()
    for _ in range(env.native.problem.horizon * env.native.problem.n_devices + 1):
        env.step(np.stack([env.action_space.sample() for _ in range(2)]))
    validation = Validation(env.native.problem, 2, solvable=solvable)
    validation.limit(3600.0)
    validation.scalars(validation.error(Staggered(env.native.problem)))
    env.close()


def _make_model(algorithm: str, env: VecNormalize, settings: Mapping[str, Any], seed: int) -> BaseAlgorithm:
    n_envs = settings["n_envs"]
    first = FIRST_TRAINING_SEED + n_envs * seed % (FIRST_TRAINING_SEED - n_envs)  # seeds the environments too
    kwargs = {"policy_kwargs": dict(settings["policy_kwargs"]), "seed": first, "device": "cpu"}
    try:
        return ALGORITHMS[algorithm]("MlpPolicy", env, **kwargs, **settings["model"])
    except (TypeError, ValueError, AssertionError, KeyError, RuntimeError) as error:
        raise ValueError(f"overrides: {algorithm} does not work with these settings: {error}") from error


def _learn(model: BaseAlgorithm, steps: int, watcher: _Watcher, **how: Any) -> None:
    """Learn to the end, the limit or an interruption; then validate once more."""
    with noted_interrupts() as interrupts:
        watcher.interrupts, watcher.began = interrupts, time.perf_counter()
        watcher.before = watcher.clock.spent["validation"]
        stopped = False
        try:
            model.learn(steps, callback=watcher, **how)
        except KeyboardInterrupt:
            stopped = True
        interrupts.patient = True
        if stopped or interrupts.asked:
            print(f"interrupted after {model.num_timesteps:,} decisions; validating and keeping the best", flush=True)
        watcher.validate()
