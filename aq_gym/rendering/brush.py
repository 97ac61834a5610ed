"""Strokes, discs and text on matplotlib's Agg canvas, in pixels."""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray

from aq_gym.palette import FAINT, INK, PAPER
from aq_gym.rendering.layout import HEIGHT, WIDTH

_Cap = Literal["butt", "round"]
_DPI = 100
_TEXT_MARGIN = 3  # around a text, for what juts out


class Brush:
    """Paints on matplotlib's Agg canvas in pixels, x to the right and y downwards.

    Artists would cost ten times the time: a frame is some hundred strokes, most of them text.
    """

    def __init__(self) -> None:
        self._agg = _canvas(WIDTH, HEIGHT)
        self._down = Affine2D().scale(1, -1).translate(0, HEIGHT)
        self._pixels = np.asarray(self._agg.buffer_rgba())  # (H, W, 4), a view of the canvas
        self._pixels[:] = (*rgb(PAPER), 255)

    def frame(self) -> NDArray[np.uint8]:
        """A copy of what has been painted, (H, W, 3)."""
        return np.array(self._pixels[:, :, :3], dtype=np.uint8, order="C")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        px: float = 11,
        colour: str = INK,
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
        ink, width, ascent = text_ink(text, px, bold)
        left = round(float(x) - align * width) - _TEXT_MARGIN
        top = round(float(y) + (0.365 * px if middle else 0.0)) - ascent
        height, length = ink.shape
        up, back = max(-top, 0), max(-left, 0)
        place = self._pixels[top + up : top + height, left + back : left + length, :3]
        ink = ink[up : up + place.shape[0], back : back + place.shape[1], None] * np.float32(opacity)
        place[:] = np.rint(place + ink * (rgb(colour) - place)).astype(np.uint8)
        return float(left + _TEXT_MARGIN)

    def _stroke(
        self, paths: list[Path], face: str | None, edge: str | None, width: float, cap: _Cap, opacity: float
    ) -> None:
        pen = self._pen(edge, width, cap, opacity)
        path = Path.make_compound_path(*paths)
        self._agg.draw_path(pen, path, self._down, None if face is None else to_rgba(face, opacity))
        pen.restore()

    def _pen(self, edge: str | None, width: float, cap: _Cap = "butt", opacity: float = 1.0) -> Any:
        pen = self._agg.new_gc()
        pen.set_foreground(edge or INK)
        pen.set_linewidth(width * 72 / _DPI if edge else 0.0)
        pen.set_capstyle(cap)
        pen.set_joinstyle("round")
        pen.set_antialiased(True)
        if opacity < 1:
            pen.set_alpha(opacity)
        return pen

    def lines(self, polylines: Any, colour: str, width: float, cap: _Cap = "round") -> None:
        """Polylines, each (points, 2)."""
        self._stroke([Path(line) for line in polylines], None, colour, width, cap, 1.0)

    def polygons(self, polygons: Any, colour: str, opacity: float = 1.0) -> None:
        """Filled polygons, each (points, 2)."""
        paths = [Path([*polygon, polygon[0]], closed=True) for polygon in polygons]
        self._stroke(paths, colour, None, 0.0, "butt", opacity)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        self.polygons([[(x, y), (x + width, y), (x + width, y + height), (x, y + height)]], colour)

    def discs(
        self, xy: ArrayLike, radius: float, face: str | None, edge: str | None = None, width: float = 0.0
    ) -> None:
        """Circles of one look, at (..., 2)."""
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
        self.lines(np.stack([start, start + np.array([length - width, 0.0])], axis=1), FAINT, width)
        self.lines(np.stack([start, end], axis=1)[share > 0], colour, width)


@lru_cache(maxsize=2048)
def text_ink(text: str, px: float, bold: bool) -> tuple[NDArray[np.float32], float, int]:
    """How much ink a text puts on each pixel, (h, w) in 0..1, its width [px], and the row of its base line."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=px * 72 / _DPI)
    width, height, descent = _canvas(1, 1).get_text_width_height_descent(text, font, False)
    ascent = int(np.ceil(height - descent)) + _TEXT_MARGIN
    sheet = _canvas(int(np.ceil(width)) + 2 * _TEXT_MARGIN, ascent + int(np.ceil(descent)) + _TEXT_MARGIN)
    sheet.draw_text(sheet.new_gc(), _TEXT_MARGIN, ascent, text, font, 0.0)
    ink = np.asarray(sheet.buffer_rgba())[:, :, 3].astype(np.float32) / np.float32(255)
    ink.flags.writeable = False
    return ink, float(width), ascent


def _canvas(width: int, height: int) -> Any:
    """An empty, transparent Agg canvas."""
    renderer: Any = RendererAgg  # it has no types
    return renderer(width, height, _DPI)


def rgb(colour: str) -> NDArray[np.float32]:
    """Red, green and blue of "#RRGGBB", 0..255."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32)
