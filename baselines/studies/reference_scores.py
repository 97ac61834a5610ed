"""Measuring what is known of each id: the exact optimum, and sampled errors of the policies that a word names."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aq_gym
from aq_gym.problem import Problem
from aq_gym.registration import ENTRIES
from baselines.evaluation.comparing import mean_with_interval
from baselines.evaluation.registry import build_policy
from baselines.heuristics.problems import entry_problem, same_problem
from baselines.learners.shipped import is_shipped
from baselines.playing import play_problem
from baselines.studies.files import write_json

NAMES = tuple(entry.name for entry in ENTRIES)
OUTPUT = Path(aq_gym.__file__).parent / "instances" / "reference_scores.json"
MOST_WORK = 3_000_000_000  # decisions times locations, a policy: some minutes
MOST_DEVICES = 2  # of an id that is solved
RELAYS = ("relay", "retrying-relay", "timetable", "adaptive-relay")  # played where the level is hidden


def scores(
    problem: Problem, words: Sequence[str], episodes: int, seed: int, solvable: bool, before: dict[str, Any]
) -> dict[str, Any]:
    """One id's entry, as `aq_gym.reference_scores` returns it.

    Args:
        before: the entry that there is, empty if there is none. Where it has other words on the same episodes, they
            stay, and so does the optimum.
    """
    same = before.get("episodes") == episodes and before.get("seed") == seed
    adds = same and set(before["sampled"]) - {*words, "optimal"}
    optimum, sampled = (before["optimum"], dict(before["sampled"])) if adds else (None, {})
    for word in [*words, *(["optimal"] if solvable and optimum is None else [])]:
        if (word == "pretrained" and not is_shipped(problem)) or (word in RELAYS and problem.inference != "hidden"):
            continue
        policy, _ = build_policy(word, problem)
        if word == "optimal":
            optimum = round(float(policy.expected_error), 9)
        errors = play_problem(policy, problem, episodes, seed, name=word).joint_error
        sampled[word] = dict(
            zip(("joint_error", "low", "high"), (round(x, 6) for x in mean_with_interval(errors, seed)), strict=True)
        )
        print(f"    {word}: {errors.mean():.4f} µg/m³", flush=True)
    best = min(row["joint_error"] for row in sampled.values()) if optimum is None else optimum
    return {"optimum": optimum, "best_known": best, "episodes": episodes, "seed": seed, "sampled": sampled}


def measure(ids: Sequence[str], words: Sequence[str], most: int, seed: int, output: Path, run: dict[str, Any]) -> None:
    """Measure some ids into a file; the others keep what the file says of them.

    Args:
        most: episodes of each policy, fewer of large instances.
        run: what to write beside the scores, such as command and commit.
    """
    written: dict[str, Any] = {"ids": {}, "runs": {}}
    if output.exists():
        written |= json.loads(output.read_text(encoding="utf-8"))
    done: dict[str, Problem] = {}
    for name in ids:
        problem = entry_problem(name)
        length = problem.horizon * problem.n_devices
        episodes = max(1, min(most, MOST_WORK // (length * problem.n_locations)))
        print(f"{name}: {episodes:,} episodes", flush=True)
        twin = next((other for other, known in done.items() if same_problem(problem, known)), None)  # another view
        if twin is None:
            before = written["ids"].get(name, {})
            written["ids"][name] = scores(problem, words, episodes, seed, problem.n_devices <= MOST_DEVICES, before)
        else:
            written["ids"][name] = written["ids"][twin]
        added = set(written["ids"][name]["sampled"]) - {*words, "optimal"}
        written["runs"][name] = {**written["runs"].get(name, {}), "added": run} if added else run
        done[name] = problem
        order = {key: written["ids"][key] for key in NAMES if key in written["ids"]}
        write_json(output, {"runs": written["runs"], "ids": order})
