"""Train our DQN on an id.

    python -m scripts.train_dqn --env aq_gym/MultiDevice-v0
    python -m scripts.train_dqn --env aq_gym/SingleDevice-v0 --decisions 300000 --seed 1
    tensorboard --logdir runs/dqn

Settings are data: baselines/dqn_recipes.json names a configuration of agents/configurations for each id. The folder
receives checkpoint.safetensors, policy.safetensors and TensorBoard's events. --seconds limits training, the tuning of
its guide and validation together; compiling comes before. Ctrl-C (or SIGTERM) stops early and keeps what was learned;
--resume continues with the settings that the training began with, and with the same result as if nothing had happened;
--seconds count from the first start, so give more of them to go on. What is left is never worse on the validation
episodes than the guide. Play the policy with `python -m scripts.evaluate --dqn FOLDER`.

TensorBoard's axis counts decisions, then pairs. train/pair_error is the squared error, on pairs held out, of what the
agent says that sensing gains; train/pair_spread is that of the best constant.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from agents import DQNConfig, GreedyPolicy, PairedDQN, load
from baselines.learners.resumption import CHECKPOINT
from baselines.learners.training import Training
from baselines.studies.provenance import commit
from baselines.studies.stored_trainings import follow, recipe_config
from scripts.arguments import add_env, at_least, check_arguments, command_parser, json_object, parsed
from scripts.command import enter


def configure(args: argparse.Namespace, folder: Path) -> DQNConfig:
    """The settings of the training that is resumed, or the id's recipe for so many seconds; with what is overridden."""
    given = {"total_decisions": args.decisions, "improvements": args.improvements}
    changes = {name: value for name, value in given.items() if value is not None} | args.overrides
    if args.config:
        return DQNConfig.named(args.config, **changes)
    if args.resume and (folder / CHECKPOINT).is_file():
        return load(folder / CHECKPOINT, agent_class=PairedDQN).config.replace(**changes)
    return recipe_config(args.env, args.seconds, **changes)


def main(args: argparse.Namespace) -> GreedyPolicy:
    name = args.env.rpartition("/")[2]
    folder = args.folder or Path("runs") / "dqn" / f"{name}-seed{args.seed}"
    if (folder / CHECKPOINT).exists() and not args.resume:
        raise ValueError(f"{folder} holds a checkpoint: --resume continues it, --folder names another place")
    check_arguments("--env-kwargs", args.env_kwargs, Training.__init__)
    note = {"command": args.command, "commit": commit()}
    more = {"resume": args.resume, "note": note, "reference": not args.no_reference}
    training = Training(args.env, configure(args, folder), args.seed, folder, **more, **args.env_kwargs)
    policy = follow(training, f"dqn {name}", args.seconds, quiet=args.quiet)
    agent = training.agent
    guide = (
        "; nothing learned so far does better than its guide, which is what was written" if training.is_guide else ""
    )
    print(
        f"dqn on {args.env}: {training.validate():.3f} µg/m³ {training.validated}{guide}; {agent.decisions:,} "
        f"decisions and {agent.pairs:,} pairs in {training.clock}; written to {training.folder}"
    )
    steps = agent.config.improvements
    if agent.improvements < steps and not training.interrupted:
        print(
            f"--seconds {args.seconds:g} were over after {agent.improvements} of {steps} improvement steps: with more "
            "of them a new training tunes its guide better, and improves on it for longer"
        )
    return policy


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_env(parser)
    parser.add_argument("--config", choices=DQNConfig.names(), help="instead of the id's recipe")
    parser.add_argument(
        "--decisions",
        type=int,
        help="how many to learn from (default: the recipe's, with --resume those of the first start)",
    )
    parser.add_argument("--improvements", type=int, help="steps of policy iteration on counterfactual pairs afterwards")
    parser.add_argument("--seconds", type=at_least(0, float), default=math.inf, help="stop after so many (see above)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default runs/dqn/ID-seedSEED")
    parser.add_argument("--resume", action="store_true", help="continue from the folder's checkpoint")
    parser.add_argument("--overrides", type=json_object, default={}, help="""settings as JSON: '{"hidden": [32]}'""")
    parser.add_argument("--no-reference", action="store_true", help="do not subtract staggered sensing's rewards")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
