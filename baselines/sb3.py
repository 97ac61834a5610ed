"""Stable-Baselines3's agents: the names that users import; see `baselines.learners`."""

from baselines.learners.sb3_env import SB3VecEnv as SB3VecEnv
from baselines.learners.sb3_policy import ALGORITHMS as ALGORITHMS
from baselines.learners.sb3_policy import SB3Policy as SB3Policy
from baselines.learners.sb3_policy import hyperparameters as hyperparameters
from baselines.learners.sb3_training import train as train
