"""What our DQN learns on: the committed settings of an id, its environment, validation, guide and pairs."""

import json
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from agents import DQNConfig
from aq_gym.observation import ObservationLayout
from aq_gym.problem import Problem
from baselines.learners.guide import Guide
from baselines.learners.instance import describe_instance, instance_differences
from baselines.learners.pairs import PairCollector
from baselines.learners.reference_reward import training_env
from baselines.learners.validation import Validation, quick_to_evaluate, solvable, validation_episodes
from baselines.playing import native_batch, problem_of

RECIPES = Path(__file__).parents[1] / "dqn_recipes.json"
# Episodes that compile what longer ones need.
TINY: dict[str, Any] = {"horizon": 4, "energy_budget": 2, "energy_budgets": None, "max_sleep": 4}


def recipe(env_id: str, seconds: float = math.inf) -> dict[str, Any]:
    """The committed settings for an id, those named ``default`` where it has none of its own.

    A recipe may know other settings for trainings that are cut short, the shortest first: the first count of which
    ``seconds`` are at most theirs. It may also name another id ``as`` which to train.
    """
    recipes: dict[str, dict[str, Any]] = json.loads(RECIPES.read_text(encoding="utf-8"))
    own = recipes.get(env_id.rpartition("/")[2], {})
    chosen = {**recipes["default"], **recipes.get(own.get("as", ""), {}), **own}
    chosen.pop("as", None)
    short = next((x for x in chosen.pop("short", []) if seconds <= x["seconds"]), {"settings": {}})
    chosen["settings"] = {**chosen["settings"], **short["settings"]}
    return chosen


def observation_of_config(config: DQNConfig) -> str:
    """Which observation a network of that configuration reads; the paper's own forms read the full one."""
    return {"set": "per_device", "mlp": "compact"}.get(config.network, "full")


def with_segments(config: DQNConfig, problem: Problem) -> DQNConfig:
    """The configuration, a state-action network's segments filled in: 4 belongs to off and 3 to on."""
    if config.network != "state_action":
        return config
    layout = ObservationLayout.of(problem, "full")
    on = layout.slice("decrease_if_on").start, layout.slice("on").stop
    off = layout.slice("decrease_if_off").start, layout.slice("off").stop
    return config.replace(action_segments=[*off, *on])


def tiny_config(config: DQNConfig) -> DQNConfig:
    """The same kind of training with as little of everything as there can be."""
    return config.replace(
        **dict.fromkeys(("total_decisions", "start_decisions", "start_updates"), 1),
        **dict.fromkeys(("pairs_kept", "pair_updates", "value_updates"), 1),
        **{"n_environments": 2, "batch_size": 8, "pairs": 8, "replay_capacity": 64, "pair_step": 1.0},
        **{name: min(1, getattr(config, name)) for name in ("improvements", "pair_cut")},
        action_segments=[],
    )


class SensingTask:
    """Learning on a registered id; the arguments are those of `baselines.learners.training.Training`."""

    def __init__(
        self,
        env_id: str,
        config: DQNConfig,
        *,
        episodes: int | None = None,
        reference: bool = True,
        guide: str | None = None,
        threads: int | None = None,
        env_kwargs: dict[str, Any] | None = None,
    ) -> None:
        kwargs = dict(env_kwargs or {})
        _check_view(env_id, kwargs)
        self.observation = observation_of_config(config)
        if self.observation == "full" and "guide" in (config.start, config.improve_from):
            raise ValueError(f"start, improve_from: the guide does not read what network={config.network!r} reads")
        self.env_id, self.reference, self.threads = env_id, reference, threads
        self.guide_name = recipe(env_id).get("guide", "greedy") if guide is None else guide
        env = training_env(env_id, config.n_environments, self.observation, reference=reference, **kwargs)
        self.env: VectorEnv[Any, Any, Any] = env
        self.problem: Problem = env.problem
        self.config = with_segments(config, self.problem)
        self.validation = Validation(
            self.problem,
            validation_episodes(self.problem) if episodes is None else episodes,
            solvable=solvable(env_id, kwargs),
            exact=episodes is None and quick_to_evaluate(self.problem),
        )

    def collector(self, guide: Guide | None) -> PairCollector:
        """What plays pairs."""
        points = max(24, self.problem.horizon * self.problem.n_devices // 60)
        return PairCollector(
            self.problem,
            guide.policy if guide else None,
            observation=self.observation,
            n_episodes=max(4, 64 * 24 // points),
            points=points,
            cut=self.config.pair_cut,
            alone=self.config.pair_alone,
            alone_first=self.config.pair_alone_first,
            threads=self.threads,
        )

    def added(self) -> float:
        """What was added, for learning alone, to the mean return of the round that was played last."""
        return float(np.mean(self.env.added)) if self.reference else 0.0  # type: ignore[attr-defined]

    def record(self) -> dict[str, Any]:
        """What a resumption must share beside configuration and seed, as JSON values."""
        return {"guide": self.guide_name, "reference": self.reference, "instance": describe_instance(self.problem)}

    def differences(self, recorded: dict[str, Any]) -> list[str]:
        """How a record that a checkpoint holds differs from this task, one phrase each."""
        here = {"guide": self.guide_name, "reference": self.reference}
        found = [f"{key} was {recorded[key]!r}, here {x!r}" for key, x in here.items() if recorded.get(key, x) != x]
        return found + instance_differences(recorded.get("instance", {}), self.problem)


def _check_view(env_id: str, kwargs: dict[str, Any]) -> None:
    if "observation" in kwargs:
        raise ValueError("env_kwargs: observation follows from the network; choose it by the configuration's network")
    problem_of(env_id, **kwargs)  # refuses what would say how to run the id
    env = native_batch(env_id, 1, **kwargs)
    env.close()
    if isinstance(env.single_action_space, gym.spaces.MultiBinary):
        raise ValueError(
            f"env_id: our DQN learns the sequential view, and {env_id} is the joint one: train on "
            "aq_gym/MultiDevice-v0, the same problem, whose agent plays the joint view too; scripts.train_sb3 "
            "--algorithm ppo (or maskable_ppo) trains on the joint view itself"
        )
