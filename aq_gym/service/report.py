"""The daily report for officials: the last 24 hours of air, as JSON and as a page to print."""

from typing import Any

import numpy as np
from flask import Response, abort, jsonify, render_template
from flask_openapi3 import APIBlueprint, Tag
from werkzeug.exceptions import HTTPException

from aq_gym.service.health import HOURS, assess, available, check_slots, last_day
from aq_gym.service.maps import infer_map
from aq_gym.service.services import Services, services

api = APIBlueprint("report", __name__, abp_tags=[Tag(name="report")])
HOTSPOTS = 5
MOST_READINGS = 200_000
STEADY = 0.25  # µg/m³ an hour; a smaller trend counts as none


def daily_report() -> dict[str, Any]:
    """The last 24 hours."""
    here = services()
    check_slots(here)
    slot, hours = last_day(here)
    known = [x for x in hours if x is not None]
    if not known:
        abort(503, "no hour is known yet; one is once a device read in it and three quarters of its slots are known")
    limit, per_hour = here.settings.alert_level, here.settings.slots_per_hour
    first = max(0, slot - HOURS * per_hour + 1)
    highest = max(known)
    return {
        "slot": slot,
        "from": here.clock.iso(first),
        "to": here.clock.iso(slot + 1),
        "simulated": here.settings.slot_seconds != here.settings.air_seconds,  # then times run faster than the air's
        "hours": [None if x is None else round(x, 2) for x in reversed(hours)],  # oldest first
        "known_hours": len(known),
        "mean": round(sum(known) / len(known), 2),
        "highest": round(highest, 2),
        "highest_hours_ago": hours.index(highest),
        "alert_level": limit,
        "exceedance_hours": sum(x > limit for x in known),
        "trend": trend(hours),
        "hotspots": hotspots(here, first, slot),
        "standards": assess(hours) if available() else [],
        "missed": len(here.store.alerts(first, MOST_READINGS, "missed")),
        "unit": "µg/m³",
    }


def trend(hours: list[float | None]) -> dict[str, Any]:
    """The slope of a straight line through the hourly means, newest first, and a word for it."""
    known = [(-k, x) for k, x in enumerate(hours) if x is not None]
    if len(known) < 3:
        return {"per_hour": None, "word": "not known yet"}
    x, y = np.array(known, dtype=np.float64).T
    slope = float(np.polyfit(x, y, 1)[0])
    word = "steady" if abs(slope) < STEADY else "rising" if slope > 0 else "falling"
    return {"per_hour": round(slope, 2), "word": word}


def hotspots(here: Services, first: int, last: int) -> list[dict[str, Any]]:
    """The places with the highest mean of the day, measured or inferred.

    Devices read in different slots, so each enters with its mean ratio to the level of the slot, times the mean level.
    """
    levels = {x.slot: x.level for x in here.store.levels(first, last)}
    ratios: dict[str, list[float]] = {}
    for reading in here.store.readings(first, last, limit=MOST_READINGS):
        if reading.slot in levels:
            ratios.setdefault(reading.device, []).append(reading.value / levels[reading.slot])
    devices = [x for x in here.store.devices() if x.id in ratios]
    if not devices:
        return []
    level = float(np.mean(list(levels.values())))
    values = [level * np.mean(ratios[x.id]) for x in devices]
    day = infer_map(here.settings.problem, [x.location for x in devices], values, [0] * len(devices), level)
    device_at = {x.location: x.id for x in devices}
    return [
        {
            "location": int(n),
            "name": here.settings.places.name(int(n)),
            "mean": round(float(day.mean[n]), 2),
            "standard_deviation": round(float(day.deviation[n]), 2),
            "over_area": round(float(day.mean[n]) - level, 2),
            "device": device_at.get(int(n)),
        }
        for n in np.argsort(-day.mean)[:HOTSPOTS]
    ]


@api.get("/api/v1/report", summary="The last 24 hours: means, exceedance, trend, hotspots")
def report_json() -> Response:
    """What the printable page `/report` shows."""
    return jsonify(daily_report())


@api.get("/report", summary="The same as a page to print", doc_ui=False)
def report_page() -> tuple[str, int]:
    """HTML, also where there is nothing to report: people follow a link to it."""
    try:
        return render_template("report.html", report=daily_report()), 200
    except HTTPException as error:
        return render_template("report.html", report=None, reason=error.description), error.code or 500
