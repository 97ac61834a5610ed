"""K episodes of one problem as a batch: the arrays that the kernels work on, drawing levels, copies of the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ctypes import c_void_p, cast
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym import kernels
from aq_gym.estimation import LevelAware, mean_deviation
from aq_gym.kernels import Branches, Constants, SmallNetwork, State, aligned, aligned_copy
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES, ObservationLayout, error_bound, traits
from aq_gym.problem import Problem

_VIEWS = (
    "state",
    "aside",
    "rows",
    "clock",
    "energy",
    "delay",
    "record",
    "score",
    "mask",
    "forced",
    "path",
    "first",
    "arguments",
    "direct",
    "advance",
    "_observe",
)


class Streams(NamedTuple):
    """Where compiled code draws from NumPy's generators, in a fraction of the time that they take.

    Their locks are not taken: no other thread may draw from them meanwhile.
    """

    function: int  # address of what draws a number
    states: NDArray[np.int64]  # (R,) addresses of the generators' states
    sources: list[np.random.BitGenerator]  # which are valid as long as these live


def streams(generators: Sequence[np.random.Generator]) -> Streams:
    """Of generators of one kind.

    Raises:
        ValueError: they are of several kinds.
    """
    sources = [generator.bit_generator for generator in generators]
    kinds = {type(source).__name__ for source in sources}
    if len(kinds) != 1:
        raise ValueError(f"generators: expected one kind of bit generator, got {', '.join(sorted(kinds)) or 'none'}")
    function = cast(sources[0].ctypes.next_double, c_void_p).value or 0
    return Streams(function, np.array([source.ctypes.state_address for source in sources]), sources)


def cumulative(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative sums whose last possible entry no uniform number can reach."""
    total = np.cumsum(probabilities, axis=-1)
    last = probabilities.shape[-1] - 1 - np.argmax(probabilities[..., ::-1] > 0, axis=-1)
    return np.where(np.arange(probabilities.shape[-1]) >= last[..., None], 2.0, total)


_NO_WIDTHS, _NO_WEIGHTS = np.zeros(0, np.int64), np.zeros(0, np.float32)


class Layers(NamedTuple):
    """The numbers of a small ReLU network, for compiled play. A positive output means on.

    With an encoder the network reads the ``per_device`` observation: every device's row passes through the encoder,
    and the mean of what comes out (after the ReLU) joins the 32 compact numbers as the network's inputs.
    """

    widths: NDArray[np.int64]  # of the layers, inputs first, 1 last
    weights: NDArray[np.float32]  # layer after layer, (inputs, outputs) row by row and then the biases
    encoder_widths: NDArray[np.int64] = _NO_WIDTHS
    encoder_weights: NDArray[np.float32] = _NO_WEIGHTS


class Counterfactuals(NamedTuple):
    """What `Episodes.branch` found at n decisions in each of K episodes."""

    observations: NDArray[np.float32]  # (K, n, size), zeros where the action was forced or the episode over
    gains: NDArray[np.float64]  # (K, n, stretches) slot errors that sensing saves [µg/m³], or NaN; 0 after the end
    tails: NDArray[np.float32]  # (K, n, cuts, 2, size) observations at each cut after off and after on, or zeros
    cut: NDArray[np.bool_]  # (K, n, cuts) whether the cut was reached before both plays met or ended


@dataclass(frozen=True, eq=False)
class EpisodeState:
    """A copy of the state of K episodes, to be restored, branched or stored.

    The levels of the whole episode are part of it, so a restored state meets the weather that the original would have
    met; ``generators`` holds the state of each episode's random generator, so that later episodes are the same too.
    ``problem`` is the digest of the problem and view that it belongs to.
    """

    arrays: State
    generators: tuple[Mapping[str, Any], ...]
    problem: str

    def __len__(self) -> int:
        return len(self.arrays.whole)

    def __getitem__(self, rows: int | slice | NDArray[np.int64]) -> EpisodeState:
        """The states of some episodes; an integer gives a batch of one."""
        chosen = np.atleast_1d(np.arange(len(self))[rows])
        generators = tuple(self.generators[i] for i in chosen)
        return EpisodeState(State._make(x[chosen] for x in self.arrays), generators, self.problem)


def _n_weights(widths: NDArray[np.int64]) -> int:
    return int(((widths[:-1] + 1) * widths[1:]).sum())


_Inference = tuple[NDArray[np.float64], NDArray[np.float64], int]


def _paper(problem: Problem, padded: int) -> _Inference:
    """Of the paper's inference: (4, M, P) rows of locations, nothing learned, no room."""
    network, rows, n = problem.network, np.asarray(problem.devices), problem.n_locations
    relation = np.zeros((4, len(rows), padded))
    relation[1] = 1.0
    relation[0, :, :n] = network.mean_relation[rows]
    relation[1, :, :n] = network.variance_relation[rows]
    relation[2] = 1.0 / (network.measurement_variance + relation[1])
    relation[3] = relation[0] * relation[2]
    return relation, np.zeros(0), 0


def _level_aware(problem: Problem, padded: int) -> _Inference:
    """Of level-aware inference: (4, M, P) rows, what was learned and how much room is needed, see `kernels._krige`."""
    network, rows, n = problem.network, np.asarray(problem.devices), problem.n_locations
    m, model = len(rows), LevelAware.of(problem.network)
    covariance, part = model.covariance(), 1.0 + mean_deviation(network)
    relation = np.zeros((4, m, padded))
    relation[0, :, :n], relation[1, :, :n], relation[2, :, :n] = covariance[rows], part, np.diag(covariance)
    rho = model.correlation(np.arange(problem.max_sleep + 1))
    numbers = problem.level_noise**2, model.drift, model.floor
    learned = np.array([*numbers, *rho, *part[rows], *covariance[np.ix_(rows, rows)].reshape(-1)])
    return relation, learned, 3 * m + m * m + m * kernels.LANES


class Episodes:
    """K episodes of one problem, advanced together by the kernels."""

    def __init__(self, problem: Problem, n_episodes: int, *, joint: bool = False, observation: str = "full") -> None:
        network = problem.network
        self.problem = problem
        self.layout = ObservationLayout.of(problem, observation)
        if joint and observation != "full":
            raise ValueError("observation: the joint view has no deciding device, so only 'full' is possible there")
        n, m, k, horizon = problem.n_locations, problem.n_devices, n_episodes, problem.horizon
        padded = -(-n // kernels.LANES) * kernels.LANES
        rows = np.asarray(problem.devices, dtype=np.int64)
        aware = problem.inference == "level-aware"
        relation, learned, room = (_level_aware if aware else _paper)(problem, padded)
        blocks = aligned_copy(relation.reshape(4, m, -1, kernels.LANES).transpose(1, 2, 0, 3).reshape(m, -1))
        delta2 = network.measurement_variance
        numbers = (delta2, network.temporal_variance, delta2**0.5, 1.0 / error_bound(problem), network.levels[-1])
        places = rows // kernels.LANES * kernels.N_WORK * kernels.LANES + rows % kernels.LANES
        about = problem.energy_budget, problem.max_sleep, problem.options["fuse_measured"], joint, aware
        marks = rows // kernels.LANES * kernels.N_SHOWN * kernels.LANES + rows % kernels.LANES
        viewed = observation == "full" and not joint and not aware
        self.row = kernels.row_type(m, joint)
        n_shown, n_kept = (kernels.N_SHOWN * padded // 2, -(-(5 * m + 2) // 16) * 8) if viewed else (0, 0)
        widths = kernels.N_FIELD * padded, n_shown, kernels.N_ASIDE, self.row.itemsize // 8, n_kept, horizon + 1
        ends = np.cumsum(widths).tolist()
        names = "sums", "shown", "aside", "whole", "kept", "real"
        self._parts = dict(zip(names, map(slice, [0, *ends[:-1]], ends), strict=True))
        how = padded - n <= m + 1, viewed, self._parts["kept"].start, self._parts["real"].start
        sizes = (m, n, horizon, *about, kernels.LANES, *how, *places, *rows, *marks)
        told = np.array([*numbers, *traits(problem), *learned])
        near = aligned((m + 2, blocks.shape[1]), np.float32)
        near[:m], near[m + 1].view(np.int32)[:m] = blocks, rows
        work = aligned((kernels.N_WORK * padded + room,))
        self._constants = Constants(blocks, near, told, np.array(sizes, np.int64), work)
        self.block = aligned((k, -(-ends[-1] // 8) * 8))
        self.joint = joint
        self._view()
        self.state.sums[:] = 1.0
        if viewed:
            places_of_shown = np.arange(self.state.shown.shape[1]).reshape(-1, kernels.N_SHOWN, kernels.LANES)
            of_marks = places_of_shown[:, int(kernels.MARK) // kernels.LANES].reshape(-1)
            self.state.shown[:, of_marks] = np.arange(padded) < n
        if not joint:
            self.mask[:, 0] = 1  # off, as long as there is nothing to decide
        self._all = np.arange(k)
        self._levels = np.asarray(network.levels, dtype=np.float64)
        chain = cumulative(np.vstack([network.transition, network.start]))
        self._chain = np.pad(chain, ((0, 0), (0, -chain.shape[1] % kernels.LANES)), constant_values=2.0)
        self._decisions = (k, m) if joint else (k,)
        self._unused = np.zeros(k), np.zeros(k, np.int8)  # rewards and ended of a beginning
        self.untold = np.empty((0, self.state.whole.shape[1]), np.int64)  # of who does not ask

    def _view(self) -> None:
        """What shows parts of the state, or hands it on.

        ``clock`` (K, 3) slot (T + 1 = over), turn, device-slots in which the delay was capped; ``energy`` and ``delay``
        (K, M); ``record`` (K, M) and ``score`` (K, 4) [µg/m³]: the average error now and of the last slot that ended,
        the sum of the ended ones, the level; ``aside`` what is not told of; ``path`` (K, T + 1) levels; ``mask`` and
        ``forced`` see `kernels.row_type`; ``first``: those of the first episode, ``level`` an array.
        """
        parts = {name: self.block[:, where] for name, where in self._parts.items()}
        whole, self.aside = parts["whole"].view(np.int64), parts["aside"]
        self.state = State(whole, parts["real"], parts["sums"], parts["shown"].view(np.float32))
        self.rows = whole.view(self.row)[:, 0]
        self.energy, self.delay, self.record = (self.rows[name] for name in ("energy", "delay", "record"))
        self.mask, self.forced = self.rows["action_mask"], self.rows["forced"]
        self.clock, self.path = self.state.clock, self.state.path
        self.score = whole[:, kernels.N_CLOCK : kernels.N_CLOCK + kernels.N_SCORE].view(np.float64)
        about = self.clock, self.energy, self.delay, self.record, self.score, self.mask
        self.first = *(x[0] for x in about), self.level[:1]
        self.arguments = (*self._constants, self.block)
        self._observe: Any = getattr(kernels, f"observe_{self.layout.kind}")
        kind = "together" if self.joint else self.layout.kind
        aware = kind == "full" and self.problem.inference == "level-aware"
        few = bool(self.state.shown.size) and self.problem.n_locations <= kernels.LANES
        self.advance: Any = getattr(kernels, f"advance_{kind}{'_aware' if aware else '_few' if few else ''}")

    def direct(self, *given: Any) -> int:
        """`advance`; from then on ``direct`` is the compiled code that it calls, for arrays known to be as these."""
        most: int = self.advance(*given)
        self.direct = kernels.entry_point(self.advance, given)  # type: ignore[method-assign]
        return most

    def __getstate__(self) -> dict[str, Any]:
        """Without the views, which a copy or a pickle would turn into arrays of their own."""
        return {name: value for name, value in vars(self).items() if name not in _VIEWS}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._view()

    @cached_property
    def _digest(self) -> str:
        """Of all that a state's meaning depends on."""
        network = self.problem.network
        about = self._constants
        shared = np.delete(about.sizes, slice(10, kernels.N_SIZES))  # in all observations
        parts = (about.relation, about.numbers, shared, self._levels, network.transition, network.start)
        told = b"".join(np.ascontiguousarray(x).tobytes() for x in parts)
        fields = sorted((name, x[0].str, x[0].shape, x[1]) for name, x in (self.row.fields or {}).items())
        return blake2b(told + repr((fields, self.row.itemsize)).encode(), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self._all)

    def draw_path(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """(R, T + 1) level indices from as many uniform numbers, equations (7) and (8)."""
        path = np.empty(uniforms.shape, np.int64)
        kernels.walk(uniforms, len(self._levels), self._chain, path)
        return path

    def begin(self, rows: NDArray[np.int64], path: NDArray[np.int64], observation: NDArray[np.float32]) -> None:
        """Start the episodes in ``rows`` on level indices ``path`` (len(rows), T + 1); writes their observations."""
        self.path[rows] = self._levels[path]
        self._begin(rows, observation)

    def begin_drawn(self, rows: NDArray[np.int64], source: Streams, observation: NDArray[np.float32]) -> None:
        """`begin` on paths that the episodes' own generators draw, one of ``source`` (K,) each."""
        drawn = np.empty(len(rows), np.int64)
        where = self.problem.horizon + 1, self._parts["real"].start, self.block
        kernels.draw(source.function, source.states[rows], self._chain, self._levels, rows, drawn, *where)
        self._begin(rows, observation)

    def _begin(self, rows: NDArray[np.int64], observation: NDArray[np.float32]) -> None:
        orders = np.full(self._decisions, kernels.WAIT, np.int64)
        orders[rows] = kernels.BEGIN
        self.advance(0, orders, *self._unused, observation, self.untold, *self.arguments)

    def place(
        self,
        slot: ArrayLike,
        turn: ArrayLike,
        energy: ArrayLike,
        delay: ArrayLike,
        record: ArrayLike,
        level: ArrayLike,
    ) -> NDArray[np.float32]:
        """Put every episode into a state and observe it; the rest of its level path is left undefined.

        Args:
            slot: (K,) 1..T.
            turn: (K,) the device that decides.
            energy: (K, M) sensings left.
            delay: (K, M) slots since last sensed; 0 only for devices before ``turn``.
            record: (K, M) level when last sensed [µg/m³].
            level: (K,) the present level [µg/m³].

        Returns:
            (K, size) observations.
        """
        self.clock[:, kernels.SLOT], self.clock[:, kernels.TURN] = slot, 0 if self.joint else turn
        self.energy[...], self.delay[...], self.record[...] = energy, delay, record
        self.path[self._all, self.slot] = level
        observation = self.blank()
        orders = np.full(self._decisions, kernels.PLACE, np.int64)
        self.advance(0, orders, *self._unused, observation, self.untold, *self.arguments)
        return observation

    def redraw_future(self, row: int, generator: np.random.Generator) -> None:
        """Draw the levels after the present slot of one episode anew; the past and the present stay."""
        slot = int(self.slot[row])
        left = self.problem.horizon - slot
        if left > 0:
            now = int(np.searchsorted(self._levels, self.path[row, slot]))
            future = np.empty((1, left), np.int64)
            kernels.walk(generator.random((1, left)), now, self._chain, future)
            self.path[row, slot + 1 :] = self._levels[future[0]]

    def blank(self) -> NDArray[np.float32]:
        """(K, size) a fresh array for observations."""
        return np.empty((len(self._all), self.layout.size), np.float32)

    def blank_rows(self) -> NDArray[np.int64]:
        """(K, ...) a fresh array for rows of the state, `kernels.row_type`."""
        return np.empty(self.state.whole.shape, np.int64)

    def observe(self) -> NDArray[np.float32]:
        """(K, size) the observation of every episode, in a fresh array."""
        observation = self.blank()
        self._observe(observation, *self.arguments)
        return observation

    def decide(
        self,
        actions: NDArray[np.int64],
        rewards: NDArray[np.float64],
        observation: NDArray[np.float32],
        ended: NDArray[np.int8] | None = None,
        *,
        strict: bool = False,
    ) -> int:
        """One decision (joint view: one slot) in every episode that is not over.

        Args:
            actions: (K,) of 0 and 1, or (K, M) in the joint view.
            rewards: (K,) receives the rewards [µg/m³].
            observation: (K, size) receives the observations.
            ended: (K,) receives 1 where a slot ended, 2 where an episode did, else 0.
            strict: do nothing where an action is neither 0 nor 1 (sequential view only).

        Returns:
            The largest of ``ended``; or -1 - k for the first running episode k whose action was refused.
        """
        seen = self._unused[1] if ended is None else ended
        most: int = self.advance(int(strict), actions, rewards, seen, observation, self.untold, *self.arguments)
        return most

    def play(self, layers: Layers, scores: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """Play every episode to its end with a small network's policy.

        Like `branch` it runs without Python's lock, so that threads may play batches of their own side by side.

        Args:
            layers: the network.
            scores: (K, n) receives the outputs at the first n decisions, NaN where the action was forced.

        Returns:
            (K,) average joint errors of the episodes [µg/m³].

        Raises:
            ValueError: layers or scores of a wrong shape, or a batch that shows another observation.
        """
        network = self._network(layers)
        scores = np.empty((len(self), 0), np.float32) if scores is None else scores
        if scores.ndim != 2 or len(scores) != len(self) or scores.dtype != np.float32:
            raise ValueError(f"scores: expected ({len(self)}, n) float32, got {scores.shape} {scores.dtype}")
        kernels.play(network, scores, *self.arguments)
        return self.total_error / self.problem.horizon

    def branch(
        self, layers: Layers, points: NDArray[np.int64], cuts: Sequence[int] = (), *, alone: bool = False
    ) -> Counterfactuals:
        """Counterfactual pairs: at chosen decisions, what would sensing have gained under the same levels?

        Both plays go on to the end, and there is one stretch; or to the last of the cuts, with a stretch up to each.

        Args:
            layers: the network whose policy plays on after the decision.
            points: (K, n) numbers of the chosen decisions, counted from the present one, never decreasing.
            cuts: numbers of slots after the decision, increasing, at which both plays are observed on the turn of the
                same device.
            alone: only the device that decided otherwise plays on by the network; the others do again what they did.
                With many devices most of the noise is theirs, and near a good policy little of the gain.

        Returns:
            The pairs. The episodes themselves are played to their ends.

        Raises:
            ValueError: layers, points or cuts of a wrong shape or order, a batch that shows another observation, or
                episodes that have not begun.
        """
        network = self._network(layers)
        if points.ndim != 2 or len(points) != len(self) or (np.diff(points, axis=1, prepend=0) < 0).any():
            raise ValueError(f"points: expected ({len(self)}, n) numbers from 0, never decreasing, got {points}")
        if (self.slot == 0).any():
            raise ValueError("branch: some episodes have not begun; begin them first")
        at = np.array(cuts, np.int64)
        if at.ndim != 1 or (np.diff(at, prepend=0) <= 0).any() or at.tolist() != list(cuts):
            raise ValueError(f"cuts: expected increasing numbers of slots from 1, got {cuts}")
        size = self.layout.size
        features = np.zeros((*points.shape, size), np.float32)
        tails = np.zeros((*points.shape, len(at), 2, size), np.float32)
        gains, reached = np.empty((*points.shape, max(1, len(at)))), np.zeros((*points.shape, len(at)), np.bool_)
        n, m, horizon = points.shape[1], self.problem.n_devices, self.problem.horizon
        room = Branches(
            aligned((n, self.block.shape[1])),
            np.empty((horizon + 2, 2, m), np.int64),
            np.empty((horizon + 2, m)),
            np.empty(horizon + 2),
            np.empty(n, np.int64),
            np.empty(horizon * m, np.int64),
            np.empty(horizon * m, np.bool_),
            np.empty((horizon * m if len(at) else 0, size), np.float32),
        )
        kernels.branch(network, points, at, alone, features, gains, tails, reached, room, *self.arguments)
        return Counterfactuals(features, gains, tails, reached)

    def _network(self, layers: Layers) -> SmallNetwork:
        encoder, kind = layers.encoder_widths, "per_device" if len(layers.encoder_widths) else "compact"
        inputs = len(COMPACT_FEATURES) + (int(encoder[-1]) if len(encoder) else 0)
        sizes = [_n_weights(layers.widths), _n_weights(encoder)]
        if (
            self.layout.kind != kind
            or layers.widths[0] != inputs
            or layers.widths[-1] != 1
            or (len(encoder) and encoder[0] != len(DEVICE_FEATURES))
            or [len(layers.weights), len(layers.encoder_weights)] != sizes
        ):
            raise ValueError(
                f"layers: expected {inputs} inputs, 1 output, {sizes[0]} weights and {sizes[1]} of the encoder, on an "
                f"Episodes batch of {kind!r} observations; got widths {layers.widths.tolist()}, encoder "
                f"{encoder.tolist()}, {len(layers.weights)} and {len(layers.encoder_weights)} weights, "
                f"{self.layout.kind!r} observations"
            )
        widest = max(int(layers.widths.max()), int(encoder.max(initial=0)))
        observed, entrance = np.empty(self.layout.size, np.float32), np.empty(inputs, np.float32)
        room = np.empty((2, widest), np.float32)
        return SmallNetwork(layers.widths, layers.weights, encoder, layers.encoder_weights, observed, entrance, room)

    @property
    def slot(self) -> NDArray[np.int64]:
        """(K,) the slot in which each episode is; T + 1 = over, 0 = not begun."""
        return self.clock[:, kernels.SLOT]

    @property
    def turn(self) -> NDArray[np.int64]:
        """(K,) the device that decides."""
        return self.clock[:, kernels.TURN]

    @property
    def capped(self) -> NDArray[np.int64]:
        """(K,) device-slots so far in which a delay stayed at D."""
        return self.clock[:, kernels.CAPPED]

    @property
    def level(self) -> NDArray[np.float64]:
        """(K,) the present level [µg/m³]; after the end, that of slot T."""
        return self.score[:, kernels.LEVEL]

    @property
    def slot_error(self) -> NDArray[np.float64]:
        """(K,) average joint error of the last slot that ended [µg/m³]."""
        return self.score[:, kernels.LAST]

    @property
    def total_error(self) -> NDArray[np.float64]:
        """(K,) sum of the average joint errors of the slots that ended [µg/m³]."""
        return self.score[:, kernels.TOTAL]

    def action_mask(self) -> NDArray[np.int8]:
        """(K, 2) allowed actions of the deciding device; joint view: (K, M) with 0 off, 1 on, 2 free."""
        return self.mask.copy()

    def copy_state(self, generators: Sequence[np.random.Generator]) -> EpisodeState:
        """A copy of everything, the state of each episode's generator included."""
        arrays = State._make(x.copy() for x in self.state._replace(shown=np.zeros((len(self), 0), np.float32)))
        return EpisodeState(arrays, tuple(g.bit_generator.state for g in generators), self._digest)

    def restore(
        self, state: EpisodeState, generators: Sequence[np.random.Generator], future_seed: int | None = None
    ) -> None:
        """Continue from a copy: of as many episodes, or of one that is placed everywhere.

        With a ``future_seed`` the levels after the present slot are drawn anew, from as many independent streams.

        Raises:
            ValueError: the copy belongs to another problem or has another number of episodes.
        """
        if not isinstance(state, EpisodeState):
            raise ValueError(f"state: expected what get_state returned, got {type(state).__name__}")
        if len(state) not in (1, len(self)):
            raise ValueError(f"state: holds {len(state)} episodes, expected 1 or {len(self)}")
        if state.problem != self._digest:
            raise ValueError(
                "state: belongs to another problem; a state can only be restored into an environment of the same "
                "network, devices, horizon, energy_budget, max_sleep and inference, sequential or joint alike"
            )
        pairs: Any = zip(self.state, state.arrays, strict=True)
        for mine, theirs in pairs:
            if theirs.size or not mine.size:
                mine[...] = theirs
        np.divide(1.0, self.level, out=self.aside[:, kernels.INVERSE], where=self.level > 0.0)
        if self.state.shown.size:
            self.observe()  # draws the views, which copies are without, since other observations have none
        for k, generator in enumerate(generators):
            generator.bit_generator.state = state.generators[k % len(state)]
        if future_seed is not None:
            for k, stream in enumerate(np.random.SeedSequence(future_seed).spawn(len(self))):
                self.redraw_future(k, np.random.default_rng(stream))
