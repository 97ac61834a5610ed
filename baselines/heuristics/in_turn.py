"""Policies of one view played in another: device by device where all decide at once, timers where slots are asked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.episodes import Episodes
from aq_gym.policy import observation_of
from aq_gym.problem import Problem
from baselines.heuristics.simple import legal
from baselines.playing import check_policy, check_problem


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
        self.policy, self.problem = policy, check_problem(problem)
        self.training_seconds = float(getattr(policy, "training_seconds", float("nan")))
        self.card: Mapping[str, Any] = getattr(policy, "card", {})
        self._episodes: Episodes | None = None

    def reset(self, seed: int | None) -> None:
        """Reset the wrapped policy."""
        if hasattr(self.policy, "reset"):
            self.policy.reset(seed)

    def act(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.int64]:
        """(M,) actions of all devices, or (K, M) for a batch; `observation` is not read."""
        single = np.ndim(info["slot"]) == 0
        energy, delay, record = (np.atleast_2d(np.array(info[name])) for name in ("energy", "delay", "record"))
        slot, level = np.atleast_1d(info["slot"]), np.atleast_1d(info["level"])
        k, m = energy.shape
        if self._episodes is None or len(self._episodes) != k:
            self._episodes = Episodes(self.problem, k, observation=observation_of(self.policy))
        episodes, chosen = self._episodes, np.zeros((k, m), np.int64)
        for turn in range(m):
            turns = np.full(k, turn)
            seen = episodes.observe_states(slot, turns, energy, delay, record, level)
            state = {"slot": slot, "turn": turns, "energy": energy.copy(), "delay": delay.copy()}
            state |= {"record": record.copy(), "level": level, "action_mask": episodes.action_mask()}
            wish = np.asarray(self.policy.act(seen, state)) == 1
            on = legal(wish, state) == 1
            chosen[:, turn] = on
            energy[on, turn] -= 1
            delay[on, turn] = 0
            record[on, turn] = level[on]
        return chosen[0] if single else chosen


class InSlots:
    """What a policy of ``decide="timer"`` does, as a policy of ``decide="slot"``.

    Args:
        policy: its `act` returns how many slots the device sleeps before it senses, from an observation that ends with
            the timers (`aq_gym.timed_episodes`).
        problem: that is played.
    """

    def __init__(self, policy: Any, problem: Problem) -> None:
        check_policy(policy)
        self.policy, self.problem = policy, check_problem(problem)
        self.observation = observation_of(policy)
        self.training_seconds = float(getattr(policy, "training_seconds", float("nan")))
        self._timer = np.zeros((0, problem.n_devices), np.int64)  # (K, M) the slot of the next sensing, 0: none is set

    def reset(self, seed: int | None) -> None:
        """Forget the timers, and pass a new beginning on."""
        self._timer = self._timer[:0]
        if hasattr(self.policy, "reset"):
            self.policy.reset(seed)

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> NDArray[np.int64] | int:
        """(K,) 0 or 1, or one of them; see `aq_gym.policy.Policy`."""
        energy, delay = (np.atleast_2d(info[name]) for name in ("energy", "delay"))
        slot, turn, rows = np.atleast_1d(info["slot"]), np.atleast_1d(info["turn"]), np.arange(len(energy))
        if len(self._timer) != len(energy):
            self._timer = np.zeros(energy.shape, np.int64)
        self._timer[(slot == 1) & (turn == 0)] = 0
        wakes = self._timer[rows, turn]
        chooses = (wakes == 0) & (energy[rows, turn] > 0) & (slot <= self.problem.horizon)
        if chooses.any():
            longest = np.maximum(self.problem.max_sleep - delay[rows, turn], 0)
            wish = self._ask(np.atleast_2d(observation), {**info, "slot": slot, "turn": turn}, longest)
            wakes = np.where(chooses, slot + np.minimum(wish, longest), wakes)
        on = wakes == slot
        self._timer[rows, turn] = np.where(on, 0, wakes)
        return on.astype(np.int64) if np.ndim(info["slot"]) else int(on[0])

    def _ask(
        self, observation: NDArray[np.float32], info: dict[str, Any], longest: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(K,) slots to sleep."""
        slots = self.problem.max_sleep
        left = np.where(self._timer > 0, self._timer - info["slot"][:, None] + 1, 0) / slots
        info["action_mask"] = (np.arange(slots) <= longest[:, None]).astype(np.int8)
        batch = {name: np.atleast_2d(info[name]) for name in ("energy", "delay", "record")}
        seen = np.concatenate([observation, left.astype(np.float32)], axis=1)
        return np.asarray(self.policy.act(seen, info | batch | {"level": np.atleast_1d(info["level"])}))
