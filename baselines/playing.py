"""Old place of `baselines.evaluation.playing`."""

from baselines.evaluation.playing import (
    FIRST_TUNING_SEED,
    MOST_EPISODES,
    Record,
    check_count,
    check_policy,
    native_batch,
    play_problem,
    problem_of,
)

__all__ = [
    "FIRST_TUNING_SEED",
    "MOST_EPISODES",
    "Record",
    "check_count",
    "check_policy",
    "native_batch",
    "play_problem",
    "problem_of",
]
