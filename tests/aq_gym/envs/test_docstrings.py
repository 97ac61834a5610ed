"""What the environments' docstrings promise: every section, and the defaults that the code has."""

import ast
import inspect
import re
from typing import Any

import gymnasium as gym
import pytest

import aq_gym  # noqa: F401
from aq_gym.envs.joint_devices import JointDevicesEnv
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.single_device import SingleDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.observation import COMPACT_FEATURES
from aq_gym.registration import ENTRIES

SECTIONS = ["Description", "State", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End"]
SECTIONS += ["Info", "Units", "Arguments", "Version History"]
ENVIRONMENTS: list[type[Any]] = [SingleDeviceEnv, MultiDeviceEnv, JointDevicesEnv]


def environments() -> list[type[Any]]:
    found = list(ENVIRONMENTS)
    try:
        from aq_gym.envs.pettingzoo import DevicesAECEnv
    except ModuleNotFoundError:
        return found
    return [*found, DevicesAECEnv]


def section(cls: type[Any], title: str) -> str:
    """The text under a heading of the class's own docstring."""
    assert "__doc__" in vars(cls)
    parts = re.split(r"^## (.+)$", inspect.getdoc(cls) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def documented(cls: type[Any]) -> dict[str, Any]:
    """Defaults as the Arguments section writes them, ``name=value``."""
    text = section(cls, "Arguments")
    return {name: ast.literal_eval(value) for name, value in re.findall(r"``(\w+)=([^`]+)``", text)}


@pytest.mark.parametrize("cls", environments(), ids=lambda c: c.__name__)
def test_sections(cls: type[Any]) -> None:
    titles = re.findall(r"^## (.+)$", inspect.getdoc(cls) or "", flags=re.MULTILINE)
    assert titles == SECTIONS
    for title in SECTIONS:
        assert len(section(cls, title).strip()) > 15, title
    assert "µg/m³" in section(cls, "Units") and "slots" in section(cls, "Units")
    assert "v0" in section(cls, "Version History")


@pytest.mark.parametrize("cls", ENVIRONMENTS, ids=lambda c: c.__name__)
def test_documented_defaults_are_the_codes(cls: type[Any]) -> None:
    parameters = inspect.signature(cls).parameters
    assert documented(cls) == {name: p.default for name, p in parameters.items()}
    assert list(documented(cls)) == list(parameters), "in the same order"


def test_vector_defaults_are_the_single_ones() -> None:
    single = {n: p.default for n, p in inspect.signature(MultiDeviceEnv).parameters.items()}
    vector = {n: p.default for n, p in inspect.signature(MultiDeviceVectorEnv).parameters.items()}
    assert {n: d for n, d in vector.items() if n not in ("num_envs", "autoreset_mode")} == single
    text = inspect.getdoc(MultiDeviceVectorEnv) or ""
    for name in ("num_envs", "autoreset_mode"):
        written = re.search(rf"``{name}=([^`]+)``", text)
        assert written and ast.literal_eval(written[1]) == vector[name]


@pytest.mark.parametrize("cls", environments(), ids=lambda c: c.__name__)
def test_every_public_method_says_what_it_does(cls: type[Any]) -> None:
    for klass in (cls, *(base for base in cls.__mro__ if base.__module__.startswith("aq_gym"))):
        for name, member in vars(klass).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                assert inspect.getdoc(member), f"{klass.__name__}.{name}"


def test_defaults_are_the_headline_ids() -> None:
    """The class made without arguments is the id that carries its name."""
    kwargs = {entry.name: entry.kwargs for entry in ENTRIES}
    pairs = {"SingleDevice-v0": SingleDeviceEnv, "MultiDevice-v0": MultiDeviceEnv, "JointDevices-v0": JointDevicesEnv}
    for name, cls in pairs.items():
        default = {n: p.default for n, p in inspect.signature(cls).parameters.items()}
        for key, value in kwargs[name].items():
            assert (list(default[key]) if key == "devices" else default[key]) == value, f"{name}: {key}"


def test_the_documented_sizes_are_right() -> None:
    for env_id, n_devices in (
        ("aq_gym/SingleDevice-v0", 1),
        ("aq_gym/MultiDevice-v0", 5),
        ("aq_gym/JointDevices-v0", 5),
    ):
        assert gym.make(env_id).observation_space.shape == (2 * 30 + 6 * n_devices + 4,)
    assert len(COMPACT_FEATURES) == 32
    for cls in (SingleDeviceEnv, MultiDeviceEnv):
        assert "32" in section(cls, "Observation Space")
    assert "2N + 10" in section(SingleDeviceEnv, "Observation Space")
    rows = re.findall(r"^\| ([NM1 +]+) \|", section(MultiDeviceEnv, "Observation Space"), flags=re.MULTILINE)
    sizes = [eval(row, {"N": 30, "M": 5}) for row in rows]
    assert sum(sizes) == 2 * 30 + 6 * 5 + 4


def test_info_names_every_key() -> None:
    env = MultiDeviceEnv(horizon=2, energy_budget=2, max_sleep=2)
    keys = set(env.reset(seed=0)[1])
    for _ in range(10):
        keys |= set(env.step(0)[4])
    text = section(MultiDeviceEnv, "Info")
    assert [key for key in sorted(keys) if f"``{key}``" not in text] == []
