"""Old place of the generalist; see `baselines.learners`."""

from baselines.learners.compiled import compiled_error as compiled_error
from baselines.learners.generalist import GeneralistTraining as GeneralistTraining
from baselines.learners.generalist import recipe as recipe
from baselines.learners.mixed import MixedPairCollector as MixedPairCollector
from baselines.learners.mixed import MixedValidation as MixedValidation
from baselines.learners.shipped import GENERALIST as AGENT  # noqa: F401
from baselines.learners.shipped import generalist_for as generalist_for
from baselines.learners.shipped import load_generalist as load_generalist
