"""Watching a training: the same validation episodes, tags and yardstick lines for every learner."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from agents import TensorBoardLogger
from aq_gym import reference_scores
from aq_gym.problem import Problem
from baselines.playing import FIRST_TUNING_SEED, play_problem
from baselines.policies import Random, Staggered, Synchronised


class Validation:
    """Episodes on seeds that neither training nor evaluation uses.

    Args:
        problem: what is played.
        episodes: how many.
        solvable: whether the optimum may be computed, to tell the regret.
    """

    def __init__(self, problem: Problem, episodes: int, *, solvable: bool) -> None:
        self.problem, self.episodes, self.solvable = problem, episodes, solvable

    def error(self, policy: Any) -> float:
        """A policy's average joint error on the episodes [µg/m³]."""
        return float(play_problem(policy, self.problem, self.episodes, FIRST_TUNING_SEED).joint_error.mean())

    @cached_property
    def optimum(self) -> float | None:
        """What the optimal policy scores on these very episodes, where solvable: a paired regret has far less noise."""
        return self.error(self._optimal) if self.solvable else None

    @cached_property
    def _optimal(self) -> Any:
        from baselines.evaluation import build_policy

        return build_policy("optimal", self.problem)[0]

    def scalars(self, error: float) -> dict[str, float]:
        """What to log of a policy of that error, by TensorBoard tag."""
        found = {"eval/joint_error": error, "eval/mean_reward": -error * self.problem.horizon}
        if self.optimum is not None:
            found["eval/regret_percent"] = 100.0 * (error / self.optimum - 1.0)
        return found

    def draw_line(self, folder: Path, policy: Any, last: int) -> None:
        """A policy's score as a constant line from decision 0 to ``last``, a run of its own in ``folder``."""
        scalars = self.scalars(self.error(policy))
        with TensorBoardLogger(folder) as line:
            for at in (0, last):
                for tag, value in scalars.items():
                    line.scalar(tag, value, at)

    def draw_yardsticks(self, folder: Path, last: int) -> None:
        """The lines of random and uniform sensing, and of the optimum where solvable, beside a training's run."""
        for name, make in (("random", Random), ("synchronised", Synchronised), ("staggered", Staggered)):
            self.draw_line(folder / name, make(self.problem), last)
        if self.solvable:
            self.draw_line(folder / "optimal", self._optimal, last)


def solvable(env_id: str, env_kwargs: dict[str, Any]) -> bool:
    """Whether the optimum of an id, made with these arguments, is known to be computable in seconds."""
    try:
        return not env_kwargs and reference_scores(env_id)["optimum"] is not None
    except ValueError:  # no scores of this id
        return False
