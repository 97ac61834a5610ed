"""aq_gym: battery-limited air-quality sensor networks as Gymnasium environments.

>>> import gymnasium as gym
>>> env = gym.make("aq_gym:aq_gym/MultiDevice-v0")
"""

from __future__ import annotations

from aq_gym.network import SensorNetwork
from aq_gym.registration import reference_scores, register_all

__version__ = "0.1.0"
__all__ = ["SensorNetwork", "__version__", "reference_scores"]

register_all()
