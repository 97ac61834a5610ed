"""What a picture of one moment of an episode shows, and the words that every picture uses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aq_gym.inference import Map
from aq_gym.problem import Problem

MANY = 12  # up to so many devices are drawn and listed one by one


@dataclass(frozen=True)
class Scene:
    """What a picture of one moment shows."""

    problem: Problem
    slot: int  # 1..T, T + 1 = over
    turn: int | None  # the device that decides; None in the joint view
    energy: NDArray[np.int64]  # (M,) sensings left
    delay: NDArray[np.int64]  # (M,) slots since last sensed
    record: NDArray[np.float64]  # (M,) level when last sensed [µg/m³]
    levels: NDArray[np.float64]  # (slots so far + 1,) [µg/m³]; hidden ones as the last reports say, NaN before these
    map: Map
    past_error: float | None = None  # average joint error of the slots that have ended [µg/m³]; None before the first

    @property
    def over(self) -> bool:
        """Whether the episode has ended."""
        return self.slot > self.problem.horizon

    @property
    def error(self) -> float:
        """The map's average joint error; of a finished episode the average over its slots [µg/m³]."""
        if self.over and self.past_error is not None:
            return self.past_error
        return float(self.map.joint_error.mean())

    @property
    def believed(self) -> bool:
        """Whether the levels are what the server believes, not what they were."""
        return self.problem.inference == "hidden"

    @property
    def deciding(self) -> int | None:
        """The one device that decides now; None in the joint view and after the end."""
        return None if self.over else self.turn


def status(scene: Scene) -> str:
    """Who decides, or that the episode is over."""
    if scene.over:
        return "episode over"
    if scene.turn is None:
        return "all devices decide"
    return f"device {scene.turn} decides"


def title(problem: Problem, longest: int) -> str:
    """The network's name, without characters that the font lacks."""
    name = "".join(c if c.isprintable() and ord(c) < 0x250 else "?" for c in problem.network.name)
    return name if len(name) <= longest else name[: longest - 1] + "…"


def count(n: int, noun: str) -> str:
    """The number of something, in words."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
