"""What a vector environment's infos hold: ordinary dicts of fresh arrays, each with a mask beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.episodes import Episodes
from aq_gym.timed_episodes import TimedEpisodes


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
    episode, device = episodes.state.episode, episodes.state.device
    known = np.empty((8, len(mask)), np.bool_)
    known[:] = True if rows is None else rows
    of_mask, of_slot, of_turn, of_energy, of_delay, of_record, of_level, of_capped = known
    infos: dict[str, Any] = {
        "action_mask": mask,
        "_action_mask": of_mask,
        "slot": episode["slot"].copy(),
        "_slot": of_slot,
        "turn": episode["turn"].copy(),
        "_turn": of_turn,
        "energy": device["energy"].copy(),
        "_energy": of_energy,
        "delay": device["delay"].copy(),
        "_delay": of_delay,
        "record": device["record"].copy(),
        "_record": of_record,
        "level": episode["level"].copy(),
        "_level": of_level,
        "capped": episode["capped"].copy(),
        "_capped": of_capped,
    }
    if reveal:
        infos["hidden_level"], infos["_hidden_level"] = hidden_level(episodes), of_level.copy()
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
    closed, terminated = ended > 0, ended == 2
    if decided.any():
        infos["forced"] = forced & (decided[:, None] if episodes.joint else decided)
        infos["_forced"] = decided.copy()
        if lost is not None:
            infos["lost"] = lost & (decided[:, None] if episodes.joint else decided)
            infos["_lost"] = decided.copy()
    if closed.any():
        infos["joint_error"] = np.where(closed, episodes.slot_error, 0.0)
        infos["_joint_error"] = closed.copy()
    if terminated.any():
        average = episodes.total_error / episodes.problem.horizon
        infos["average_joint_error"] = np.where(terminated, average, 0.0)
        infos["_average_joint_error"] = terminated.copy()
