"""Pictures: what they show, that they leave the episode alone, and that every view and wrapper can have them."""

import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordVideo
from numpy.typing import NDArray

import aq_gym  # noqa: F401
from aq_gym import SensorNetwork, rendering
from aq_gym.problem import Problem
from aq_gym.rendering import Scene, render
from aq_gym.rendering.brush import text_ink
from aq_gym.rendering.layout import layout_of, places_of, shade

SMALL_IDS = ("SingleDevice-v0", "TwoDevices-v0", "MultiDevice-v0", "JointDevices-v0")
DECIDES = (0xD5, 0x5E, 0x00)
SENSED = (0x00, 0x72, 0xB2)
MAP = (slice(72, 552), slice(24, 536))


def make(name: str, **kwargs: Any) -> Any:
    return gym.make(f"aq_gym/{name}", **kwargs).unwrapped


def scene_after(decisions: list[int], name: str = "MultiDevice-v0", **kwargs: Any) -> Scene:
    env = make(name, **kwargs)
    env.reset(seed=3)
    for action in decisions:
        env.step(action)
    scene: Scene = env.scene()
    return scene


def pixels_of(frame: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.intp]:
    """(count, 2) rows and columns that have exactly the colour."""
    return np.argwhere((frame == colour).all(axis=2))


# -------------------------------------------------------------------------------------------------- every view, no harm


@pytest.mark.parametrize(
    "name", [*SMALL_IDS, "MultiDevice-LevelAware-v0", "MultiDevice-Lossy-Week-v0", "City-v0", "Tainan-v0"]
)
def test_the_checker_accepts_every_mode(name: str) -> None:
    """It makes the environment anew for each."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(name, render_mode="rgb_array"), skip_render_check=False)


@pytest.mark.parametrize("name", SMALL_IDS)
def test_frames_are_fresh_images_that_follow_the_episode(name: str) -> None:
    env = make(name, render_mode="rgb_array")
    env.reset(seed=1)
    first = env.render()
    assert first.shape == (640, 960, 3) and first.dtype == np.uint8 and first.flags.c_contiguous
    again = env.render()
    assert np.array_equal(first, again) and not np.shares_memory(first, again)
    first[:] = 0  # a caller may scribble on its frame
    assert np.array_equal(env.render(), again)
    frames = [again]
    for _ in range(30):
        if env.step(env.action_space.sample() * 0)[2]:
            break
        frames.append(env.render())
    assert all(not np.array_equal(a, b) for a, b in pairwise(frames))


@pytest.mark.parametrize("mode", rendering.RENDER_MODES)
def test_rendering_does_not_change_the_episode(mode: str) -> None:
    watched, blind = make("MultiDevice-v0", render_mode=mode), make("MultiDevice-v0")
    assert np.array_equal(watched.reset(seed=5)[0], blind.reset(seed=5)[0])
    rng = np.random.default_rng(0)
    for k in range(300):
        action = int(rng.integers(2))
        if k % 7 == 0:
            watched.render()
        (a, reward, *_, info), (b, expected, *_, wanted) = watched.step(action), blind.step(action)
        assert np.array_equal(a, b) and reward == expected
        assert all(np.array_equal(info[key], wanted[key]) for key in wanted)
    assert np.array_equal(watched.reset()[0], blind.reset()[0]), "the generator was used"


@pytest.mark.parametrize("mode", rendering.RENDER_MODES)
def test_a_picture_depends_on_its_scene_alone(mode: str) -> None:
    scenes = [scene_after([1, 0, 1]), scene_after([0] * 100), scene_after([1] * 299), scene_after([0] * 300)]
    before = [render(scene, mode) for scene in scenes]
    layout_of.cache_clear()
    text_ink.cache_clear()
    for scene, frame in reversed(list(zip(scenes, before, strict=True))):
        assert np.array_equal(render(scene, mode), frame)


@pytest.mark.parametrize("name", ["MultiDevice-v0", "JointDevices-v0"])
@pytest.mark.parametrize("vectorization", ["vector_entry_point", "sync"])
def test_vector_environments_render_a_tuple_of_frames(name: str, vectorization: str) -> None:
    envs = gym.make_vec(f"aq_gym/{name}", num_envs=2, vectorization_mode=vectorization, render_mode="rgb_array")
    envs.reset(seed=4)
    frames = envs.render()
    assert isinstance(frames, tuple) and len(frames) == 2
    for k, frame in enumerate(frames):
        single = make(name, render_mode="rgb_array")
        single.reset(seed=4 + k)
        assert np.array_equal(frame, single.render())
    assert not np.array_equal(*frames)
    envs.close()


@pytest.mark.slow
def test_an_episode_can_be_recorded(tmp_path: Path) -> None:
    pytest.importorskip("moviepy")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # moviepy's own
        env = RecordVideo(
            gym.make("aq_gym/TwoDevices-v0", render_mode="rgb_array"), str(tmp_path / "films"), disable_logger=True
        )
        env.reset(seed=0)
        over = False
        while not over:
            _, _, over, _, _ = env.step(0)
        env.close()
    films = list(tmp_path.glob("films/*.mp4"))
    assert len(films) == 1 and films[0].stat().st_size > 5_000


# -------------------------------------------------------------------------------------------------------- what is drawn


def test_the_deciding_device_and_fresh_sensings_are_marked() -> None:
    calm = render(scene_after([0]), "rgb_array")
    marked = pixels_of(calm[MAP], DECIDES)
    scene = scene_after([0])
    column, row = layout_of(scene.problem).xy[scene.problem.devices[1]] - [24, 72]
    assert len(marked) > 50 and np.abs(marked.mean(axis=0) - [row, column]).max() < 15, "device 1 decides"
    assert len(pixels_of(calm[MAP], SENSED)) == 0

    sensed = render(scene_after([1]), "rgb_array")
    blue = pixels_of(sensed[MAP], SENSED)
    column, row = layout_of(scene.problem).xy[scene.problem.devices[0]] - [24, 72]
    assert len(blue) > 100 and np.abs(blue.mean(axis=0) - [row, column]).max() < 3, "device 0 has sensed"

    joint = make("JointDevices-v0", render_mode="rgb_array")
    joint.reset(seed=0)
    assert len(pixels_of(joint.render(), DECIDES)) == 0, "nobody decides alone in the joint view"
    assert len(pixels_of(render(scene_after([0] * 300), "rgb_array")[MAP], DECIDES)) == 0, "nobody decides at the end"


def test_location_colours_follow_the_error_on_a_scale_that_stays() -> None:
    start, later = scene_after([0] * 2), scene_after([0] * 52)
    layout = layout_of(start.problem)
    error = start.map.joint_error
    shades = shade(layout, error)
    assert (
        np.argsort(shades, kind="stable") == np.argsort(error, kind="stable")
    ).all() and 0 < shades.min() < shades.max() < 1
    assert layout_of(later.problem).high == layout.high, "the scale depends on the problem, not on the moment"

    worse = replace(start, map=start.map._replace(joint_error=error * np.where(np.arange(30) == 14, 4.0, 1.0)))
    changed = (render(start, "rgb_array") != render(worse, "rgb_array"))[MAP].any(axis=2)
    column, row = (layout.xy[14] - [24, 72]).astype(int)
    assert changed[row - 12, column - 12] and not changed[400:, :].any(), "only location 14's cell changes its colour"


def test_energy_bars_shrink() -> None:
    full = scene_after([0])
    green = [
        len(pixels_of(render(replace(full, energy=np.full(5, p)), "rgb_array"), (0x00, 0x9E, 0x73))) for p in (10, 5, 0)
    ]
    assert green[0] > 1.5 * green[1] > 1.5 * green[2]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"network": SensorNetwork.synthetic(2, 0), "devices": [0, 1]},
        {"network": SensorNetwork.synthetic(40, 1), "devices": list(range(12))},
        {"network": SensorNetwork.synthetic(40, 1), "devices": list(range(13))},
        {"network": SensorNetwork.synthetic(200, 2), "devices": list(range(200))},
        {"horizon": 1, "energy_budget": 1, "max_sleep": 1},
        {"horizon": 1000, "energy_budget": 200, "max_sleep": 1000},
        {"devices": [3], "fuse_measured": True},
    ],
    ids=["two locations", "12 devices", "13 devices", "a device everywhere", "one slot", "1,000 slots", "one device"],
)
def test_problems_of_every_size(kwargs: dict[str, Any]) -> None:
    env = make("MultiDevice-v0", **kwargs)
    env.reset(seed=0)
    frames, texts = [], []
    for action in (0, 1, None):
        frames.append(render(env.scene(), "rgb_array"))
        texts.append(render(env.scene(), "ansi"))
        if action is not None and env.scene().slot <= env.problem.horizon:
            env.step(action)
    assert all(frame.shape == (640, 960, 3) for frame in frames)
    assert max(len(line) for text in texts for line in text.splitlines()) <= 80


def unplaced(network: SensorNetwork, **changes: Any) -> SensorNetwork:
    return replace(network, coordinates=None, **changes)


def test_without_coordinates_alike_locations_lie_near() -> None:
    network = unplaced(SensorNetwork.load("pku2018"))
    places = places_of(network)
    apart = np.hypot(*np.moveaxis(places[:, None] - places, -1, 0))
    differ = np.sqrt(network.mean_relation**2 + network.variance_relation)
    pairs = np.triu_indices(30, 1)
    assert np.corrcoef(apart[pairs], differ[pairs])[0, 1] > 0.7
    assert np.array_equal(places, places_of(network)), "the same every time"
    env = make("MultiDevice-v0", network=network)
    env.reset(seed=0)
    assert render(env.scene(), "rgb_array").shape == (640, 960, 3)


def test_places_of_odd_networks() -> None:
    base = SensorNetwork.synthetic(4, 0)
    same = unplaced(base, mean_relation=np.zeros((4, 4)), variance_relation=np.zeros((4, 4)))
    assert len(np.unique(places_of(same), axis=0)) == 4, "locations that do not differ still get places"
    one_spot = replace(base, coordinates=np.zeros((4, 2)), name="Ünïcode 北京 " + "x" * 100)
    for network in (same, one_spot):
        scene = scene_after([0, 1], network=network, devices=[0, 2])
        assert render(scene, "rgb_array").shape == (640, 960, 3)
        assert max(map(len, render(scene, "ansi").splitlines())) <= 80


# ---------------------------------------------------------------------------------------------------------------- text


def test_text_of_a_few_devices() -> None:
    scene = scene_after([1, 0, 1])
    text = render(scene, "ansi")
    assert isinstance(text, str) and "\x1b" not in text
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == 12
    assert "slot 1/60" in lines[0] and "device 3 decides" in lines[0]
    assert f"{scene.levels[-1]:.1f} µg/m³" in lines[1]
    assert f"{scene.map.joint_error.mean():.2f} µg/m³" in lines[2]
    assert lines[2].endswith(f"at location {scene.map.joint_error.argmax()}")
    rows = lines[5:10]
    assert [row[:2].strip() for row in rows] == ["*", "", "*", ">", ""]
    assert [row.split()[-1] for row in rows] == [f"{scene.map.joint_error[i]:.2f}" for i in scene.problem.devices]
    assert "9/10" in rows[0] and "0/12" in rows[0] and "10/10" in rows[1] and "1/12" in rows[1]
    assert f"{scene.record[0]:.1f}" in rows[0]


def test_text_at_the_end_tells_the_episode_average() -> None:
    env = make("TwoDevices-v0", render_mode="ansi")
    env.reset(seed=0)
    over = False
    while not over:
        *_, over, _, info = env.step(0)
    assert f"of the episode {info['average_joint_error']:.2f}" in env.render() and "episode over" in env.render()


def test_a_finished_episode_has_its_average_error_alone() -> None:
    scene = scene_after([0] * 300)
    assert scene.over and scene.error == scene.past_error != scene.map.joint_error.mean()
    assert "worst" not in render(scene, "ansi")


def test_constant_values_have_no_chart() -> None:
    scene = scene_after([], "City-v0")
    text = render(replace(scene, levels=np.full(3, 39.5), record=np.full(100, 39.5)), "ansi")
    assert text.splitlines()[1] == "level    39.5 µg/m³   ▄▄▄" and "39.5   all the same" in text


def test_text_of_many_devices_is_summarised() -> None:
    env = make("City-v0", render_mode="ansi")
    env.reset(seed=0)
    for k in range(130):
        env.step(int(k in (100, 101, 107)))
    text = env.render()
    assert len(text.splitlines()) <= 14 and max(map(len, text.splitlines())) <= 80
    assert "sensed in this slot: 3" in text and "device 30 at location 300: energy 24/24, asleep 2/24" in text


# ---------------------------------------------------------------------------------------------------- modes and extras


def test_modes_are_checked() -> None:
    for mode in ("webgl", "human", None):
        with pytest.raises(ValueError, match=f"expected one of rgb_array, ansi, got {mode!r}"):
            render(scene_after([]), mode)  # type: ignore[arg-type]


def test_without_matplotlib_the_extra_is_named_and_text_still_works(root: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import gymnasium as gym, aq_gym\n"
        "env = gym.make('aq_gym/TwoDevices-v0', render_mode='ansi')\n"
        "env.reset(seed=0)\nassert 'slot 1/24' in env.render()\n"
        "env = gym.make('aq_gym/TwoDevices-v0', render_mode='rgb_array').unwrapped\n"
        "env.reset(seed=0)\nenv.step(0)\n"
        "try:\n    env.render()\nexcept ImportError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "pip install 'aq-gym[render]'" in result.stdout


def test_matplotlib_is_loaded_by_the_first_image_only(root: Path) -> None:
    code = (
        "import sys, gymnasium as gym, aq_gym\n"
        "env = gym.make('aq_gym/TwoDevices-v0', render_mode='rgb_array'); env.reset(seed=0)\n"
        "print('matplotlib' in sys.modules); env.render()\n"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True", "False"]


def test_a_problem_built_by_hand_can_be_drawn() -> None:
    problem = Problem.create("pku2018", [0, 29], 10, 5, 5)
    scene = scene_after([0])
    scene = replace(
        scene,
        problem=problem,
        turn=1,
        energy=np.array([0, 5]),
        delay=np.array([5, 0]),
        record=np.array([65.0, 55.0]),
        past_error=None,
    )
    assert render(scene, "rgb_array").shape == (640, 960, 3)
    assert "\n>* " in render(scene, "ansi")
