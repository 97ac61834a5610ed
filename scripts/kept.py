"""Old place of `baselines.studies.training` and `baselines.studies.tables`."""

from baselines.studies.tables import markdown, percent
from baselines.studies.training import FINISHED, train_once

__all__ = ["FINISHED", "markdown", "percent", "train_once"]
