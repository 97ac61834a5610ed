"""Level paths (7)(8) by inversion of cumulative probabilities."""

import numpy as np
from numpy.typing import NDArray

from aq_gym.compiling import compiled


def cumulative(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative sums whose last possible entry no uniform number can reach."""
    total = np.cumsum(probabilities, axis=-1)
    last = probabilities.shape[-1] - 1 - np.argmax(probabilities[..., ::-1] > 0, axis=-1)
    return np.where(np.arange(probabilities.shape[-1]) >= last[..., None], 2.0, total)


@compiled
def draw_paths(uniforms, first, chain, path):
    """Level indices from uniforms (R, T), into ``path`` (R, T).

    ``chain`` (E + 1, E): cumulative probabilities after each level, then those of the start; the first number is drawn
    from row ``first``, the others from the row of the level before.
    """
    for r in range(uniforms.shape[0]):
        row = first
        for t in range(uniforms.shape[1]):
            count = 0
            for i in range(chain.shape[1]):  # counted, not searched: where a search ends no processor can predict
                count += 1 if chain[row, i] <= uniforms[r, t] else 0
            path[r, t] = row = count
