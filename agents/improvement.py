"""Policy improvement by counterfactual pairs: a DQN whose advantages are then sharpened one regression at a time.

The gap between two actions is far smaller than the spread of returns, so regressing on returns alone stops short of
it. A pair plays on twice from one state, once with each action, under the same policy and the same randomness: its
difference is an unbiased sample of the gap with most of the noise gone. Regressing the gap on many pairs and acting
greedily on the result is one step of policy iteration.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.counterfactual import AdvantageFit, fit_advantages
from agents.dqn import DQN, torch_threads
from agents.networks import QNetwork


class Pairs(NamedTuple):
    """Sampled differences between two actions."""

    observations: NDArray[np.float32]  # (n, n_inputs) of decisions at which both actions were allowed
    deltas: NDArray[np.float32]  # (n,) return after action 1 minus return after action 0, all else equal
    scales: NDArray[np.float32]  # (n,) how large the noise of each is, up to a common factor


Collect = Callable[[QNetwork | None, int, np.random.Generator], Pairs]
"""From the network whose greedy policy plays on (None: the guide does), the number of pairs and a generator."""


@dataclass(frozen=True)
class Improvement:
    """What one step of policy iteration did."""

    improvements: int  # so far
    pairs: int  # so far
    fit: AdvantageFit
    seconds: float  # of this step
    collecting_seconds: float  # of it, spent on playing


class PairedDQN(DQN):
    """A `DQN` that can go on to improve its policy by counterfactual pairs; its checkpoints hold the pairs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.improvements = self.pairs = 0
        self._batches: list[Pairs] = []

    def improve(self, collect: Collect) -> Improvement:
        """Collect pairs under the chosen policy and fit the advantages to those of the last few steps.

        The first step may start from the guide (``improve_from``): the calmer the policy, the less noise in its pairs.

        A step that made the policy worse is thus followed by more pairs of the better one, where `keep_best` is told.

        Raises:
            ValueError: the pairs have wrong shapes or numbers that aren't finite.
        """
        config, began = self.config, time.perf_counter()
        guided = self.improvements == 0 and config.improve_from == "guide"
        batch = collect(None if guided else self.chosen, config.pairs, self.rng)
        collected = time.perf_counter()
        if self.improvements == 0:
            self.online.load_state_dict(self.chosen.state_dict())
            self.online.rescale_outputs(float(np.std(batch.deltas)) or 1.0)
        self._batches = [*self._batches, batch][-config.pairs_kept :]
        together = Pairs(*(np.concatenate(parts) for parts in zip(*self._batches, strict=True)))
        with torch_threads(config.threads):
            fit = fit_advantages(
                self.online,
                together.observations,
                together.deltas,
                scales=together.scales,
                updates=config.pair_updates,
                batch_size=config.batch_size,
                value_anchor=0.0,
                seed=int(self.rng.integers(2**31)),
            )
        self.adopt(self.online)
        self.improvements += 1
        self.pairs += len(batch.deltas)
        now = time.perf_counter()
        return Improvement(self.improvements, self.pairs, fit, now - began, collected - began)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what `DQN.state` does, and the pairs."""
        tensors, counters = super().state()
        for number, batch in enumerate(self._batches):
            tensors |= {f"pairs.{number}.{key}": torch.from_numpy(x) for key, x in batch._asdict().items()}
        return tensors, {**counters, "improvements": self.improvements, "pairs": self.pairs}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        super().restore(tensors, counters)
        self.improvements, self.pairs = counters["improvements"], counters["pairs"]
        kept = min(self.improvements, self.config.pairs_kept)
        self._batches = [
            Pairs(*(tensors[f"pairs.{number}.{key}"].numpy() for key in Pairs._fields)) for number in range(kept)
        ]
