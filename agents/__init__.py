"""The learners: deep Q-learning for any Gymnasium vector environment with Box observations and masked Discrete actions.

Nothing in this package knows about air quality. Modules: ``config`` (every default, and named configurations),
``networks``, ``exploration``, ``replay``, ``rollout`` (playing episodes), ``fitting`` (gradient steps), ``dqn`` (the
learner), ``counterfactual`` (regression on paired differences), ``improvement`` (policy iteration on them), ``policy``
(the greedy policy), ``state``, ``checkpoints``, ``files`` (saving) and ``tensorboard``.
"""

from agents.checkpoints import CheckpointError, export, load, load_policy, save
from agents.config import DQNConfig
from agents.counterfactual import fit_advantages
from agents.dqn import DQN, train
from agents.improvement import Improvement, PairedDQN
from agents.policy import GreedyPolicy
from agents.rollout import Progress
from agents.tensorboard import TensorBoardLogger

__all__ = [
    "DQN",
    "CheckpointError",
    "DQNConfig",
    "GreedyPolicy",
    "Improvement",
    "PairedDQN",
    "Progress",
    "TensorBoardLogger",
    "export",
    "fit_advantages",
    "load",
    "load_policy",
    "save",
    "train",
]
