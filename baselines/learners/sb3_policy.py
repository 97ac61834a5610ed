"""Agents of Stable-Baselines3: their settings, their files, and how they are policies of ours."""

from __future__ import annotations

import inspect
import io
import json
import math
import pickle
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from sb3_contrib import QRDQN, MaskablePPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from agents.files import write_whole
from aq_gym.envs.joint_devices import joint_action_masks

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"dqn": DQN, "ppo": PPO, "qrdqn": QRDQN, "maskable_ppo": MaskablePPO}
OFF_POLICY = ("dqn", "qrdqn")  # these keep a replay buffer, and take Discrete actions only
MODEL, NORMALISATION, CARD = "model.zip", "vecnormalize.pkl", "card.json"
HYPERPARAMETERS = Path(__file__).parents[1] / "sb3_hyperparameters.json"
_OURS = {"self", "policy", "env", "policy_kwargs", "verbose", "seed", "device", "tensorboard_log", "_init_setup_model"}
_MAY_BE_ZERO = ("learning_starts",)
_MAY_BE_MINUS_ONE = ("gradient_steps", "sde_sample_freq")
_SHARES = ("gamma", "gae_lambda", "tau", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps")


class SB3Policy:
    """A trained model as a policy of ours; it chooses the most likely (or most valuable) action.

    The statistics of observations are copied, so that further training leaves them alone; the model is not copied.

    Args:
        model: of Stable-Baselines3 or its contrib package.
        normalise: the VecNormalize that it was trained in, whose statistics are applied to observations; or None.
        observation: which one it reads.
        view: "joint" for a model of a joint id, which decides for all devices at once.
        training_seconds: validations left out.
        card: how it came about.

    Raises:
        ValueError: the view is not that of the model's actions.
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
        right = "joint" if isinstance(model.action_space, gym.spaces.MultiBinary) else "sequential"
        if view != right:
            raise ValueError(f"view: expected {right!r} for a model that acts in {model.action_space}, got {view!r}")
        self.model, self.observation, self.view = model, observation, view
        self.training_seconds, self.card = training_seconds, card or {}
        self._masked = isinstance(model, MaskablePPO)
        self._shift = self._scale = self._clip = None
        if normalise is not None and normalise.norm_obs:
            self._shift = normalise.obs_rms.mean.copy()
            self._scale = np.sqrt(normalise.obs_rms.var + normalise.epsilon)
            self._clip = normalise.clip_obs

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> Any:
        """The action of one episode, or those of a batch; only MaskablePPO uses the mask.

        Raises:
            ValueError: the observation has another size than that of the model's training.
        """
        seen, (size,) = np.asarray(observation), self.model.observation_space.shape
        if seen.shape[-1:] != (size,):
            raise ValueError(
                f"observation of shape {seen.shape}: the model reads {size}; observation={self.observation!r} of this "
                "SB3Policy must be the one that it was trained on"
            )
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
                raise FileNotFoundError(
                    f"{path} is missing: expected a folder that scripts.train_sb3 wrote, such as "
                    "runs/sb3/ppo-MultiDevice-v0-seed0"
                )
        card = _read_card(paths[0])
        # Replay is for training alone: none is made here, whatever its class and size were.
        replay = {"replay_buffer_class": None, "buffer_size": 1} if card["algorithm"] in OFF_POLICY else {}
        try:
            model = ALGORITHMS[card["algorithm"]].load(paths[1], device="cpu", custom_objects=replay)
            normalise = pickle.loads(paths[2].read_bytes())
        except Exception as error:  # unpickling raises whatever damaged bytes ask for
            raise ValueError(f"{folder}: {MODEL} or {NORMALISATION} is damaged, train again: {error!r}") from error
        keys = ("observation", "view", "training_seconds")
        return cls(model, normalise, **{key: card[key] for key in keys}, card=card)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in ("algorithm", "observation", "view", "training_seconds") if key not in card]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: damaged: expected a JSON object, as scripts.train_sb3 writes it: {error}") from error
    if not isinstance(card, dict) or missing or card["algorithm"] not in ALGORITHMS:
        raise ValueError(f"{path}: damaged: expected an object with algorithm (of {', '.join(ALGORITHMS)}) and view")
    return card


def save(folder: Path, model: BaseAlgorithm, normalise: VecNormalize, card: Mapping[str, Any]) -> None:
    """Write the three files that `SB3Policy.load` reads, each moved into place when complete."""
    _write(folder / MODEL, model.save)
    _write(folder / NORMALISATION, lambda file: pickle.dump(normalise, file))
    save_card(folder, card)


def save_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write or replace the card alone."""
    _write(folder / CARD, lambda file: file.write((json.dumps(card, indent=1) + "\n").encode()))


def _write(path: Path, write: Callable[[io.BytesIO], Any]) -> None:
    content = io.BytesIO()
    write(content)
    write_whole(path, content.getvalue())


def check_unused(folder: Path) -> None:
    """Refuse a folder that holds a training of SB3's agents."""
    if any((folder / name).exists() for name in (CARD, MODEL)) or any(folder.glob("events.*")):
        raise ValueError(f"{folder} holds a training: --folder names another place (SB3's agents are not resumed)")


def hyperparameters(algorithm: str) -> dict[str, Any]:
    """The settings of an algorithm, from `HYPERPARAMETERS`.

    Raises:
        ValueError: no such algorithm; the message lists them.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    return dict(json.loads(HYPERPARAMETERS.read_text(encoding="utf-8"))[algorithm])


def overridden(algorithm: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an algorithm with some replaced; of ``model``, those that it names."""
    settings = hyperparameters(algorithm)
    unknown = sorted(set(overrides) - set(settings))
    if unknown:
        raise ValueError(f"overrides: unknown setting(s) {', '.join(unknown)}; there are {', '.join(settings)}")
    for name, value in overrides.items():
        if type(value) is not type(settings[name]):
            kind = type(settings[name]).__name__
            raise ValueError(f"overrides[{name!r}]: expected {kind} like {settings[name]!r}, got {value!r}")
        if type(value) is int and value < 1:
            raise ValueError(f"overrides[{name!r}]: expected an integer of at least 1, got {value!r}")
    model = dict(overrides.get("model", {}))
    _check_model(algorithm, model)
    return settings | dict(overrides) | {"model": settings["model"] | model}


def _check_model(algorithm: str, model: Mapping[str, Any]) -> None:
    parameters = inspect.signature(ALGORITHMS[algorithm].__init__).parameters
    known = {name: parameter.default for name, parameter in parameters.items() if name not in _OURS}
    unknown = sorted(set(model) - set(known))
    if unknown:
        raise ValueError(
            f"overrides['model']: {algorithm} takes no {', '.join(map(repr, unknown))}; it takes {', '.join(known)}"
        )
    for name, value in model.items():
        default = known[name]
        if isinstance(default, bool):
            right, expected = isinstance(value, bool), "true or false"
        elif isinstance(default, int):
            least = 0 if name in _MAY_BE_ZERO else 1
            whole = isinstance(value, int) and not isinstance(value, bool)
            right = whole and (value >= least or (value == -1 and name in _MAY_BE_MINUS_ONE))
            expected = f"an integer of at least {least}"
        else:
            most = 1.0 if name in _SHARES else math.inf
            number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
            right = (number and 0 <= value <= most) or (value is None and default is None)
            expected = "a number from 0 to 1" if most == 1.0 else "a finite number of at least 0"
        if not right:
            raise ValueError(f"overrides['model'][{name!r}]: expected {expected}, got {value!r}")
