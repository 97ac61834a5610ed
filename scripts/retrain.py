"""Fit network, agent and forecaster anew to what the live system stored, and serve what is not worse.

    python -m scripts.retrain                                 # the database and the versions in runs/service
    python -m scripts.retrain --if-drift                      # only if residuals have changed since the last time
    python -m scripts.retrain --database postgresql+psycopg://user@host/air --seconds 600
    python -m scripts.retrain --rollback                      # back to what ran before

The options that say what is served (--env, --devices ...) are those of scripts.serve. The newest quarter of the
slots is held out; each part is compared there with the running one, and taken unless it may be more than 1 % worse.
Versions lie in FOLDER/models (docs/retraining.md). A running service takes the promoted one over between two slots.
Ctrl-C or SIGTERM leaves everything as it was.
"""

import argparse
from collections.abc import Sequence

from filelock import FileLock, Timeout

from aq_gym.forecasting import storage
from aq_gym.service import drift
from aq_gym.service.artefacts import Artefacts
from aq_gym.service.database import make_engine
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store
from baselines.studies.retraining.fitting import retrain
from baselines.studies.retraining.stored import agent_file, read
from scripts.arguments import at_least, command_parser
from scripts.command import enter
from scripts.served import add_served, serving


def main(args: argparse.Namespace) -> str | None:
    artefacts = Artefacts(args.folder / "models")
    artefacts.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(artefacts.folder / ".lock", timeout=0):
            return rollback(artefacts) if args.rollback else run(args, artefacts)
    except Timeout:
        raise ValueError(f"{artefacts.folder}: another retraining runs there; wait for its end") from None


def rollback(artefacts: Artefacts) -> str | None:
    version = artefacts.rollback()
    print(f"{artefacts.folder}: {version or 'what scripts.serve is started with'} is served from the next slot on")
    return version


def run(args: argparse.Namespace, artefacts: Artefacts) -> str | None:
    promoted = artefacts.promoted()
    problem, policy = serving(promoted, args)
    store = open_store(args)
    weights = agent_file(promoted, args.policy, problem)
    stored = read(store, args.slots, None if weights is None else problem.horizon)
    changed = drift.drifted(store, stored.last)
    if args.if_drift and not changed:
        print("no residuals have changed since the last retraining: nothing to do")
        return None
    about = f"slots {stored.first} to {stored.last}, {stored.about()['readings']:,} readings"
    print(f"{about}; changed: {', '.join(sorted(changed)) or 'nothing'}", flush=True)
    version = retrain(
        Settings(problem, air_seconds=60.0 * (args.slot_minutes or problem.network.slot_minutes)),
        store,
        artefacts,
        stored,
        policy,
        weights,
        forecaster=args.forecaster,
        seconds=args.seconds,
        seed=args.seed,
    )
    if artefacts.current() != version:
        print(f"{artefacts.folder / version} is stored and not promoted: no part is as good as the running one")
        return None
    if artefacts.manifest(version)["scores"]["network"]["taken"]:  # else the residuals are still what they were
        store.put_fact(drift.FACT, str(stored.last + 1))
    print(f"{artefacts.folder / version} is served from the next slot on; --rollback goes back")
    return version


def open_store(args: argparse.Namespace) -> Store:
    """The service's database, which must exist."""
    file = (args.folder / "service.sqlite3").resolve()
    if args.database is None and not file.is_file():
        raise FileNotFoundError(f"{file} is missing: scripts.serve makes it, or --database names another")
    store = Store(make_engine(args.database or f"sqlite:///{file}"))
    store.create_tables()
    return store


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--if-drift", action="store_true", help="do nothing unless residuals have changed")
    parser.add_argument("--rollback", action="store_true", help="serve what ran before, and fit nothing")
    parser.add_argument("--slots", type=int, default=4032, help="newest slots to use; default: four weeks")
    help_slot = "of air in a slot; default: the network's; see docs/retraining.md where serve has --slot-seconds"
    parser.add_argument("--slot-minutes", type=at_least(0.01, float), help=help_slot)
    parser.add_argument("--seconds", type=at_least(0, float), default=120.0, help="for the agent; default: 120")
    parser.add_argument("--forecaster", default="ridge", choices=storage.NAMES, help="to fit where none runs yet")
    add_served(parser)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
