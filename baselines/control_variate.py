"""Old place of the reference rewards; see `baselines.learners`."""

from baselines.learners.reference_reward import ReferenceReward as ReferenceReward
