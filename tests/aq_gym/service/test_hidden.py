"""A hidden level: the served decisions are the environment's, with lost reports and without; map, outlook, regret."""

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
from aq_gym.service import drift, maps
from aq_gym.service.app import build_services, create_app
from aq_gym.service.artefacts import Served
from aq_gym.service.control import most_lost
from aq_gym.service.database import Plan
from aq_gym.service.intake import Report
from aq_gym.service.maps import present_factor
from aq_gym.service.network_metrics import NetworkCollector, replay
from aq_gym.service.services import Services
from aq_gym.service.settings import Settings
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


def test_map_level_and_forecast_are_the_beliefs(hidden: Problem, path: np.ndarray) -> None:
    services = services_of(hidden, policy_of("relay", hidden), 12)
    levels = hidden.network.levels[path]
    plan = serve(services, levels.__getitem__, range(13))[-1]
    client = create_app(services).test_client()
    latest = services.store.latest()
    age = np.array([plan.slot - latest[f"device_{m}"].slot for m in range(3)])
    assert age.min() > 0, "somebody reported in the last slot, and the plan does not know it"
    record = levels[plan.slot - age]
    mean, variance = hidden.hidden_level.belief.moments(age.min(), record[age.argmin()])
    found = client.get("/api/v1/map").get_json()
    assert (found["level"], found["level_deviation"]) == pytest.approx((float(mean), float(variance) ** 0.5))
    whole = hidden.infer(age, record, 0.0)
    errors = whole.joint_error
    for name, want in (("mean", whole.mean), ("standard_deviation", errors), ("joint_error", errors)):
        assert [x[name] for x in found["locations"]] == pytest.approx(want.tolist(), abs=6e-4)
    assert found["average_joint_error"] == pytest.approx(errors.mean())
    outlook = client.get("/api/v1/forecast").get_json()
    later, spread = hidden.hidden_level.belief.moments(age.min() + 3, record[age.argmin()])
    assert outlook["model"] == "belief"
    assert outlook["forecast"][2]["values"][3] == pytest.approx(float(later), abs=0.006)
    assert outlook["forecast"][2]["values"][-1] == pytest.approx(float(later) + 1.96 * float(spread) ** 0.5, abs=0.01)
    for name in ("schedule", "now", "health", "report", "levels", "devices"):
        assert client.get(f"/api/v1/{name}").status_code == 200, name
    assert client.get("/metrics").status_code == client.get("/report").status_code == 200


def test_regret_is_the_evaluated_one(hidden: Problem, path: np.ndarray) -> None:
    safe = dataclasses.replace(hidden, loss=0.0)
    policy, yardstick = policy_of("adaptive-relay", safe), policy_of("staggered", safe)
    services = services_of(safe, policy)
    services.yardstick = yardstick
    services.metrics.registry.register(NetworkCollector(services))
    plans = serve(services, safe.network.levels[path].__getitem__, range(HORIZON + 1))
    course = [plan.level for plan in plans]
    for plan in plans:
        course[plan.slot] = (
            safe.network.levels[path][plan.slot] if any(x["sense"] for x in plan.decisions) else plan.level
        )
    want = 100.0 * (replay(safe, policy, course) / replay(safe, yardstick, course) - 1.0)
    assert services.metrics.registry.get_sample_value("aq_regret_percent") == pytest.approx(want, rel=1e-6)
    assert abs(want) > 0.1
    assert replay(hidden, yardstick, course) > replay(safe, yardstick, course), "losses cost nothing"


def test_a_dead_device_is_given_up_after_more_losses_than_chance_explains(hidden: Problem) -> None:
    assert most_lost(hidden) == 5 and 0.2**5 < 0.001 <= 0.2**4
    services = services_of(hidden, policy_of("staggered", hidden))
    services.controller._most_lost = 2
    lost: Lost = {(1, slot) for slot in range(1, 30)}
    plans = serve(services, lambda slot: 60.0, range(20), lost)
    asked = [plan.slot for plan in plans[1:] if plan.decisions[1]["sense"]]
    assert len(asked) == 2 and [x.slot for x in services.store.alerts(0) if x.kind == "missed"] == [asked[1]]
    assert plans[asked[1]].state["missed"][1] == -1 and plans[-1].state["missed"][1] == asked[1]
    assert plans[-1].state["delay"][1] == 19, "its last report is that of slot 0"
    services.store.add_readings([Report("device_1", 19, 60.0)])  # it was repaired, and reports unasked
    assert services.controller.plan_until(20)[-1].state["missed"][1] == -1


def test_before_any_report_nothing_is_known(hidden: Problem) -> None:
    services = services_of(hidden, policy_of("staggered", hidden), 2)
    plans = services.controller.plan_until(0) + services.controller.plan_until(1)
    assert [plan.level_deviation for plan in plans] == [None, None] and services.store.levels(0) == []
    assert create_app(services).test_client().get("/api/v1/forecast").status_code == 503
    services.store.add_readings([Report("device_2", 1, 50.0)])
    plan = services.controller.plan_until(2)[-1]
    assert plan.level_deviation is not None and [x[0] for x in services.store.levels(0)] == [2]


def test_errors_of_the_belief_by_hand(hidden: Problem) -> None:
    levels = np.full((7, 3), np.nan)
    levels[1, 0], levels[1, 2], levels[5, 1] = 50.0, 54.0, 70.0  # 52 on average, then 70 four slots later
    mean, variance = hidden.hidden_level.belief.moments(4, 52.0)
    b = hidden.network.variance_relation
    places = (b.mean() - b.mean() / 2.0) * (52.0**2 + 70.0**2)
    want = abs(70.0 - float(mean)) / (float(variance) + places) ** 0.5
    assert drift.belief_errors(hidden, levels) == pytest.approx([want])
    assert len(drift.belief_errors(hidden, levels[:3])) == 0
    services = services_of(hidden, policy_of("relay", hidden))
    serve(services, lambda slot: 60.0, range(13))
    found = drift.streams(services.settings, services.store, 12)
    assert len(found["forecast"]) == 4 and all(len(found[f"device_{m}"]) >= 1 for m in range(3))


def test_a_late_report_counts_from_when_it_was_made(hidden: Problem) -> None:
    services = services_of(hidden, policy_of("relay", hidden))
    plans = serve(services, lambda slot: 60.0, range(4), {(m, 3) for m in range(3)})
    m = next(m for m, x in enumerate(plans[3].decisions) if x["sense"])
    plan = services.controller.plan_until(4)[-1]
    assert (plan.state["delay"][m], plan.state["lost"][m]) == (4, 1) and plan.level == pytest.approx(60.0, abs=1.0)
    usual = 1.0 + mean_deviation(hidden.network)[DEVICES[m]]
    services.store.add_readings([Report(f"device_{m}", 3, 90.0 * usual)])
    plan = services.controller.plan_until(5)[-1]
    assert (plan.state["delay"][m], plan.state["lost"][m]) == (2, 0)
    assert plan.state["record"][m] == pytest.approx(90.0)
    assert plan.level == pytest.approx(float(hidden.hidden_level.belief.moments(2, 90.0)[0]))


def test_a_report_widens_or_narrows_the_intervals_of_the_map(hidden: Problem) -> None:
    """ln(factor) rises by 0.2 of the claimed 90 % where a report was outside, and falls by 0.2 of the rest inside."""
    for level, factor in ((60.0, np.exp(-0.02)), (500.0, np.exp(0.18))):
        services = services_of(hidden, build_policy("relay", hidden)[0])
        serve(services, lambda slot: 60.0, range(1))
        assert present_factor(hidden, services.store, 0) == present_factor(hidden, services.store, 2) == 1.0
        services.store.add_readings([Report("device_0", 3, level * float(1.0 + mean_deviation(hidden.network)[0]))])
        assert present_factor(hidden, services.store, 3) == pytest.approx(factor)
        assert present_factor(hidden, services.store, 9) == pytest.approx(factor)


def test_the_intervals_remember_when_another_device_reports_first(hidden: Problem) -> None:
    services = services_of(hidden, build_policy("relay", hidden)[0])
    usual = 1.0 + mean_deviation(hidden.network)[list(DEVICES)]
    jumps = [Report("device_0", slot, (60.0, 500.0)[slot % 2] * float(usual[0])) for slot in range(12)]
    serve(services, lambda slot: 60.0, range(0))
    services.store.add_readings(jumps)
    before = present_factor(hidden, services.store, 11)
    services.store.add_readings([Report("device_1", 12, 500.0 * float(usual[1]))])
    assert present_factor(hidden, services.store, 12) >= before * np.exp(-0.02) > 1.3
    assert present_factor(hidden, services.store, 12 + maps.WINDOW) == 1.0, "old reports do not count"


@pytest.mark.parametrize(("swing", "wider"), [(0.0, False), (60.0, True)])
def test_the_map_of_the_service_has_adapted_intervals(hidden: Problem, swing: float, wider: bool) -> None:
    services = services_of(hidden, build_policy("relay", hidden)[0], HORIZON)
    serve(services, lambda slot: 150.0 + swing * np.sin(1.7 * slot), range(HORIZON + 1))
    places = create_app(services).test_client().get("/api/v1/map").get_json()["locations"]
    assert (present_factor(hidden, services.store, HORIZON) > 1.0) == wider
    for place in places:
        (low, high), claimed = place["interval_90"], 1.645 * place["standard_deviation"]
        assert low < place["mean"] < high and (high - low > 2.001 * claimed) == wider, place
