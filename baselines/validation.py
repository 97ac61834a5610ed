"""Old place of validation; see `baselines.learners`."""

from baselines.learners.validation import Validation as Validation
from baselines.learners.validation import quick_to_evaluate as quick_to_evaluate
from baselines.learners.validation import solvable as solvable
