"""Replay memory of whole trajectories, one stream of decisions for each environment."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Replay:
    """A ring of rows; row t holds every environment's observation and action at its t-th step, in preallocated arrays.

    A decision's successor is the row after it in the same stream, so observations are stored once. A trajectory's last
    row is an end row: it holds the final observation, no decision (`valid` is False), and is never sampled. It is the
    successor that a cut or truncated trajectory bootstraps from.

    A flat index names a decision: ``row * n_streams + stream``.

    Args:
        capacity: decisions stored, over all streams; rounded down to whole rows.
        n_streams: K, environments played side by side.
    """

    STORED: tuple[str, ...] = ("observation", "mask", "action", "reward", "terminated", "last", "valid")

    def __init__(self, capacity: int, n_streams: int, n_inputs: int, n_actions: int) -> None:
        rows = capacity // n_streams
        if rows < 2:
            raise ValueError(f"replay_capacity {capacity} is too small for {n_streams} environments: at least two rows")
        self.n_streams, self.n_rows = n_streams, rows
        shape = (rows, n_streams)
        try:
            self.observation = np.zeros((*shape, n_inputs), np.float32)
            self.mask = np.zeros((*shape, n_actions), np.bool_)
            self.action = np.zeros(shape, np.int64)
            self.reward = np.zeros(shape, np.float32)
            self.terminated = np.zeros(shape, np.bool_)  # a true end: nothing follows
            self.last = np.zeros(shape, np.bool_)  # the trajectory's last decision: terminated, truncated or cut
            self.valid = np.zeros(shape, np.bool_)  # a decision, whose successor is the next row
        except (MemoryError, ValueError) as error:
            raise ValueError(f"replay_capacity {capacity} does not fit into memory: {error}") from error
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

    def flat(self, name: str) -> NDArray[Any]:
        """Return a view of a stored array with rows and streams as one axis, to be indexed by flat indices."""
        array: NDArray[Any] = getattr(self, name)
        return array.reshape(self.n_rows * self.n_streams, *array.shape[2:])

    def one_step(
        self, indices: NDArray[np.int64], discount: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Return (B,) rewards, factors of the bootstrap (0 after a true end) and flat indices of the successors."""
        factors = np.where(self.flat("terminated")[indices], np.float32(0.0), np.float32(discount))
        successors = (indices + self.n_streams) % (self.n_rows * self.n_streams)
        return self.flat("reward")[indices], factors, successors

    def lambda_returns(self, values: NDArray[np.float32], discount: float, trace_decay: float) -> NDArray[np.float32]:
        """Return Peng's Q(lambda) return of every decision, one backward pass over all streams at once.

        G_t = r_t + discount ((1 - lambda) V_t+1 + lambda G_t+1), and at a trajectory's last decision
        G_t = r_t + discount V_t+1, or r_t alone after a true end.

        Args:
            values: (filled * K,) of the written observations under the present network, by flat index.
            discount: of one decision.
            trace_decay: lambda; 1 gives Monte Carlo returns, 0 one-step targets.

        Returns:
            (n_rows * K,) by flat index, zero where there is no decision.
        """
        state_values = np.zeros((self.n_rows, self.n_streams))
        state_values[: self.filled] = values.reshape(self.filled, self.n_streams)
        bootstrap = np.roll(state_values, -1, axis=0)  # the successor's value
        share = np.where(self.last, ~self.terminated, 1.0 - trace_decay)  # of the bootstrap in what follows
        fixed = self.valid * (self.reward + discount * share * bootstrap)
        decay = (self.valid & ~self.last) * (discount * trace_decay)
        returns = np.zeros((self.n_rows, self.n_streams), np.float32)
        following = np.zeros(self.n_streams)
        for row in self.chronological()[::-1]:
            following = fixed[row] + decay[row] * following
            returns[row] = following
        return returns.reshape(-1)

    def monte_carlo_returns(self, discount: float) -> NDArray[np.float32]:
        """Return the sum of each decision's rewards to its trajectory's end, (n_rows * K,) by flat index."""
        return self.lambda_returns(np.zeros(self.filled * self.n_streams, np.float32), discount, trace_decay=1.0)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the written rows of all arrays, and the position: `restore` continues identically from them."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name)[: self.filled] for name in self.STORED}
        return {**arrays, "position": np.array([self.position], dtype=np.int64)}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take back a copy of what `state` returned.

        Raises:
            ValueError: an array is missing or does not fit this memory.
        """
        missing = sorted({*self.STORED, "position"} - set(state))
        if missing:
            raise ValueError(f"replay memory: {', '.join(missing)} missing")
        filled = len(state["observation"]) if state["observation"].ndim else 0
        for name in self.STORED:
            expected = (filled, *getattr(self, name).shape[1:])
            if state[name].shape != expected or filled > self.n_rows:
                raise ValueError(
                    f"replay array {name!r} has shape {state[name].shape}, expected {expected}, "
                    f"of at most {self.n_rows} rows"
                )
        positions = range(self.n_rows) if filled == self.n_rows else [filled]
        if state["position"].size != 1 or (position := int(state["position"].item())) not in positions:
            raise ValueError(f"replay position {state['position']} does not fit {filled} of {self.n_rows} rows")
        if not np.isin(state["action"], np.arange(self.mask.shape[2])).all():
            raise ValueError(f"replay array 'action': expected actions from 0 to {self.mask.shape[2] - 1}")
        for name in self.STORED:
            getattr(self, name)[:filled] = state[name]
            getattr(self, name)[filled : self.filled] = 0
        self.position, self.filled, self._decisions = position, filled, None
