"""The mutable state of a learner, as tensors and JSON values: the content of a checkpoint."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam

from agents.networks import QNetwork
from agents.replay import Replay


class Resumable:
    """A learner with four networks of one shape; what `restore` took back goes on as if nothing had happened."""

    NETWORKS = ("online", "target", "average", "best")
    COUNTERS: ClassVar[dict[str, type]] = {
        "rounds": int, "decisions": int, "episodes": int, "updates": int, "updates_due": float, "best_error": float
    }  # fmt: skip

    online: QNetwork
    optimizer: Adam
    memory: Replay
    rng: np.random.Generator
    updates_due: float

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything that changes: tensors, and counters with the generator's state as JSON values."""
        tensors: dict[str, Tensor] = {}
        for name in self.NETWORKS:
            tensors |= {f"{name}.{key}": value for key, value in getattr(self, name).state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": value for key, value in moments.items()}
        tensors |= {f"memory.{key}": torch.from_numpy(value) for key, value in self.memory.state().items()}
        counters = {name: getattr(self, name) for name in self.COUNTERS}
        return tensors, {**counters, "generator": self.rng.bit_generator.state}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Take back copies of what `state` returned."""
        for name in self.NETWORKS:
            getattr(self, name).load_state_dict(below(name, tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in below("optimizer", tensors).items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = value.clone()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.memory.restore({key: value.numpy() for key, value in below("memory", tensors).items()})
        for name in self.COUNTERS:
            setattr(self, name, counters[name])
        if not 0 <= self.updates_due < math.inf:
            raise ValueError(f"updates_due: expected a finite number of at least 0, got {self.updates_due}")
        self.rng.bit_generator.state = counters["generator"]


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix and a dot, by the rest of their names."""
    return {key.removeprefix(f"{prefix}."): value for key, value in tensors.items() if key.startswith(f"{prefix}.")}
