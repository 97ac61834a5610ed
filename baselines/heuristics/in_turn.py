"""Policies that decide device by device, played where all devices decide at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.episodes import Episodes
from aq_gym.problem import Problem
from baselines.playing import check_policy


class InTurn:
    """Calls a sequential policy for each device in turn and returns the joint action.

    The decisions, and so the errors, are those of the sequential view (Proposition 3): each device sees what the ones
    before it have decided in this slot. Where the level is hidden, their reports are not known yet: they count as what
    the server believes.

    Args:
        policy: of the sequential view.
        problem: that both views share.

    Raises:
        TypeError: the policy has no method `act`.
    """

    view = "joint"
    observation = "full"  # it reads the raw state alone

    def __init__(self, policy: Any, problem: Problem) -> None:
        check_policy(policy)
        self.policy, self.problem = policy, problem
        self.training_seconds = float(getattr(policy, "training_seconds", float("nan")))
        self.card: Mapping[str, Any] = getattr(policy, "card", {})
        self._episodes: Episodes | None = None

    def reset(self, seed: int | None) -> None:
        """Reset the wrapped policy."""
        if hasattr(self.policy, "reset"):
            self.policy.reset(seed)

    def act(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.int64]:
        """(M,) actions of all devices, or (K, M) for a batch; `observation` is not read."""
        del observation
        single = np.ndim(info["slot"]) == 0
        energy, delay, record = (np.atleast_2d(np.array(info[name])) for name in ("energy", "delay", "record"))
        slot, level = np.atleast_1d(info["slot"]), np.atleast_1d(info["level"])
        k, m = energy.shape
        if self._episodes is None or len(self._episodes) != k:
            kind = getattr(self.policy, "observation", None) or "full"
            self._episodes = Episodes(self.problem, k, observation=kind)
        episodes, chosen = self._episodes, np.zeros((k, m), np.int64)
        for turn in range(m):
            turns = np.full(k, turn)
            seen = episodes.observe_states(slot, turns, energy, delay, record, level)
            mask = episodes.action_mask()
            state = {"slot": slot, "turn": turns, "energy": energy.copy(), "delay": delay.copy()}
            state |= {"record": record.copy(), "level": level, "action_mask": mask}
            wish = np.asarray(self.policy.act(seen, state)) == 1
            on = (wish | (mask[:, 0] == 0)) & (mask[:, 1] == 1)
            chosen[:, turn] = on
            energy[on, turn] -= 1
            delay[on, turn] = 0
            record[on, turn] = level[on]
        return chosen[0] if single else chosen
