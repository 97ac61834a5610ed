"""Training our DQN, and trained ones: the names that users import; see `baselines.learners`."""

from baselines.learners.clock import Step as Step
from baselines.learners.run import train as train
from baselines.learners.shipped import load_pretrained as load_pretrained
from baselines.learners.shipped import load_trained as load_trained
from baselines.learners.task import recipe as recipe
from baselines.learners.training import Training as Training
