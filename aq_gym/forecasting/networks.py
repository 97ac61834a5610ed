"""Forecasters of PyTorch: a small and a deeper perceptron on the features, and a recurrent network on the last slots.

One network gives all quantiles of all horizons and is trained on their mean pinball loss.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from aq_gym.forecasting.features import Features
from aq_gym.forecasting.forecaster import HORIZONS, QUANTILES, Files, Forecaster
from aq_gym.forecasting.regression import training_rows
from aq_gym.forecasting.series import Series


class Recurrent(nn.Module):
    """A gated recurrent unit over the lags, oldest first, whose last state joins the features."""

    def __init__(self, n_inputs: int, n_outputs: int, lags: slice) -> None:
        super().__init__()
        self.lags = lags
        self.cell = nn.GRU(1, 32, batch_first=True)
        self.head = nn.Sequential(nn.Linear(32 + n_inputs, 64), nn.ReLU(), nn.Linear(64, n_outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(R, outputs) of (R, F) standardised features."""
        oldest_first = features[:, self.lags].flip(1).unsqueeze(2)
        state = self.cell(oldest_first)[1][0]
        return self.head(torch.cat([state, features], dim=1))  # type: ignore[no-any-return]


def pinball_loss(outputs: Tensor, targets: Tensor, quantiles: Tensor) -> Tensor:
    """Mean pinball loss of (R, H, Q) quantiles against (R, H) targets."""
    error = targets.unsqueeze(2) - outputs
    return torch.maximum(quantiles * error, (quantiles - 1.0) * error).mean()


class NetworkForecaster(Forecaster):
    """A network that is trained on all series together; the average of its late weights is kept.

    Args:
        horizons, quantiles: as of every `Forecaster`.
        features: what the network reads.
        seed: same seed and series, same weights.
        steps: minibatches; counted rather than passes, so that many alike series are not learned by heart.
    """

    batch_size = 256
    learning_rate = 1e-3
    update_steps = 120  # `update` goes on from the present weights

    def __init__(
        self,
        horizons: Sequence[int] = HORIZONS,
        quantiles: Sequence[float] = QUANTILES,
        features: Features | None = None,
        seed: int = 0,
        steps: int = 1_200,
    ) -> None:
        super().__init__(horizons, quantiles)
        self.features, self.seed, self.steps = features or Features(), seed, steps
        self._initialise()

    def _initialise(self) -> None:
        n_inputs = len(self.features.names)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = self.make_network(n_inputs, len(self.horizons) * len(self.quantiles))
        self.center, self.scale = torch.zeros(n_inputs), torch.ones(n_inputs)

    def make_network(self, n_inputs: int, n_outputs: int) -> nn.Module:
        """The architecture; what a variant overrides."""
        raise NotImplementedError

    def fit(self, series: Sequence[Series]) -> Self:
        """Learn from scratch."""
        self._initialise()
        inputs, targets = training_rows(series, self.features, self.horizons)
        self.center = torch.from_numpy(inputs.mean(axis=0))
        self.scale = torch.from_numpy(np.maximum(inputs.std(axis=0), 1e-3))
        self._train(inputs, targets, self.steps, self.learning_rate)
        return self

    def update(self, series: Sequence[Series]) -> Self:
        """Go on from the present weights."""
        inputs, targets = training_rows(series, self.features, self.horizons)
        self._train(inputs, targets, self.update_steps, self.learning_rate / 3.0)
        return self

    def _train(self, inputs: NDArray[np.float32], targets: NDArray[np.float32], steps: int, rate: float) -> None:
        x = (torch.from_numpy(inputs) - self.center) / self.scale
        y, quantiles = torch.from_numpy(targets), torch.tensor(self.quantiles)
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=1e-2)
        smooth = get_ema_multi_avg_fn(0.995)  # type: ignore[no-untyped-call]
        average = AveragedModel(self.network, multi_avg_fn=smooth)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)  # of the minibatches and of dropout
            self.network.train()
            for _ in range(steps):
                rows = torch.randint(len(x), (self.batch_size,))
                outputs = self.network(x[rows]).view(len(rows), len(self.horizons), len(self.quantiles))
                loss = pinball_loss(outputs, y[rows], quantiles)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                average.update_parameters(self.network)
        self.network.load_state_dict(average.module.state_dict())
        self.network.eval()

    @torch.inference_mode()
    def quantile_changes(self, series: Series, origins: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Forecaster.quantile_changes`."""
        self.network.eval()
        x = (torch.from_numpy(self.features.table(series)[origins]) - self.center) / self.scale
        outputs = self.network(x).view(len(origins), len(self.horizons), len(self.quantiles))
        return np.asarray(outputs.double().numpy())

    def to_files(self) -> dict[str, bytes]:
        """See `Forecaster.to_files`."""
        tensors = {f"network.{name}": x.contiguous() for name, x in self.network.state_dict().items()}
        return {"weights.safetensors": save({**tensors, "center": self.center, "scale": self.scale})}

    def from_files(self, files: Files) -> Self:
        """See `Forecaster.from_files`."""
        tensors = load(files["weights.safetensors"])
        if not all(bool(x.isfinite().all()) for x in tensors.values()):
            raise ValueError("weights.safetensors: holds weights that are not finite")
        prefix = "network."
        weights = {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
        self.network.load_state_dict(weights)
        self.center, self.scale = tensors["center"], tensors["scale"]
        return self


class SmallNetwork(NetworkForecaster):
    """A perceptron with one hidden layer."""

    name = "perceptron"

    def make_network(self, n_inputs: int, n_outputs: int) -> nn.Module:
        """One hidden layer."""
        return nn.Sequential(nn.Linear(n_inputs, 64), nn.ReLU(), nn.Linear(64, n_outputs))


class DeepNetwork(NetworkForecaster):
    """A perceptron with three hidden layers and dropout."""

    name = "deep-perceptron"

    def make_network(self, n_inputs: int, n_outputs: int) -> nn.Module:
        """Three hidden layers with dropout."""
        return nn.Sequential(
            *(nn.Linear(n_inputs, 128), nn.ReLU(), nn.Dropout(0.2)),
            *(nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.2)),
            *(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, n_outputs)),
        )


class RecurrentNetwork(NetworkForecaster):
    """See `Recurrent`."""

    name = "gru"

    def make_network(self, n_inputs: int, n_outputs: int) -> nn.Module:
        """A recurrent network over the lags."""
        first = self.features.names.index(f"lag_{self.features.lags[0]}")
        return Recurrent(n_inputs, n_outputs, slice(first, first + len(self.features.lags)))
