"""Episodes in which a device sets a timer: how many slots to sleep before it senses next. A semi-Markov view.

A device that has energy and no timer chooses at its turn, 0 (sense now) to D - 1 slots; then it sleeps and hears
nothing until it senses. A step goes on to the next choice, and its reward is the sum of the rewards on the way. So
there is one decision a sensing instead of one a slot.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.episodes import Episodes
from aq_gym.kernels import batch
from aq_gym.observation import ObservationLayout, Segment
from aq_gym.problem import Problem


class TimedEpisodes(Episodes):
    """`Episodes` whose actions are timers, and whose observations end with the timers of all devices."""

    n_actions = 0  # D
    _timers = ("timers",)

    def __init__(self, problem: Problem, n_episodes: int, *, observation: str = "full") -> None:
        super().__init__(problem, n_episodes, observation=observation)
        meaning = "1 + slots until device senses, 0 without a timer"
        size, longest = self.layout.size, float(problem.max_sleep)
        timers = Segment("timer", size, problem.n_devices, meaning, "slots", longest, 0.0, 1.0)
        self.layout = ObservationLayout(f"{observation} and timers", (*self.layout.segments, timers))
        self.observation_shape, self.n_actions = (n_episodes, self.layout.size), problem.max_sleep
        self.mask_shape = n_episodes, self.n_actions

    @property
    def timer(self) -> NDArray[np.int64]:
        """(K, M) the slot in which each device senses next; 0: it has no timer."""
        return self.state.device["timer"]

    def decide(
        self,
        actions: NDArray[np.int64],
        rewards: NDArray[np.float64],
        observation: NDArray[np.float32],
        ended: NDArray[np.int8] | None = None,
        forced: NDArray[np.bool_] | None = None,
        mask: NDArray[np.int8] | None = None,
    ) -> int:
        """As `Episodes.decide`, up to the next choice; ``mask`` is (K, D).

        Raises:
            ValueError: an action of a running episode is not from 0 to D - 1; nothing is done then.
        """
        ended = np.zeros(len(self), np.int8) if ended is None else ended
        forced = np.empty(len(self), np.bool_) if forced is None else forced
        running = np.flatnonzero(self.slot <= self.problem.horizon)
        if ((actions[running] < 0) | (actions[running] >= self.n_actions)).any():
            self._refuse(actions)
        asked, longest = actions[running], self._longest()[running]
        forced[running] = asked > longest
        self.timer[running, self.turn[running]] = self.slot[running] + np.minimum(asked, longest)
        rewards[running], ended[running] = 0.0, 0
        wakes, earned, outcome = np.zeros(len(self), np.int64), np.empty(len(self)), np.zeros(len(self), np.int8)
        replaced, either = np.empty(len(self), np.bool_), np.empty((len(self), 2), np.int8)
        while running.size:
            turn = self.turn[running]
            wakes[running] = (self.timer[running, turn] == self.slot[running]) & (self.energy[running, turn] > 0)
            self.timer[running, turn] *= 1 - wakes[running]
            self._view(*self.arguments, batch.STEP, running, wakes, earned, outcome, replaced, either, observation)
            rewards[running] += earned[running]
            ended[running] = np.maximum(ended[running], outcome[running])
            turn = self.turn[running]
            chooses = (self.timer[running, turn] == 0) & (self.energy[running, turn] > 0)
            running = running[(outcome[running] < 2) & ~chooses]
        if mask is not None:
            mask[...] = self.action_mask()
        self._write_timers(observation)
        return int(ended.max(initial=0))

    def action_mask(self) -> NDArray[np.int8]:
        """(K, D) allowed timers of the device that chooses; 0 alone where nothing is decided."""
        return (np.arange(self.n_actions) <= self._longest()[:, None]).astype(np.int8)

    def observe_states(self, *state: ArrayLike, **named: ArrayLike) -> NDArray[np.float32]:
        """As `Episodes.observe_states`; no device has a timer."""
        self.timer[...] = 0
        return super().observe_states(*state, **named)

    def _longest(self) -> NDArray[np.int64]:
        """(K,) the longest timer that the device may set."""
        rows = np.arange(len(self))
        longest = np.maximum(self.problem.max_sleep - self.delay[rows, self.turn], 0)
        decides = (self.slot >= 1) & (self.slot <= self.problem.horizon) & (self.energy[rows, self.turn] > 0)
        return np.where(decides, longest, 0)

    def _run(self, task: int, rows: NDArray[np.int64], observation: NDArray[np.float32]) -> NDArray[np.int8]:
        outcome = np.zeros(len(self)), np.zeros(len(self), np.int8), np.zeros(self.shape, np.bool_)
        either, actions = np.empty((len(self), 2), np.int8), np.zeros(self.shape, np.int64)
        self._view(*self.arguments, task, rows, actions, *outcome, either, observation)
        if task != batch.MASK:
            self._write_timers(observation)
        return self.action_mask()

    def _write_timers(self, observation: NDArray[np.float32]) -> None:
        """The timers, after what the kernels observe."""
        left = np.where(self.timer > 0, self.timer - self.slot[:, None] + 1, 0)
        observation[:, -self.problem.n_devices :] = left / self.problem.max_sleep
