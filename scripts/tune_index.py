"""Tune the index policy for the registered ids by the cross-entropy method, into baselines/heuristics/index.json.

    python -m scripts.tune_index                                        # all ids, about an hour and a half on a core
    python -m scripts.tune_index --ids MultiDevice-v0 --generations 40  # that one, with more

Tuning plays seeds from 2**29 on, evaluations use smaller ones. Ids that are not named keep their numbers.
JointDevices-v0 is MultiDevice-v0's problem and uses its numbers.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from aq_gym.registration import ENTRIES
from baselines.heuristics.index_tuning import SHIFTS, TUNED, Budget, shifted, tune
from baselines.heuristics.problems import entry_problem, read_tuned
from baselines.playing import FIRST_TUNING_SEED
from baselines.studies.files import write_json
from baselines.studies.provenance import commit
from scripts.arguments import command_parser
from scripts.command import enter

NAMES = tuple(entry.name for entry in ENTRIES if entry.view != "joint")  # each after the one that it starts from
BUDGETS = {
    "SingleDevice-v0": Budget(20, 64, 512),
    "SingleDevice-Day-v0": Budget(12, 48, 384, 0.25),
    "TwoDevices-v0": Budget(20, 64, 768),
    "MultiDevice-v0": Budget(24, 64, 256),
    "MultiDevice-Day-v0": Budget(14, 48, 128, 0.25),
    "SingleDevice-LevelAware-v0": Budget(20, 64, 512),
    "TwoDevices-LevelAware-v0": Budget(20, 64, 768),
    "MultiDevice-LevelAware-v0": Budget(24, 64, 256),
    "SingleDevice-Hidden-v0": Budget(20, 64, 512),
    "TwoDevices-Hidden-v0": Budget(20, 64, 768),
    "MultiDevice-Hidden-Week-v0": Budget(12, 32, 12),
    "MultiDevice-Lossy-Week-v0": Budget(8, 32, 12, 0.25),
    "City-v0": Budget(8, 24, 6, 0.2),
    "Tainan-v0": Budget(14, 48, 64, 0.25),
}
NEAR = (0.0, -1.0, -0.5, 0.5, 1.0)
STARTS = {  # whose coefficients are tried first, and by what their constant is moved
    "SingleDevice-Day-v0": ("SingleDevice-v0", NEAR),
    "MultiDevice-Day-v0": ("MultiDevice-v0", NEAR),
    "MultiDevice-Lossy-Week-v0": ("MultiDevice-Hidden-Week-v0", NEAR),
    "City-v0": ("MultiDevice-v0", SHIFTS),
    "Tainan-v0": ("MultiDevice-v0", SHIFTS),
}


def main(args: argparse.Namespace) -> None:
    made_by = commit()  # before the output itself changes the tree
    written = read_tuned(args.output)
    for name in args.ids:
        problem = entry_problem(name)
        given = {key: getattr(args, key) for key in ("generations", "population", "episodes")}
        budget = dataclasses.replace(BUDGETS[name], **{key: x for key, x in given.items() if x is not None})
        origin, shifts = STARTS.get(name, (None, ()))
        starts = shifted(problem, written[origin], shifts) if origin in written else []
        print(f"{name}: {budget}")
        index, error = tune(problem, budget, args.seed, starts, report=lambda line: print("   ", line, flush=True))
        written[name] = {
            "constant": index.constant,
            "coefficients": index.coefficients,
            "tuning_error": error,
            "budget": dataclasses.asdict(budget),
            "start": origin if starts else None,
            "seed": args.seed,
            "training_seconds": round(index.training_seconds, 1),
            "commit": made_by,
        }
        write_json(args.output, {"command": "python -m scripts.tune_index", "ids": dict(sorted(written.items()))})
    print(f"written to {args.output}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--ids", nargs="+", choices=NAMES, default=NAMES, metavar="ID", help=f"of {', '.join(NAMES)}")
    for name in ("generations", "population", "episodes"):
        parser.add_argument(f"--{name}", type=int, help="instead of the id's own")
    parser.add_argument("--seed", type=int, default=FIRST_TUNING_SEED, help="of the first episode")
    parser.add_argument("--output", type=Path, default=TUNED)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
