"""Our DQN with one thing changed at a time, for the same seconds of training."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from agents import DQNConfig
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES
from aq_gym.problem import Problem
from baselines.evaluation.comparing import mean_with_interval
from baselines.heuristics.index_tuning import index_policy
from baselines.packing import errors_of
from baselines.playing import play_problem
from baselines.studies.tables import interval, markdown, text_table

Changes = dict[str, Any]
Train = Callable[[str, DQNConfig, bool], tuple[Any, dict[str, Any]]]
RETURNS: Changes = {"improvements": 0, "total_decisions": 1_400_000}
SETS: Changes = {"network": "set", "set_context": len(COMPACT_FEATURES), "set_item": len(DEVICE_FEATURES)}
COLUMNS = ("variant", "what", "joint_error", "percent", "percent_low", "percent_high", "seconds", "decisions", "pairs")
HEADS = ("joint error µg/m³", "% of index", "s", "decisions", "pairs")


def variants(config: DQNConfig) -> dict[str, tuple[str, Changes]]:
    """What may be changed of a recipe; "reference" belongs to the training, all else to its configuration."""
    wide, narrow = ([size * 2 for size in config.hidden], [max(1, size // 2) for size in config.hidden])
    few = {"improvements": max(1, config.improvements // 4), "pairs": config.pairs * 4}
    return {
        "recipe": ("the id's recipe: pairs from greedy sensing on, after a short stage of returns", {}),
        "sets": ("a network over sets of devices", SETS),
        "compact": ("the 32 compact numbers alone", {"network": "mlp"}),
        "wide": (f"{'-'.join(map(str, wide))} units", {"hidden": wide}),
        "narrow": (f"{'-'.join(map(str, narrow))} units", {"hidden": narrow}),
        "from returns": ("pairs start from the policy learned from returns", {"improve_from": "learned"}),
        "few large steps": ("a quarter of the steps, four times the pairs", few),
        "whole pairs": ("pairs played to the end", {"pair_cut": 0}),
        "cut pairs": ("pairs cut after 12 slots, learned values for the rest", {"pair_cut": 12}),
        "last step alone": ("only the newest pairs are fitted", {"pairs_kept": 1}),
        "returns": ("no pairs: Peng's Q(lambda) alone", RETURNS),
        "returns, random start": ("the same, the start at random", {**RETURNS, "start": "random"}),
        "returns, one step": ("the same with one-step targets", {**RETURNS, "returns": "one_step"}),
        "returns, not double": ("the same, one network both chooses and values", {**RETURNS, "double": False}),
        "returns, no reference": ("the same, nothing subtracted from rewards", {**RETURNS, "reference": False}),
    }


def changed(config: DQNConfig) -> dict[str, tuple[str, DQNConfig, bool]]:
    """What, configuration and reference of each variant that differs from the recipe, and of the recipe."""
    found = {}
    for name, (what, changes) in variants(config).items():
        reference = bool(changes.get("reference", True))
        variant = config.replace(**{key: value for key, value in changes.items() if key != "reference"})
        if name == "recipe" or variant != config or not reference:
            found[name] = (what, variant, reference)
    return found


def compare(
    config: DQNConfig, problem: Problem, names: Sequence[str] | None, episodes: int, train: Train
) -> pd.DataFrame:
    """Train each variant and play it on the same episodes as the tuned index policy.

    Args:
        train: takes a name, a configuration and whether there is a reference; returns the policy and what it took:
            ``seconds``, ``decisions``, ``pairs``.

    Returns:
        A row for each variant, with `COLUMNS`; differences are to the index policy, in per cent.
    """
    known = changed(config)
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise ValueError(f"--variants: {', '.join(unknown)} is none of this recipe's: {', '.join(known)}")
    base = errors_of(index_policy(problem), problem, episodes, 0)
    rows = []
    for name in dict.fromkeys(names or known):
        what, variant, reference = known[name]
        policy, took = train(name, variant, reference)
        errors = play_problem(policy, problem, episodes, 0).joint_error
        difference = [100.0 * x / base.mean() for x in mean_with_interval(errors - base, seed=0)]
        numbers = took["seconds"], took["decisions"], took["pairs"]
        rows.append((name, what, float(errors.mean()), *difference, *numbers))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(table: pd.DataFrame) -> list[list[str]]:
    return [
        [f"{x.joint_error:.4f}", interval(x, "percent", "+"), f"{x.seconds:.0f}", f"{x.decisions:,}", f"{x.pairs:,}"]
        for x in table.itertuples()
    ]


def summary(table: pd.DataFrame) -> str:
    """The table for a terminal."""
    return text_table(["variant", *HEADS], [[x, *row] for x, row in zip(table.variant, _rows(table), strict=True)])


def page(table: pd.DataFrame, env_id: str, seconds: float, seed: int, episodes: int) -> str:
    """The table in Markdown, with what one must know to read it."""
    rows = [[x, what, *row] for x, what, row in zip(table.variant, table.what, _rows(table), strict=True)]
    return (
        f"# Which lever gives what on {env_id.rpartition('/')[2]}\n\n"
        f"Our DQN with one thing changed at a time, at most {seconds:.0f} s of training each, one training seed "
        f"({seed}). {episodes:,} episodes, the same for all. Rows show the best policy that was learned, although a "
        "training leaves its guide, greedy sensing, where that is better. The index policy was tuned beforehand. "
        "Differences to it are paired, in per cent, with 95 % intervals over the episodes. The intervals do not cover "
        f"what another training seed would change.\n\n{markdown(('variant', 'what', *HEADS), rows)}"
    )
