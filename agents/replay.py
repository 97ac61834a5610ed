"""Replay memory of whole trajectories, one stream of decisions for each environment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Replay:
    """A ring of rows; row t holds what every environment showed and did at its t-th step. All arrays are preallocated.

    A decision's successor is the row after it in the same stream, so observations are stored once. A trajectory's last
    row is an end row: it holds the final observation, no decision (`valid` is False), and is never sampled. It is the
    successor that a cut or truncated trajectory bootstraps from.

    A flat index names a decision: ``row * n_streams + stream``.

    Args:
        capacity: decisions kept, over all streams; rounded down to whole rows.
        n_streams: K, environments played side by side.
        n_inputs: size of an observation.
        n_actions: A.

    Raises:
        ValueError: the capacity is below two rows.
    """

    STORED: tuple[str, ...] = ("observation", "mask", "action", "reward", "terminated", "last", "valid")

    def __init__(self, capacity: int, n_streams: int, n_inputs: int, n_actions: int) -> None:
        rows = capacity // n_streams
        if rows < 2:
            raise ValueError(f"replay_capacity {capacity} is too small for {n_streams} environments: at least two rows")
        self.capacity, self.n_streams, self.n_rows = capacity, n_streams, rows
        shape = (rows, n_streams)
        self.observation = np.zeros((*shape, n_inputs), dtype=np.float32)
        self.mask = np.ones((*shape, n_actions), dtype=np.bool_)
        self.action = np.zeros(shape, dtype=np.int64)
        self.reward = np.zeros(shape, dtype=np.float32)
        self.terminated = np.zeros(shape, dtype=np.bool_)  # a true end: nothing follows
        self.last = np.zeros(shape, dtype=np.bool_)  # the trajectory's last decision: terminated, truncated or cut
        self.valid = np.zeros(shape, dtype=np.bool_)  # a decision, whose successor is the next row
        self.position, self.filled = 0, 0  # next row to write; rows written, at most n_rows
        self._decisions: NDArray[np.int64] | None = None

    def append(
        self,
        observation: NDArray[np.float32],
        mask: NDArray[np.bool_],
        action: NDArray[np.int64],
        reward: NDArray[np.float64],
        terminated: NDArray[np.bool_],
        last: NDArray[np.bool_],
        valid: NDArray[np.bool_],
    ) -> None:
        """Write one row: (K, n_inputs), (K, A), then (K,) each. Streams without a decision have ``valid`` False."""
        row = self.position
        self.observation[row], self.mask[row], self.action[row], self.reward[row] = observation, mask, action, reward
        self.terminated[row], self.last[row], self.valid[row] = terminated, last, valid
        self.position = (row + 1) % self.n_rows
        self.filled = min(self.filled + 1, self.n_rows)
        self._decisions = None

    def append_end(self, observation: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Write the end row that closes every stream still open."""
        none = np.zeros(self.n_streams, dtype=np.bool_)
        nothing = np.zeros(self.n_streams)
        self.append(observation, mask, nothing.astype(np.int64), nothing, none, none, none)

    def decisions(self) -> NDArray[np.int64]:
        """Return the flat indices of all decisions that may be sampled."""
        if self._decisions is None:
            self._decisions = np.flatnonzero(self.valid)
        return self._decisions

    def sample(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw (size,) flat indices, uniformly and with replacement."""
        decisions = self.decisions()
        return decisions.take(rng.integers(len(decisions), size=size))

    def chronological(self) -> NDArray[np.int64]:
        """Return the (filled,) rows from oldest to newest."""
        return (self.position - self.filled + np.arange(self.filled)) % self.n_rows

    def flat(self, name: str) -> NDArray[np.generic]:
        """Return a view of a stored array with rows and streams merged, to be indexed by flat indices."""
        array: NDArray[np.generic] = getattr(self, name)
        return array.reshape(self.n_rows * self.n_streams, *array.shape[2:])

    def n_step(
        self, indices: NDArray[np.int64], n_steps: int, discount: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Add up to ``n_steps`` rewards after each decision, stopping at its trajectory's end.

        Returns:
            The (B,) discounted sums, the (B,) factors of the bootstrap (0 after a true end) and the (B,) flat
            indices of the successors to bootstrap from.
        """
        reward, last, terminated = self.reward.reshape(-1), self.last.reshape(-1), self.terminated.reshape(-1)
        at = indices.copy()
        total = reward[at].astype(np.float64)
        factor = np.full(len(indices), discount)
        going = ~last[at]
        for _ in range(n_steps - 1):
            at = np.where(going, self._successor(at), at)
            total += np.where(going, factor * reward[at], 0.0)
            factor *= np.where(going, discount, 1.0)
            going &= ~last[at]
        factor[terminated[at]] = 0.0
        return total.astype(np.float32), factor.astype(np.float32), self._successor(at)

    def lambda_returns(self, values: NDArray[np.float32], discount: float, trace_decay: float) -> NDArray[np.float32]:
        """Return Peng's Q(lambda) return of every decision, one backward pass over all streams at once.

        G_t = r_t + discount ((1 - lambda) V_t+1 + lambda G_t+1), and at a trajectory's last decision
        G_t = r_t + discount V_t+1, or r_t alone after a true end.

        Args:
            values: (n_rows, K), value of each row's observation under the present network.
            discount: of one decision.
            trace_decay: lambda; 1 gives Monte Carlo returns, 0 one-step targets.

        Returns:
            (n_rows, K) float32, zero where there is no decision.
        """
        bootstrap = np.roll(values, -1, axis=0).astype(np.float64)  # the successor's value
        share = np.where(self.last, ~self.terminated, 1.0 - trace_decay)  # of the bootstrap in what follows
        fixed = self.valid * (self.reward + discount * share * bootstrap)
        passed = (self.valid & ~self.last) * (discount * trace_decay)
        returns = np.zeros((self.n_rows, self.n_streams), dtype=np.float32)
        following = np.zeros(self.n_streams)
        for row in self.chronological()[::-1]:
            following = fixed[row] + passed[row] * following
            returns[row] = following
        return returns

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return the written rows of all arrays, and the position: `restore` continues identically from them."""
        arrays: dict[str, NDArray[np.generic]] = {name: getattr(self, name)[: self.filled] for name in self.STORED}
        return {**arrays, "position": np.array([self.position], dtype=np.int64)}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take back what `state` returned.

        Raises:
            ValueError: an array is missing or does not fit this memory.
        """
        missing = sorted({*self.STORED, "position"} - set(state))
        if missing:
            raise ValueError(f"replay memory: {', '.join(missing)} missing")
        filled, position = len(state["observation"]), int(state["position"].reshape(-1)[0])
        for name in self.STORED:
            expected = (filled, *getattr(self, name).shape[1:])
            if state[name].shape != expected or filled > self.n_rows:
                raise ValueError(
                    f"replay array {name!r} has shape {state[name].shape}, expected {expected}, "
                    f"of at most {self.n_rows} rows"
                )
        if position != (filled % self.n_rows if filled < self.n_rows else position % self.n_rows):
            raise ValueError(f"replay position {position} does not fit {filled} of {self.n_rows} rows")
        for name in self.STORED:
            getattr(self, name)[:filled] = state[name]
            getattr(self, name)[filled:] = 0
        self.position, self.filled, self._decisions = position, filled, None

    def weights(self, indices: NDArray[np.int64], exponent: float) -> NDArray[np.float32] | None:
        """Return (B,) weights that undo how often each is sampled, or None where all are sampled alike."""
        del indices, exponent
        return None

    def prioritise(self, indices: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Tell the (B,) absolute errors of decisions that were just fitted; uniform replay does not care."""

    def _successor(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return (indices + self.n_streams) % (self.n_rows * self.n_streams)


class PrioritisedReplay(Replay):
    """A `Replay` that samples decisions in proportion to (error + SMALLEST)^exponent (Schaul et al. 2016).

    New decisions have the largest priority of those in the memory.

    Args:
        exponent: alpha of that paper; 0 would be uniform.
    """

    STORED: tuple[str, ...] = (*Replay.STORED, "priority")
    SMALLEST = 1e-3  # of the errors, in output scales: nothing is forgotten

    def __init__(self, capacity: int, n_streams: int, n_inputs: int, n_actions: int, exponent: float) -> None:
        super().__init__(capacity, n_streams, n_inputs, n_actions)
        self.exponent = exponent
        self.priority = np.zeros((self.n_rows, n_streams))
        self._tree = _SumTree(self.n_rows * n_streams)

    def append(self, *row: NDArray[np.generic]) -> None:
        """Write one row as `Replay.append` does."""
        at = self.position
        super().append(*row)  # type: ignore[arg-type]
        self.priority[at] = np.where(self.valid[at], self.priority.max() or 1.0, 0.0)
        self._tree.set(at * self.n_streams + np.arange(self.n_streams), self.priority[at])

    def sample(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw (size,) flat indices with replacement, in proportion to their priorities.

        Raises:
            ValueError: the memory holds no decision.
        """
        if not self._tree.total:
            raise ValueError("replay memory: holds no decision to sample")
        return self._tree.find(rng.random(size))

    def weights(self, indices: NDArray[np.int64], exponent: float) -> NDArray[np.float32]:
        """Return (B,) weights (n P)^-exponent over their largest, P how likely each is among the n decisions."""
        share = self.priority.reshape(-1)[indices] / self._tree.total * len(self.decisions())
        weights = share**-exponent
        return np.asarray(weights / weights.max(), dtype=np.float32)

    def prioritise(self, indices: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Set the priorities of decisions from their (B,) absolute errors."""
        self.priority.reshape(-1)[indices] = (errors.astype(np.float64) + self.SMALLEST) ** self.exponent
        self._tree.set(indices, self.priority.reshape(-1)[indices])

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take back what `state` returned."""
        super().restore(state)
        self._tree.set(np.arange(self.priority.size), self.priority.reshape(-1))


class _SumTree:
    """Sums of priorities over halves, quarters and so on, for drawing in proportion to them."""

    def __init__(self, size: int) -> None:
        self._leaves = 1 << max(1, (size - 1).bit_length())
        self._sums = np.zeros(2 * self._leaves)  # the sum of node i is that of 2 i and 2 i + 1

    @property
    def total(self) -> float:
        return float(self._sums[1])

    def set(self, places: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        nodes = places + self._leaves
        self._sums[nodes] = values
        while nodes[0] > 1:
            nodes = np.unique(nodes // 2)
            self._sums[nodes] = self._sums[2 * nodes] + self._sums[2 * nodes + 1]

    def find(self, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """The places where the running sum of priorities passes ``shares`` of the total."""
        left, nodes = shares * self.total, np.ones(len(shares), np.int64)
        while nodes[0] < self._leaves:
            first = self._sums[2 * nodes]
            second = (left >= first) & (self._sums[2 * nodes + 1] > 0.0)  # rounding never leads to an empty half
            left = np.where(second, left - first, left)
            nodes = 2 * nodes + second
        return nodes - self._leaves
