"""Tune greedy sensing for the registered ids, into baselines/heuristics/greedy.json.

    python -m scripts.tune_greedy                                   # all ids, about half an hour on two cores
    python -m scripts.tune_greedy --ids MultiDevice-v0 --episodes 1000

Tuning plays seeds from 2**29 on, evaluations use smaller ones. Ids that are not named keep their numbers.
JointDevices-v0 is MultiDevice-v0's problem and uses its numbers.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aq_gym.registration import ENTRIES
from baselines.heuristics.greedy import TUNED, tune
from baselines.heuristics.problems import entry_problem, read_tuned
from baselines.playing import FIRST_TUNING_SEED
from baselines.studies.files import write_json
from baselines.studies.provenance import commit
from scripts.arguments import command_parser
from scripts.command import enter

NAMES = tuple(entry.name for entry in ENTRIES if entry.view != "joint")
DECISIONS = 300_000  # a candidate: as many episodes as that allows, within the bounds below
LEAST, MOST = 16, 2000


def main(args: argparse.Namespace) -> None:
    made_by = commit()  # before the output itself changes the tree
    written = read_tuned(args.output)
    for name in args.ids:
        problem = entry_problem(name)
        length = problem.horizon * problem.n_devices
        episodes = max(LEAST, min(MOST, DECISIONS // length)) if args.episodes is None else args.episodes
        print(f"{name}: {episodes} episodes")
        greedy, error = tune(problem, episodes, args.seed, report=lambda line: print("   ", line, flush=True))
        written[name] = {
            **{"threshold": greedy.threshold, "exponent": greedy.exponent, "tuning_error": error},
            **{"episodes": episodes, "seed": args.seed},
            "training_seconds": round(greedy.training_seconds, 1),
            "commit": made_by,
        }
        write_json(args.output, {"command": "python -m scripts.tune_greedy", "ids": dict(sorted(written.items()))})
    print(f"written to {args.output}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--ids", nargs="+", choices=NAMES, default=NAMES, metavar="ID", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--episodes", type=int, help=f"for every candidate (default: {DECISIONS:,} decisions' worth)")
    parser.add_argument("--seed", type=int, default=FIRST_TUNING_SEED, help="of the first episode")
    parser.add_argument("--output", type=Path, default=TUNED)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
