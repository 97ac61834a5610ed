"""Train a Stable-Baselines3 agent on an id.

    python -m scripts.train_sb3 --env aq_gym/MultiDevice-v0 --algorithm ppo
    python -m scripts.train_sb3 --env aq_gym/SingleDevice-v0 --algorithm dqn --steps 300000 --seed 1
    tensorboard --logdir runs/sb3

Settings are data: baselines/sb3_hyperparameters.json. The folder receives the policy that was best on the validation
episodes (model.zip, vecnormalize.pkl, card.json) and TensorBoard's events. --seconds limits training and validation
together; compiling comes before. Ctrl-C (or SIGTERM) stops early and keeps the best.
Play it with `python -m scripts.evaluate --sb3 FOLDER`.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from baselines.learners.sb3_policy import ALGORITHMS
from baselines.learners.sb3_training import train
from baselines.studies.provenance import commit
from scripts.command import check_arguments, enter, json_object, positive_seconds


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
        note={"command": shlex.join(["python", "-m", "scripts.train_sb3", *args.given]), "commit": commit()},
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="aq_gym/MultiDevice-v0", help="id (default aq_gym/MultiDevice-v0)")
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="ppo")
    parser.add_argument("--steps", type=int, help="decisions (default: that of the settings)")
    parser.add_argument("--seconds", type=positive_seconds, default=math.inf, help="stop after so many (see above)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default runs/sb3/ALGORITHM-ID-seedSEED")
    parser.add_argument(
        "--overrides", type=json_object, default={}, help="""settings as JSON: '{"model": {"n_steps": 5}}'"""
    )
    parser.add_argument(
        "--env-kwargs", type=json_object, default={}, help="""arguments to the id as JSON: '{"horizon": 30}'"""
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    return args


if __name__ == "__main__":
    enter(main, parse)
