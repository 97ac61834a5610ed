"""Pictures of an episode: the map with devices, batteries and level trace, as an image or as text.

A picture depends on its `Scene` alone: nothing of one frame is left in the next, and drawing never touches an episode.
matplotlib is imported when the first image is drawn; text needs NumPy only.
"""

from importlib.util import find_spec
from typing import Any

from aq_gym.rendering.scene import Scene
from aq_gym.rendering.text import write

__all__ = ["RENDER_MODES", "Scene", "render"]

RENDER_MODES = ("rgb_array", "ansi")


def render(scene: Scene, mode: str) -> Any:
    """An image, (640, 960, 3) uint8, fresh each time (``"rgb_array"``), or lines of text (``"ansi"``).

    Raises:
        ValueError: unknown mode.
        ImportError: matplotlib is missing; the message names the extra.
    """
    if mode not in RENDER_MODES:
        raise ValueError(f"mode: expected one of {', '.join(RENDER_MODES)}, got {mode!r}")
    if mode == "ansi":
        return write(scene)
    if find_spec("matplotlib") is None:
        raise ImportError("render_mode='rgb_array' needs matplotlib: pip install 'aq-gym[render]'")
    from aq_gym.rendering.picture import draw  # the part that needs matplotlib

    return draw(scene)
