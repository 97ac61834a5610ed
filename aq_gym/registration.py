"""The registered ids as data: instance, sizes and reference scores."""

import copy
import json
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import gymnasium as gym


class Entry(NamedTuple):
    """One registered id."""

    name: str
    view: str
    prose: str
    kwargs: dict[str, Any]


_VIEWS = {
    "single": ("aq_gym.envs.single_device:SingleDeviceEnv", "aq_gym.envs.vector:SingleDeviceVectorEnv"),
    "sequential": ("aq_gym.envs.multi_device:MultiDeviceEnv", "aq_gym.envs.vector:MultiDeviceVectorEnv"),
    "trace": ("aq_gym.envs.trace:MultiDeviceTraceEnv", "aq_gym.envs.trace:MultiDeviceTraceVectorEnv"),
    "joint": ("aq_gym.envs.joint_devices:JointDevicesEnv", "aq_gym.envs.vector:JointDevicesVectorEnv"),
}
_HOURS = {"horizon": 60, "energy_budget": 10, "max_sleep": 12, "fuse_measured": False}
_DAY = {"horizon": 144, "energy_budget": 24, "max_sleep": 24, "fuse_measured": False}
_FIVE = [0, 6, 12, 18, 24]
_AWARE = {"inference": "level-aware", "level_noise": 0.2}
_HIDDEN = {"inference": "hidden", "belief": "grown", "loss": 0.0}
_WEEK = {"horizon": 1008, "energy_budget": 34, "max_sleep": 144, "fuse_measured": False}
_TWO = {"n_levels": 6, "devices": [0, 15], "horizon": 24, "energy_budget": 4, "max_sleep": 8, "fuse_measured": False}

ENTRIES = (
    Entry(
        "SingleDevice-v0",
        "single",
        "One device on the campus, ten hours; the exact optimum is known (12.526 µg/m³).",
        {"network": "pku2018", "device": 0, **_HOURS},
    ),
    Entry(
        "SingleDevice-Day-v0",
        "single",
        "One device on the campus, a day; the exact optimum is known (12.590 µg/m³).",
        {"network": "pku2018", "device": 0, **_DAY},
    ),
    Entry(
        "TwoDevices-v0",
        "sequential",
        "Two devices, six levels, four hours; the exact joint optimum is known (7.991 µg/m³).",
        {"network": "pku2018", **_TWO},
    ),
    Entry(
        "MultiDevice-v0",
        "sequential",
        "The headline task: five devices on the campus, ten hours; the optimum is unknown.",
        {"network": "pku2018", "devices": _FIVE, **_HOURS},
    ),
    Entry(
        "MultiDevice-Day-v0",
        "sequential",
        "Ten devices on the campus, a day; the optimum is unknown.",
        {"network": "pku2018", "devices": list(range(0, 30, 3)), **_DAY},
    ),
    Entry(
        "JointDevices-v0",
        "joint",
        "MultiDevice-v0 with all devices deciding at once; the same optimum (Proposition 3).",
        {"network": "pku2018", "devices": _FIVE, **_HOURS},
    ),
    Entry(
        "SingleDevice-LevelAware-v0",
        "single",
        "SingleDevice-v0, where the map starts from a level known to ±20 %; the optimum is known (6.029 µg/m³).",
        {"network": "pku2018", "device": 0, **_HOURS, **_AWARE},
    ),
    Entry(
        "TwoDevices-LevelAware-v0",
        "sequential",
        "TwoDevices-v0, where the map starts from a level known to ±20 %; the optimum is known (4.705 µg/m³).",
        {"network": "pku2018", **_TWO, **_AWARE},
    ),
    Entry(
        "MultiDevice-LevelAware-v0",
        "sequential",
        "MultiDevice-v0, where the map starts from a level known to ±20 %; the optimum is unknown.",
        {"network": "pku2018", "devices": _FIVE, **_HOURS, **_AWARE},
    ),
    Entry(
        "SingleDevice-Hidden-v0",
        "single",
        "SingleDevice-v0, the level hidden but for what the device reports; the optimum is known (8.437 µg/m³).",
        {"network": "pku2018", "device": 0, **_HOURS, **_HIDDEN},
    ),
    Entry(
        "TwoDevices-Hidden-v0",
        "sequential",
        "TwoDevices-v0, the level hidden but for what devices report; the optimum is known (5.757 µg/m³).",
        {"network": "pku2018", **_TWO, **_HIDDEN},
    ),
    Entry(
        "MultiDevice-Hidden-Week-v0",
        "sequential",
        "Five devices on the campus, a week, the level hidden from the server; the optimum is unknown.",
        {"network": "pku2018", "devices": _FIVE, **_WEEK, **_HIDDEN},
    ),
    Entry(
        "MultiDevice-Lossy-Week-v0",
        "sequential",
        "MultiDevice-Hidden-Week-v0, where a fifth of the reports get lost; the optimum is unknown.",
        {"network": "pku2018", "devices": _FIVE, **_WEEK, **_HIDDEN, "loss": 0.2},
    ),
    Entry(
        "City-v0",
        "sequential",
        "Scale: 100 devices among 1,000 locations of a synthetic city, a day; the optimum is unknown.",
        {"network": "synthetic-1000-0", "devices": list(range(0, 1000, 10)), **_DAY},
    ),
    Entry(
        "Tainan-v0",
        "sequential",
        "A real city: 20 of 92 low-cost devices in Tainan, three days by the hour; the optimum is unknown.",
        {
            "network": "tainan2017",
            "devices": [i * 92 // 20 for i in range(20)],
            "horizon": 72,
            "energy_budget": 12,
            "max_sleep": 12,
            "fuse_measured": False,
        },
    ),
)


# Its levels are readings, which are no part of the package (aq_gym.datasets), so nothing of it is known beforehand.
TRACE = Entry(
    "MultiDevice-Trace-v0",
    "trace",
    "MultiDevice-v0 on the real air: windows of the readings of spring, or of summer when asked for.",
    {"network": "pku2018-spring", "devices": _FIVE, **_HOURS, "period": "train"},
)


@lru_cache(maxsize=1)
def _scores() -> dict[str, Any]:
    path = files("aq_gym") / "instances" / "reference_scores.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["ids"])


def reference_scores(env_id: str) -> dict[str, Any]:
    """What is known of an id, as average joint errors [µg/m³].

    Args:
        env_id: with or without the ``aq_gym/``.

    Returns:
        ``optimum``: the exact expectation of the best policy, None where it is unknown. ``best_known``: the optimum,
        or else the least sampled error. ``sampled``: by policy, ``optimal`` among them where the optimum is known, the
        mean ``joint_error`` over episodes with the ends of its 95 % interval, ``low`` and ``high``; ``episodes`` and
        ``seed`` say which. All policies were played on the same episodes, so only sampled errors compare with each
        other: on these episodes a good agent may well end below the exact expectation.

    Raises:
        ValueError: no such id; the message lists the known ones.
    """
    name = env_id.split(":")[-1].removeprefix("aq_gym/")
    if name not in _scores():
        raise ValueError(f"env_id: no reference scores for {env_id!r}; known: {', '.join(sorted(_scores()))}")
    return copy.deepcopy(dict(_scores()[name]))


def _threshold(entry: Entry) -> float | None:
    scores = _scores().get(entry.name)
    if scores is None:
        return None
    return -float(scores["best_known"]) * int(entry.kwargs["horizon"])


def register_all() -> None:
    """Register every id with Gymnasium."""
    for entry in (*ENTRIES, TRACE):
        single, vector = _VIEWS[entry.view]
        gym.register(
            id=f"aq_gym/{entry.name}",
            entry_point=single,
            vector_entry_point=vector,
            reward_threshold=_threshold(entry),  # None of what has no reference scores
            kwargs=dict(entry.kwargs),
            order_enforce=False,  # the environments check by themselves, and a wrapper takes a tenth of a step
            disable_env_checker=True,
        )
