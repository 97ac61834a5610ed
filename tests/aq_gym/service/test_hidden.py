"""A hidden level: the served decisions are the environment's, with lost reports and without; map, outlook, regret."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from aq_gym.estimation import mean_deviation
from aq_gym.observation import OBSERVATIONS, ObservationLayout
from aq_gym.policy import Policy
from aq_gym.problem import Problem
from aq_gym.service.app import build_services
from aq_gym.service.database import Plan
from aq_gym.service.intake import Report
from aq_gym.service.services import Services
from aq_gym.service.settings import Settings
from aq_gym.service.versions import Served
from baselines.evaluation import build_policy

DEVICES, HORIZON = [0, 6, 12], 36
Lost = set[tuple[int, int]]  # devices and slots


@pytest.fixture(scope="module")
def hidden() -> Problem:
    return Problem.create("pku2018", DEVICES, HORIZON, 4, 12, inference="hidden", loss=0.2)


@pytest.fixture(scope="module")
def path(hidden: Problem) -> np.ndarray:
    """(T + 1,) indices of levels."""
    steps = np.random.default_rng(1).integers(-1, 2, HORIZON + 1)
    return np.clip(6 + np.cumsum(steps), 0, hidden.network.n_levels - 1)


class OneAtATime:
    """Senses if the map's error would fall by enough, as an observation says, and nobody was asked in this slot."""

    def __init__(self, problem: Problem, observation: str) -> None:
        self.observation = observation
        name = "decrease_if_on" if observation == "full" else "gain"
        self._gain = ObservationLayout.of(problem, observation).slice(name)
        self._least = 0.02 if observation == "full" else 0.15

    def act(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        worth = observation[..., self._gain].mean(axis=-1) > self._least
        return (worth & (info["delay"].min(axis=-1) > 0)).astype(np.int64)


def policy_of(name: str, problem: Problem) -> Policy:
    return OneAtATime(problem, name) if name in OBSERVATIONS else build_policy(name, problem)[0]


def services_of(problem: Problem, policy: Policy, slot: int = 0) -> Services:
    services = build_services(Settings(problem, "sqlite://", 1000.0, operator_token="t"), Served(problem, policy), 0.0)
    clock = dataclasses.replace(services.clock, now=lambda: (slot + 0.5) * 1000.0)
    return dataclasses.replace(services, clock=clock)


def serve(services: Services, level: Callable[[int], float], slots: range, lost: Lost = frozenset()) -> list[Plan]:  # type: ignore[assignment]
    """Plan slot after slot; devices that are due report what the level means at their places."""
    problem, plans = services.settings.problem, []
    usual = 1.0 + mean_deviation(problem.network)[DEVICES]
    for slot in slots:
        plans += services.controller.plan_until(slot)
        due = [m for m, x in enumerate(plans[-1].decisions) if x["sense"] and (m, slot) not in lost]
        reports = [Report(f"device_{m}", slot, float(level(slot) * usual[m])) for m in due]
        if reports:
            services.store.add_readings(reports)
    return plans


def play(problem: Problem, path: np.ndarray, policy: Policy, lost: Lost) -> Iterator[tuple[dict[str, Any], list[bool]]]:
    """The environment's slots: the info at their ends, and who sensed.

    The service learns what became of a slot's reports when the next one is planned. So here the policy is shown that a
    device that was asked in this slot has reported.
    """
    sizes = problem.horizon, problem.energy_budget, problem.max_sleep
    options = dict(zip(("horizon", "energy_budget", "max_sleep"), sizes, strict=True), **problem.options)
    seen = getattr(policy, "observation", "full")
    env = gym.make("aq_gym/MultiDevice-v0", devices=DEVICES, network=problem.network, observation=seen, **options)
    observation, info = env.reset(seed=0, options={"levels": path})
    state = env.unwrapped.get_state()  # type: ignore[attr-defined]
    state.arrays.path[0, HORIZON + 1 :] = 0.0
    for m, slot in lost:
        state.arrays.path[0, HORIZON + 1 + m * (HORIZON + 1) + slot] = 1.0
    env.unwrapped.set_state(state)  # type: ignore[attr-defined]
    for _ in range(problem.horizon):
        sensed: list[bool] = []
        for _ in DEVICES:
            batch = {name: np.asarray(value)[None] for name, value in info.items()}
            batch["delay"] = np.where([[*sensed, *[False] * (len(DEVICES) - len(sensed))]], 0, batch["delay"])
            action = int(np.asarray(policy.act(observation[None], batch)).reshape(-1)[0])
            observation, _, _, _, info = env.step(action)
            sensed.append(bool(action) != bool(info["forced"]))
        yield info, sensed


@pytest.mark.parametrize("losing", [False, True])
@pytest.mark.parametrize("name", ["adaptive-relay", "retrying-relay", "timetable", *OBSERVATIONS])
def test_the_served_decisions_are_the_environments(hidden: Problem, path: np.ndarray, name: str, losing: bool) -> None:
    policy, levels = policy_of(name, hidden), hidden.network.levels[path]
    lost: Lost = {(m, slot) for m in range(3) for slot in range(1, HORIZON + 1) if losing and (slot + m) % 4 == 0}
    plans = serve(services_of(hidden, policy), levels.__getitem__, range(HORIZON + 1), lost)
    missed = [m for plan in plans[1:] for m, x in enumerate(plan.decisions) if x["sense"] and (m, plan.slot) in lost]
    assert bool(missed) == losing
    believed = None
    for plan, (info, sensed) in zip(plans[1:], play(hidden, path, policy, lost), strict=True):
        assert [x["sense"] for x in plan.decisions] == sensed, plan.slot
        assert plan.state["energy"] == info["energy"].tolist()
        assert believed is None or plan.level == pytest.approx(believed)
        if not any(sensed):
            assert plan.promised_error == pytest.approx(info["joint_error"])
        believed = info["level"]  # when the next slot begins
