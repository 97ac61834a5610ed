"""aq_gym: battery-limited air-quality sensor networks as Gymnasium environments.

>>> import gymnasium as gym
>>> env = gym.make("aq_gym:aq_gym/MultiDevice-v0")
"""

from importlib import import_module
from typing import Any

from aq_gym.network import SensorNetwork
from aq_gym.registration import reference_scores, register_all

__version__ = "0.1.0"
__all__ = ["SensorNetwork", "__version__", "calibration", "datasets", "reference_scores"]

register_all()


def __getattr__(name: str) -> Any:
    if name in ("calibration", "datasets"):  # loaded when used: `import aq_gym` stays light
        return import_module(f"aq_gym.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
