"""The current map, from what the devices read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aq_gym.estimation import Estimate, LevelAware, Sources, paper_map
from aq_gym.problem import Problem
from aq_gym.service.clock import SlotClock
from aq_gym.service.level import level_read
from aq_gym.service.planning_state import PlanningState, promised_errors
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store


def infer_map(problem: Problem, locations: ArrayLike, values: ArrayLike, age: ArrayLike, level: float) -> Estimate:
    """The map from devices' last readings, by the problem's inference.

    The level when a reading was taken, which its noise is proportional to, is read off the reading itself. With a
    hidden level these readings alone say what the level is.

    Args:
        problem: the network, and how maps are inferred.
        locations: (M,) of the devices.
        values: (M,) last readings [µg/m³].
        age: (M,) slots since.
        level: the area's level now, not read where it is hidden [µg/m³].
    """
    network = problem.network
    where, x, d = np.asarray(locations, np.int64), np.asarray(values, np.float64), np.asarray(age, np.int64)
    then = level_read(network, where, x)
    if problem.inference == "hidden":
        return problem.hidden_level.estimate(where, np.minimum(d, problem.longest_delay), then)
    if problem.inference == "level-aware":
        return LevelAware.of(network).estimate(Sources(where, x, d, then), level, level_noise=problem.level_noise)
    return paper_map(network, Sources(where, x, d, then), level)


def current_map(settings: Settings, store: Store, clock: SlotClock) -> dict[str, Any] | None:
    """The newest plan's map as JSON has it; None before the first plan or while nobody has reported."""
    plan = store.last_plan()
    latest = store.latest()
    devices = [d for d in store.devices() if d.id in latest]
    if plan is None or not devices:
        return None
    problem, network = settings.problem, settings.problem.network
    newest = [latest[d.id] for d in devices]
    age = [max(0, plan.slot - x.slot) for x in newest]
    estimate = infer_map(problem, [x.location for x in devices], [x.value for x in newest], age, plan.level)
    due = np.array([x["sense"] for x in plan.decisions] or [False] * problem.n_devices)
    promised = promised_errors(problem, PlanningState.from_json(plan.state), due, plan.level)
    measured = {d.location for d, x in zip(devices, newest, strict=True) if x.slot >= plan.slot}
    coordinates = network.coordinates
    places = []
    for n in range(network.n_locations):
        east, north = (None, None) if coordinates is None else (float(x) for x in coordinates[n])
        places.append(
            {
                "location": n,
                "east": east,
                "north": north,
                "mean": round(float(estimate.mean[n]), 3),
                "standard_deviation": round(float(estimate.deviation[n]), 3),
                "joint_error": round(float(promised[n]), 3),
                "source": "measured" if n in measured else "inferred",
            }
        )
    about = {"slot": plan.slot, "time": clock.iso(plan.slot), "level": plan.level, "unit": "µg/m³"}
    about |= {"level_deviation": plan.level_deviation, "inference": problem.inference}
    return {**about, "average_joint_error": plan.promised_error, "locations": places}


def geojson(current: dict[str, Any]) -> dict[str, Any]:
    """A map as GeoJSON points; coordinates are metres east and north of the network's middle, as its card says."""
    features = []
    for place in current["locations"]:
        properties = {name: value for name, value in place.items() if name not in ("east", "north")}
        point = None if place["east"] is None else {"type": "Point", "coordinates": [place["east"], place["north"]]}
        features.append({"type": "Feature", "id": place["location"], "geometry": point, "properties": properties})
    about = {name: value for name, value in current.items() if name != "locations"}
    return {"type": "FeatureCollection", "features": features, "properties": about}
