"""K episodes of one problem as a batch: their arrays, drawing levels, copies of the state, compiled play."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.actions import checked_actions
from aq_gym.chance import Chance
from aq_gym.episode_state import EpisodeState
from aq_gym.kernels import batch
from aq_gym.kernels.branches import branch
from aq_gym.kernels.network import play
from aq_gym.kernels.parameters import parameters_of, state_of
from aq_gym.layers import Counterfactuals, Layers, small_network
from aq_gym.network_checks import as_count
from aq_gym.observation import ObservationLayout
from aq_gym.problem import Problem
from aq_gym.records import State

__all__ = ["Counterfactuals", "EpisodeState", "Episodes", "Layers"]


class Episodes:
    """K episodes of one problem, advanced together by `aq_gym.kernels.batch`."""

    n_actions = 2
    _timers: tuple[str, ...] = ()  # of the digest: states with timers are others

    def __init__(self, problem: Problem, n_episodes: int, *, joint: bool = False, observation: str = "full") -> None:
        if joint and observation != "full":
            raise ValueError("observation: the joint view has no deciding device, so only 'full' is possible there")
        self.problem, self.joint = problem, joint
        self.layout = ObservationLayout.of(problem, observation)
        self.observation_shape = n_episodes, self.layout.size
        self.parameters, self.state = parameters_of(problem), state_of(problem, n_episodes)
        self.arguments = *self.parameters, *self.state  # what the functions of `kernels.batch` take first
        self._all, self._chance = np.arange(n_episodes), Chance(problem)
        self.n_uniforms = self._chance.n_uniforms  # random numbers that an episode is drawn from
        self.shape = (n_episodes, problem.n_devices) if joint else (n_episodes,)  # of actions and of what was forced
        self.mask_shape = n_episodes, problem.n_devices if joint else 2
        self._view = batch.VIEWS["joint" if joint else observation]

    @cached_property
    def _digest(self) -> str:
        """Of all that a state's meaning depends on."""
        network, parameters = self.problem.network, [x for x in self.parameters if x is not None]
        constants = (self.state.device[name][:1] for name in ("location", "budget"))
        parts = (*parameters, *constants, self._chance.levels, network.transition, network.start)
        about = self.joint, self.problem.loss, self.problem.harvest, *self._timers
        kinds = repr((*about, [(x.dtype.descr, x.shape[1:]) for x in self.state]))
        return blake2b(b"".join(x.tobytes() for x in parts) + kinds.encode(), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self._all)

    def draw_path(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """(R, n_uniforms) paths from as many numbers: level indices, then lost reports and harvests (`Chance`)."""
        return self._chance.draw(uniforms)

    def begin(
        self, rows: NDArray[np.int64], path: NDArray[np.int64], observation: NDArray[np.float32]
    ) -> NDArray[np.int8]:
        """Start some episodes on paths (len(rows), n_uniforms); writes their observations, returns all masks."""
        self.state.path[rows] = self._chance.values(path)
        return self._run(batch.BEGIN, rows, observation)

    def observe_states(
        self, slot: ArrayLike, turn: ArrayLike, energy: ArrayLike, delay: ArrayLike, record: ArrayLike, level: ArrayLike
    ) -> NDArray[np.float32]:
        """Put every episode into a state and observe it; the rest of its level path is left undefined.

        Args:
            slot: (K,) 1..T.
            turn: (K,) the device that decides.
            energy: (K, M) sensings left.
            delay: (K, M) slots since last sensed, at most D (hidden: T + 1); 0 only for devices before ``turn``.
            record: (K, M) level when last sensed [µg/m³].
            level: (K,) the present level [µg/m³].

        Returns:
            (K, size) observations.
        """
        self.slot[...], self.turn[...], self.energy[...] = slot, 0 if self.joint else turn, energy
        self.delay[...], self.record[...] = delay, record
        self.path[self._all, self.slot] = level
        self._run(batch.INFER, self._all, self.empty_observations())
        return self.observe()

    def redraw_future(self, row: int, generator: np.random.Generator) -> None:
        """Draw anew what the server does not know yet of one episode's path; see `Chance.redraw`."""
        known, level, hidden = int(self.slot[row]), self.level[row], self.problem.inference == "hidden"
        if hidden:
            fresh = int(self.delay[row].argmin())
            known, level = known - int(self.delay[row, fresh]), self.record[row, fresh]
        if self.slot[row] < self.problem.horizon + hidden:
            self._chance.redraw(self.state.path[row], known, level, generator)

    def empty_observations(self) -> NDArray[np.float32]:
        """(K, size) a fresh array for observations."""
        return np.empty(self.observation_shape, np.float32)

    def observe(self) -> NDArray[np.float32]:
        """(K, size) the observation of every episode, in a fresh array."""
        observation = self.empty_observations()
        self._run(batch.LOOK, self._all, observation)
        return observation

    def _run(self, task: int, rows: NDArray[np.int64], observation: NDArray[np.float32]) -> NDArray[np.int8]:
        """A task of `kernels.batch` other than a step; the masks of all episodes."""
        mask = self.action_mask() if len(rows) < len(self) else np.empty(self.mask_shape, np.int8)
        outcome = np.zeros(len(self)), np.zeros(len(self), np.int8), np.zeros(self.shape, np.bool_)
        self._view(*self.arguments, task, rows, np.zeros(self.shape, np.int64), *outcome, mask, observation)
        return mask

    def decide(
        self,
        actions: NDArray[np.int64],
        rewards: NDArray[np.float64],
        observation: NDArray[np.float32],
        ended: NDArray[np.int8] | None = None,
        forced: NDArray[np.bool_] | None = None,
        mask: NDArray[np.int8] | None = None,
    ) -> int:
        """One decision (joint view: one slot) in every episode that is not over; of the others nothing is written.

        Args:
            actions: (K,) of 0 and 1, or (K, M) in the joint view.
            rewards: (K,) receives the rewards [µg/m³].
            observation: (K, size) receives the observations.
            ended: (K,) receives 1 where a slot ended, 2 where an episode did, else 0.
            forced: like ``actions``: receives True where the action was replaced.
            mask: (K, 2), or (K, M) in the joint view, receives what is allowed next, see `action_mask`.

        Returns:
            The largest of ``ended``.

        Raises:
            ValueError: an action of a running episode is neither 0 nor 1; nothing is done then.
        """
        ended = np.empty(len(self), np.int8) if ended is None else ended
        forced = np.empty(self.shape, np.bool_) if forced is None else forced
        mask = np.empty(self.mask_shape, np.int8) if mask is None else mask
        out = ended, forced, mask, observation
        most: int = self._view(*self.arguments, batch.STEP, self._all, actions, rewards, *out)
        if most < 0:
            self._refuse(actions)
        return most

    def _refuse(self, actions: NDArray[np.int64]) -> None:
        """Raise with the first action of a running episode that is none."""
        checked_actions(np.where(self.slot <= self.problem.horizon, actions, 0), self.shape, self.n_actions)

    def play(self, layers: Layers, scores: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """Play every episode to its end with a small network's policy.

        Like `branch` it runs without Python's lock, so that threads may play batches of their own side by side.

        Args:
            layers: the network.
            scores: (K, n) receives the outputs at the first n decisions, NaN where the action was forced.

        Returns:
            (K,) average joint errors of the episodes [µg/m³].

        Raises:
            ValueError: layers or scores of a wrong shape, or a batch that has another observation.
        """
        network = small_network(layers, self.layout)
        scores = np.empty((len(self), 0), np.float32) if scores is None else scores
        if scores.ndim != 2 or len(scores) != len(self) or scores.dtype != np.float32:
            raise ValueError(f"scores: expected ({len(self)}, n) float32, got {scores.shape} {scores.dtype}")
        play(*self.arguments, network, scores, self.empty_observations())
        return self.total_error / self.problem.horizon

    def branch(
        self, layers: Layers, points: NDArray[np.int64], cuts: Sequence[int] = (), *, alone: bool = False
    ) -> Counterfactuals:
        """Counterfactual pairs: at chosen decisions, what would sensing have gained under the same levels?

        Without cuts both branches run to the end. With cuts they run to the last one, and each cut ends an interval.

        Args:
            layers: the network whose policy plays on after the decision.
            points: (K, n) numbers of the chosen decisions, counted from the present one, never decreasing.
            cuts: numbers of slots after the decision, increasing, at which both plays are observed on the turn of the
                same device.
            alone: only the device whose action was changed follows the network; the others repeat their actions.
                With many devices most of the noise is theirs, and near a good policy little of the gain.

        Returns:
            The pairs. The episodes themselves are played to their ends.

        Raises:
            ValueError: layers, points or cuts of a wrong shape or order, a batch that has another observation, or
                episodes that have not begun.
        """
        network = small_network(layers, self.layout)
        if points.ndim != 2 or len(points) != len(self) or (np.diff(points, axis=1, prepend=0) < 0).any():
            raise ValueError(f"points: expected ({len(self)}, n) numbers from 0, never decreasing, got {points}")
        if (self.slot == 0).any():
            raise ValueError("branch: some episodes have not begun; begin them first")
        at = np.array(cuts, np.int64)
        if at.ndim != 1 or (np.diff(at, prepend=0) <= 0).any() or at.tolist() != list(cuts):
            raise ValueError(f"cuts: expected increasing numbers of slots from 1, got {cuts}")
        features = np.zeros((*points.shape, self.layout.size), np.float32)
        tails = np.zeros((*points.shape, len(at), 2, self.layout.size), np.float32)
        gains, reached = np.empty((*points.shape, max(1, len(at)))), np.zeros((*points.shape, len(at)), np.bool_)
        found = Counterfactuals(features, gains, tails, reached)
        branch(self.parameters, self.state, state_of(self.problem, points.shape[1]), network, points, at, alone, found)
        return found

    @property
    def slot(self) -> NDArray[np.int64]:
        """(K,) the slot in which each episode is; T + 1 = over, 0 = not begun."""
        return self.state.episode["slot"]

    @property
    def turn(self) -> NDArray[np.int64]:
        """(K,) the device that decides."""
        return self.state.episode["turn"]

    @property
    def capped(self) -> NDArray[np.int64]:
        """(K,) device-slots so far in which a delay stayed at D."""
        return self.state.episode["capped"]

    @property
    def level(self) -> NDArray[np.float64]:
        """(K,) the present level, or what the server believes of it [µg/m³]; after the end, that of slot T."""
        return self.state.episode["level"]

    @property
    def slot_error(self) -> NDArray[np.float64]:
        """(K,) average joint error of the last slot that ended [µg/m³]."""
        return self.state.episode["last_error"]

    @property
    def total_error(self) -> NDArray[np.float64]:
        """(K,) sum of the average joint errors of the slots that ended [µg/m³]."""
        return self.state.episode["total_error"]

    @property
    def energy(self) -> NDArray[np.int64]:
        """(K, M) sensings left."""
        return self.state.device["energy"]

    @property
    def delay(self) -> NDArray[np.int64]:
        """(K, M) slots since each device last sensed."""
        return self.state.device["delay"]

    @property
    def record(self) -> NDArray[np.float64]:
        """(K, M) the level when it did [µg/m³]."""
        return self.state.device["record"]

    @property
    def path(self) -> NDArray[np.float64]:
        """(K, T + 1) the levels of all slots [µg/m³], hidden ones too."""
        return self.state.path[:, : self.problem.horizon + 1]

    def action_mask(self) -> NDArray[np.int8]:
        """(K, 2) allowed actions of the deciding device; joint view: (K, M) with 0 off, 1 on, 2 free."""
        return self._run(batch.MASK, self._all, np.empty((0, 0), np.float32))

    def copy_state(self, generators: Sequence[np.random.Generator]) -> EpisodeState:
        """A copy of everything, the state of each episode's generator included."""
        arrays = State._make(x.copy() for x in self.state)
        return EpisodeState(arrays, tuple(g.bit_generator.state for g in generators), self._digest)

    def restore(
        self, state: EpisodeState, generators: Sequence[np.random.Generator], future_seed: int | None = None
    ) -> None:
        """Restore copied states: one for each episode, or a single one for all.

        With a ``future_seed`` the levels after the present slot are drawn anew, from as many independent streams.

        Raises:
            ValueError: the copy belongs to another problem or has another number of episodes, or the seed is none.
        """
        if not isinstance(state, EpisodeState):
            raise ValueError(f"state: expected what get_state returned, got {type(state).__name__}")
        if len(state) not in (1, len(self)):
            raise ValueError(f"state: holds {len(state)} episodes, expected 1 or {len(self)}")
        if state.problem != self._digest:
            raise ValueError(
                "state: belongs to another problem; a state can only be restored into an environment of the same "
                "network, devices, horizon, energy_budget, max_sleep and inference, sequential, timed or joint alike"
            )
        future_seed = None if future_seed is None else as_count("future_seed", future_seed, 0)
        for mine, theirs in zip(self.state, state.arrays, strict=True):
            mine[...] = theirs
        for k, generator in enumerate(generators):
            generator.bit_generator.state = state.generators[k % len(state)]
        if future_seed is not None:
            for k, stream in enumerate(np.random.SeedSequence(future_seed).spawn(len(self))):
                self.redraw_future(k, np.random.default_rng(stream))
