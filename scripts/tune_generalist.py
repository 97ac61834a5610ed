"""Tune the universal index, the generalist that is shipped, on sampled instances.

    python -m scripts.tune_generalist                                    # into runs/generalist.safetensors
    python -m scripts.zero_shot --agent runs/generalist.safetensors      # what it does where it was not tuned

Neither the fitted cities tainan2017 and taipei2017 nor five, ten or twenty devices are among the instances.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from agents import export
from baselines.heuristics.index import Index
from baselines.learners.generalist import imitated, relative_errors, sampled, training_sampler, tune_for_all
from baselines.learners.guide import index_agent
from baselines.playing import FIRST_TUNING_SEED
from baselines.studies.provenance import commit
from scripts.arguments import at_least, command_parser, parsed
from scripts.command import enter


def main(args: argparse.Namespace) -> Index:
    began, made_by = time.perf_counter(), commit()
    problems = sampled(training_sampler(args.seed), args.instances)
    say = lambda line: print(line, flush=True)  # noqa: E731
    shape = {"generations": args.generations, "population": args.population, "episodes": args.episodes}
    index = tune_for_all(problems, imitated(problems), **shape, report=say)
    held = sampled(training_sampler(FIRST_TUNING_SEED), args.instances)
    found = relative_errors([index], held, 4 * args.episodes, FIRST_TUNING_SEED + 2**25)[0]
    print(f"held-out instances: {found.mean():.4f} of greedy sensing, {found.max():.4f} at worst\n{index}")
    card = {
        "command": args.command,
        "commit": made_by,
        "training_seconds": round(time.perf_counter() - began, 1),
        "validated": f"{found.mean():.4f} of greedy sensing on {args.instances} held-out instances",
    }
    export(args.output, index_agent(index, {"n_actions": 2, "kwargs": {}}), observation="compact", card=card)
    print(f"written to {args.output}")
    return index


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--instances", type=at_least(2), default=32, help="tuned on (default 32), and as many held out")
    parser.add_argument("--generations", type=at_least(1), default=12)
    parser.add_argument("--population", type=at_least(8), default=32)
    parser.add_argument("--episodes", type=at_least(1), default=8, help="of each instance, a candidate (default 8)")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the instances")
    parser.add_argument("--output", type=Path, default=Path("runs") / "generalist.safetensors")
    return parsed(parser, arguments)


if __name__ == "__main__":
    enter(main, parse)
