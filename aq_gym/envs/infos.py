"""What a vector environment's infos hold: ordinary dicts of fresh arrays, each with a mask beside it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.episodes import Episodes
from aq_gym.timed_episodes import TimedEpisodes

_OF_EPISODE, _OF_DEVICE = ("slot", "turn", "level", "capped"), ("energy", "delay", "record")
_FLAGS = [f"_{name}" for name in ("action_mask", *_OF_EPISODE, *_OF_DEVICE)]


def hidden_level(episodes: Episodes) -> NDArray[np.float64]:
    """(K,) the present level itself [µg/m³]; after the end, that of slot T."""
    slot = np.minimum(episodes.slot, episodes.problem.horizon)
    return np.take_along_axis(episodes.path, slot[:, None], axis=1)[:, 0]


def lost_reports(episodes: Episodes, turn: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the report of the device that decided got lost, (K,); joint view: (K, M).

    With timers: of the device that chooses next.
    """
    lost = episodes.state.device["lost"] > 0
    turn = episodes.turn if isinstance(episodes, TimedEpisodes) else turn
    return lost if episodes.joint else np.take_along_axis(lost, turn[:, None], axis=1)[:, 0]


def raw_state(
    episodes: Episodes, mask: NDArray[np.int8], rows: NDArray[np.bool_] | None = None, *, reveal: bool = False
) -> dict[str, Any]:
    """The raw state of all episodes, or of those in ``rows`` (K,) and zero elsewhere; the hidden level if asked."""
    state = episodes.state
    known = np.empty((len(_FLAGS), len(mask)), np.bool_)
    known[:] = True if rows is None else rows
    infos: dict[str, Any] = {"action_mask": mask}
    for name in _OF_EPISODE:
        infos[name] = state.episode[name].copy()
    for name in _OF_DEVICE:
        infos[name] = state.device[name].copy()
    infos.update(zip(_FLAGS, known, strict=False))
    if reveal:
        infos["hidden_level"], infos["_hidden_level"] = hidden_level(episodes), known[0].copy()
    if rows is not None:
        for name in [name for name in infos if name[0] != "_"]:
            infos[name][~rows] = 0
    return infos


def add_outcome(
    infos: dict[str, Any],
    episodes: Episodes,
    decided: NDArray[np.bool_],
    ended: NDArray[np.int8],
    forced: NDArray[np.bool_],
    lost: NDArray[np.bool_] | None = None,
) -> None:
    """Add what came of the decisions: where one was made, where a slot ended, and where an episode did."""
    _add(infos, "forced", forced, decided)
    if lost is not None:
        _add(infos, "lost", lost, decided)
    _add(infos, "joint_error", episodes.slot_error, ended > 0)
    _add(infos, "average_joint_error", episodes.total_error / episodes.problem.horizon, ended == 2)


def _add(infos: dict[str, Any], name: str, values: NDArray[Any], where: NDArray[np.bool_]) -> None:
    """Values (K,) or (K, M) of some episodes, zero elsewhere; nothing if there are none."""
    if where.any():
        infos[name] = values * (where[:, None] if values.ndim == 2 else where)
        infos[f"_{name}"] = where.copy()
