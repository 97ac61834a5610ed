"""The right side of the image: numbers, the trace of the levels, and the devices' energy and sleep."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.palette import DECIDES, DECIDES_PALE, EMPTY, ENERGY, FAINT, INK, MUTED, PAPER, QUIET, SENSED
from aq_gym.rendering.brush import Brush
from aq_gym.rendering.layout import HEIGHT, RIGHT, RIGHT_END, Layout, nice_top
from aq_gym.rendering.scene import MANY, Scene


def draw_numbers(brush: Brush, scene: Scene) -> None:
    """Slot, level, and the errors now and on average; of a finished episode its average alone."""
    horizon, level = scene.problem.horizon, float(scene.levels[-1])
    past = "–" if scene.past_error is None else f"{scene.past_error:.2f}"
    tiles = [
        ("slot", str(min(scene.slot, horizon)), f"of {horizon}"),
        ("believed level" if scene.believed else "level", f"{level:.0f}" if level >= 100 else f"{level:.3g}", "µg/m³"),
        ("error now", f"{scene.error:.2f}", "µg/m³, whole map"),
        ("average so far", past, "µg/m³, ended slots"),
    ]
    if scene.over:
        tiles[2:] = [("error of the episode", f"{scene.error:.2f}", "µg/m³, average of all slots")]
    for x, (label, value, unit) in zip((568, 650, 736, 846), tiles, strict=False):
        brush.text(x, 31, label, 10.5, MUTED)
        brush.text(x, 57, value, 21, bold=True)
        brush.text(x, 74, unit, 10.5, MUTED)


def draw_trace(brush: Brush, scene: Scene, layout: Layout, bottom: float) -> None:
    """The levels so far, with the devices' last sensings on them; `bottom` is where the level would be 0."""
    horizon, levels = scene.problem.horizon, scene.levels
    left, right, top = RIGHT + 28.0, RIGHT_END - 6.0, 130.0
    ceiling = nice_top(max(layout.usual_level, float(np.nanmax(levels))))

    def at(slot: ArrayLike, level: ArrayLike) -> NDArray[np.float64]:
        x = left + (right - left) * np.asarray(slot, float) / horizon
        y = bottom - (bottom - top) * np.asarray(level, float) / ceiling
        return np.stack(np.broadcast_arrays(x, y), axis=-1)

    heading = "Believed level by slot, µg/m³" if scene.believed else "Level by slot, µg/m³"
    brush.text(RIGHT, 112, heading, 12, bold=True)
    name = brush.text(RIGHT_END, 112, "last sensing of a device", 10.5, MUTED, 1.0)
    brush.discs((name - 10, 108), 3.4, PAPER, SENSED, 1.6)
    parts = 3 if f"{ceiling:e}"[0] == "3" else 4 if f"{ceiling:e}"[0] == "2" else 5
    for level in np.linspace(0.0, ceiling, parts + 1):
        y = at(0, level)[1]
        brush.lines([[(left, y), (right, y)]], FAINT, 1.0, "butt")
        brush.text(left - 7, y, f"{level:g}", 10, MUTED, 1.0, middle=True)
    steps = [f * 10**k for k in range(6) for f in (1, 2, 3, 4, 5, 6, 12, 24) if horizon <= 7 * f * 10**k]
    step = min(steps, key=lambda s: (horizon % s != 0, s), default=horizon)
    for slot in range(0, horizon + 1, step):
        brush.text(at(slot, 0)[0], bottom + 16, str(slot), 10, MUTED, 0.5)

    points = at(np.arange(len(levels)), levels)
    line = points[~np.isnan(levels)]
    brush.polygons([np.concatenate([line, [(line[-1, 0], bottom), (line[0, 0], bottom)]])], INK, opacity=0.08)
    brush.lines([line], INK, 1.8)
    # Without energy the delay stops growing, so the last sensing may lie further back than it says.
    known = (scene.delay > 0) & ((scene.energy > 0) | (scene.delay < scene.problem.max_sleep))
    past = np.unique(scene.slot - scene.delay[known])
    many = scene.problem.n_devices > MANY
    brush.discs(
        points[past[(past >= 0) & (past < len(points))]], 2.2 if many else 3.4, PAPER, SENSED, 1.2 if many else 1.6
    )
    brush.discs(points[-1], 6.2, PAPER)
    brush.discs(points[-1], 4.6, SENSED if (scene.delay == 0).any() else INK)


def draw_device_rows(brush: Brush, scene: Scene) -> float:
    """One row per device; returns where the heading stands."""
    problem, n = scene.problem, scene.problem.n_devices
    height = min(34.0, 282.0 / n)
    heading = HEIGHT - 22.0 - n * height - 32.0
    y = heading + 32.0 + height * (np.arange(n) + 0.5)
    sleep_x, sleep_length, energy_x, energy_length = 652.0, 100.0, 798.0, 108.0
    brush.text(RIGHT, heading, "Devices", 12, bold=True)
    brush.text(sleep_x, heading, "slots asleep", 10.5, MUTED)
    brush.text(sleep_x, heading + 14, f"at most {problem.max_sleep}", 10.5, MUTED)
    brush.text(energy_x, heading, "energy left", 10.5, MUTED)
    brush.text(energy_x, heading + 14, f"of {problem.most_energy}", 10.5, MUTED)
    if not scene.over:
        name = brush.text(RIGHT_END, heading + 14, "even pace", 10.5, MUTED, 1.0)
        brush.lines([[(name - 8, heading + 4), (name - 8, heading + 16)]], INK, 1.5, "butt")

    deciding = scene.deciding
    if deciding is not None:
        brush.rectangle(RIGHT - 6, y[deciding] - height / 2 + 1, RIGHT_END - RIGHT + 12, height - 2, DECIDES_PALE)
    fresh, empty = scene.delay == 0, scene.energy == 0
    radius, bar = min(9.0, height / 2 - 2.5), min(8.0, height / 2.6)
    centres = np.stack([np.full(n, RIGHT + 11.0), y], axis=1)
    brush.discs(centres[~empty], radius, PAPER, QUIET, 1.2)
    brush.discs(centres[empty], radius, EMPTY, QUIET, 1.2)
    brush.discs(centres[fresh], radius, SENSED, SENSED, 1.2)
    if deciding is not None:
        brush.discs(centres[deciding], radius, None, DECIDES, 2.0)
    brush.pills(sleep_x, y, sleep_length, np.minimum(scene.delay / problem.max_sleep, 1.0), INK, bar)
    brush.pills(energy_x, y, energy_length, scene.energy / problem.most_energy, ENERGY, bar)
    if not scene.over:
        pace = energy_x + bar / 2 + (energy_length - bar) * _pace(scene)
        brush.lines([[(pace, v - bar / 2 - 2), (pace, v + bar / 2 + 2)] for v in y], INK, 1.5, "butt")
    for m, location in enumerate(problem.devices):
        ink = PAPER if fresh[m] else INK
        brush.text(centres[m, 0], y[m], str(m), min(10.5, 1.2 * radius), ink, 0.5, middle=True, bold=True)
        brush.text(RIGHT + 28, y[m], f"at {location}", 10.5, MUTED, middle=True)
        brush.text(sleep_x + sleep_length + 22, y[m], str(scene.delay[m]), 10.5, align=1.0, middle=True)
        brush.text(RIGHT_END, y[m], str(scene.energy[m]), 10.5, align=1.0, middle=True)
    return heading


def draw_device_profiles(brush: Brush, scene: Scene) -> float:
    """Two skylines, a step a device: energy left and slots asleep; returns where the upper heading stands."""
    problem, n = scene.problem, scene.problem.n_devices
    left, right, height = RIGHT + 28.0, RIGHT_END - 6.0, 104.0
    edges = left + (right - left) * np.arange(n + 1) / n
    floors = (444.0, 594.0)
    rows = (
        ("Energy left", scene.energy, problem.most_energy, ENERGY),
        ("Slots asleep", np.minimum(scene.delay, problem.max_sleep), problem.max_sleep, INK),
    )
    for bottom, (title, values, most, colour) in zip(floors, rows, strict=True):
        top = bottom - height
        brush.text(RIGHT, top - 16, title, 12, bold=True)
        brush.text(RIGHT + 95, top - 16, f"median {np.median(values):g} of {most}", 10.5, MUTED)
        for part in (0.0, 0.5, 1.0):
            brush.lines([[(left, bottom - part * height), (right, bottom - part * height)]], FAINT, 1.0, "butt")
            brush.text(left - 7, bottom - part * height, f"{part * most:g}", 10, MUTED, 1.0, middle=True)
        level = bottom - height * values / most
        skyline = np.stack([np.repeat(edges, 2)[1:-1], np.repeat(level, 2)], axis=1)
        brush.polygons([np.concatenate([[(left, bottom)], skyline, [(right, bottom)]])], colour, opacity=0.85)
        if scene.deciding is not None:
            x = (edges[scene.deciding] + edges[scene.deciding + 1]) / 2
            brush.polygons([[(x, bottom + 3), (x - 5, bottom + 11), (x + 5, bottom + 11)]], DECIDES)
    if not scene.over:
        y = floors[0] - height * _pace(scene)
        brush.lines([[(left, y), (right, y)]], PAPER, 3.5, "butt")
        brush.lines([[(left, y), (right, y)]], INK, 1.5, "butt")
        name = brush.text(RIGHT_END, floors[0] - height - 16, "even pace", 10.5, MUTED, 1.0)
        brush.lines([[(name - 24, floors[0] - height - 20), (name - 7, floors[0] - height - 20)]], INK, 1.5, "butt")
    name = brush.text(RIGHT_END, floors[1] - height - 16, "sensed in this slot", 10.5, MUTED, 1.0)
    brush.rectangle(name - 16, floors[1] - height - 25, 9, 9, SENSED)
    for i in np.flatnonzero(scene.delay == 0):
        brush.rectangle(edges[i], floors[1] - 14, edges[i + 1] - edges[i], 14, SENSED)
    brush.text((left + right) / 2, floors[1] + 26, "devices in the order in which they decide", 10.5, MUTED, 0.5)
    return floors[0] - height - 16


def _pace(scene: Scene) -> float:
    """The share of its energy that a device has left if it spends evenly, this slot's still to come."""
    return max(scene.problem.horizon - scene.slot + 1, 0) / scene.problem.horizon
