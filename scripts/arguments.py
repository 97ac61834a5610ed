"""Arguments that several commands share."""

import inspect
import json
import math
import re
import shlex
import sys
from argparse import SUPPRESS, Action, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


class _Help(RawDescriptionHelpFormatter):
    """The description as it stands, and each argument's default after its help."""

    def _get_help_string(self, action: Action) -> str | None:
        value, text = action.default, action.help or ""
        if "default" in text or value == SUPPRESS or type(value) not in (int, float, str):
            return action.help
        return f"{text} (default %(default)s)".lstrip()


def command_parser(description: str | None) -> ArgumentParser:
    """A parser whose help is the docstring of its module."""
    return ArgumentParser(description=description, formatter_class=_Help)


def parsed(parser: ArgumentParser, arguments: Sequence[str] | None, once: Sequence[str] = ()) -> Namespace:
    """The arguments, and ``command``: as it was typed. Lists named in ``once`` lose what they repeat."""
    args = parser.parse_args(arguments)
    for name in once:
        if getattr(args, name) is not None:
            setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    name = re.findall(r"python -m (scripts\.\w+)", parser.description or "")[0]
    args.command = shlex.join(["python", "-m", name, *(sys.argv[1:] if arguments is None else arguments)])
    return args


def add_env(parser: ArgumentParser) -> None:
    """The arguments that say which environment."""
    parser.add_argument("--env", default="aq_gym/MultiDevice-v0", help="id")
    parser.add_argument("--env-kwargs", type=json_object, default={}, help="""its arguments: '{"horizon": 30}'""")


def add_shape(parser: Any, horizon: int, budget: int, max_sleep: int) -> None:
    """The sizes of a problem."""
    parser.add_argument("--horizon", type=at_least(1), default=horizon, help="T, slots")
    parser.add_argument("--budget", type=at_least(0), default=budget, help="B, sensings of a device")
    parser.add_argument("--max-sleep", type=at_least(1), default=max_sleep, help="D, slots")


def add_results(parser: ArgumentParser, name: str) -> None:
    """The arguments on what a study writes."""
    default = Path("results") / f"{name}.csv"
    parser.add_argument("--csv", type=file_path, default=default, help="the numbers")
    parser.add_argument("--markdown", type=file_path, help="also write a page with the tables")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def at_least(least: float, kind: type[float] = int, most: float = math.inf) -> Callable[[str], float]:
    """An argument's type: a number of at least ``least``, and at most ``most``."""
    what = "an integer" if kind is int else "a number"
    span = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:,.0f}"

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise ArgumentTypeError(f"expected {what}, got {text!r}") from None
        if not least <= value <= most:  # NaN is none either
            raise ArgumentTypeError(f"expected {span}, got {text}")
        return value

    return read


def file_path(text: str) -> Path:
    """An argument's type: a file to write. A folder is refused before the work begins."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"expected a file, but {text} is a folder")
    return path


def json_object(text: str) -> dict[str, Any]:
    """An argument's type: settings by name, as JSON."""
    expected = f"""expected a JSON object like '{{"name": 1}}', got {text!r}"""
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ArgumentTypeError(f"{expected}: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError(expected)
    return value


def check_arguments(name: str, given: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Refuse arguments to an environment that a command's own function takes for itself."""
    own = sorted(set(given) & set(inspect.signature(function).parameters))
    if own:
        raise ValueError(f"{name}: {', '.join(own)} is no argument of an environment; see --help for the command's own")
