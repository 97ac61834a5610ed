"""Stable-Baselines3 on the sensing environments: a VecEnv over the native batch, training, and models as policies."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import QRDQN, MaskablePPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from agents.rollout import FIRST_TRAINING_SEED
from aq_gym.envs.joint_devices import joint_action_masks
from baselines.playing import check_count, native_batch
from baselines.validation import Validation, solvable

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"dqn": DQN, "ppo": PPO, "qrdqn": QRDQN, "maskable_ppo": MaskablePPO}
OFF_POLICY = ("dqn", "qrdqn")  # these keep a replay buffer, and take Discrete actions only
HYPERPARAMETERS = Path(__file__).with_name("sb3_hyperparameters.json")
MODEL, NORMALISATION, CARD = "model.zip", "vecnormalize.pkl", "card.json"


class SB3VecEnv(VecEnv):
    """The native batch of an id as Stable-Baselines3's VecEnv.

    An episode that ends begins anew in the same step: its last observation is in ``infos[k]["terminal_observation"]``,
    its ``average_joint_error`` beside it, and ``TimeLimit.truncated`` is False, since the horizon is a true end.
    ``env_method("action_masks")`` serves MaskablePPO. Put VecMonitor and VecNormalize around it as usual.

    Args:
        env_id: with or without the ``aq_gym/``.
        n_envs: K, how many episodes side by side.
        seed: of the first reset: episode k gets seed + k. None draws one.
        env_kwargs: as for `gymnasium.make`.

    Raises:
        ValueError: an unknown id, or arguments that the environment refuses.
    """

    def __init__(self, env_id: str, n_envs: int, seed: int | None = None, **env_kwargs: Any) -> None:
        env = native_batch(env_id, n_envs, autoreset_mode="SameStep", **env_kwargs)
        self.native, self.env_kwargs = env, env_kwargs
        self.env_id = env_id if "/" in env_id or ":" in env_id else f"aq_gym/{env_id}"
        self._actions: NDArray[np.int64] | None = None
        super().__init__(n_envs, env.single_observation_space, env.single_action_space)
        if seed is not None:
            self.seed(seed)

    def reset(self) -> VecEnvObs:
        """Begin K episodes, with the seeds of `seed` and the options of `set_options` if they were called before."""
        seeds = None if all(s is None for s in self._seeds) else self._seeds
        observation, info = self.native.reset(seed=seeds, options=self._native_options())
        names = [name for name in info if not name.startswith("_")]
        self.reset_infos = [{name: info[name][k] for name in names} for k in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observation

    def _native_options(self) -> dict[str, Any] | None:
        if not any(self._options):
            return None
        if any(set(options) != {"levels"} for options in self._options):
            raise ValueError(
                f"options: expected {{'levels': indices}} for every environment or for none, got {self._options}"
            )
        return {"levels": np.stack([options["levels"] for options in self._options])}

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions, (K,) or in joint ids (K, M), for `step_wait`."""
        self._actions = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Observations (K, size), rewards (K,) [µg/m³], dones (K,) and K infos.

        Raises:
            RuntimeError: `step_async` was not called before.
        """
        if self._actions is None:
            raise RuntimeError("step_wait was called without step_async: there are no actions to take")
        actions, self._actions = self._actions, None
        observation, rewards, terminated, _, info = self.native.step(actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for k in np.flatnonzero(terminated):
            infos[k] = {
                "terminal_observation": info["final_obs"][k],
                "TimeLimit.truncated": False,
                "average_joint_error": float(info["final_info"]["average_joint_error"][k]),
            }
        return observation, rewards.astype(np.float32), terminated, infos

    def close(self) -> None:
        """Close the batch."""
        self.native.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment; spaces are those of one.

        Raises:
            AttributeError: there is none.
        """
        single = {"observation_space": "single_observation_space", "action_space": "single_action_space"}
        value = getattr(self.native, single.get(attr_name, attr_name))
        own = attr_name in ("np_random", "np_random_seed")
        return [value[k] if own else value for k in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of all environments; they share the batch's, so ``indices`` must be None.

        Raises:
            ValueError: only some environments are named.
        """
        if indices is not None:
            raise ValueError(
                f"set_attr({attr_name!r}): the environments share one batch; set it for all (indices=None)"
            )
        setattr(self.native, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """What a method says of each environment: action_masks, get_state or render.

        Raises:
            AttributeError: another method; the batch has no environment of which to ask it.
        """
        if method_name not in ("action_masks", "get_state", "render"):
            raise AttributeError(
                f"env_method({method_name!r}): the native batch answers action_masks, get_state and render"
            )
        found = getattr(self.native, method_name)(*method_args, **method_kwargs)
        return [None if found is None else found[k] for k in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """False for each: nothing stands between this and the batch."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """A picture of each environment, or None where the render mode makes none."""
        if self.render_mode != "rgb_array":
            return [None] * self.num_envs
        return list(self.native.render() or [])


class SB3Policy:
    """A trained model as a policy of ours; it chooses the most likely (or most valuable) action.

    The statistics of observations are copied, so that training on does not change the policy's eyes; the model is not.

    Args:
        model: of Stable-Baselines3 or its contrib package.
        normalise: the VecNormalize that it was trained in, whose statistics are applied to observations; or None.
        observation: which observation it reads, "full", "compact" or "per_device".
        view: "joint" for a model of a joint id, which decides for all devices at once.
        training_seconds: that its training took, validations left out.
        card: how it came about, where it was loaded from files.
    """

    needs_observation = True

    def __init__(
        self,
        model: BaseAlgorithm,
        normalise: VecNormalize | None = None,
        *,
        observation: str = "full",
        view: str = "sequential",
        training_seconds: float = float("nan"),
        card: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.observation, self.view = model, observation, view
        self.training_seconds, self.card = training_seconds, card or {}
        self._masked = isinstance(model, MaskablePPO)
        self._shift = self._scale = self._clip = None
        if normalise is not None and normalise.norm_obs:
            self._shift = normalise.obs_rms.mean.copy()
            self._scale = np.sqrt(normalise.obs_rms.var + normalise.epsilon)
            self._clip = normalise.clip_obs

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> Any:
        """The action of one episode, or those of a batch; only MaskablePPO heeds the mask."""
        seen = np.asarray(observation)
        if self._clip is not None:
            seen = np.clip((seen - self._shift) / self._scale, -self._clip, self._clip).astype(np.float32)
        masks: dict[str, Any] = {}
        if self._masked:
            mask = np.asarray(info["action_mask"])
            if self.view == "joint":
                mask = joint_action_masks(np.atleast_2d(mask)).reshape(*mask.shape[:-1], -1)
            masks["action_masks"] = mask.astype(np.bool_)
        actions, _ = self.model.predict(seen, deterministic=True, **masks)
        return int(actions) if np.ndim(actions) == 0 else np.asarray(actions).astype(np.int64)

    @classmethod
    def load(cls, folder: str | Path) -> SB3Policy:
        """Load what `train` saved. Stable-Baselines3's files hold pickles: load none that you do not trust.

        Raises:
            FileNotFoundError: the folder lacks one of the three files.
        """
        paths = [Path(folder) / name for name in (CARD, MODEL, NORMALISATION)]
        for path in paths:
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing: {folder} is not a folder that scripts.train_sb3 wrote")
        card = json.loads(paths[0].read_text(encoding="utf-8"))
        # Replay is for training alone: none is made here, whatever its class and size were.
        replay = {"replay_buffer_class": None, "buffer_size": 1} if card["algorithm"] in OFF_POLICY else {}
        model = ALGORITHMS[card["algorithm"]].load(paths[1], device="cpu", custom_objects=replay)
        with paths[2].open("rb") as file:
            normalise = pickle.load(file)
        keys = ("observation", "view", "training_seconds")
        return cls(model, normalise, **{key: card[key] for key in keys}, card=card)


def hyperparameters(algorithm: str) -> dict[str, Any]:
    """The settings of an algorithm, from `HYPERPARAMETERS`.

    Raises:
        ValueError: no such algorithm; the message lists them.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    return dict(json.loads(HYPERPARAMETERS.read_text(encoding="utf-8"))[algorithm])


class _Validation(BaseCallback):
    """Plays the present policy on the same validation episodes now and then; keeps the best on disk."""

    def __init__(
        self,
        folder: Path,
        card: dict[str, Any],
        every: int,
        validation: Validation,
        limit: float,
        watch: Callable[[float, float], None] | None,
    ) -> None:
        super().__init__()
        self.folder, self.card, self.every, self.limit, self.watch = folder, card, every, limit, watch
        self.validation = validation
        self.best = math.inf
        self.start = time.perf_counter()
        self.validating = 0.0
        self._next = every

    @property
    def seconds(self) -> float:
        """Spent so far on training, the validations left out."""
        return time.perf_counter() - self.start - self.validating

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next += self.every
            self.validate()
        return self.seconds < self.limit

    def validate(self) -> None:
        began, seconds = time.perf_counter(), self.seconds
        normalise = self.model.get_vec_normalize_env()
        policy = SB3Policy(self.model, normalise, observation=self.card["observation"], view=self.card["view"])
        error = self.validation.error(policy)
        scalars = self.validation.scalars(error) | {"time/training_seconds": seconds}
        for tag, value in scalars.items():
            self.logger.record(tag, value)
        self.logger.record("time/total_timesteps", self.model.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.model.num_timesteps)
        # The card counts the whole run, whenever its best policy came.
        spent = {"decisions": self.model.num_timesteps, "training_seconds": seconds}
        if error < self.best:
            self.best = error
            self.card |= {
                "validation_error": error,
                "validation_episodes": self.validation.episodes,
                "best_after": spent["decisions"],
            }
            save(self.folder, self.model, normalise, self.card | spent)
        elif math.isfinite(self.best):
            save_card(self.folder, self.card | spent)
        if self.watch:
            self.watch(seconds, error)
        self.validating += time.perf_counter() - began


def save(folder: Path, model: BaseAlgorithm, normalise: VecNormalize, card: dict[str, Any]) -> None:
    """Write the three files that `SB3Policy.load` reads, each moved into place when complete."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / f"partial-{MODEL}")
    normalise.save(str(folder / f"partial-{NORMALISATION}"))
    for name in (MODEL, NORMALISATION):
        os.replace(folder / f"partial-{name}", folder / name)
    save_card(folder, card)


def save_card(folder: Path, card: dict[str, Any]) -> None:
    """Write or replace the card alone."""
    partial = folder / f"partial-{CARD}"
    partial.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, folder / CARD)


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
    """Train with the settings of `HYPERPARAMETERS`; keeps the policy that is best on validation episodes.

    Training uses seeds from 2**30 on, validation those of tuning, from 2**29 on. Interrupted by Ctrl-C or by the time
    limit, it validates once more and returns the best so far.

    Args:
        algorithm: "dqn", "ppo", "qrdqn" or "maskable_ppo"; joint ids need one of the last two's kind (PPO).
        env_id: with or without the ``aq_gym/``.
        folder: receives the model, the statistics, a card, and TensorBoard's events.
        steps: decisions; by default the settings' number.
        seed: of the model and its environments.
        seconds: stop after so many seconds of training.
        validations: how many, evenly spread.
        validation_episodes: each time; by default as many as 150,000 decisions make, from 16 to 512.
        progress: show SB3's progress bar.
        watch: called after every validation with the seconds of training so far and the average joint error [µg/m³].
        overrides: settings that replace those of the file; ``model`` is merged.
        note: what else to write on the card, such as the command and commit.
        env_kwargs: as for `gymnasium.make`; ``observation`` overrides the settings'.

    Raises:
        ValueError: an unknown algorithm or setting, an id that is no sensing environment, or bad arguments to it.
    """
    settings = hyperparameters(algorithm)
    overrides = dict(overrides or {})
    unknown = sorted(set(overrides) - set(settings))
    if unknown:
        raise ValueError(f"overrides: unknown setting(s) {', '.join(unknown)}; there are {', '.join(settings)}")
    for name, value in overrides.items():
        if not isinstance(value, type(settings[name])):
            kind = type(settings[name]).__name__
            raise ValueError(f"overrides[{name!r}]: expected {kind} like {settings[name]!r}, got {value!r}")
    model_settings = settings["model"] | overrides.pop("model", {})
    settings |= overrides
    steps = settings["steps"] if steps is None else check_count("steps", steps, 1)
    folder = Path(folder)
    bare = SB3VecEnv(env_id, 1, **env_kwargs)
    joint = isinstance(bare.action_space, gym.spaces.MultiBinary)
    if joint and algorithm in OFF_POLICY:
        raise ValueError(
            f"algorithm: {algorithm} cannot decide for all devices at once; {env_id} needs ppo or maskable_ppo"
        )
    reads = env_kwargs.pop("observation", "full" if joint else settings["observation"])
    chosen = {} if joint else {"observation": reads}
    venv = SB3VecEnv(env_id, settings["n_envs"], **chosen, **env_kwargs)
    problem = venv.native.problem
    env = VecNormalize(
        VecMonitor(venv),
        norm_obs=settings["normalise_observation"],
        norm_reward=settings["normalise_reward"],
        gamma=model_settings["gamma"],
    )
    if algorithm in OFF_POLICY:
        model_settings["learning_starts"] = min(model_settings["learning_starts"], steps // 4)
    card = {
        "algorithm": algorithm,
        "env_id": venv.env_id,
        "env_kwargs": {
            key: value if isinstance(value, int | float | str | list) else repr(value)
            for key, value in env_kwargs.items()
        },
        "observation": reads,
        "view": "joint" if joint else "sequential",
        "seed": seed,
        "steps": steps,
        "settings": {**settings, "model": model_settings},
        **(note or {}),
    }
    episodes = validation_episodes or max(16, min(512, 150_000 // (problem.horizon * problem.n_devices)))
    validation = Validation(problem, episodes, solvable=solvable(venv.env_id, env_kwargs))
    callback = _Validation(folder, card, max(1, steps // validations), validation, seconds, watch)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks gain nothing from more
    try:
        model = ALGORITHMS[algorithm](
            "MlpPolicy",
            env,
            policy_kwargs=dict(settings["policy_kwargs"]),
            seed=FIRST_TRAINING_SEED + settings["n_envs"] * seed,  # seeds the environments too
            device="cpu",
            **model_settings,
        )
        model.set_logger(configure(str(folder), ["tensorboard"]))
        validation.draw_yardsticks(folder, steps)
        callback.start = time.perf_counter()
        try:
            every = settings["n_envs"] if algorithm in OFF_POLICY else 1  # episodes; rollouts
            model.learn(steps, callback=callback, log_interval=every, progress_bar=progress)
        except KeyboardInterrupt:
            print(f"interrupted after {model.num_timesteps:,} decisions; validating and keeping the best")
        callback.validate()
    finally:
        torch.set_num_threads(threads)
        env.close()
    if not math.isfinite(callback.best):
        raise RuntimeError(f"{algorithm} on {env_id}: no policy with a finite validation error came of the training")
    return SB3Policy.load(folder)
