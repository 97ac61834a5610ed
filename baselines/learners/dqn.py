"""Training our DQN on a registered id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents import DQNConfig
from baselines.learners.task import SensingTask
from baselines.learners.training import TaskTraining


class Training(TaskTraining):
    """A training run on an id.

    Args:
        env_id: a registered id of the sequential view, with or without the ``aq_gym/``.
        config: every setting of the learner; its ``improvements`` follow the last decision.
        seed: of the run.
        folder: as for `TaskTraining`, like ``resume``, ``validations`` and ``note``.
        validation_episodes: each time, on seeds that neither training nor evaluation uses; None: 512, more of short
            ones and fewer of very long ones.
        threads: that play pairs; None: as many as there are cores. The result does not depend on it.
        reference: subtract staggered sensing's rewards on the same levels, see `training_env`.
        guide: of `GUIDES`, for configurations that start from one; None: the recipe's.
        env_kwargs: as for `gymnasium.make`.

    Raises:
        ValueError: as for `SensingTask` and `TaskTraining`.
        FileNotFoundError: nothing to resume.
    """

    def __init__(
        self,
        env_id: str,
        config: DQNConfig,
        seed: int = 0,
        folder: Path | None = None,
        *,
        resume: bool = False,
        validations: int = 20,
        validation_episodes: int | None = None,
        note: dict[str, Any] | None = None,
        threads: int | None = None,
        reference: bool = True,
        guide: str | None = None,
        **env_kwargs: Any,
    ) -> None:
        how: dict[str, Any] = {"reference": reference, "guide": guide, "threads": threads}
        task = SensingTask(env_id, config, episodes=validation_episodes, **how, env_kwargs=env_kwargs)
        super().__init__(task, seed, folder, resume=resume, validations=validations, note=note)
        self.problem, self.validation_episodes = task.problem, task.validation.episodes
