"""The left side of the image: the map with its devices, the colour bar, and what the marks mean."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.palette import DECIDES, EMPTY, ENERGY, INK, MUTED, PANEL, PAPER, QUIET, SENSED
from aq_gym.rendering.brush import Brush, rgb
from aq_gym.rendering.layout import MAP, Layout, nice_ticks, shade
from aq_gym.rendering.scene import MANY, Scene


def draw_map(brush: Brush, scene: Scene, layout: Layout) -> None:
    """Each location as a cell in the colour of its joint error, with the devices above."""
    colours = layout.palette[np.rint(255 * shade(layout, scene.map.joint_error)).astype(np.intp)]  # (N, 3)
    ground = rgb(PANEL)
    pixels = ground + layout.coverage[..., None] * (colours.astype(np.float32)[layout.cell] - ground)
    brush.image(MAP[0], MAP[1], np.rint(pixels).astype(np.uint8))
    dark = colours @ np.array([0.299, 0.587, 0.114]) < 150
    for i in layout.numbered:
        x, y = layout.xy[i]
        brush.text(x, y, str(i), 9, PAPER if dark[i] else INK, 0.5, middle=True, opacity=0.8)
    _draw_devices(brush, scene, layout)
    _draw_map_scale(brush, layout)


def _draw_devices(brush: Brush, scene: Scene, layout: Layout) -> None:
    problem = scene.problem
    many = problem.n_devices > MANY
    xy = layout.xy[list(problem.devices)]
    fresh, empty = scene.delay == 0, scene.energy == 0
    radius, reach, thick = (4.5, 8.5, 2.0) if many else (10.0, 15.5, 3.0)

    def highlight() -> None:
        if scene.deciding is not None:
            x, y = xy[scene.deciding]
            brush.discs((x, y), reach, None, PAPER, thick + 3)
            brush.discs((x, y), reach, None, DECIDES, thick)
            _draw_pointer(brush, x, y - reach - 2.5, 6.5)

    if not many:  # below the energy bar; in a crowd above everything
        highlight()
    length, bar, below = (11.0, 3.0, 8.5) if many else (28.0, 5.0, 20.5)  # energy, on a white plate
    plate = [(-(length - bar) / 2, below), ((length - bar) / 2, below)]
    brush.lines(xy[:, None] + plate, PAPER, bar + (2 if many else 3))
    brush.pills(xy[:, 0] - length / 2, xy[:, 1] + below, length, scene.energy / problem.most_energy, ENERGY, bar)

    halo = radius + (2.6 if many else 4.0)
    brush.discs(xy[fresh], halo, None, PAPER, 2.6 if many else 4.6)
    brush.discs(xy[fresh], halo, None, SENSED, 1.2 if many else 1.8)
    brush.discs(xy, radius + (0.7 if many else 2.2), PAPER)
    edge = INK if many else QUIET
    brush.discs(xy[~fresh & ~empty], radius, PAPER, edge, 0.9)
    brush.discs(xy[~fresh & empty], radius, EMPTY, edge, 0.9)
    brush.discs(xy[fresh], radius, SENSED)
    if many:
        highlight()
        return
    asleep = np.flatnonzero(~fresh)
    brush.lines([_arc(xy[m], radius, min(scene.delay[m] / problem.max_sleep, 1.0)) for m in asleep], INK, 2.6, "butt")
    for m, (x, y) in enumerate(xy):
        brush.text(x, y, str(m), 10.5, PAPER if fresh[m] else INK, 0.5, middle=True, bold=True)


def _draw_pointer(brush: Brush, x: float, y: float, size: float) -> None:
    """A triangle whose tip points down at (x, y)."""
    triangle = np.array([(0.0, 0.0), (-size, -1.4 * size), (size, -1.4 * size)])
    triangle += [x, y]
    brush.lines([np.concatenate([triangle, triangle[:1]])], PAPER, 3.0)
    brush.polygons([triangle], DECIDES)


def _arc(centre: ArrayLike, radius: float, share: float) -> NDArray[np.float64]:
    """Clockwise from the top, as a clock's hand has travelled."""
    angle = np.linspace(0.0, 2 * np.pi * min(float(share), 1.0), 32)
    return np.asarray(centre, float) + radius * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _draw_map_scale(brush: Brush, layout: Layout) -> None:
    left, top, width, height = MAP
    x, y = left + width - 12, top + height - 12
    if layout.metres_per_pixel is None:
        brush.text(x, y, "no coordinates: near means similar", 10, MUTED, 1.0)
        return
    longest = 90 * layout.metres_per_pixel
    metres = nice_ticks(longest / 10, longest)[-1]
    length = metres / layout.metres_per_pixel
    brush.rectangle(x - length - 6, y - 18, length + 12, 24, PANEL)
    brush.lines([[(x - length, y - 4), (x - length, y), (x, y), (x, y - 4)]], MUTED, 1.2, "butt")
    brush.text(x - length / 2, y - 6, f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m", 10, MUTED, 0.5)


def draw_colour_bar(brush: Brush, scene: Scene, layout: Layout) -> None:
    """The colour scale, with a pointer at the average joint error."""
    x, y, length, thick = 24, 588, 240, 10
    brush.text(x, y - 14, "joint error, µg/m³", 11)
    strip = layout.palette[np.rint(np.linspace(0, 255, length)).astype(int)]
    brush.image(x, y, np.broadcast_to(strip, (thick, length, 3)))
    for tick in (0.0, *nice_ticks(layout.high / 50, layout.high)):
        place = x + length * float(shade(layout, tick))
        brush.lines([[(place, y + thick), (place, y + thick + 3)]], MUTED, 1.0, "butt")
        brush.text(place, y + thick + 15, f"{tick:g}", 10, MUTED, 0.5)
    here = x + length * float(shade(layout, scene.error))
    brush.polygons([[(here, y - 1), (here - 4, y - 8), (here + 4, y - 8)]], INK)


def draw_key(brush: Brush, scene: Scene) -> None:
    """What the marks on the map mean."""
    many, joint = scene.problem.n_devices > MANY, scene.turn is None
    radius = 4.5 if many else 6.0
    (left, right), (upper, lower) = (304, 442), (581, 605)
    brush.discs((left, upper), radius + 3.0, None, SENSED, 1.5)
    brush.discs((left, upper), radius, SENSED)
    brush.discs((left, lower), radius, PAPER, INK if many else QUIET, 0.9)
    if not joint:
        brush.discs((left, lower), radius + 2.5, None, DECIDES, 2.0)
    brush.pills(right - 10, upper, 20, 0.6, ENERGY, 4.5)
    brush.discs((right, lower), radius, EMPTY if many else PAPER, INK if many else QUIET, 0.9)
    if not many:
        brush.lines([_arc((right, lower), radius, 0.4)], INK, 2.2, "butt")
    first = "sensed in this slot", "asleep" if joint else "decides now"
    labels = first, ("energy left", "no energy" if many else "time asleep")
    for x, column in zip((left, right), labels, strict=True):
        for y, label in zip((upper, lower), column, strict=True):
            brush.text(x + 17, y, label, 10.5, MUTED, middle=True)
