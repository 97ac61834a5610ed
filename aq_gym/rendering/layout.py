"""Where things stand in the image, and what all images of a problem share: cells, colour scale, numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from numpy.typing import ArrayLike, NDArray

from aq_gym.distances import scalar_products, squared_differences
from aq_gym.network import SensorNetwork
from aq_gym.palette import ERROR_COLOURMAP, ERROR_COLOURMAP_RANGE
from aq_gym.problem import Problem

WIDTH, HEIGHT = 960, 640  # even, as video encoders want it
MAP = (24, 72, 512, 480)  # left, top, width, height [px]; y grows downwards everywhere in this package
RIGHT, RIGHT_END = 568, 936  # the panels beside the map


@dataclass(frozen=True, eq=False)
class Layout:
    """What all pictures of a problem share; y in pixels from the top."""

    xy: NDArray[np.float64]  # (N, 2) locations [px]
    metres_per_pixel: float | None  # None: the places stand for similarity
    cell: NDArray[np.intp]  # (h, w) location that owns a pixel of the map
    coverage: NDArray[np.float32]  # (h, w) how much of the pixel it owns
    high: float  # upper end of the colour scale [µg/m³]
    palette: NDArray[np.uint8]  # (256, 3)
    numbered: NDArray[np.intp]  # locations with room for their number
    usual_level: float  # exceeded half of the time [µg/m³]


@lru_cache(maxsize=8)
def layout_of(problem: Problem) -> Layout:
    """The layout of all images of a problem; drawing again does not compute it again."""
    network = problem.network
    places = places_of(network)
    _, _, width, height = MAP
    n = network.n_locations
    span = np.ptp(places, axis=0)
    area = np.array([width, height])
    radius, zoom = 0.0, 1.0
    for _ in range(3):  # the margin holds a cell, the cell's size follows from the map's
        room = area - 2 * max(radius + 6.0, 26.0)
        zoom = float(min((r / s for r, s in zip(room, span, strict=True) if s > 0), default=1.0))
        occupied = float(np.prod(np.maximum(span * zoom, 0.2 * area)))
        radius = float(np.clip((0.7 if n < 100 else 0.85) * np.sqrt(occupied / n), 3.0, 60.0))
    local = (places - places.min(axis=0) - span / 2) * [zoom, -zoom] + area / 2
    cell, coverage = _cells(local, radius, 2.0 if radius > 24 else 1.0, width, height)
    steps = np.linspace(*ERROR_COLOURMAP_RANGE, 256)
    return Layout(
        xy=local + np.array(MAP[:2]),
        metres_per_pixel=None if network.coordinates is None else 1.0 / zoom,
        cell=cell,
        coverage=coverage,
        high=_high_error(problem),
        palette=np.rint(255 * colormaps[ERROR_COLOURMAP](steps)[:, :3]).astype(np.uint8),
        numbered=_with_room(local, problem.devices) if n <= 60 else np.zeros(0, np.intp),
        usual_level=_level_at(network, 0.5),
    )


def places_of(network: SensorNetwork) -> NDArray[np.float64]:
    """(N, 2): where the locations are drawn: their coordinates, or places as far apart as they differ (40)-(42)."""
    if network.coordinates is not None:
        return network.coordinates
    n = network.n_locations
    squared = squared_differences(network)
    if n <= 1500 and squared.any():
        values, vectors = np.linalg.eigh(scalar_products(squared))
        flat: NDArray[np.float64] = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 0.0))
        flat *= np.where(flat[np.abs(flat).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)  # a sign that is always the same
        return flat
    turn = np.arange(n) * np.pi * (3 - np.sqrt(5.0))  # a sunflower's seeds
    seeds: NDArray[np.float64] = np.stack([np.cos(turn), np.sin(turn)], axis=1) * np.sqrt(np.arange(n) + 0.5)[:, None]
    return seeds


def _cells(
    xy: NDArray[np.float64], radius: float, gap: float, width: int, height: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which location owns each pixel (the nearest within the radius), and how much of it, (h, w) each."""
    nearest = np.full((height, width), np.inf)
    second = np.full((height, width), np.inf)
    owner = np.zeros((height, width), np.intp)
    rival = np.zeros((height, width), np.intp)
    for i, (x, y) in enumerate(xy):
        left, right = max(int(x - 2 * radius), 0), min(int(x + 2 * radius) + 2, width)
        top, bottom = max(int(y - 2 * radius), 0), min(int(y + 2 * radius) + 2, height)
        window = (slice(top, bottom), slice(left, right))
        squared = (np.arange(left, right) + 0.5 - x) ** 2 + ((np.arange(top, bottom) + 0.5 - y) ** 2)[:, None]
        closer, between = squared < nearest[window], squared < second[window]
        second[window] = np.where(closer, nearest[window], np.where(between, squared, second[window]))
        rival[window] = np.where(closer, owner[window], np.where(between, i, rival[window]))
        nearest[window] = np.where(closer, squared, nearest[window])
        owner[window] = np.where(closer, i, owner[window])
    apart = np.maximum(np.hypot(*np.moveaxis(xy[owner] - xy[rival], -1, 0)), 1e-6)
    with np.errstate(invalid="ignore"):
        to_border = np.where(np.isfinite(second), (second - nearest) / (2 * apart), np.inf)
    coverage = np.clip(radius - np.sqrt(nearest) + 0.5, 0, 1) * np.clip(to_border - gap / 2 + 0.5, 0, 1)
    return owner, coverage.astype(np.float32)


def _with_room(xy: NDArray[np.float64], devices: Sequence[int]) -> NDArray[np.intp]:
    """Locations whose number touches neither a device nor a neighbour's number."""
    roomy: list[int] = []
    holders = xy[list(devices)]
    for i, place in enumerate(xy):
        dx, dy = np.abs(holders - place).T
        if ((dx < 26) & (dy < 30)).any():
            continue
        if all(abs(xy[j, 0] - place[0]) > 18 or abs(xy[j, 1] - place[1]) > 11 for j in roomy):
            roomy.append(i)
    return np.array(roomy, dtype=np.intp)


def _level_at(network: SensorNetwork, share: float) -> float:
    """The level below which the area stays for a share of the time [µg/m³]."""
    place = int(np.searchsorted(np.cumsum(network.start), share))
    return float(network.levels[min(place, network.n_levels - 1)])


def _high_error(problem: Problem) -> float:
    """The upper end of the colour scale [µg/m³], the same all episode long.

    What badly served locations have at a high level that has risen by a quarter since every device last sensed, as long
    ago as even spending of the energy makes it.
    """
    level = _level_at(problem.network, 0.9)
    gap = min(problem.max_sleep, problem.horizon / problem.energy_budget)
    delay, record = np.full(problem.n_devices, gap), np.full(problem.n_devices, 0.8 * level)
    return float(np.quantile(problem.infer(delay, record, level).joint_error, 0.9))


def shade(layout: Layout, error: ArrayLike) -> NDArray[np.float64]:
    """Where an error stands on the colour scale, 0..1: its square root, which parts small errors and still shows 0."""
    return np.asarray(np.sqrt(np.clip(np.asarray(error) / layout.high, 0.0, 1.0)))


def nice_top(value: float) -> float:
    """The smallest of 1, 2, 3, 5 times a power of ten that is at least the value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(f * power for f in (1, 2, 3, 5, 10) if f * power >= value * (1 - 1e-9)))


def nice_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 ... between the two."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [f * 10.0**k for k in powers for f in (1, 2, 5) if low <= f * 10.0**k <= high]
