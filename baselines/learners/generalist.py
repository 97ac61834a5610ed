"""One network for many networks: a DQN over sets of devices, trained on random instances, that serves any of them.

Its pairs come from fresh instances of `aq_gym.sampler.InstanceSampler` in every step, and its network
(`agents.networks.SetQ`) reads a row for each device, so the number and the order of the devices do not matter.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents import DQNConfig
from baselines.learners.mixed import MixedTask, Sampler, training_sampler
from baselines.learners.training import TaskTraining

RECIPE = Path(__file__).parents[1] / "generalist_recipe.json"


def recipe() -> DQNConfig:
    """The committed settings."""
    content = json.loads(RECIPE.read_text(encoding="utf-8"))
    return DQNConfig.named(content["config"], **content["settings"])


class GeneralistTraining(TaskTraining):
    """Training of the generalist; as `baselines.learners.training.Training`, on many instances instead of an id.

    Args:
        config: every setting; its ``n_environments`` is the number of instances in the first stage.
        seed: of the run.
        folder: as for `Training`.
        sampler: from a seed to what draws the instances.
        validation_instances: how many it is validated on, drawn from a seed of their own.
        validation_episodes: of each of them; None: 96.
        threads: that play pairs; None: as many as there are cores.
        kwargs: ``resume``, ``validations`` and ``note``, as for `Training`.

    Raises:
        ValueError: a network that reads no sets, or what `Training` refuses.
        TypeError: an unknown argument.
    """

    def __init__(
        self,
        config: DQNConfig,
        seed: int = 0,
        folder: Path | None = None,
        *,
        sampler: Sampler = training_sampler,
        validation_instances: int = 40,
        validation_episodes: int | None = None,
        threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        how = {"validation_instances": validation_instances, "episodes": validation_episodes or 96}
        super().__init__(MixedTask(config, sampler, **how, threads=threads), seed, folder, **kwargs)
