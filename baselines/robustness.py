"""Old place of `baselines.studies.robustness`."""

from baselines.studies.robustness import Disturbance, play_disturbed, scaled

__all__ = ["Disturbance", "play_disturbed", "scaled"]
