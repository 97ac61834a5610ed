"""Pictures of an episode: the map with devices, batteries and level trace, as an image or as text.

A picture depends on its `Scene` alone: nothing of one frame is left in the next, and drawing never touches an episode.
matplotlib is imported when the first image is drawn; text needs NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.inference import Map
from aq_gym.problem import Problem

if TYPE_CHECKING:
    _Cap = Literal["butt", "round"]

    from aq_gym.network import SensorNetwork

RENDER_MODES = ("rgb_array", "ansi")


@dataclass(frozen=True)
class Scene:
    """What a picture of one moment shows."""

    problem: Problem
    slot: int  # 1..T, T + 1 = over
    turn: int | None  # the device that decides; None in the joint view
    energy: NDArray[np.int64]  # (M,) sensings left
    delay: NDArray[np.int64]  # (M,) slots since last sensed
    record: NDArray[np.float64]  # (M,) level when last sensed [µg/m³]
    levels: NDArray[np.float64]  # (slots so far + 1,) [µg/m³]
    map: Map
    past_error: float | None = None  # average joint error of the slots that have ended [µg/m³]; None before the first

    @property
    def over(self) -> bool:
        """Whether the episode has ended."""
        return self.slot > self.problem.horizon

    @property
    def deciding(self) -> int | None:
        """The one device that decides now; None in the joint view and after the end."""
        return None if self.over else self.turn


def check_render_mode(render_mode: str | None) -> str | None:
    """The render mode, if it can be had.

    Raises:
        ValueError: unknown mode.
        ImportError: its packages are missing; the message names the extra.
    """
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode: expected one of {', '.join(RENDER_MODES)}, got {render_mode!r}")
    if render_mode == "rgb_array" and find_spec("matplotlib") is None:
        raise ImportError("render_mode='rgb_array' needs matplotlib: pip install 'aq-gym[render]'")
    return render_mode


def render(scene: Scene, mode: str) -> Any:
    """An image, (640, 960, 3) uint8, fresh each time (``"rgb_array"``), or lines of text (``"ansi"``).

    Raises:
        ValueError: unknown mode.
        ImportError: matplotlib is missing.
    """
    if check_render_mode(mode) is None:
        raise ValueError(f"mode: expected one of {', '.join(RENDER_MODES)}, got None")
    return _draw(scene) if mode == "rgb_array" else _write(scene)


def _status(scene: Scene) -> str:
    if scene.over:
        return "episode over"
    if scene.turn is None:
        return "all devices decide"
    return f"device {scene.turn} decides"


def _title(problem: Problem, longest: int) -> str:
    """The network's name, without characters that the font lacks."""
    name = "".join(c if c.isprintable() and ord(c) < 0x250 else "?" for c in problem.network.name)
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


# ------------------------------------------------------------------------------------------------------------- text

_WIDTH = 80
_MANY = 12  # up to so many devices are listed one by one
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def _bar(share: float, width: int) -> str:
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "█" * filled + "░" * (width - filled)


def _sparkline(values: ArrayLike) -> str:
    """One block a value, from the lowest to the highest of them."""
    x = np.asarray(values, dtype=np.float64)
    span = np.ptp(x)
    height = np.full(x.shape, 4) if span == 0 else np.rint(1 + 7 * (x - x.min()) / span).astype(int)
    return "".join(_EIGHTHS[h] for h in height)


def _write(scene: Scene) -> str:
    problem, error = scene.problem, scene.map.joint_error
    slot = min(scene.slot, problem.horizon)
    head = f"{_title(problem, 30)}   slot {slot}/{problem.horizon}   {_status(scene)}"
    head += "   " + _bar((scene.slot - 1) / problem.horizon, max(_WIDTH - len(head) - 3, 0))
    recent = scene.levels[-40:]
    trace = f"level {scene.levels[-1]:7.1f} µg/m³   {_sparkline(recent)}"
    if len(recent) > 1:
        trace += f"  {recent.min():.0f}–{recent.max():.0f}"
    worst = int(error.argmax())
    errors = f"error {error.mean():7.2f} µg/m³"
    if scene.past_error is not None:
        errors += f"   {'episode' if scene.over else 'so far'} {scene.past_error:.2f}"
    errors += f"   worst {error[worst]:.2f} at location {worst}"
    devices = _list_devices(scene) if problem.n_devices <= _MANY else _summarise_devices(scene)
    return "\n".join(line.rstrip() for line in [head, trace, errors, "", *devices]) + "\n"


def _list_devices(scene: Scene) -> list[str]:
    problem = scene.problem
    budget, sleep = problem.energy_budget, problem.max_sleep
    lines = [f"  {'device':>6} {'location':>9}   {'energy':<19} {'slots asleep':<17} {'record':>7} {'J':>7}"]
    for m, location in enumerate(problem.devices):
        mark = ">" if m == scene.deciding else " "
        mark += "*" if scene.delay[m] == 0 else " "
        energy = f"{_bar(scene.energy[m] / budget, 10)} {scene.energy[m]:>3}/{budget:<3}"
        delay = f"{_bar(scene.delay[m] / sleep, 8)} {scene.delay[m]:>3}/{sleep:<3}"
        j = scene.map.joint_error[location]
        lines.append(f"{mark}{m:>6} {location:>9}   {energy:<19} {delay:<17} {scene.record[m]:>7.1f} {j:>7.2f}")
    return [*lines, "", "> decides   * sensed in this slot   record, J (joint error) in µg/m³"]


def _summarise_devices(scene: Scene) -> list[str]:
    problem, budget, sleep = scene.problem, scene.problem.energy_budget, scene.problem.max_sleep
    at_device = scene.map.joint_error[list(problem.devices)]
    lines = [f"{problem.n_devices} devices           {'lowest':>9} {'median':>9} {'highest':>9}   share of devices"]
    rows: list[tuple[str, NDArray[Any], int | None]] = [
        (f"energy (of {budget})", scene.energy, budget),
        (f"asleep (of {sleep})", scene.delay, sleep),
        ("record [µg/m³]", scene.record, None),
        ("J there [µg/m³]", at_device, None),
    ]
    for label, values, top in rows:
        if top is not None:
            each = -(-(top + 1) // 16)  # whole numbers in a bin
            bins, low, high = -(-(top + 1) // each), 0.0, float(top)
            end = float(bins * each)
        else:
            bins, low, high = 16, float(values.min()), float(values.max())
            end = high if high > low else low + 1.0
        counts, _ = np.histogram(values, bins=bins, range=(low, end))
        shape = "".join(_EIGHTHS[int(np.ceil(8 * c / counts.max()))] for c in counts)
        form = ".1f" if top is None else ".0f"
        lines.append(
            f"{label:<20} {values.min():>9{form}} {np.median(values):>9{form}} {values.max():>9{form}}   "
            f"{low:.0f} {shape} {high:.0f}"
        )
    sensed, empty = int((scene.delay == 0).sum()), int((scene.energy == 0).sum())
    lines += ["", f"sensed in this slot: {sensed}   without energy: {empty}"]
    m = scene.deciding
    if m is not None:
        lines.append(
            f"device {m} at location {problem.devices[m]}: energy {scene.energy[m]}/{budget}, asleep "
            f"{scene.delay[m]}/{sleep}, record {scene.record[m]:.1f}, J {at_device[m]:.2f}"
        )
    return lines


# ------------------------------------------------------------------------------------------------- what is drawn where

_W, _H = 960, 640  # even, as video encoders want it
_DPI = 100
_TEXT_MARGIN = 3  # around a text, for what juts out
_MAP = (24, 72, 512, 480)  # left, top, width, height [px]; y grows downwards everywhere in this module
_RIGHT, _RIGHT_END = 568, 936

_INK, _MUTED, _FAINT, _PANEL, _PAPER = "#1F2A37", "#66707C", "#DDE2E8", "#F3F5F7", "#FFFFFF"
_SENSED, _DECIDES, _ENERGY = "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito: told apart by colour-blind eyes
_DECIDES_PALE, _QUIET, _EMPTY = "#FBEDE2", "#8A94A0", "#B8C0C9"
_COLOURMAP, _COLOURMAP_RANGE = "magma_r", (0.06, 0.86)


@dataclass(frozen=True, eq=False)
class _Stage:
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
def _stage(problem: Problem) -> _Stage:
    from matplotlib import colormaps

    network = problem.network
    places = _places(network)
    _, _, width, height = _MAP
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
    steps = np.linspace(*_COLOURMAP_RANGE, 256)
    return _Stage(
        xy=local + np.array(_MAP[:2]),
        metres_per_pixel=None if network.coordinates is None else 1.0 / zoom,
        cell=cell,
        coverage=coverage,
        high=_high_error(problem),
        palette=np.rint(255 * colormaps[_COLOURMAP](steps)[:, :3]).astype(np.uint8),
        numbered=_with_room(local, problem.devices) if n <= 60 else np.zeros(0, np.intp),
        usual_level=_level_at(network, 0.5),
    )


def _places(network: SensorNetwork) -> NDArray[np.float64]:
    """(N, 2): where the locations are drawn: their coordinates, or places that keep their differences (40)-(42)."""
    if network.coordinates is not None:
        return network.coordinates
    n = network.n_locations
    squared = network.mean_relation**2 + network.variance_relation  # D_ij² (40)
    squared = (squared + squared.T) / 2
    if n <= 1500 and squared.any():
        centred = squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
        values, vectors = np.linalg.eigh(-centred / 2)
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
    kept: list[int] = []
    holders = xy[list(devices)]
    for i, place in enumerate(xy):
        dx, dy = np.abs(holders - place).T
        if ((dx < 26) & (dy < 30)).any():
            continue
        if all(abs(xy[j, 0] - place[0]) > 18 or abs(xy[j, 1] - place[1]) > 11 for j in kept):
            kept.append(i)
    return np.array(kept, dtype=np.intp)


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


def _nice_top(value: float) -> float:
    """The smallest of 1, 2, 3, 5 times a power of ten that is at least the value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(f * power for f in (1, 2, 3, 5, 10) if f * power >= value * (1 - 1e-9)))


def _nice_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 ... between the two."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [f * 10.0**k for k in powers for f in (1, 2, 5) if low <= f * 10.0**k <= high]


# ------------------------------------------------------------------------------------------------------------ drawing


def _canvas(width: int, height: int) -> Any:
    """An empty, transparent Agg canvas."""
    backend: Any = import_module("matplotlib.backends.backend_agg")
    return backend.RendererAgg(width, height, _DPI)


class _Brush:
    """Paints on matplotlib's Agg canvas in pixels, x to the right and y downwards.

    Artists would cost ten times the time: a frame is some hundred strokes, most of them text.
    """

    def __init__(self) -> None:
        from matplotlib.transforms import Affine2D

        self._agg = _canvas(_W, _H)
        self._down = Affine2D().scale(1, -1).translate(0, _H)
        self._pixels = np.asarray(self._agg.buffer_rgba())  # (H, W, 4), a view of the canvas
        self._pixels[:] = (*_rgb(_PAPER), 255)

    def frame(self) -> NDArray[np.uint8]:
        """A copy of what has been painted, (H, W, 3)."""
        return np.array(self._pixels[:, :, :3], dtype=np.uint8, order="C")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        px: float = 11,
        colour: str = _INK,
        align: float = 0.0,
        *,
        bold: bool = False,
        middle: bool = False,
        opacity: float = 1.0,
    ) -> float:
        """One line of text, its base line at y (its middle, if asked); align 0, 0.5, 1: x is left, centre, right.

        Returns:
            Its left edge [px].
        """
        ink, width, ascent = _text_ink(text, px, bold)
        left = round(float(x) - align * width) - _TEXT_MARGIN
        top = round(float(y) + (0.365 * px if middle else 0.0)) - ascent
        height, length = ink.shape
        up, back = max(-top, 0), max(-left, 0)
        place = self._pixels[top + up : top + height, left + back : left + length, :3]
        ink = ink[up : up + place.shape[0], back : back + place.shape[1], None] * np.float32(opacity)
        place[:] = np.rint(place + ink * (_rgb(colour) - place)).astype(np.uint8)
        return float(left + _TEXT_MARGIN)

    def _stroke(
        self, polylines: Any, closed: bool, face: str | None, edge: str | None, width: float, cap: _Cap, opacity: float
    ) -> None:
        from matplotlib.colors import to_rgba
        from matplotlib.path import Path

        lines = [np.asarray(line, dtype=np.float64) for line in polylines]
        if not lines:
            return
        codes = []
        for k, line in enumerate(lines):
            code = np.full(len(line) + closed, Path.LINETO, dtype=np.uint8)
            code[0] = Path.MOVETO
            if closed:
                code[-1] = Path.CLOSEPOLY
                lines[k] = np.concatenate([line, line[:1]])
            codes.append(code)
        pen = self._pen(edge, width, cap, opacity)
        path = Path(np.concatenate(lines), np.concatenate(codes))
        self._agg.draw_path(pen, path, self._down, None if face is None else to_rgba(face, opacity))
        pen.restore()

    def _pen(self, edge: str | None, width: float, cap: _Cap = "butt", opacity: float = 1.0) -> Any:
        pen = self._agg.new_gc()
        pen.set_foreground(edge or _INK)
        pen.set_linewidth(width * 72 / _DPI if edge else 0.0)
        pen.set_capstyle(cap)
        pen.set_joinstyle("round")
        pen.set_antialiased(True)
        if opacity < 1:
            pen.set_alpha(opacity)
        return pen

    def lines(self, polylines: Any, colour: str, width: float, cap: _Cap = "round") -> None:
        """Polylines, each (points, 2)."""
        self._stroke(polylines, False, None, colour, width, cap, 1.0)

    def polygons(self, polygons: Any, colour: str, opacity: float = 1.0) -> None:
        """Filled polygons, each (points, 2)."""
        self._stroke(polygons, True, colour, None, 0.0, "butt", opacity)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        self.polygons([[(x, y), (x + width, y), (x + width, y + height), (x, y + height)]], colour)

    def discs(
        self, xy: ArrayLike, radius: float, face: str | None, edge: str | None = None, width: float = 0.0
    ) -> None:
        """Circles of one look, at (..., 2)."""
        from matplotlib.colors import to_rgba
        from matplotlib.path import Path
        from matplotlib.transforms import Affine2D

        centres = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        pen = self._pen(edge, width)
        pen.set_snap(False)
        circle, size = Path.unit_circle(), Affine2D().scale(radius)
        self._agg.draw_markers(pen, circle, size, Path(centres), self._down, None if face is None else to_rgba(face))
        pen.restore()

    def image(self, x: int, y: int, pixels: NDArray[np.uint8]) -> None:
        """An image, (h, w, 3), pixel for pixel."""
        self._pixels[y : y + pixels.shape[0], x : x + pixels.shape[1], :3] = pixels

    def pills(self, x: ArrayLike, y: ArrayLike, length: float, share: ArrayLike, colour: str, width: float) -> None:
        """Horizontal bars with round ends, filled by shares in 0..1."""
        x, y, share = (v.ravel() for v in np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), share))
        start = np.stack([x + width / 2, y], axis=1)
        end = start + np.stack([(length - width) * np.clip(share, 0.0, 1.0), 0 * y], axis=1)
        self.lines(np.stack([start, start + np.array([length - width, 0.0])], axis=1), _FAINT, width)
        self.lines(np.stack([start, end], axis=1)[share > 0], colour, width)


@lru_cache(maxsize=2048)
def _text_ink(text: str, px: float, bold: bool) -> tuple[NDArray[np.float32], float, int]:
    """How much ink a text puts on each pixel, (h, w) in 0..1, its width [px], and the row of its base line."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=px * 72 / _DPI)
    width, height, descent = _canvas(1, 1).get_text_width_height_descent(text, font, False)
    ascent = int(np.ceil(height - descent)) + _TEXT_MARGIN
    sheet = _canvas(int(np.ceil(width)) + 2 * _TEXT_MARGIN, ascent + int(np.ceil(descent)) + _TEXT_MARGIN)
    sheet.draw_text(sheet.new_gc(), _TEXT_MARGIN, ascent, text, font, 0.0)
    ink = np.asarray(sheet.buffer_rgba())[:, :, 3].astype(np.float32) / np.float32(255)
    ink.flags.writeable = False
    return ink, float(width), ascent


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32)


def _draw(scene: Scene) -> NDArray[np.uint8]:
    brush, stage = _Brush(), _stage(scene.problem)
    _draw_title(brush, scene)
    _draw_map(brush, scene, stage)
    _draw_colour_bar(brush, scene, stage)
    _draw_key(brush, scene)
    _draw_numbers(brush, scene)
    if scene.problem.n_devices <= _MANY:
        heading = _draw_device_rows(brush, scene)
    else:
        heading = _draw_device_profiles(brush, scene)
    _draw_trace(brush, scene, stage, heading - 46)
    return brush.frame()


def _draw_title(brush: _Brush, scene: Scene) -> None:
    problem = scene.problem
    brush.text(24, 40, _title(problem, 40), 19, bold=True)
    brush.text(
        24, 59, f"{_count(problem.n_devices, 'device')}, {_count(problem.n_locations, 'location')}", 11.5, _MUTED
    )
    colour = _MUTED if scene.deciding is None else _DECIDES
    brush.text(_MAP[0] + _MAP[2], 59, _status(scene), 11.5, colour, 1.0, bold=True)


def _shade(stage: _Stage, error: ArrayLike) -> NDArray[np.float64]:
    """Where an error stands on the colour scale, 0..1: its square root, which parts small errors and still shows 0."""
    return np.asarray(np.sqrt(np.clip(np.asarray(error) / stage.high, 0.0, 1.0)))


def _draw_map(brush: _Brush, scene: Scene, stage: _Stage) -> None:
    colours = stage.palette[np.rint(255 * _shade(stage, scene.map.joint_error)).astype(np.intp)]  # (N, 3)
    ground = _rgb(_PANEL)
    pixels = ground + stage.coverage[..., None] * (colours.astype(np.float32)[stage.cell] - ground)
    brush.image(_MAP[0], _MAP[1], np.rint(pixels).astype(np.uint8))
    dark = colours @ np.array([0.299, 0.587, 0.114]) < 150
    for i in stage.numbered:
        x, y = stage.xy[i]
        brush.text(x, y, str(i), 9, _PAPER if dark[i] else _INK, 0.5, middle=True, opacity=0.8)
    _draw_devices(brush, scene, stage)
    _draw_map_scale(brush, stage)


def _draw_devices(brush: _Brush, scene: Scene, stage: _Stage) -> None:
    problem = scene.problem
    many = problem.n_devices > _MANY
    xy = stage.xy[list(problem.devices)]
    fresh, empty = scene.delay == 0, scene.energy == 0
    radius, reach, thick = (4.5, 8.5, 2.0) if many else (10.0, 15.5, 3.0)

    def highlight() -> None:
        if scene.deciding is not None:
            x, y = xy[scene.deciding]
            brush.discs((x, y), reach, None, _PAPER, thick + 3)
            brush.discs((x, y), reach, None, _DECIDES, thick)
            _draw_pointer(brush, x, y - reach - 2.5, 6.5)

    if not many:  # below the energy bar; in a crowd above everything
        highlight()
    length, bar, below = (11.0, 3.0, 8.5) if many else (28.0, 5.0, 20.5)  # energy, on a white plate
    plate = [(-(length - bar) / 2, below), ((length - bar) / 2, below)]
    brush.lines(xy[:, None] + plate, _PAPER, bar + (2 if many else 3))
    brush.pills(xy[:, 0] - length / 2, xy[:, 1] + below, length, scene.energy / problem.energy_budget, _ENERGY, bar)

    halo = radius + (2.6 if many else 4.0)
    brush.discs(xy[fresh], halo, None, _PAPER, 2.6 if many else 4.6)
    brush.discs(xy[fresh], halo, None, _SENSED, 1.2 if many else 1.8)
    brush.discs(xy, radius + (0.7 if many else 2.2), _PAPER)
    edge = _INK if many else _QUIET
    brush.discs(xy[~fresh & ~empty], radius, _PAPER, edge, 0.9)
    brush.discs(xy[~fresh & empty], radius, _EMPTY, edge, 0.9)
    brush.discs(xy[fresh], radius, _SENSED)
    if many:
        highlight()
        return
    asleep = np.flatnonzero(~fresh)
    brush.lines([_arc(xy[m], radius, scene.delay[m] / problem.max_sleep) for m in asleep], _INK, 2.6, "butt")
    for m, (x, y) in enumerate(xy):
        brush.text(x, y, str(m), 10.5, _PAPER if fresh[m] else _INK, 0.5, middle=True, bold=True)


def _draw_pointer(brush: _Brush, x: float, y: float, size: float) -> None:
    """A triangle whose tip points down at (x, y)."""
    triangle = np.array([(0.0, 0.0), (-size, -1.4 * size), (size, -1.4 * size)])
    triangle += [x, y]
    brush.lines([np.concatenate([triangle, triangle[:1]])], _PAPER, 3.0)
    brush.polygons([triangle], _DECIDES)


def _arc(centre: ArrayLike, radius: float, share: float) -> NDArray[np.float64]:
    """Clockwise from the top, as a clock's hand has travelled."""
    angle = np.linspace(0.0, 2 * np.pi * min(float(share), 1.0), 32)
    return np.asarray(centre, float) + radius * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _draw_map_scale(brush: _Brush, stage: _Stage) -> None:
    left, top, width, height = _MAP
    x, y = left + width - 12, top + height - 12
    if stage.metres_per_pixel is None:
        brush.text(x, y, "no coordinates: near means similar", 10, _MUTED, 1.0)
        return
    longest = 90 * stage.metres_per_pixel
    metres = _nice_ticks(longest / 10, longest)[-1]
    length = metres / stage.metres_per_pixel
    brush.rectangle(x - length - 6, y - 18, length + 12, 24, _PANEL)
    brush.lines([[(x - length, y - 4), (x - length, y), (x, y), (x, y - 4)]], _MUTED, 1.2, "butt")
    brush.text(x - length / 2, y - 6, f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m", 10, _MUTED, 0.5)


def _draw_colour_bar(brush: _Brush, scene: Scene, stage: _Stage) -> None:
    x, y, length, thick = 24, 588, 240, 10
    brush.text(x, y - 14, "joint error, µg/m³", 11)
    strip = stage.palette[np.rint(np.linspace(0, 255, length)).astype(int)]
    brush.image(x, y, np.broadcast_to(strip, (thick, length, 3)))
    for tick in (0.0, *_nice_ticks(stage.high / 50, stage.high)):
        place = x + length * float(_shade(stage, tick))
        brush.lines([[(place, y + thick), (place, y + thick + 3)]], _MUTED, 1.0, "butt")
        brush.text(place, y + thick + 15, f"{tick:g}", 10, _MUTED, 0.5)
    here = x + length * float(_shade(stage, scene.map.joint_error.mean()))
    brush.polygons([[(here, y - 1), (here - 4, y - 8), (here + 4, y - 8)]], _INK)


def _draw_key(brush: _Brush, scene: Scene) -> None:
    """What the marks on the map mean."""
    many, joint = scene.problem.n_devices > _MANY, scene.turn is None
    radius = 4.5 if many else 6.0
    (left, right), (upper, lower) = (304, 442), (581, 605)
    brush.discs((left, upper), radius + 3.0, None, _SENSED, 1.5)
    brush.discs((left, upper), radius, _SENSED)
    brush.discs((left, lower), radius, _PAPER, _INK if many else _QUIET, 0.9)
    if not joint:
        brush.discs((left, lower), radius + 2.5, None, _DECIDES, 2.0)
    brush.pills(right - 10, upper, 20, 0.6, _ENERGY, 4.5)
    brush.discs((right, lower), radius, _EMPTY if many else _PAPER, _INK if many else _QUIET, 0.9)
    if not many:
        brush.lines([_arc((right, lower), radius, 0.4)], _INK, 2.2, "butt")
    labels = (
        ("sensed in this slot", "asleep" if joint else "decides now"),
        (
            "energy left",
            "no energy" if many else "time asleep",
        ),
    )
    for x, column in zip((left, right), labels, strict=True):
        for y, label in zip((upper, lower), column, strict=True):
            brush.text(x + 17, y, label, 10.5, _MUTED, middle=True)


def _draw_numbers(brush: _Brush, scene: Scene) -> None:
    horizon, level = scene.problem.horizon, float(scene.levels[-1])
    past = "–" if scene.past_error is None else f"{scene.past_error:.2f}"
    tiles = (
        ("slot", str(min(scene.slot, horizon)), f"of {horizon}"),
        ("level", f"{level:.0f}" if level >= 100 else f"{level:.3g}", "µg/m³"),
        ("error now", f"{scene.map.joint_error.mean():.2f}", "µg/m³, whole map"),
        ("episode average" if scene.over else "average so far", past, "µg/m³, ended slots"),
    )
    for x, (label, value, unit) in zip((568, 650, 736, 846), tiles, strict=True):
        brush.text(x, 31, label, 10.5, _MUTED)
        brush.text(x, 57, value, 21, bold=True)
        brush.text(x, 74, unit, 10.5, _MUTED)


def _draw_trace(brush: _Brush, scene: Scene, stage: _Stage, bottom: float) -> None:
    """The levels so far, with the devices' last sensings on them; `bottom` is where the level would be 0."""
    horizon, levels = scene.problem.horizon, scene.levels
    left, right, top = _RIGHT + 28.0, _RIGHT_END - 6.0, 130.0
    ceiling = _nice_top(max(stage.usual_level, float(levels.max())))

    def at(slot: ArrayLike, level: ArrayLike) -> NDArray[np.float64]:
        x = left + (right - left) * np.asarray(slot, float) / horizon
        y = bottom - (bottom - top) * np.asarray(level, float) / ceiling
        return np.stack(np.broadcast_arrays(x, y), axis=-1)

    brush.text(_RIGHT, 112, "Level by slot, µg/m³", 12, bold=True)
    name = brush.text(_RIGHT_END, 112, "last sensing of a device", 10.5, _MUTED, 1.0)
    brush.discs((name - 10, 108), 3.4, _PAPER, _SENSED, 1.6)
    parts = 3 if f"{ceiling:e}"[0] == "3" else 4 if f"{ceiling:e}"[0] == "2" else 5
    for level in np.linspace(0.0, ceiling, parts + 1):
        y = at(0, level)[1]
        brush.lines([[(left, y), (right, y)]], _FAINT, 1.0, "butt")
        brush.text(left - 7, y, f"{level:g}", 10, _MUTED, 1.0, middle=True)
    steps = [f * 10**k for k in range(6) for f in (1, 2, 3, 4, 5, 6, 12, 24) if horizon <= 7 * f * 10**k]
    step = min(steps, key=lambda s: (horizon % s != 0, s), default=horizon)
    for slot in range(0, horizon + 1, step):
        brush.text(at(slot, 0)[0], bottom + 16, str(slot), 10, _MUTED, 0.5)

    points = at(np.arange(len(levels)), levels)
    brush.polygons([np.concatenate([points, [(points[-1, 0], bottom), (left, bottom)]])], _INK, opacity=0.08)
    brush.lines([points], _INK, 1.8)
    # Without energy the delay stops growing, so the last sensing may lie further back than it says.
    known = (scene.delay > 0) & ((scene.energy > 0) | (scene.delay < scene.problem.max_sleep))
    past = np.unique(scene.slot - scene.delay[known])
    many = scene.problem.n_devices > _MANY
    brush.discs(
        points[past[(past >= 0) & (past < len(points))]], 2.2 if many else 3.4, _PAPER, _SENSED, 1.2 if many else 1.6
    )
    brush.discs(points[-1], 6.2, _PAPER)
    brush.discs(points[-1], 4.6, _SENSED if (scene.delay == 0).any() else _INK)


def _pace(scene: Scene) -> float:
    """The share of its energy that a device has left if it spends evenly, this slot's still to come."""
    return max(scene.problem.horizon - scene.slot + 1, 0) / scene.problem.horizon


def _draw_device_rows(brush: _Brush, scene: Scene) -> float:
    """A row a device; returns where the heading stands."""
    problem, n = scene.problem, scene.problem.n_devices
    height = min(34.0, 282.0 / n)
    heading = _H - 22.0 - n * height - 32.0
    y = heading + 32.0 + height * (np.arange(n) + 0.5)
    sleep_x, sleep_length, energy_x, energy_length = 652.0, 100.0, 798.0, 108.0
    brush.text(_RIGHT, heading, "Devices", 12, bold=True)
    brush.text(sleep_x, heading, "slots asleep", 10.5, _MUTED)
    brush.text(sleep_x, heading + 14, f"at most {problem.max_sleep}", 10.5, _MUTED)
    brush.text(energy_x, heading, "energy left", 10.5, _MUTED)
    brush.text(energy_x, heading + 14, f"of {problem.energy_budget}", 10.5, _MUTED)
    if not scene.over:
        name = brush.text(_RIGHT_END, heading + 14, "even pace", 10.5, _MUTED, 1.0)
        brush.lines([[(name - 8, heading + 4), (name - 8, heading + 16)]], _INK, 1.5, "butt")

    deciding = scene.deciding
    if deciding is not None:
        brush.rectangle(_RIGHT - 6, y[deciding] - height / 2 + 1, _RIGHT_END - _RIGHT + 12, height - 2, _DECIDES_PALE)
    fresh, empty = scene.delay == 0, scene.energy == 0
    radius, bar = min(9.0, height / 2 - 2.5), min(8.0, height / 2.6)
    centres = np.stack([np.full(n, _RIGHT + 11.0), y], axis=1)
    brush.discs(centres[~empty], radius, _PAPER, _QUIET, 1.2)
    brush.discs(centres[empty], radius, _EMPTY, _QUIET, 1.2)
    brush.discs(centres[fresh], radius, _SENSED, _SENSED, 1.2)
    if deciding is not None:
        brush.discs(centres[deciding], radius, None, _DECIDES, 2.0)
    brush.pills(sleep_x, y, sleep_length, scene.delay / problem.max_sleep, _INK, bar)
    brush.pills(energy_x, y, energy_length, scene.energy / problem.energy_budget, _ENERGY, bar)
    if not scene.over:
        pace = energy_x + bar / 2 + (energy_length - bar) * _pace(scene)
        brush.lines([[(pace, v - bar / 2 - 2), (pace, v + bar / 2 + 2)] for v in y], _INK, 1.5, "butt")
    for m, location in enumerate(problem.devices):
        brush.text(
            centres[m, 0],
            y[m],
            str(m),
            min(10.5, 1.2 * radius),
            _PAPER if fresh[m] else _INK,
            0.5,
            middle=True,
            bold=True,
        )
        brush.text(_RIGHT + 28, y[m], f"at {location}", 10.5, _MUTED, middle=True)
        brush.text(sleep_x + sleep_length + 22, y[m], str(scene.delay[m]), 10.5, align=1.0, middle=True)
        brush.text(_RIGHT_END, y[m], str(scene.energy[m]), 10.5, align=1.0, middle=True)
    return heading


def _draw_device_profiles(brush: _Brush, scene: Scene) -> float:
    """Two skylines, a step a device: energy left and slots asleep; returns where the upper heading stands."""
    problem, n = scene.problem, scene.problem.n_devices
    left, right, height = _RIGHT + 28.0, _RIGHT_END - 6.0, 104.0
    edges = left + (right - left) * np.arange(n + 1) / n
    floors = (444.0, 594.0)
    rows = (
        ("Energy left", scene.energy, problem.energy_budget, _ENERGY),
        ("Slots asleep", scene.delay, problem.max_sleep, _INK),
    )
    for bottom, (title, values, most, colour) in zip(floors, rows, strict=True):
        top = bottom - height
        brush.text(_RIGHT, top - 16, title, 12, bold=True)
        brush.text(_RIGHT + 95, top - 16, f"median {np.median(values):g} of {most}", 10.5, _MUTED)
        for part in (0.0, 0.5, 1.0):
            brush.lines([[(left, bottom - part * height), (right, bottom - part * height)]], _FAINT, 1.0, "butt")
            brush.text(left - 7, bottom - part * height, f"{part * most:g}", 10, _MUTED, 1.0, middle=True)
        level = bottom - height * values / most
        skyline = np.stack([np.repeat(edges, 2)[1:-1], np.repeat(level, 2)], axis=1)
        brush.polygons([np.concatenate([[(left, bottom)], skyline, [(right, bottom)]])], colour, opacity=0.85)
        if scene.deciding is not None:
            x = (edges[scene.deciding] + edges[scene.deciding + 1]) / 2
            brush.polygons([[(x, bottom + 3), (x - 5, bottom + 11), (x + 5, bottom + 11)]], _DECIDES)
    if not scene.over:
        y = floors[0] - height * _pace(scene)
        brush.lines([[(left, y), (right, y)]], _PAPER, 3.5, "butt")
        brush.lines([[(left, y), (right, y)]], _INK, 1.5, "butt")
        name = brush.text(_RIGHT_END, floors[0] - height - 16, "even pace", 10.5, _MUTED, 1.0)
        brush.lines([[(name - 24, floors[0] - height - 20), (name - 7, floors[0] - height - 20)]], _INK, 1.5, "butt")
    name = brush.text(_RIGHT_END, floors[1] - height - 16, "sensed in this slot", 10.5, _MUTED, 1.0)
    brush.rectangle(name - 16, floors[1] - height - 25, 9, 9, _SENSED)
    for i in np.flatnonzero(scene.delay == 0):
        brush.rectangle(edges[i], floors[1] - 14, edges[i + 1] - edges[i], 14, _SENSED)
    brush.text((left + right) / 2, floors[1] + 26, "devices in the order in which they decide", 10.5, _MUTED, 0.5)
    return floors[0] - height - 16
