"""Run the live system: readings in over HTTP, a policy that decides who wakes, and a page to look at.

    python -m scripts.serve --simulate                                # a made-up fleet, a slot every two seconds
    python -m scripts.serve --policy staggered --database postgresql+psycopg://user@host/air
    AQ_GYM_OPERATOR_TOKEN=... python -m scripts.serve --network town.npz --devices 3 9 14

Without --simulate a slot takes as long as the network's, and devices report by themselves (docs/service.md). The
operator's token is read from AQ_GYM_OPERATOR_TOKEN; --simulate makes one up where there is none. What scripts.retrain
promoted in --folder is served instead of --network and the pretrained policy. Ctrl-C or SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from waitress import create_server

from aq_gym.network_files import read_card
from aq_gym.service import logs
from aq_gym.service.app import build_services, create_app
from aq_gym.service.artefacts import FORECASTER, Artefacts
from aq_gym.service.fleet import Air, Fleet, SyntheticAir, recorded_air
from aq_gym.service.leader import Leadership
from aq_gym.service.loop import ControlLoop
from aq_gym.service.outlook import load_forecaster
from aq_gym.service.places import Places
from aq_gym.service.security import new_token
from aq_gym.service.settings import Settings
from aq_gym.service.webhooks import Webhooks
from aq_gym.tables import LARGEST_READING
from baselines.evaluation import WORDS, build_policy
from baselines.studies.retraining.stored import serving
from scripts.arguments import at_least
from scripts.command import FAILED, enter

SIMULATED_SLOT = 2.0  # seconds
REQUEST_THREADS = 8  # that pages which are sent events leave free


def main(args: argparse.Namespace) -> None:
    logs.configure("WARNING" if args.simulate and not args.verbose else "INFO")
    options = args.network, args.policy, args.devices, args.horizon, args.energy_budget, args.max_sleep
    artefacts = Artefacts(args.folder / "models")
    say(f"policy {args.policy}: loading or tuning, compiling; may take a minute at the first start")
    problem, policy = serving(artefacts, *options)
    card, network = read_card(args.network), problem.network
    places, air_slot = Places.of(network, card), 60.0 * network.slot_minutes
    largest = args.largest or card.get("options", {}).get("largest", LARGEST_READING)
    slot_seconds = args.slot_seconds or (SIMULATED_SLOT if args.simulate else air_slot)
    air: Air = SyntheticAir(network, args.seed)
    if args.replay:
        air = recorded_air(args.replay, network, places.names, largest)
    token = os.environ.get("AQ_GYM_OPERATOR_TOKEN", "") or (new_token() if args.simulate else "")
    args.folder.mkdir(parents=True, exist_ok=True)
    database = args.database or f"sqlite:///{args.folder.resolve() / 'service.sqlite3'}"
    air_seconds, streams = air_slot if args.simulate else slot_seconds, max(0, args.threads - REQUEST_THREADS)
    if air_seconds != air_slot:
        say(f"warning: {network.name} was fitted to slots of {air_slot:g} s, --slot-seconds says {air_seconds:g}")
    more = {"webhooks": tuple(args.webhook), "webhook_hosts": tuple(args.webhook_host), "places": places}
    settings = Settings(
        problem, database, slot_seconds, air_seconds, streams, largest=largest, operator_token=token, **more
    )
    file = args.forecaster or artefacts.file(FORECASTER)
    forecaster = None if file is None else load_forecaster(file, settings.air_seconds)
    yardstick = build_policy(args.yardstick, problem)[0]
    services = build_services(settings, policy, time.time(), yardstick, forecaster)
    app = create_app(services)
    try:
        server = create_server(app, host=args.host, port=args.port, threads=args.threads, connection_limit=1000)
    except OSError as error:
        raise OSError(f"--port {args.port}: {error.strerror}; choose another, or 0 for any free one") from None
    leadership = Leadership(services.store.engine)
    threads: list[ControlLoop | Webhooks | Fleet] = [ControlLoop(services, leadership)]
    threads += [Webhooks(services.store, hook, leadership) for hook in settings.webhooks]
    url = f"http://{args.host}:{server.effective_port}"
    if args.simulate:
        threads.append(Fleet(url, token, air, network, slot_seconds, args.seed))
    dead: list[str] = []

    def give_up(died: threading.ExceptHookArgs) -> None:
        """End all of it where a thread ends by an error: else the page would go on saying "live"."""
        threading.__excepthook__(died)
        dead.append(died.thread.name if died.thread else "?")
        say(f"error: the thread {dead[0]!r} ended by {died.exc_type.__name__}: {died.exc_value}; so does the service")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.excepthook = give_up

    def end(*_: object) -> None:
        app.extensions["aq_gym_live"].close()  # else the server waits for its streams
        sys.exit(FAILED if dead else 0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    for thread in threads:
        thread.start()
    print(f"serving {url}   (Ctrl-C ends it)", flush=True)
    try:
        server.run()
    finally:
        for thread in reversed(threads):
            thread.stop()
        server.close()
    if dead:  # the server ends without a status
        sys.exit(FAILED)


def say(line: str) -> None:
    """What happens, to stderr."""
    print(line, file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="pku2018", help="a bundled network or a file")
    parser.add_argument("--devices", type=int, nargs="+", default=[0, 6, 12, 18, 24], help="their locations")
    parser.add_argument("--horizon", type=int, default=60, help="slots until the energy is full again")
    parser.add_argument("--energy-budget", type=int, default=10, help="sensings of a device in that time")
    parser.add_argument("--max-sleep", type=int, default=12, help="longest sleep in slots")
    words = sorted(WORDS)
    parser.add_argument("--policy", default="pretrained", choices=words, help="who decides; default: pretrained")
    parser.add_argument("--yardstick", default="staggered", choices=words, help="of the metric aq_regret_percent")
    parser.add_argument("--forecaster", type=Path, help="of scripts.train_forecaster; default: the network's chain")
    parser.add_argument("--database", help="URL of SQLAlchemy; default: SQLite in --folder")
    parser.add_argument("--folder", type=Path, default=Path("runs/service"))
    help_slot = "how long a slot takes; default: the network's slot_minutes, with --simulate 2 seconds"
    parser.add_argument("--slot-seconds", type=at_least(0.01, float), help=help_slot)
    help_largest = "µg/m³; larger readings are refused, those of --replay left out (default: as of scripts.calibrate)"
    parser.add_argument("--largest", type=at_least(1e-9, float), help=help_largest)
    parser.add_argument("--simulate", action="store_true", help="also run a made-up fleet")
    parser.add_argument("--replay", type=Path, help="with --simulate: recorded readings as the air")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
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
