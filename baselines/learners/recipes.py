"""The committed settings of our DQN for each id, and what they ask of the environment."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from agents import DQNConfig
from aq_gym.observation import ObservationLayout
from aq_gym.problem import Problem

RECIPES = Path(__file__).parents[1] / "dqn_recipes.json"


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


def observation_of(config: DQNConfig) -> str:
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
