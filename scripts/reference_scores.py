"""Compute the reference scores of the ids, into aq_gym/instances/reference_scores.json.

    python -m scripts.reference_scores                              # all ids, 10,000 episodes each
    python -m scripts.reference_scores --ids MultiDevice-v0 --policies random synchronised staggered greedy index

Scores are average joint errors [µg/m³] over episodes 0, 1, ... (seeds that no tuning and no training uses).
`optimum` is the exact expectation by dynamic programming, where the id allows it. `best_known` is the optimum where it
is known, else the least of the measured scores. City-v0 is large, so it gets about 200 episodes. Ids that are not named
keep their scores.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aq_gym
from aq_gym.problem import Problem
from aq_gym.registration import ENTRIES
from baselines.dqn import is_shipped
from baselines.evaluation import WORDS, build_policy
from baselines.greedy import entry_problem, same_problem
from baselines.playing import play_problem
from scripts.door import enter
from scripts.files import write_json
from scripts.fit_network import commit

NAMES = tuple(entry.name for entry in ENTRIES)
OUTPUT = Path(aq_gym.__file__).parent / "instances" / "reference_scores.json"
MOST_WORK = 3_000_000_000  # decisions times locations, a policy: some minutes
YARDSTICKS = ("random", "synchronised", "staggered", "greedy", "index")
SOLVABLE = (
    "SingleDevice-v0",
    "SingleDevice-Day-v0",
    "TwoDevices-v0",
    "SingleDevice-LevelAware-v0",
    "TwoDevices-LevelAware-v0",
)


def scores(problem: Problem, words: Sequence[str], episodes: int, seed: int, solvable: bool) -> dict[str, Any]:
    """Measured errors by word, the best known, and the optimum or None."""
    found: dict[str, Any] = {}
    for word in words:
        if word == "pretrained" and not is_shipped(problem):
            continue
        policy, _ = build_policy(word, problem)
        error = float(play_problem(policy, problem, episodes, seed, name=word).joint_error.mean())
        found[word] = round(error, 6)
        print(f"    {word}: {error:.4f} µg/m³", flush=True)
    optimum = round(float(build_policy("optimal", problem)[0].expected_error), 9) if solvable else None
    return found | {"best_known": min(found.values()) if optimum is None else optimum, "optimum": optimum}


def main(args: argparse.Namespace) -> None:
    made_by = commit()  # before the output itself changes the tree
    written: dict[str, Any] = {"ids": {}, "runs": {}}
    if args.output.exists():
        written |= json.loads(args.output.read_text(encoding="utf-8"))
    done: list[tuple[Problem, str]] = []
    for name in args.ids:
        problem = entry_problem(name)
        length = problem.horizon * problem.n_devices
        episodes = min(args.episodes, MOST_WORK // (length * problem.n_locations))
        print(f"{name}: {episodes:,} episodes")
        twin = next((other for known, other in done if same_problem(problem, known)), None)  # another view of it
        if twin is None:
            written["ids"][name] = scores(problem, args.policies, episodes, args.seed, name in SOLVABLE)
        else:
            written["ids"][name] = dict(written["ids"][twin])
        done.append((problem, name))
        command = shlex.join(["python", "-m", "scripts.reference_scores", *args.given])
        run = {"command": command, "commit": made_by, "episodes": args.episodes, "seed": args.seed}
        written["runs"][name] = run | {"episodes": episodes}
        order = {key: written["ids"][key] for key in NAMES if key in written["ids"]}
        write_json(args.output, {"runs": written["runs"], "ids": order})
    print(f"written to {args.output}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", nargs="+", choices=NAMES, default=NAMES, metavar="ID", help=f"of {', '.join(NAMES)}")
    words = [word for word in WORDS if word != "optimal"]
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=words,
        default=[*YARDSTICKS, "pretrained"],
        help="pretrained counts where an agent is shipped",
    )
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first episode (default 0)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    return args


if __name__ == "__main__":
    enter(main, parse)
