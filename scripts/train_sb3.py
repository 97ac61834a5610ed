"""Train a Stable-Baselines3 agent on an id.

    python -m scripts.train_sb3 --env aq_gym/MultiDevice-v0 --algorithm ppo
    python -m scripts.train_sb3 --env aq_gym/SingleDevice-v0 --algorithm dqn --steps 300000 --seed 1
    tensorboard --logdir runs/sb3

Settings are data: baselines/sb3_hyperparameters.json. The folder receives the policy that was best on the validation
episodes (model.zip, vecnormalize.pkl, card.json) and TensorBoard's events. --seconds limits training and validation
together; compiling comes before. Ctrl-C (or SIGTERM) stops early and keeps the best.
Play it with `python -m scripts.evaluate --sb3 FOLDER`.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from baselines.learners.sb3_policy import ALGORITHMS
from baselines.learners.sb3_training import train
from baselines.studies.provenance import commit
from scripts.arguments import add_env, at_least, check_arguments, command_parser, json_object, parsed
from scripts.command import enter


def main(args: argparse.Namespace) -> None:
    name = args.env.rpartition("/")[2]
    folder = args.folder or Path("runs") / "sb3" / f"{args.algorithm}-{name}-seed{args.seed}"
    check_arguments("--env-kwargs", args.env_kwargs, train)
    policy = train(
        args.algorithm,
        args.env,
        folder,
        steps=args.steps,
        seed=args.seed,
        seconds=args.seconds,
        progress=not args.quiet,
        overrides=args.overrides,
        note={"command": args.command, "commit": commit()},
        **args.env_kwargs,
    )
    card = policy.card
    training, validation, compiling = (card[f"{kind}_seconds"] for kind in ("training", "validation", "compiling"))
    print(
        f"{args.algorithm} on {args.env}: {card['validation_error']:.3f} µg/m³ on {card['validation_episodes']} "
        f"validation episodes; {card['decisions']:,} decisions in {training:.1f} s of training, "
        f"{validation:.1f} s of validation (and {compiling:.1f} s of compiling before), "
        f"best after {card['best_after']:,}; written to {folder}"
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_env(parser)
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="ppo")
    parser.add_argument("--steps", type=int, help="decisions, rounded up to rollouts (default: that of the settings)")
    parser.add_argument("--seconds", type=at_least(0, float), default=math.inf, help="stop after so many (see above)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default runs/sb3/ALGORITHM-ID-seedSEED")
    parser.add_argument(
        "--overrides", type=json_object, default={}, help="""settings as JSON: '{"model": {"n_steps": 5}}'"""
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
