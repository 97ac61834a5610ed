"""The current map, from what the devices read; with a hidden level also intervals that are adapted to the reports."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aq_gym.adapted_intervals import QUANTILES, adapted_factors, variance_parts
from aq_gym.estimation import LEVELS_OF_COVERAGE, Estimate, LevelAware, Sources, paper_map
from aq_gym.problem import Problem
from aq_gym.service.clock import SlotClock
from aq_gym.service.level import last_readings, level_read, present_level, reported_levels
from aq_gym.service.planning_state import PlanningState, promised_errors
from aq_gym.service.settings import Settings
from aq_gym.service.store import Present, Store

CLAIM = LEVELS_OF_COVERAGE.index(0.9)  # the interval that is shown
WINDOW = 1008  # slots whose reports count for it: a week of ten minutes
MOST_NUMBERS = 200_000  # devices x locations x slots: a large fleet has a shorter window, so that a map takes 0.1 s
FARTHEST = 3.0  # ln(factor) of the variance: the growing deviation changes by at most exp(1.5), 4.5 times
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


def present_factor(problem: Problem, store: Store, until: int) -> float:
    """The factor on the variance that grows between reports with which intervals fit the reports up to a slot.

    It is 1 until a report could be checked. Devices that did not report in the window are left out. Until a device's
    first report in the window its delay is the longest, so it says almost nothing; its record is then that of the
    window's first report.
    """
    levels = reported_levels(problem, store, max(0, until - WINDOW + 1), until)
    came = ~np.isnan(levels)
    heard, slots = came.any(axis=0), np.flatnonzero(came.any(axis=1))
    if not len(slots):
        return 1.0
    most = 2 + MOST_NUMBERS // (problem.n_devices * problem.n_locations)
    begin = max(int(slots[0]), len(levels) - most)
    first = levels[slots[0]][came[slots[0]]][0]
    rows, levels = np.arange(len(levels))[:, None], levels[:, heard]
    last = np.maximum.accumulate(np.where(np.isnan(levels), -1, rows), axis=0)  # row of the last report; -1: none yet
    delay = np.where(last < 0, problem.longest_delay, rows - last)[begin:]
    record = np.where(last < 0, first, np.take_along_axis(levels, last, axis=0))[begin:]
    where = np.array(problem.devices)[heard]
    found = adapted_factors(problem, delay[None], record[None], devices=where, farthest=FARTHEST)
    return float(found[0, -1, CLAIM])


def current_map(settings: Settings, clock: SlotClock, present: Present, store: Store) -> dict[str, Any] | None:
    """The present slot's map as JSON has it, from all readings that have come; None while there is none.

    ``interval_90`` is None unless the level is hidden.
    """
    plan, problem, network = present.plan, settings.problem, settings.problem.network
    known = present_level(problem, present.devices, present.latest, plan.slot)
    if known is None:
        return None
    level = known.level
    newest = last_readings(present.devices, present.latest, plan.slot)
    where, values, age = zip(*newest, strict=True)
    estimate = infer_map(problem, where, values, age, level)
    hidden = problem.inference == "hidden"
    if hidden:
        factor, record = present_factor(problem, store, plan.slot), level_read(network, where, values)
        delay = np.minimum(age, problem.longest_delay)
        still, growing = variance_parts(problem, delay, record, estimate.deviation)
        wide = QUANTILES[CLAIM] * np.sqrt(still + factor * growing)
        ends = np.maximum(np.stack([estimate.mean - wide, estimate.mean + wide], axis=-1), 0.0)
    due = np.array([x["sense"] for x in plan.decisions] or [False] * problem.n_devices)
    promised = promised_errors(problem, PlanningState.from_json(plan.state), due, level)
    measured = {location for location, _, slots in newest if slots == 0}
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
