"""The current map, from what the devices read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aq_gym.estimation import Estimate, LevelAware, Sources, paper_map
from aq_gym.problem import Problem
from aq_gym.service.clock import SlotClock
from aq_gym.service.intervals import interval, present_factor
from aq_gym.service.level import level_read, present_level
from aq_gym.service.planning_state import PlanningState, promised_errors
from aq_gym.service.settings import Settings
from aq_gym.service.store import Present, Store

UNPLACED = (
    "GeoJSON needs degrees, and it is not known where on Earth this network is: fit it by scripts.calibrate with "
    "--stations and keep its .json card beside it; /api/v1/map has metres"
)


def infer_map(
    problem: Problem,
    locations: ArrayLike,
    values: ArrayLike,
    age: ArrayLike,
    level: float,
    wanted: Sequence[int] | None = None,
) -> Estimate:
    """The map from devices' last readings, by the problem's inference.

    The level when a reading was taken, which its noise is proportional to, is read off the reading itself. With a
    hidden level these readings alone say what the level is.

    Args:
        problem: the network, and how maps are inferred.
        locations: (M,) of the devices.
        values: (M,) last readings [µg/m³].
        age: (M,) slots since.
        level: the area's level now, not read where it is hidden [µg/m³].
        wanted: (W,) the locations of the map, where no device reads; None: all.
    """
    network = problem.network
    where, x, d = np.asarray(locations, np.int64), np.asarray(values, np.float64), np.asarray(age, np.int64)
    then = level_read(network, where, x)
    sources = Sources(where, x, d, then)
    if problem.inference == "paper":
        fused = problem.fuse_measured or wanted is not None
        return paper_map(network, sources, level, fuse_measured=fused, wanted=wanted)
    if problem.inference == "hidden":
        found = problem.hidden_level.estimate(where, np.minimum(d, problem.longest_delay), then)
    else:
        found = LevelAware.of(network).estimate(sources, level, level_noise=problem.level_noise)
    return found if wanted is None else Estimate(*(x[..., wanted] for x in found))


def current_map(settings: Settings, clock: SlotClock, present: Present, store: Store) -> dict[str, Any] | None:
    """The present slot's map as JSON has it, from all readings that have come; None while there is none.

    ``interval_90`` is None unless the level is hidden.
    """
    plan, problem, network = present.plan, settings.problem, settings.problem.network
    known = present_level(problem, present.devices, present.latest, plan.slot)
    if known is None:
        return None
    level = known.level
    devices = [x for x in present.devices if x.id in present.latest]
    newest = [present.latest[x.id] for x in devices]
    age = [max(0, plan.slot - x.slot) for x in newest]
    where, values = [x.location for x in devices], [x.value for x in newest]
    estimate = infer_map(problem, where, values, age, level)
    hidden = problem.inference == "hidden"
    if hidden:
        delay, record = np.minimum(age, problem.longest_delay), level_read(network, where, values)
        ends = interval(problem, present_factor(problem, store, plan.slot), delay, record, estimate)
    due = np.array([x["sense"] for x in plan.decisions] or [False] * problem.n_devices)
    promised = promised_errors(problem, PlanningState.from_json(plan.state), due, level)
    measured = {d.location for d, x in zip(devices, newest, strict=True) if x.slot >= plan.slot}
    coordinates = network.coordinates
    places = []
    for n in range(network.n_locations):
        east, north = (None, None) if coordinates is None else (float(x) for x in coordinates[n])
        places.append(
            {
                "location": n,
                "name": settings.places.name(n),
                "east": east,
                "north": north,
                "mean": round(float(estimate.mean[n]), 3),
                "standard_deviation": round(float(estimate.deviation[n]), 3),
                "interval_90": ends[n].round(3).tolist() if hidden else None,
                "joint_error": round(float(promised[n]), 3),
                "source": "measured" if n in measured else "inferred",
            }
        )
    about = {"slot": plan.slot, "time": clock.iso(plan.slot), "level": level, "unit": "µg/m³"}
    about |= {"level_deviation": known.deviation, "inference": problem.inference}
    return {**about, "average_joint_error": float(promised.mean()), "locations": places}


def geojson(settings: Settings, current: dict[str, Any]) -> dict[str, Any]:
    """A map as GeoJSON (RFC 7946): points in degrees of WGS 84, longitude first."""
    places, network, features = settings.places, settings.problem.network, []
    for place in current["locations"]:
        properties = {name: value for name, value in place.items() if name not in ("east", "north")}
        point = {"type": "Point", "coordinates": places.degrees(network, place["location"])}
        features.append({"type": "Feature", "id": place["location"], "geometry": point, "properties": properties})
    about = {name: value for name, value in current.items() if name != "locations"}
    return {"type": "FeatureCollection", "features": features, "properties": about}
