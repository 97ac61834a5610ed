"""Old place of `baselines.heuristics.simple`."""

from baselines.heuristics.simple import (
    Actions,
    Info,
    Random,
    Staggered,
    Synchronised,
    Uniform,
    check_devices,
    legal,
    plain,
)

__all__ = [
    "Actions",
    "Info",
    "Random",
    "Staggered",
    "Synchronised",
    "Uniform",
    "check_devices",
    "legal",
    "plain",
]
