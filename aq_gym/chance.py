"""Randomness that does not depend on the actions: levels, lost reports, harvested energy."""

import numpy as np
from numpy.typing import NDArray

from aq_gym.kernels.chain import cumulative, draw_paths
from aq_gym.problem import Problem


def columns_of(problem: Problem) -> tuple[int, int, int]:
    """First columns of lost reports and of harvests in an episode's path, 0: there are none; and the path's length.

    The levels of slots 0 to T come first. Then each device has T + 1 columns, 1 where its report would get lost; then
    each has as many, 1 where it harvests.
    """
    end = problem.horizon + 1
    width, losses, harvests = problem.n_devices * end, 0, 0
    if problem.loss > 0.0:
        losses, end = end, end + width
    if problem.harvest[0] > 0.0:
        harvests, end = end, end + width
    return losses, harvests, end


class Chance:
    """Draws paths, of levels by equations (7) and (8).

    Attributes:
        n_uniforms: random numbers that a path is drawn from, and its length.
    """

    def __init__(self, problem: Problem) -> None:
        self.n_uniforms = columns_of(problem)[2]
        self.n_slots = problem.horizon + 1
        self.levels = np.asarray(problem.network.levels, dtype=np.float64)
        self._chain = cumulative(np.vstack([problem.network.transition, problem.network.start]))
        chances = [p for p in (problem.loss, problem.harvest[0]) if p > 0.0]
        self._probability = np.repeat(np.array(chances), problem.n_devices * self.n_slots)

    def draw(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """(R, n_uniforms) paths of level indices, zeros and ones, from as many numbers from 0 to 1."""
        path = np.empty(uniforms.shape, np.int64)
        levels = np.empty((len(path), self.n_slots), np.int64)
        draw_paths(uniforms[:, : self.n_slots], len(self.levels), self._chain, levels)
        path[:, : self.n_slots], path[:, self.n_slots :] = levels, uniforms[:, self.n_slots :] < self._probability
        return path

    def values(self, path: NDArray[np.int64]) -> NDArray[np.float64]:
        """A path with levels [µg/m³] for their indices."""
        values = path.astype(np.float64)
        values[..., : self.n_slots] = self.levels[path[..., : self.n_slots]]
        return values

    def redraw(self, path: NDArray[np.float64], known: int, level: float, generator: np.random.Generator) -> None:
        """Draw anew what the server does not know yet, in place.

        Args:
            path: (n_uniforms,) of an episode, with levels [µg/m³].
            known: the last slot whose level is known: the present one, or that of the last report of a hidden level.
            level: in that slot, the nearest of the levels counts [µg/m³].
            generator: of the numbers; lost reports and harvests are drawn anew as well.
        """
        future = np.empty((1, self.n_slots - 1 - known), np.int64)
        nearest = int(np.abs(self.levels - level).argmin())
        draw_paths(generator.random(future.shape), nearest, self._chain, future)
        path[known + 1 : self.n_slots] = self.levels[future[0]]
        path[self.n_slots :] = generator.random(len(self._probability)) < self._probability
