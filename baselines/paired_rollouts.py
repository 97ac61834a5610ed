"""Old place of the counterfactual pairs; see `baselines.learners`."""

from baselines.learners.compiled import available_cores as available_cores
from baselines.learners.compiled import pack as pack
from baselines.learners.pairs import PairCollector as PairCollector
from baselines.learners.pairs import padded as padded
from baselines.learners.pairs import together as together
