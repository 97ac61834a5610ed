"""Stable-Baselines3's agents: the names that users import; see `baselines.learners`."""

from baselines.learners.sb3_env import SB3VecEnv as SB3VecEnv
from baselines.learners.sb3_policy import ALGORITHMS as ALGORITHMS
from baselines.learners.sb3_policy import CARD as CARD
from baselines.learners.sb3_policy import HYPERPARAMETERS as HYPERPARAMETERS
from baselines.learners.sb3_policy import MODEL as MODEL
from baselines.learners.sb3_policy import OFF_POLICY as OFF_POLICY
from baselines.learners.sb3_policy import SB3Policy as SB3Policy
from baselines.learners.sb3_policy import hyperparameters as hyperparameters
from baselines.learners.sb3_training import train as train
