"""The control loop: the environment's decisions, restarts, and silent devices."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.observation import OBSERVATIONS, ObservationLayout
from aq_gym.policy import Policy
from aq_gym.problem import Problem
from aq_gym.service.control import Controller, register_devices
from aq_gym.service.database import Plan
from aq_gym.service.intake import Report
from aq_gym.service.level import estimate_level, level_read
from aq_gym.service.network_metrics import NetworkCollector
from aq_gym.service.services import Services
from baselines.evaluation import build_policy

Make = Callable[..., Services]
Air = Callable[[int], float]


def run(services: Services, air: Air, slots: range, silent: set[tuple[str, int]] = frozenset()) -> list[Plan]:  # type: ignore[assignment]
    """Plan slot after slot; every device that is to sense reports, but the silent ones."""
    plans = []
    for slot in slots:
        plans += services.controller.plan_until(slot)
        due = [x["device"] for x in plans[-1].decisions if x["sense"]]
        reports = [Report(name, slot, air(slot)) for name in due if (name, slot) not in silent]
        if reports:
            services.store.add_readings(reports)
    return plans


def with_levels(network: SensorNetwork, path: np.ndarray) -> SensorNetwork:
    """The same network on a chain that can take a path of levels; its extremes stay, since they scale features."""
    levels = np.unique([*path, network.levels[0], network.levels[-1]])
    uniform = np.full((len(levels), len(levels)), 1.0 / len(levels))
    return dataclasses.replace(network, levels=levels, transition=uniform, start=uniform[0], level_model=None)


def essence(plan: Plan) -> tuple[object, ...]:
    return plan.slot, plan.cycle_slot, plan.level, plan.promised_error, plan.state, plan.decisions


class Threshold:
    """Senses if the map's mean error would fall by enough, as one of the three observations says."""

    def __init__(self, problem: Problem, observation: str) -> None:
        self.observation = observation
        self._gain = ObservationLayout.of(problem, observation).slice(
            "decrease_if_on" if observation == "full" else "gain"
        )
        self._least = 0.0005 if observation == "full" else 0.01

    def act(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        return (observation[..., self._gain].mean(axis=-1) > self._least).astype(np.int64)


def policy_of(name: str, problem: Problem) -> Policy:
    return Threshold(problem, name) if name in OBSERVATIONS else build_policy(name, problem)[0]


def play(problem: Problem, path: np.ndarray, policy: Policy) -> Iterator[tuple[dict[str, Any], list[bool]]]:
    """The environment's slots on a path of levels: the info at their ends, and who sensed."""
    network = with_levels(problem.network, path)
    env = gym.make(
        "aq_gym/MultiDevice-v0",
        network=network,
        devices=list(problem.devices),
        horizon=problem.horizon,
        energy_budget=problem.energy_budget,
        max_sleep=problem.max_sleep,
        observation=getattr(policy, "observation", "full"),
    )
    observation, info = env.reset(seed=0, options={"levels": np.searchsorted(network.levels, path)})
    for _ in range(problem.horizon):
        sensed = []
        for _ in problem.devices:
            batch = {name: np.asarray(value)[None] for name, value in info.items()}
            action = int(np.asarray(policy.act(observation[None], batch)).reshape(-1)[0])
            observation, _, _, _, info = env.step(action)
            sensed.append(bool(action) != bool(info["forced"]))
        yield info, sensed


def path_of(plans: list[Plan]) -> np.ndarray:
    """The levels of a cycle as the environment has them: records of slot 0 are the level of slot 1."""
    return np.array([plans[1].level, *(plan.level for plan in plans[1:])])


@pytest.mark.parametrize("name", ["greedy", *OBSERVATIONS])
def test_the_served_decisions_are_the_environments(make_services: Make, air: Air, problem: Problem, name: str) -> None:
    services = make_services()
    controller = Controller(services.settings, services.store, policy_of(name, problem))
    plans = run(dataclasses.replace(services, controller=controller), air, range(problem.horizon + 1))
    decided = [x["sense"] for plan in plans[1:] for x in plan.decisions]
    assert 0 < sum(decided) < len(decided), "the policy decides nothing"
    slots = play(problem, path_of(plans), policy_of(name, problem))
    for plan, (info, sensed) in zip(plans[1:], slots, strict=True):
        assert [x["sense"] for x in plan.decisions] == sensed
        assert plan.state["energy"] == info["energy"].tolist()
        assert plan.promised_error == info["joint_error"]


def test_the_exported_regret_is_the_evaluated_one(make_services: Make, air: Air, problem: Problem) -> None:
    services = make_services()
    yardstick = build_policy("staggered", problem)[0]
    services.metrics.registry.register(NetworkCollector(dataclasses.replace(services, yardstick=yardstick)))
    plans = run(services, air, range(problem.horizon))
    assert services.metrics.registry.get_sample_value("aq_regret_percent") is None, "the cycle has not ended"
    plans += run(services, air, range(problem.horizon, problem.horizon + 3))
    served, other = (
        list(play(problem, path_of(plans[: problem.horizon + 1]), policy))[-1][0]["average_joint_error"]
        for policy in (services.controller.policy, yardstick)
    )
    exported = services.metrics.registry.get_sample_value("aq_regret_percent")
    assert exported == pytest.approx(100.0 * (served / other - 1.0), rel=1e-9) and abs(exported) > 0.1


def test_a_new_cycle_fills_the_budgets(make_services: Make, air: Air, problem: Problem) -> None:
    plans = run(make_services(), air, range(2 * problem.horizon + 2))
    assert [plan.cycle_slot for plan in plans] == 2 * list(range(problem.horizon + 1))
    again = plans[problem.horizon + 1]
    assert again.state["energy"] == [problem.energy_budget] * 3 and all(x["sense"] for x in again.decisions)


def test_other_sizes_begin_a_new_cycle_and_other_devices_are_refused(make_services: Make, air: Air) -> None:
    services = make_services()
    run(services, air, range(4))
    longer = dataclasses.replace(services.settings.problem, horizon=24, energy_budget=5)
    controller = Controller(
        dataclasses.replace(services.settings, problem=longer), services.store, policy_of("greedy", longer)
    )
    plans = controller.plan_until(5)
    assert [plan.cycle_slot for plan in plans] == [25, 0] and plans[1].state["energy"] == [5, 5, 5]
    moved = dataclasses.replace(services.settings, problem=dataclasses.replace(longer, devices=(0, 6, 15)))
    with pytest.raises(ValueError, match="devices at the locations 0, 6, 12, but 0, 6, 15 are to be served"):
        register_devices(services.store, moved)
    with pytest.raises(ValueError, match="but 0, 6 are to be served"):
        register_devices(
            services.store, dataclasses.replace(moved, problem=dataclasses.replace(longer, devices=(0, 6)))
        )


def test_a_restart_at_any_moment_changes_nothing(make_services: Make, air: Air) -> None:
    whole = run(make_services(), air, range(10))
    resumed = []
    for slot in range(10):  # another process for every slot, over the same database, which plans it twice
        services = make_services()
        services.controller.plan_until(slot)
        resumed += [make_services().store.plan(slot)]
    assert [essence(x) for x in resumed if x is not None] == [essence(x) for x in whole]


def test_two_writers_store_one_plan(make_services: Make, air: Air) -> None:
    first, second = make_services(), make_services()
    run(first, air, range(4))
    assert [essence(x) for x in second.controller.plan_until(3)] == []
    a, b = first.controller.plan_until(4), second.controller.plan_until(4)
    assert a and not b and second.store.last_plan().slot == 4


def test_a_device_that_misses_is_planned_without_until_it_reports(make_services: Make, air: Air) -> None:
    services = make_services()
    plans = run(services, air, range(2))
    while not any(x["sense"] for x in plans[-1].decisions):
        plans += run(services, air, range(plans[-1].slot + 1, plans[-1].slot + 2))
    # the next slot in which somebody is due, but stays silent
    slot = plans[-1].slot + 1
    plans += services.controller.plan_until(slot)
    while not any(x["sense"] for x in plans[-1].decisions):
        slot += 1
        plans += services.controller.plan_until(slot)
    name = next(x["device"] for x in plans[-1].decisions if x["sense"])
    position = int(name.rpartition("_")[2])
    after = services.controller.plan_until(slot + 1)[-1]
    assert after.state["missed"][position] == slot
    assert not after.decisions[position]["sense"]
    assert (alerts := services.store.alerts(0)) and alerts[-1].kind == "missed" and name in {x.subject for x in alerts}
    services.store.add_readings([Report(name, slot, air(slot))])  # late, but it came
    recovered = services.controller.plan_until(slot + 2)[-1]
    assert recovered.state["missed"][position] == -1


def test_slots_that_went_by_have_no_decisions(make_services: Make, air: Air) -> None:
    services = make_services()
    run(services, air, range(3))
    plans = services.controller.plan_until(6)
    assert [len(plan.decisions) for plan in plans] == [0, 0, 0, 3]
    assert plans[-1].cycle_slot == 6
    known = [x.slot for x in services.store.levels(0)]
    assert known == [1, 2, 6], "before the first report, and while the service was down, nobody knew a level"


def test_who_was_asked_just_before_the_service_went_down_is_not_blamed(make_services: Make, air: Air) -> None:
    services = make_services()
    asked = services.controller.plan_until(0)[0]  # all are asked, nobody reports: the service has gone down
    back = make_services().controller.plan_until(3)[-1]  # and comes back in slot 3
    assert all(x["sense"] for x in asked.decisions)
    assert back.state["missed"] == [-1, -1, -1] and back.state["lost"] == [0, 0, 0] and services.store.alerts(0) == []
    services.store.add_readings([Report("device_0", 0, air(0))])  # of then, sent again
    after = services.controller.plan_until(4)[-1]
    assert any(x["sense"] for x in back.decisions) and after.state["lost"] == [0, 0, 0], "slot 3 was nearly over, maybe"
    assert after.state["delay"][0] == 4
    asked = [x["sense"] for x in after.decisions]
    later = services.controller.plan_until(5)[-1]
    assert any(asked) and [x >= 0 for x in later.state["missed"]] == asked, "from slot 4 on it was up all the time"


@pytest.mark.parametrize("why", ["another budget", "the cycle's end", "no plan yet"])
def test_nobody_is_blamed_for_slots_that_went_by(make_services: Make, air: Air, problem: Problem, why: str) -> None:
    services = make_services()
    if why == "another budget":
        run(services, air, range(4))
        problem = dataclasses.replace(problem, energy_budget=5)
    elif why == "the cycle's end":
        run(services, air, range(problem.horizon + 1))
    controller = Controller(
        dataclasses.replace(services.settings, problem=problem), services.store, policy_of("greedy", problem)
    )
    plans = controller.plan_until(20)
    assert [len(plan.decisions) for plan in plans] == [0] * (len(plans) - 1) + [3]
    assert plans[-1].cycle_slot == 0 and all(x["sense"] for x in plans[-1].decisions)
    services.store.add_readings([Report(x["device"], 20, air(20)) for x in plans[-1].decisions])
    assert controller.plan_until(21)[-1].cycle_slot == 1
    assert [x.message for x in services.store.alerts(0) if x.kind == "missed"] == []


def test_a_service_too_slow_for_every_slot_gives_up_dead_devices_too(make_services: Make) -> None:
    services = make_services()
    for slot in range(0, 60, 2):  # nobody ever reports
        plan = services.controller.plan_until(slot)[-1]
        if min(plan.state["missed"]) >= 0:
            break
    assert min(plan.state["missed"]) >= 0, "two lost reports of each are excused, the third counts"
    assert {alert.subject for alert in services.store.alerts(0, kind="missed")} == {"device_0", "device_1", "device_2"}


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ([40.0, 60.0, 65.0], 55.0),  # fresh readings of one location count alike
        ([2.0, 60.0, 64.0], 62.0),  # a device that is broken does not count
        ([60.0, 64.0, 1500.0], 62.0),
        ([2.0, 98.0], 50.0),  # of two nobody knows which
        ([2.0, 2.0, 598.0, 598.0], 300.0),
    ],
)
def test_low_and_broken_readings_do_not_pull_the_level(problem: Problem, said: list[float], level: float) -> None:
    found = estimate_level(problem.network, [0] * len(said), level_said(problem, said), [0] * len(said))
    assert found.level == pytest.approx(level)


def level_said(problem: Problem, levels: list[float]) -> list[float]:
    """What a device at location 0 reads when the level is so high."""
    return [float(x / level_read(problem.network, [0], [1e6])[0] * 1e6) for x in levels]


def test_the_level_is_the_weighted_mean_of_what_was_said(problem: Problem) -> None:
    fresh = estimate_level(problem.network, problem.devices, [60.0, 60.0, 60.0], [0, 0, 0])
    aged = estimate_level(problem.network, problem.devices, [60.0, 60.0, 60.0], [9, 9, 9])
    one = estimate_level(problem.network, problem.devices[:1], [60.0], [0])
    assert (
        fresh.level == pytest.approx(60.0, rel=0.15)
        and fresh.deviation < aged.deviation
        and fresh.deviation < one.deviation
    )
