"""Draw an episode as an animated GIF: the picture at the top of README.md.

python -m scripts.render_episode docs/episode.gif
python -m scripts.render_episode night.gif --env aq_gym/SingleDevice-v0 --policy optimal --seed 3 --width 600
"""

import argparse
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import gymnasium as gym
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from aq_gym.network import write_atomically
from aq_gym.policy import observation_of
from baselines.evaluation.registry import WORDS, build_policy
from baselines.learners.shipped import is_shipped
from baselines.playing import problem_of
from scripts.arguments import add_env, at_least, command_parser, file_path
from scripts.command import enter


def frames(args: argparse.Namespace) -> list[Image.Image]:
    """A picture at the end of every few slots."""
    problem = problem_of(args.env, **args.env_kwargs)
    word = args.policy or ("pretrained" if is_shipped(problem) else "greedy")
    if word != (args.policy or "pretrained"):
        print(f"no agent is shipped for this problem: {word} decides; --policy names another")
    policy = build_policy(word, problem)[0]
    observation = observation_of(policy)
    name = args.env if "/" in args.env else f"aq_gym/{args.env}"
    env = gym.make(name, render_mode="rgb_array", observation=observation, **args.env_kwargs)
    if hasattr(policy, "reset"):
        policy.reset(args.seed)
    drawn: list[Image.Image] = []
    seen, info = env.reset(seed=args.seed)
    over = False
    with Progress(disable=args.quiet, console=Console(stderr=True)) as bar:
        task = bar.add_task("drawing", total=problem.horizon)
        while not over:
            if info["turn"] == 0 and (info["slot"] - 1) % args.every == 0:
                drawn.append(_shrunk(env.render(), args.width))
            seen, _, over, _, info = env.step(policy.act(seen, info))
            bar.update(task, completed=info["slot"] - 1)
    drawn.append(_shrunk(env.render(), args.width))
    env.close()
    return drawn


def _shrunk(picture: Any, width: int) -> Image.Image:
    image = Image.fromarray(picture)
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


def main(args: argparse.Namespace) -> None:
    pictures = frames(args)
    colours = pictures[len(pictures) // 2].quantize(96)  # one palette, so that nothing flickers
    first, *others = [picture.quantize(palette=colours, dither=Image.Dither.NONE) for picture in pictures]
    content = BytesIO()
    pause = [args.milliseconds] * len(others) + [2000]
    with Console(quiet=args.quiet, stderr=True).status("compressing"):
        first.save(content, "GIF", save_all=True, append_images=others, duration=pause, loop=0, optimize=True)
    write_atomically(args.output, content.getvalue())
    print(f"{len(pictures)} pictures, {len(content.getvalue()) / 1e6:.2f} MB, written to {args.output}")


def gif_path(text: str) -> Path:
    """An argument's type: the name of a GIF."""
    path = file_path(text)
    if path.suffix.lower() != ".gif":
        raise argparse.ArgumentTypeError(f"expected a name that ends in .gif, got {text}")
    return path


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("output", type=gif_path, help="the GIF to write")
    add_env(parser)
    parser.add_argument(
        "--policy",
        choices=WORDS,
        metavar="WORD",
        help=f"default: pretrained, or greedy where no agent is shipped; of {', '.join(WORDS)}",
    )
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--every", type=at_least(1), default=2, help="slots from picture to picture")
    parser.add_argument("--width", type=at_least(100), default=720, help="of the pictures [pixels]")
    parser.add_argument("--milliseconds", type=at_least(20), default=300, help="that a picture stays")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
