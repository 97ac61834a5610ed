"""An episode's moment as an image."""

import numpy as np
from numpy.typing import NDArray

from aq_gym.palette import DECIDES, MUTED
from aq_gym.rendering.brush import Brush
from aq_gym.rendering.layout import MAP, layout_of
from aq_gym.rendering.map_panel import draw_colour_bar, draw_key, draw_map
from aq_gym.rendering.scene import MANY, Scene, count, status, title
from aq_gym.rendering.side_panel import draw_device_profiles, draw_device_rows, draw_numbers, draw_trace


def draw(scene: Scene) -> NDArray[np.uint8]:
    """An image, (640, 960, 3)."""
    brush, layout = Brush(), layout_of(scene.problem)
    _draw_title(brush, scene)
    draw_map(brush, scene, layout)
    draw_colour_bar(brush, scene, layout)
    draw_key(brush, scene)
    draw_numbers(brush, scene)
    if scene.problem.n_devices <= MANY:
        heading = draw_device_rows(brush, scene)
    else:
        heading = draw_device_profiles(brush, scene)
    draw_trace(brush, scene, layout, heading - 46)
    return brush.frame()


def _draw_title(brush: Brush, scene: Scene) -> None:
    problem = scene.problem
    brush.text(24, 40, title(problem, 40), 19, bold=True)
    brush.text(24, 59, f"{count(problem.n_devices, 'device')}, {count(problem.n_locations, 'location')}", 11.5, MUTED)
    colour = MUTED if scene.deciding is None else DECIDES
    brush.text(MAP[0] + MAP[2], 59, status(scene), 11.5, colour, 1.0, bold=True)
