"""Train our DQN and Stable-Baselines3 agents on four tasks, and compare them to every yardstick on the same episodes.

    python -m scripts.benchmark                     # at most ten minutes on two cores: `make benchmark`
    python -m scripts.benchmark --quick             # some two: `make benchmark ARGS=--quick`
    python -m scripts.benchmark --resume            # go on with the latest one; finished trainings are kept
    python -m scripts.benchmark --training-seeds 5 --episodes 10000     # about an hour
    python -m scripts.benchmark --ids SingleDevice-v0 --learners dqn sb3-maskable_ppo --seconds 300 --scale 3

Trainings run side by side, one a process, each as long as its settings say but no longer than --seconds. The folder
(runs/benchmark/TIME-full or -quick) receives benchmark.csv, rewritten after each task, benchmark.png, curves.png and a
folder a task with the policies and TensorBoard's runs; of several training seeds seeds.csv, and in TensorBoard the
mean, lowest and highest curve of each learner. Ctrl-C keeps what is finished.
"""

import argparse
import contextlib
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from baselines.evaluation.registry import WORDS
from baselines.studies.benchmark import LEARNERS
from baselines.studies.benchmark_run import IDS, YARDSTICKS, conduct, make_plan
from baselines.studies.provenance import provenance
from scripts.arguments import at_least, command_parser, json_object, parsed
from scripts.command import enter


def main(args: argparse.Namespace) -> pd.DataFrame:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # for the workers: each keeps to one core
    began, origin = time.monotonic(), provenance() | {"command": _measuring(args.command)}
    plan = make_plan(args, origin)
    table, interrupted = conduct(plan, args.ids, args.processes, origin, quiet=args.quiet)
    print(f"TensorBoard: tensorboard --logdir {plan.folder}")
    if interrupted:
        print(f"interrupted: python -m scripts.benchmark --resume --folder {plan.folder} and the same")
        print("options go on with it; what was finished is kept")
        raise SystemExit(130)
    print(f"{time.monotonic() - began:.0f} s in all")
    return table


def _measuring(command: str) -> str:
    """A command without what does not decide its numbers: where they are written, and that it went on."""
    words = shlex.split(command)
    apart = ("--folder", "--resume", "--quiet")
    pairs = zip(words, ["", *words], strict=False)
    return shlex.join(w for w, before in pairs if before != "--folder" and not w.startswith(apart))


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    with contextlib.suppress(ValueError):
        if (value := float(text)) > 0:
            return value
    raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of ten")
    parser.add_argument("--ids", nargs="+", default=IDS, help=f"default {' '.join(IDS)}")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, help="default dqn sb3-ppo, and sb3-dqn if not quick")
    parser.add_argument("--yardsticks", nargs="+", choices=WORDS, default=YARDSTICKS, help="compared to the first")
    parser.add_argument("--seconds", type=positive, help="most of each training (default 80; 25 if quick)")
    parser.add_argument("--scale", type=positive, help="of the settings' decisions (default 1; 0.35 if quick)")
    parser.add_argument("--validations", type=at_least(1), help="on the way of a training (default 20; 5 if quick)")
    parser.add_argument("--episodes", type=at_least(1), default=2000, help="of the evaluation")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the trainings and of the first episode")
    parser.add_argument("--training-seeds", type=at_least(1), default=1, help="trainings of each learner")
    parser.add_argument("--processes", type=at_least(1), default=min(2, os.cpu_count() or 1), help="jobs at a time")
    parser.add_argument("--folder", type=Path, help="default runs/benchmark/TIME-full or -quick")
    parser.add_argument("--resume", action="store_true", help="keep the folder's finished trainings of the same code")
    parser.add_argument(
        "--env-kwargs", type=json_object, default={}, help="""arguments to the ids: '{"horizon": 30}'"""
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parsed(parser, arguments, once=["ids", "learners", "yardsticks"])


if __name__ == "__main__":
    enter(main, parse)
