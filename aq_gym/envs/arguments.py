"""What `make`, `reset` and their options may be given: checked before anything is changed."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from aq_gym.episodes import Episodes
from aq_gym.problem import Problem
from aq_gym.rendering import RENDER_MODES
from aq_gym.timed_episodes import TimedEpisodes


def check_mode(render_mode: str | None) -> str | None:
    """The render mode, if it exists; `render` checks its dependencies.

    Raises:
        ValueError: unknown mode.
    """
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode: expected one of {', '.join(RENDER_MODES)}, got {render_mode!r}")
    return render_mode


def check_reveal(reveal: bool, problem: Problem) -> bool:
    """Whether infos hold the hidden level.

    Raises:
        ValueError: neither True nor False, or True where the level is not hidden.
    """
    if not isinstance(reveal, bool) or (reveal and problem.inference != "hidden"):
        raise ValueError(
            f"reveal: expected True or False, True with inference='hidden' alone, got {reveal!r} with "
            f"{problem.inference!r}"
        )
    return reveal


def action_space_of(episodes: Episodes) -> gym.spaces.Discrete | gym.spaces.MultiBinary:
    """The actions of one episode; joint view: one of each device."""
    return (
        gym.spaces.MultiBinary(episodes.problem.n_devices)
        if episodes.joint
        else gym.spaces.Discrete(episodes.n_actions)
    )


def episodes_of(problem: Problem, n_episodes: int, observation: str, joint: bool, decide: str = "slot") -> Episodes:
    """Episodes in which a device decides in every slot, or when it sets its timer.

    Raises:
        ValueError: neither "slot" nor "timer", timers in the joint view, or an unknown observation.
    """
    if decide not in (("slot",) if joint else ("slot", "timer")):
        raise ValueError(f"decide: expected 'slot'{'' if joint else ' or ' + repr('timer')}, got {decide!r}")
    if decide == "timer":
        return TimedEpisodes(problem, n_episodes, observation=observation)
    return Episodes(problem, n_episodes, joint=joint, observation=observation)


def autoreset_mode_of(mode: str | AutoresetMode) -> AutoresetMode:
    """The autoreset mode of a name.

    Raises:
        ValueError: none of Gymnasium's.
    """
    if isinstance(mode, AutoresetMode):
        return mode
    for known in AutoresetMode:
        if mode in (known.value, known.name):
            return known
    raise ValueError(f"autoreset_mode: expected one of {', '.join(m.value for m in AutoresetMode)}, got {mode!r}")


def seeds_of(seed: Any, n_episodes: int) -> list[int | None]:
    """The seed of each episode: s + k of an integer s, else those in the list.

    Raises:
        ValueError: no integer, no list of integers and None, or a list of another length.
    """
    expected = f"seed: expected one integer or {n_episodes} of them (num_envs)"
    if seed is None:
        return [None] * n_episodes
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return [int(seed) + k for k in range(n_episodes)]
    if not isinstance(seed, (Sequence, np.ndarray)) or isinstance(seed, (str, bytes)) or np.ndim(seed) == 0:
        raise ValueError(f"{expected}, got {type(seed).__name__} {seed!r}")
    if len(seed) != n_episodes:
        raise ValueError(f"{expected}, got {len(seed)}")
    for k, each in enumerate(seed):
        if each is not None and (isinstance(each, bool) or not isinstance(each, Integral)):
            raise ValueError(f"{expected}; seed[{k}] is {type(each).__name__} {each!r}")
    return [None if each is None else int(each) for each in seed]


def reset_rows(mask: Any, n_episodes: int) -> NDArray[np.int64]:
    """Which episodes a ``reset_mask`` names; ValueError if it is none, or names none."""
    if mask is None:
        return np.arange(n_episodes)
    is_mask = isinstance(mask, np.ndarray) and mask.shape == (n_episodes,) and mask.dtype == np.bool_
    if not is_mask or not mask.any():
        raise ValueError(
            f"options['reset_mask']: expected a bool array of shape ({n_episodes},) with a True in it, got {mask!r}"
        )
    return np.flatnonzero(mask)


def mask_of(rows: NDArray[np.int64], n_episodes: int) -> NDArray[np.bool_]:
    """(K,) whether an episode is among the rows."""
    mask = np.zeros(n_episodes, np.bool_)
    mask[rows] = True
    return mask


def checked_options(options: Any) -> dict[str, Any]:
    """A copy of `reset`'s options; ValueError if they are no mapping."""
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"options: expected a mapping such as {{'levels': indices}}, got {options!r}")
    return dict(options or {})


def imposed_levels(options: dict[str, Any] | None, problem: Problem, n_episodes: int) -> NDArray[np.int64] | None:
    """The level indices that `reset`'s options impose, (n_episodes, T + 1), or None.

    Raises:
        ValueError: no mapping, an unknown option, or levels of a wrong shape, type or range.
    """
    options = checked_options(options)
    if not options:
        return None
    unknown = set(options) - {"levels"}
    if unknown:
        raise ValueError(
            f"options: unknown {', '.join(sorted(map(repr, unknown)))}; known: 'levels', a path of level indices"
        )
    length, top = problem.horizon + 1, problem.network.n_levels - 1
    try:
        path = np.asarray(options["levels"])
    except ValueError as error:
        raise ValueError(f"options['levels']: expected {length} level indices, got a ragged list") from error
    if path.dtype.kind not in "iu":
        raise ValueError(f"options['levels']: expected integer indices into the {top + 1} levels, got {path.dtype}")
    shapes = {(length,)} if n_episodes == 1 else {(length,), (n_episodes, length)}
    if path.shape not in shapes:
        raise ValueError(
            f"options['levels']: expected {length} indices (slots 0 to {length - 1})"
            + (f", or ({n_episodes}, {length})" if n_episodes > 1 else "")
            + f", got shape {path.shape}"
        )
    outside = np.argwhere((path < 0) | (path > top))
    if len(outside):
        where = tuple(outside[0])
        raise ValueError(f"options['levels']{list(map(int, where))}: index {path[where]} is outside 0..{top}")
    return np.broadcast_to(path.astype(np.int64), (n_episodes, length))


def impose(levels: NDArray[np.int64] | None, path: NDArray[np.int64]) -> NDArray[np.int64]:
    """Paths (R, ·) that were drawn, with the levels (R, T + 1) that are imposed, if any are."""
    if levels is not None:
        path[:, : levels.shape[1]] = levels
    return path
