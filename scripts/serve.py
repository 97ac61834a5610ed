"""Run the live system: readings in over HTTP, a policy that decides who wakes, and a page to look at.

    python -m scripts.serve --simulate                                # a made-up fleet, a slot every two seconds
    python -m scripts.serve --simulate --env aq_gym/MultiDevice-Lossy-Week-v0 --policy adaptive-relay
    AQ_GYM_OPERATOR_TOKEN=... python -m scripts.serve --network town.npz --devices 3 9 14 --policy greedy
    python -m scripts.serve --policy staggered --database postgresql+psycopg://user@host/air

--env says which problem is served; --network, --devices, --horizon ... change it. Without --simulate a slot takes as
long as the network's, and devices report by themselves (docs/service.md). The operator's token is read from
AQ_GYM_OPERATOR_TOKEN; --simulate makes one up where there is none, and prints it. What scripts.retrain promotes in
--folder is served instead of --network and a trained policy, from the next slot on. Ctrl-C or SIGTERM ends it.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from waitress import create_server

from aq_gym.network_files import read_card
from aq_gym.service import logs
from aq_gym.service.app import build_services, create_app
from aq_gym.service.artefacts import FORECASTER, Artefacts, Served, Versions
from aq_gym.service.fleet import Air, Fleet, SyntheticAir, recorded_air
from aq_gym.service.leader import Leadership
from aq_gym.service.loop import ControlLoop
from aq_gym.service.outlook import load_forecaster
from aq_gym.service.places import Places
from aq_gym.service.running import Part, check_port, run
from aq_gym.service.services import new_token
from aq_gym.service.settings import Settings
from aq_gym.service.webhooks import Webhooks
from aq_gym.tables import LARGEST_READING
from scripts.arguments import at_least, command_parser
from scripts.command import FAILED, enter, say
from scripts.served import add_served, air_seconds_of, policy_for, serving

SIMULATED_SLOT = 2.0  # seconds
REQUEST_THREADS = 8  # that pages which are sent events leave free


def main(args: argparse.Namespace) -> None:
    check_port(args.host, args.port)
    logs.configure("WARNING" if args.simulate and not args.verbose else "INFO")
    artefacts = Artefacts(args.folder / "models")

    def load() -> Served:
        say(f"policy {args.policy}: loading or tuning it, and compiling; may take a minute at the first start")
        promoted = artefacts.promoted()
        problem, policy = serving(promoted, args)
        file = args.forecaster or promoted.files.get(FORECASTER)
        forecaster = None if file is None else load_forecaster(file, air_seconds_of(args, problem.network))
        word = args.yardstick or ("relay" if problem.inference == "hidden" else "staggered")
        return Served(problem, policy, policy_for(problem, word, "--yardstick"), forecaster, promoted.version)

    versions = Versions(artefacts, load)  # before the first version is read, so that none is missed
    served = load()
    network = served.problem.network
    card, air_seconds = read_card(args.network or network.name), air_seconds_of(args, network)
    places, network_seconds = Places.of(network, card), 60.0 * network.slot_minutes
    if air_seconds != network_seconds:
        say(f"warning: {network.name} has slots of {network_seconds:g} s of air, --slot-seconds says {air_seconds:g}")
    slot_seconds = args.slot_seconds or (SIMULATED_SLOT if args.simulate else air_seconds)
    own_token = os.environ.get("AQ_GYM_OPERATOR_TOKEN", "")
    token = own_token or (new_token() if args.simulate else "")
    largest = args.largest or card.get("options", {}).get("largest", LARGEST_READING)
    database = args.database or f"sqlite:///{args.folder.resolve() / 'service.sqlite3'}"
    more = {"places": places, "webhooks": tuple(args.webhook), "webhook_hosts": tuple(args.webhook_host)}
    more |= {"slot_seconds": slot_seconds, "air_seconds": air_seconds, "largest": largest, "operator_token": token}
    settings = Settings(served.problem, database, most_streams=max(0, args.threads - REQUEST_THREADS), **more)
    air: Air | None = SyntheticAir(network, args.seed) if args.simulate else None
    if args.replay:
        air = recorded_air(args.replay, network, places.names, largest)
    args.folder.mkdir(parents=True, exist_ok=True)
    services = build_services(settings, served, time.time())
    app = create_app(services)
    server = create_server(app, host=args.host, port=args.port, threads=args.threads, connection_limit=1000)
    leadership = Leadership(services.store.engine)
    threads: list[Part] = [ControlLoop(services, leadership, versions)]
    threads += [Webhooks(services.store, hook, leadership) for hook in settings.webhooks]
    url = f"http://{args.host}:{server.effective_port}"
    if air is not None:
        threads.append(Fleet(url, token, air, served.problem, slot_seconds, args.seed))
    ready = f"serving {url} : {args.env}, a slot every {slot_seconds:g} s (Ctrl-C ends it)"
    if not own_token:  # a made-up one is no secret
        say(f"operator's token: {token or 'none (AQ_GYM_OPERATOR_TOKEN), so nobody can make tokens for devices'}")
    if run(server, threads, app.extensions["aq_gym_live"].close, ready):
        sys.exit(FAILED)
    say("ended; readings and plans stay in the database, and the next start goes on from there")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_served(parser)
    parser.add_argument("--yardstick", help="of the metric aq_regret_percent; default: staggered; hidden: relay")
    parser.add_argument("--forecaster", type=Path, help="of scripts.train_forecaster; default: the network's chain")
    help_slot = "how long a slot takes; default: the network's slot_minutes, with --simulate 2 seconds"
    parser.add_argument("--slot-seconds", type=at_least(0.01, float), help=help_slot)
    help_largest = "µg/m³; larger readings are refused, those of --replay left out (default: as of scripts.calibrate)"
    parser.add_argument("--largest", type=at_least(1e-9, float), help=help_largest)
    parser.add_argument("--simulate", action="store_true", help="also run a made-up fleet")
    parser.add_argument("--replay", type=Path, help="with --simulate: recorded readings as the air")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=at_least(0, most=65535), default=8000, help="0: any free one")
    parser.add_argument("--threads", type=int, default=72, help="8 answer, the rest send events to pages")
    parser.add_argument("--webhook", action="append", default=[], help="a URL that alerts are sent to")
    parser.add_argument("--webhook-host", action="append", default=[], help="a host that webhooks may name")
    parser.add_argument("--seed", type=int, default=0, help="of the made-up air")
    parser.add_argument("--verbose", action="store_true", help="with --simulate: log every plan and request too")
    args = parser.parse_args(arguments)
    if args.replay and not args.simulate:
        parser.error("--replay: needs --simulate; without it devices report by themselves")
    return args


if __name__ == "__main__":
    enter(main, parse)
