"""Metrics that are read from the database when Prometheus asks: ages, energy, level, errors, and the regret.

The regret is what the served policy's map costs beside another policy's, on the levels that the service went through.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aq_gym.envs.infos import raw_state
from aq_gym.episodes import Episodes
from aq_gym.policy import Policy, observation_of
from aq_gym.problem import Problem
from aq_gym.service.drift import EVERY, FORECAST, confirm, drifted
from aq_gym.service.level import present_level, reported_levels
from aq_gym.service.planning_state import PlanningState
from aq_gym.service.services import Services
from aq_gym.service.store import Store

EPISODES = 32  # over which lost reports are averaged
Slots = list[tuple[int, float, float]]  # slot, level and promised error [µg/m³] of the plans of a cycle


def replay(problem: Problem, policy: Policy, levels: ArrayLike) -> float:
    """The average joint error of an episode on given levels [µg/m³]; where reports get lost, the mean of several.

    ``levels``: (T + 1,) of slots 0 to T; they need not be levels of the network's chain [µg/m³].
    """
    count = EPISODES if problem.loss else 1
    episode = Episodes(problem, count, observation=observation_of(policy))
    episode.path[...] = levels
    if problem.loss:
        lost = episode.state.path[:, problem.horizon + 1 :]
        lost[...] = np.random.default_rng(0).random(lost.shape) < problem.loss
    energy, ones = np.tile(problem.energies, (count, 1)), np.ones((count, problem.n_devices), np.int64)
    first, second = episode.path[:, 0].copy(), episode.path[:, 1].copy()
    observation = episode.observe_states(1, 0, energy, ones, first[:, None] * ones, second)
    while int(episode.slot[0]) <= problem.horizon:
        action = policy.act(observation, raw_state(episode, episode.action_mask()))
        episode.decide(np.asarray(action, np.int64).reshape(count), np.empty(count), observation)
    return float(episode.total_error.mean()) / problem.horizon


def reported(problem: Problem, store: Store, cycle: Slots) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A hidden level's course and the errors of the maps in a cycle, from the reports that came, each (T + 1,) [µg/m³].

    In a slot without a report the level is what was believed.
    """
    plan = store.plan(cycle[0][0])
    state = PlanningState.first(problem) if plan is None else PlanningState.from_json(plan.state)
    levels, errors = np.array([level for _, level, _ in cycle]), np.empty(len(cycle))
    for t, row in enumerate(reported_levels(problem, store, cycle[0][0], cycle[-1][0])):
        came = ~np.isnan(row)
        state.delay[came], state.record[came] = 0, row[came]
        levels[t] = row[came].mean() if came.any() else levels[t]
        delay = np.minimum(state.delay, problem.longest_delay)
        errors[t] = problem.infer(delay, state.record, levels[t]).joint_error.mean()
        state.delay += 1
    return levels, errors


def regret_percent(problem: Problem, store: Store, yardstick: Policy, cycle: Slots) -> float:
    """The average joint error of a cycle above the yardstick's on the same levels [%]."""
    if problem.inference == "hidden":
        levels, errors = reported(problem, store, cycle)
    else:
        levels, errors = (np.array(x) for x in list(zip(*cycle, strict=True))[1:])
        levels[0] = levels[1]  # the plan of slot 0 was made before its reports came
    return 100.0 * (float(errors[1:].mean()) / replay(problem, yardstick, levels) - 1.0)


class NetworkCollector(Collector):
    """Of one service."""

    def __init__(self, services: Services) -> None:
        self._services, self._store, self._clock = services, services.store, services.clock
        self._known: dict[str, tuple[int, Any]] = {}  # name -> when it was computed, and what was found

    def collect(self) -> Iterable[Metric]:
        """The present values."""
        age = GaugeMetricFamily("aq_reading_age_seconds", "Since a device last reported", labels=["device"])
        energy = GaugeMetricFamily("aq_energy_left", "Sensings left to a device", labels=["device"])
        stale = GaugeMetricFamily("aq_device_stale", "1: missed its scheduled report", labels=["device"])
        drift = GaugeMetricFamily("aq_drift", "1: its residuals have changed", labels=["stream"])
        present = self._store.present()
        latest = self._store.latest() if present is None else present.latest
        for name, reading in latest.items():
            age.add_metric([name], max(0.0, self._clock.now() - reading.received))
        if present is None:
            yield age
            return
        plan, devices = present.plan, present.devices
        state = PlanningState.from_json(plan.state)
        for m, device in enumerate(devices):
            energy.add_metric([device.id], float(state.energy[m]))
            stale.add_metric([device.id], float(state.stale[m]))
        changed = drifted(self._store, plan.slot)
        for stream in (*(device.id for device in devices), FORECAST):
            drift.add_metric([stream], float(stream in changed))
        yield from (age, energy, stale, drift)
        settings, outlook, yardstick = self._services.settings, self._services.outlook, self._services.yardstick
        found = self._once("confirm", plan.slot, lambda: confirm(settings, self._store, plan.slot - 1))
        skill = self._once("skill", plan.slot // EVERY, lambda: outlook.skill(plan.slot))
        known = present_level(settings.problem, devices, latest, plan.slot)
        level = math.nan if known is None else known.level
        promised = math.nan if plan.level_deviation is None else plan.promised_error
        numbers = {
            "aq_level": ("Estimated level of the area [µg/m³]; NaN: no reading yet", level),
            "aq_joint_error_promised": ("Average joint error that the plan claims [µg/m³]", promised),
            "aq_map_error_promised": ("Error that the map claimed where readings came [µg/m³]", found.promised),
            "aq_map_error_delivered": ("Error that the map had where readings came [µg/m³]", found.delivered),
            "aq_forecast_skill": ("Skill of the last forecasts against persistence; NaN: fewer than 36 of them", skill),
            "aq_version": ("The promoted version that is served; 0: none", float(self._services.version or 0)),
            "aq_plan_lag_slots": ("Slots since the last plan", float(self._clock.slot() - plan.slot)),
        }
        for name, (text, value) in numbers.items():
            yield GaugeMetricFamily(name, text, value=value)
        cycle = [] if yardstick is None else self._store.last_cycle(settings.problem.horizon)
        if yardstick is not None and cycle:  # a whole one has ended
            args = settings.problem, self._store, yardstick, cycle
            regret = self._once("regret", cycle[-1][0], lambda: regret_percent(*args))
            text = "Average joint error of the last whole cycle above the yardstick's on the same levels [%]"
            yield GaugeMetricFamily("aq_regret_percent", text, value=regret)

    def _once(self, name: str, key: int, find: Callable[[], Any]) -> Any:
        """What is computed again when the key has changed."""
        if name not in self._known or self._known[name][0] != key:
            self._known[name] = key, find()
        return self._known[name][1]
