"""Where should M devices stand? Searches the locations, and writes them as arguments of gym.make.

    python -m scripts.select_locations --devices 5                      # the paper's genetic search, on pku2018
    python -m scripts.select_locations --devices 4 --methods all        # beside the others, and the certified best
    python -m scripts.select_locations --devices 5 --policy index       # then placement and scheduling in turn
    python -m scripts.select_locations --readings a.csv b.csv --locations where.csv --devices 3

The folder receives placement.json (`gym.make(id, **content["env_kwargs"])`), map.png, convergence.png, convergence.csv
and TensorBoard's events. The fitness is the average joint error under uniform staggered sensing every --period slots,
on a path of the network's own level chain. Ctrl-C or SIGTERM keeps the best so far; --resume continues the genetic
search, with the same result as if nothing had happened. With --policy env_kwargs also hold the sizes, and devices
that were placed together with it are taken where they do better on new episodes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from aq_gym.calibration import fit_files
from aq_gym.network import SensorNetwork, bundled_names
from aq_gym.network_files import location_names, read_card
from baselines.studies.placement import place
from baselines.studies.placement_searches import CHECKPOINT, METHODS
from baselines.studies.provenance import commit
from scripts.arguments import add_shape, at_least, command_parser, parsed
from scripts.command import enter

__all__ = ["CHECKPOINT", "METHODS", "main", "parse"]


def main(args: argparse.Namespace) -> dict[str, Any]:
    console, name, save_as = Console(), args.network, None
    if args.readings:
        network = fit_files("readings", args.readings, None, args.locations, {})
        save_as = (args.folder / "network.npz").resolve()
        name = str(save_as)
    else:
        network = SensorNetwork.load(name)
        if name not in bundled_names() and not (name == network.name and name.startswith("synthetic-")):
            name = str(Path(name).resolve())  # serves from any folder
    about = {"env_kwargs": {"network": name}, "command": args.command, "commit": commit()}
    with (Console(quiet=True) if args.quiet else console).status("") as line:
        content = place(network, args, about=about, save_as=save_as, say=console.print, show=line.update)
    devices = content["env_kwargs"]["devices"]
    names = () if args.readings else location_names(read_card(args.network), network.n_locations)
    if names:
        console.print("  ".join(f"{n}: {names[n]}" for n in devices), markup=False)
    console.print(f"devices={devices}; written to {args.folder}")
    return content


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--network", default="pku2018", help="name or .npz file (default pku2018)")
    parser.add_argument("--readings", type=Path, nargs="+", help="fit a network to these files instead")
    parser.add_argument("--locations", type=Path, help="of --readings: where they are, for the map")
    parser.add_argument("--devices", type=int, default=5, help="M, how many to place")
    parser.add_argument(
        "--methods", nargs="+", choices=(*METHODS, "all"), default=["genetic"], metavar="NAME", help=", ".join(METHODS)
    )
    parser.add_argument("--slots", type=at_least(1, most=1_000_000), default=1000, help="of the level path")
    parser.add_argument("--period", type=at_least(1, float), default=6.0, help="slots between sensings of a device")
    parser.add_argument("--start", choices=("clusters", "random"), default="clusters", help="of the genetic search")
    parser.add_argument("--pool", type=at_least(2, most=100_000), default=120, help="genes that survive a round")
    parser.add_argument("--patience", type=at_least(1), default=20, help="rounds without improvement")
    parser.add_argument("--rounds", type=at_least(0), default=300, help="at most")
    parser.add_argument("--policy", choices=("greedy", "index", "generalist"), help="then place together with a policy")
    parser.add_argument("--alternations", type=at_least(0), default=4, help="of placement and policy, at most")
    add_shape(parser.add_argument_group("of --policy"), 60, 10, 12)
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the level path and the searches")
    parser.add_argument("--folder", type=Path, help="default runs/placement/NETWORK-MDEVICES-seedSEED")
    parser.add_argument("--resume", action="store_true", help="continue the genetic search of the folder")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parsed(parser, arguments)
    if args.locations and not args.readings:
        parser.error("--locations: are those of --readings")
    if args.folder is None:
        name = "readings" if args.readings else Path(args.network).stem
        args.folder = Path("runs") / "placement" / f"{name}-{args.devices}-seed{args.seed}"
    return args


if __name__ == "__main__":
    enter(main, parse)
