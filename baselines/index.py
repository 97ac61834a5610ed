"""Old place of `baselines.heuristics.index` and `index_tuning`."""

from baselines.heuristics.index import NAMES, WIDTHS, Index, Simulator
from baselines.heuristics.index_tuning import (
    FEATURES,
    GRID_DECISIONS,
    QUICK_DECISIONS,
    TUNED,
    Budget,
    best_threshold,
    index_policy,
    shifted,
    thresholds,
    tune,
)

__all__ = [
    "FEATURES",
    "GRID_DECISIONS",
    "NAMES",
    "QUICK_DECISIONS",
    "TUNED",
    "WIDTHS",
    "Budget",
    "Index",
    "Simulator",
    "best_threshold",
    "index_policy",
    "shifted",
    "thresholds",
    "tune",
]
