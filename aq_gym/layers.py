"""Small networks as plain numbers, for compiled play; and what counterfactual branches find."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aq_gym.kernels.network import SmallNetwork
from aq_gym.observation import COMPACT_FEATURES, DEVICE_FEATURES, ObservationLayout

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
    cut: NDArray[np.bool_]  # (K, n, cuts) whether the cut was reached before the branches became equal or ended


def small_network(layers: Layers, layout: ObservationLayout) -> SmallNetwork:
    """Layers made ready for compiled play on observations of that layout.

    Raises:
        ValueError: layers that do not fit together, or not to the observation.
    """
    encoder, kind = layers.encoder_widths, "per_device" if len(layers.encoder_widths) else "compact"
    inputs = len(COMPACT_FEATURES) + (int(encoder[-1]) if len(encoder) else 0)
    sizes = [int(((x[:-1] + 1) * x[1:]).sum()) for x in (layers.widths, encoder)]
    if (
        layout.kind != kind
        or layers.widths[0] != inputs
        or layers.widths[-1] != 1
        or (len(encoder) and encoder[0] != len(DEVICE_FEATURES))
        or [len(layers.weights), len(layers.encoder_weights)] != sizes
    ):
        raise ValueError(
            f"layers: expected {inputs} inputs, 1 output, {sizes[0]} weights and {sizes[1]} of the encoder, on an "
            f"Episodes batch of {kind!r} observations; got widths {layers.widths.tolist()}, encoder "
            f"{encoder.tolist()}, {len(layers.weights)} and {len(layers.encoder_weights)} weights, "
            f"{layout.kind!r} observations"
        )
    widest = max(int(layers.widths.max()), int(encoder.max(initial=0)))
    return SmallNetwork(*layers, np.empty(inputs, np.float32), np.empty((2, widest), np.float32))
