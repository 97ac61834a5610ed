"""What a live system runs: which problem, which policy. The options that scripts.serve and scripts.retrain share."""

import argparse
import sys
from pathlib import Path
from typing import Any

from aq_gym.inference import INFERENCES
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.artefacts import NETWORK, POLICY, Promoted
from aq_gym.service.deciding import Decider
from baselines.evaluation import WORDS, build_policy
from baselines.evaluation.registry import check_word, load_agent, problem_made_for
from baselines.learners.shipped import load_trained
from baselines.playing import described, differences, field_differences, problem_of
from baselines.saved import FILE, load_policy

CHANGES = ("network", "devices", "horizon", "energy_budget", "max_sleep", "inference", "loss")  # to the id's problem

OLDER = {"fuse_measured": False, "inference": "paper", "level_noise": 0.0}  # of versions that do not say so


def add_served(parser: argparse.ArgumentParser) -> None:
    """The options that say what is served."""
    add = parser.add_argument
    add("--folder", type=Path, default=Path("runs/service"), help="of the database and the versions")
    add("--database", help="URL of SQLAlchemy; default: SQLite in --folder")
    add("--env", default="aq_gym/MultiDevice-v0", help="id whose problem is served (default %(default)s)")
    add("--network", help="a bundled network or a file; this and what follows changes the id's problem")
    add("--devices", type=int, nargs="+", help="their locations")
    add("--horizon", type=int, help="slots until the energy is full again")
    add("--energy-budget", type=int, help="sensings of a device in that time")
    add("--max-sleep", type=int, help="longest sleep in slots")
    add("--inference", choices=INFERENCES, help="hidden: the server knows of the level what devices report")
    add("--loss", type=float, help="with a hidden level: share of the reports that get lost")
    words = ", ".join(sorted(WORDS))
    add("--policy", default="pretrained", help=f"who decides: {words}; or the folder of an agent (default: pretrained)")


def serving(promoted: Promoted, args: argparse.Namespace) -> tuple[Problem, Any]:
    """The problem and the policy that a service runs: what was promoted, else what it is started with.

    A promoted agent stands in for a trained one; a heuristic is built for the promoted network.

    Raises:
        ValueError: options that are no problem, that the promoted version was not made for, or that the policy cannot
            play.
    """
    problem = problem_of(args.env, **{x: getattr(args, x) for x in CHANGES if getattr(args, x) is not None})
    if problem.harvest[0]:
        raise ValueError(f"--env {args.env}: the service cannot know how much energy a device harvests")
    if promoted.version is not None:
        made = {**OLDER, **promoted.manifest["problem"]}
        if other := field_differences(made, described(problem)):
            raise ValueError(
                f"{args.folder / 'models'}: version {promoted.version} was made for another problem: "
                f"{'; '.join(other)}; give the same options, or another --folder"
            )
    if NETWORK in promoted.files:
        problem = Problem.create(**problem.arguments | {"network": str(promoted.files[NETWORK])})
    agent = promoted.files.get(POLICY) if args.policy == "pretrained" or args.policy not in WORDS else None
    if agent is None:
        return problem, policy_for(problem, args.policy)
    policy = load_trained(agent)
    try:
        Decider(problem, policy).rehearse()
    except ValueError as error:
        raise ValueError(f"{args.folder / 'models'}: version {promoted.version}: {error}") from None
    return problem, policy


def air_seconds_of(args: argparse.Namespace, network: SensorNetwork) -> float:
    """How much air's time a slot stands for [s]: the network's, however fast a simulation is; else as it takes."""
    return 60.0 * network.slot_minutes if args.simulate or not args.slot_seconds else float(args.slot_seconds)


def policy_for(problem: Problem, name: str, option: str = "--policy") -> Any:
    """The policy of a word, or of a folder that a training or `baselines.save_policy` wrote, tried on a first decision.

    Raises:
        ValueError: an unknown word, or a policy that cannot play this problem.
    """
    path = Path(name)
    try:
        if name in WORDS or not path.exists():
            check_word(name)
            policy = build_policy(name, problem)[0]
        elif path.suffix == ".json" or (path / FILE).is_file():
            policy = load_policy(path, problem)
        else:
            policy = load_agent("sb3" if (path / "model.zip").is_file() else "dqn", path)
        Decider(problem, policy).rehearse()
    except ValueError as error:
        raise ValueError(f"{option} {name}: {error}") from None
    other = [] if (made_for := problem_made_for(policy)) is None else differences(made_for, problem)
    if other and name not in WORDS:
        print(f"warning: {name} was made for another problem: {'; '.join(other)}", file=sys.stderr)
    return policy
