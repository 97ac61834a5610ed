"""The current map, from what the devices read."""

from __future__ import annotations

from typing import Any

import numpy as np

from aq_gym.estimation import Sources, mean_deviation, paper_map
from aq_gym.service.clock import SlotClock
from aq_gym.service.control import PlanningState
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store


def current_map(settings: Settings, store: Store, clock: SlotClock) -> dict[str, Any] | None:
    """The newest plan's map as JSON has it; None before the first plan or while nobody has reported."""
    plan = store.last_plan()
    latest = store.latest()
    devices = [d for d in store.devices() if d.id in latest]
    if plan is None or not devices:
        return None
    network = settings.problem.network
    heard = [latest[d.id] for d in devices]
    age = np.array([max(0, plan.slot - x.slot) for x in heard])
    values = np.array([x.value for x in heard])
    locations = np.array([d.location for d in devices])
    record = np.maximum(values / (1.0 + mean_deviation(network)[locations]), 1.0)
    estimate = paper_map(network, Sources(locations, values, age, record), plan.level)
    state = PlanningState.from_json(plan.state)
    promised = settings.problem.infer(state.delay, state.record, plan.level)
    measured = {d.location: x for d, x in zip(devices, heard, strict=True) if x.slot >= plan.slot}
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
                "joint_error": round(float(promised.joint_error[n]), 3),
                "source": "measured" if n in measured else "inferred",
            }
        )
    about = {"slot": plan.slot, "time": clock.iso(plan.slot), "level": plan.level, "unit": "µg/m³"}
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
