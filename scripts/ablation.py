"""Ablation: our DQN with one setting changed at a time, for the same training time.

    python -m scripts.ablation                                  # MultiDevice-v0, 120 s each, about half an hour
    python -m scripts.ablation --env aq_gym/TwoDevices-v0 --seconds 60 --variants recipe compact wide
    python -m scripts.ablation --markdown docs/ablation.md

All agents play the same episodes. Differences to the tuned index policy are paired, in per cent, with 95 % intervals.
Finished trainings in runs/ablation are used again, with --keep-agents also those of earlier code; --anew trains them
again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from agents import DQNConfig, load_policy
from baselines.learners.resumption import CHECKPOINT
from baselines.learners.task import observation_of_config
from baselines.playing import problem_of
from baselines.studies.ablation import compare, page, summary
from baselines.studies.files import write_results
from baselines.studies.stored_trainings import recipe_config, train_once
from scripts.arguments import add_env, add_results, at_least, command_parser, json_object, parsed
from scripts.command import enter


def main(args: argparse.Namespace) -> pd.DataFrame:
    problem = problem_of(args.env, **args.env_kwargs)
    config = recipe_config(args.env, args.seconds, **args.overrides)

    def train(name: str, variant: DQNConfig, reference: bool) -> tuple[Any, dict[str, Any]]:
        folder = args.folder / args.env.rpartition("/")[2] / name.replace(", ", "-").replace(" ", "-")
        limits: dict[str, Any] = {"name": name, "seconds": args.seconds, "reference": reference}
        took = train_once(folder, args.env, variant, args, **limits, **args.env_kwargs)
        policy = load_policy(folder / CHECKPOINT)  # the best that was learned, even if the guide was better
        policy.observation = observation_of_config(variant)
        return policy, took

    table = compare(config, problem, args.variants, args.episodes, train)
    print(summary(table))
    numbers = table.assign(episodes=args.episodes, seed=args.seed)
    text = page(table, args.env, args.seconds, args.seed, args.episodes)
    text += "\n\nAgents that earlier code trained were used again.\n" if args.keep_agents else ""
    write_results(numbers, args.csv, text, args.markdown, args.command)
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_env(parser)
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="default: all that differ from the recipe")
    parser.add_argument("--seconds", type=at_least(0, float), default=120.0, help="of each training")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the trainings")
    parser.add_argument("--episodes", type=at_least(1), default=4_000)
    parser.add_argument("--overrides", type=json_object, default={}, help="of the recipe, for all variants, as JSON")
    parser.add_argument("--anew", action="store_true", help="train again what is there")
    parser.add_argument("--keep-agents", action="store_true", help="also use agents that earlier code trained")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "ablation")
    add_results(parser, "ablation")
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
