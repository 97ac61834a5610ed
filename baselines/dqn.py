"""Training our DQN, and trained ones: the names that users import; see `baselines.learners`."""

from baselines.learners.clock import Step as Step
from baselines.learners.guide import GUIDES as GUIDES
from baselines.learners.guide import Guide as Guide
from baselines.learners.reference_reward import training_env as training_env
from baselines.learners.resumption import CHECKPOINT as CHECKPOINT
from baselines.learners.resumption import POLICY as POLICY
from baselines.learners.run import train as train
from baselines.learners.shipped import PRETRAINED as PRETRAINED
from baselines.learners.shipped import is_shipped as is_shipped
from baselines.learners.shipped import load_pretrained as load_pretrained
from baselines.learners.shipped import load_trained as load_trained
from baselines.learners.shipped import pretrained_ids as pretrained_ids
from baselines.learners.shipped import pretrained_policy as pretrained_policy
from baselines.learners.task import RECIPES as RECIPES
from baselines.learners.task import observation_of_config as observation_of_config
from baselines.learners.task import recipe as recipe
from baselines.learners.task import with_segments as with_segments
from baselines.learners.training import Training as Training
