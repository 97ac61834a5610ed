"""Train an agent to act as a policy does: a network instead of tables, by DAgger.

    python -m scripts.imitate --env aq_gym/MultiDevice-Hidden-Week-v0 --expert adaptive-relay
    python -m scripts.evaluate --env aq_gym/MultiDevice-Hidden-Week-v0 --policies adaptive-relay --dqn FOLDER

The folder receives policy.safetensors, the best round's network in validation.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents import export
from baselines.evaluation import WORDS, build_policy
from baselines.learners.imitation import imitate
from baselines.learners.resumption import POLICY
from baselines.playing import problem_of
from baselines.studies.provenance import commit
from scripts.arguments import check_arguments, command_parser, json_object, parsed
from scripts.command import enter


def main(args: argparse.Namespace) -> None:
    check_arguments("--env-kwargs", args.env_kwargs, imitate)
    name = args.env.rpartition("/")[2]
    folder = args.folder or Path("runs") / "imitation" / f"{args.expert}-{name}-seed{args.seed}"
    expert, _ = build_policy(args.expert, problem_of(args.env, **args.env_kwargs))
    found = imitate(
        expert,
        args.env,
        rounds=args.rounds,
        updates=args.updates,
        episodes=args.episodes,
        seed=args.seed,
        progress=lambda n, error: print(f"round {n} of {args.rounds}: {error:.4f} µg/m³", file=sys.stderr, flush=True),
        **args.env_kwargs,
    )
    card = {
        "env_id": args.env,
        "command": args.command,
        "commit": commit(),
        "seed": args.seed,
        "training_seconds": found.seconds,
        "decisions": found.decisions,
        "policy_is": f"imitation of {args.expert}",
    }
    export(folder / POLICY, found.agent, observation="compact", card=card)
    ours, experts, difference = found.errors, found.expert_errors, found.errors - found.expert_errors
    interval = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    print(
        f"imitation of {args.expert} on {name}: {ours.mean():.4f} µg/m³, the expert {experts.mean():.4f}, difference "
        f"{difference.mean():+.4f} ± {interval:.4f} on {len(difference)} validation episodes; {found.decisions:,} "
        f"decisions, {found.seconds:.0f} s; written to {folder}"
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--env", default="aq_gym/MultiDevice-Hidden-Week-v0", help="id (default: the week)")
    parser.add_argument("--expert", choices=WORDS, default="adaptive-relay", help="default adaptive-relay")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--updates", type=int, default=1_500, help="minibatches of a round")
    parser.add_argument("--episodes", type=int, default=24, help="of a round, and of validation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default runs/imitation/EXPERT-ID-seedSEED")
    parser.add_argument("--env-kwargs", type=json_object, default={}, help="arguments to the id as JSON")
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
