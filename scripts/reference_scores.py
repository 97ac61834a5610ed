"""Compute the reference scores of the ids, into aq_gym/instances/reference_scores.json.

    python -m scripts.reference_scores                              # all ids, 10,000 episodes each
    python -m scripts.reference_scores --ids MultiDevice-v0 --policies random synchronised staggered greedy index

Scores are average joint errors [µg/m³]. Sampled ones are means over episodes 0, 1, ... (seeds that no tuning and no
training uses) with 95 % intervals. `optimum` is the exact expectation by dynamic programming, where the id allows it.
`best_known` is the optimum where it is known, else the least of the sampled scores. City-v0 is large, so it gets about
200 episodes. Ids that are not named keep their scores, and so do policies
that are not named where the episodes are the same.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from baselines.evaluation.registry import WORDS
from baselines.studies.provenance import commit
from baselines.studies.reference_scores import NAMES, OUTPUT, RELAYS, measure
from scripts.arguments import at_least, command_parser, parsed
from scripts.command import enter

YARDSTICKS = ("random", "synchronised", "staggered", "greedy", "index")


def main(args: argparse.Namespace) -> None:
    run = {"command": args.command, "commit": commit()}  # asked before the output itself changes the tree
    measure(args.ids, args.policies, args.episodes, args.seed, args.output, run)
    print(f"written to {args.output}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--ids", nargs="+", choices=NAMES, default=NAMES, metavar="ID", help=f"of {', '.join(NAMES)}")
    words = [word for word in WORDS if word != "optimal"]  # solvable ids are solved anyway
    default = [*YARDSTICKS, *RELAYS, "pretrained"]
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=words,
        default=default,
        help="relays count where the level is hidden, pretrained where an agent is shipped",
    )
    parser.add_argument("--episodes", type=at_least(1), default=10_000)
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the first episode")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
