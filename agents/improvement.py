"""Policy improvement by counterfactual pairs: a DQN whose advantages are then sharpened one regression at a time.

The gap between two actions is far smaller than the spread of returns, so regressing on returns alone stops short of
it. A pair plays on twice from one state, once with each action, under the same policy and the same randomness: its
difference is an unbiased sample of the gap with most of the noise gone. Regressing the gap on many pairs and acting
greedily on the result is one step of policy iteration.

What is left of the noise grows with the length of the play. So a pair may be cut off, and a learned difference of
values stands for the rest: a little biased, far less noisy and quicker to play.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.counterfactual import AdvantageFit, check_pairs, fit_advantages, fit_values, gaps, value_difference
from agents.dqn import DQN
from agents.fitting import torch_threads
from agents.networks import QNetwork, make_network
from agents.state import below


class Pairs(NamedTuple):
    """Sampled differences between two actions."""

    observations: NDArray[np.float32]  # (n, n_inputs) of decisions at which both actions were allowed
    deltas: NDArray[np.float32]  # (n, stretches) return after action 1 minus return after action 0, all else equal
    scales: NDArray[np.float32]  # (n,) how large the noise of each is, up to a common factor
    tails: NDArray[np.float32]  # (n, cuts, 2, k) observations after each action where the pair was cut off
    cut: NDArray[np.bool_]  # (n, cuts) whether it was, at each of no or two cuts; False: the deltas are complete


class Fitted(NamedTuple):
    """What the advantages are fitted to: pairs, completed where they were cut off."""

    observations: NDArray[np.float32]  # (n, n_inputs)
    deltas: NDArray[np.float32]  # (n,)
    scales: NDArray[np.float32]  # (n,)


Collect = Callable[[QNetwork | None, int, np.random.Generator], Pairs]
"""From the network whose greedy policy plays on (None: the guide does), the number of pairs and a generator."""


@dataclass(frozen=True)
class Improvement:
    """What one step of policy iteration did."""

    fit: AdvantageFit
    value_error: float  # what `fit_values` returned; NaN of whole pairs


class PairedDQN(DQN):
    """A `DQN` that can go on to improve its policy by counterfactual pairs.

    Its checkpoints hold the pairs, and the network of the values that stand for what was cut off.
    """

    COUNTERS: ClassVar[dict[str, type]] = {**DQN.COUNTERS, "improvements": int, "pairs": int}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.improvements = self.pairs = 0
        self._batches: list[Fitted] = []
        self._values: QNetwork | None = None

    def improve(self, collect: Collect) -> Improvement:
        """Collect pairs under the chosen policy and fit the advantages to those of the last few steps.

        Pairs that were cut off are completed by values that are fitted to the same pairs first, see `fit_values`. The
        first step may start from the guide (``improve_from``): the calmer the policy, the less noise in its pairs. A
        step that made the policy worse is followed by more pairs of the best one, where `keep_best` is called.

        Raises:
            ValueError: the pairs have wrong shapes or numbers that aren't finite.
        """
        config = self.config
        guided = self.improvements == 0 and config.improve_from == "guide"
        batch = collect(None if guided else self.chosen, config.pairs, self.rng)
        if self.improvements == 0:
            self.online.load_state_dict(self.chosen.state_dict())
            self.online.rescale_outputs(float(np.std(batch.deltas)) or 1.0)
        with torch_threads(config.threads):
            completed, value_error = self._completed(batch)
            batches = [*self._batches, completed][-config.pairs_kept :]
            together = self._anchored(_joined(*batches), guided)
            fit = fit_advantages(
                self.online,
                together.observations,
                together.deltas,
                scales=together.scales,
                updates=config.pair_updates,
                batch_size=config.batch_size,
                seed=int(self.rng.integers(2**31)),
            )
        self.adopt(self.online)
        self._batches = batches
        self.improvements += 1
        self.pairs += len(batch.deltas)
        return Improvement(fit, value_error)

    def _completed(self, batch: Pairs) -> tuple[Fitted, float]:
        """Estimate each pair's whole difference: its first stretch, and the values at its cut; and their error."""
        n, cuts = len(batch.observations), batch.cut.shape[-1]
        if batch.cut.shape != (n, cuts) or cuts not in (0, 2) or batch.deltas.shape != (n, max(1, cuts)):
            raise ValueError(
                f"deltas {batch.deltas.shape}, cut {batch.cut.shape}: expected ({n}, 1) and ({n}, 0), or ({n}, 2) twice"
            )
        if not batch.cut.any():
            return Fitted(batch.observations, batch.deltas[:, 0], batch.scales), math.nan
        if self._values is None:
            self._values = self._make_values()
            self._values.rescale_outputs(float(np.std(batch.deltas[:, 1])) or 1.0)
        error = fit_values(
            self._values,
            batch.deltas,
            batch.tails,
            batch.cut,
            scales=batch.scales,
            updates=self.config.value_updates,
            batch_size=self.config.batch_size,
            seed=int(self.rng.integers(2**31)),
        )
        rest = value_difference(self._values, torch.from_numpy(batch.tails[:, 0])).numpy()
        whole = batch.deltas[:, 0] + np.where(batch.cut[:, 0], rest, np.float32(0.0))
        return Fitted(batch.observations, whole, batch.scales), error

    def _anchored(self, pairs: Fitted, guided: bool) -> Fitted:
        """Add decisions of the memory with their present gaps, as many as leave the pairs the weight ``pair_step``.

        Each pair measures what one decision gains while the policy stays as it is everywhere else. Where many deciders
        see the same state, all would act on it at once, and go too far (Kakade and Langford 2002). The first step
        from a guide does nothing but learn to play like it.
        """
        step = self.config.pair_step
        if step == 1.0:
            return pairs
        decisions = self.memory.decisions()
        free = decisions[self.memory.flat("mask")[decisions].all(axis=1)]
        if not len(free):
            raise ValueError("pair_step: the memory holds no decision between two actions; raise start_decisions")
        seen = self.memory.flat("observation")[free]
        if guided:
            seen, usual = np.concatenate([pairs.observations, seen]), float(np.median(pairs.scales))
            return Fitted(seen, guide_gaps(self.guide, pairs, seen), np.full(len(seen), usual, np.float32))
        precision = float(np.square(1.0 / pairs.scales).sum()) * (1.0 - step) / step  # of all anchors together
        scales = np.full(len(seen), np.sqrt(len(seen) / precision), np.float32)
        return _joined(pairs, Fitted(seen, gaps(self.chosen, torch.from_numpy(seen)), scales))

    def _make_values(self) -> QNetwork:
        """Make a network of one value, of the online network's form and input scaling."""
        network = make_network(self.config, self.n_inputs, 1, torch.Generator().manual_seed(self.seed))
        network.input_center.copy_(self.online.input_center)
        network.input_scale.copy_(self.online.input_scale)
        return network

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what `DQN.state` does, the pairs and the values."""
        tensors, counters = super().state()
        if self._values is not None:
            tensors |= {f"values.{key}": x for key, x in self._values.state_dict().items()}
        for number, batch in enumerate(self._batches):
            tensors |= {f"pairs.{number}.{key}": torch.from_numpy(x) for key, x in batch._asdict().items()}
        return tensors, counters

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Take back copies of what `state` returned."""
        super().restore(tensors, counters)
        self._batches = []
        for number in range(min(self.improvements, self.config.pairs_kept)):
            batch = Fitted(*(tensors[f"pairs.{number}.{key}"].numpy().copy() for key in Fitted._fields))
            check_pairs(self.online, *batch)
            self._batches.append(batch)
        self._values, weights = None, below("values", tensors)
        if weights:
            self._values = self._make_values()
            self._values.load_state_dict(weights)


def _joined(*parts: Fitted) -> Fitted:
    return Fitted(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def guide_gaps(guide: object, batch: Fitted, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) a guide's scores in the unit of the gaps: times the slope of the pairs on them, weighted least squares."""
    score = getattr(guide, "score", None)
    if score is None:
        raise TypeError("pair_step: below 1 the guide needs a method score, the advantage of action 1 in any unit")
    scores, weight = np.asarray(score(batch.observations), np.float64), 1.0 / np.square(batch.scales)
    slope = float((weight * scores * batch.deltas).sum() / (weight * scores * scores).sum())
    if not slope > 0.0:
        raise ValueError(f"pair_step: the pairs fall with the guide's scores (slope {slope:.3g}); collect more pairs")
    return np.asarray(slope * score(observations), np.float32)
