"""What the air means for people: index, class and advice of two standards, from the averages that they ask for.

The breakpoints come from the package aqi-hub: US EPA as of May 2024, and HJ 633-2026. An index is never made from a
single slot. aqi-hub cuts the US index off where the EPA rounds it, so it may be 1 lower.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, abort, jsonify
from flask_openapi3 import APIBlueprint, Tag

from aq_gym.service.services import Services, services

try:
    from aqi_hub import aqi_cn, aqi_usa
except ModuleNotFoundError:  # the rest of the service runs without it
    aqi_cn = aqi_usa = None

api = APIBlueprint("health", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="health")])
EPA, HJ = "US EPA", "HJ 633"
EDITIONS = {EPA: "2024 (breakpoints of May 2024)", HJ: "2026"}
HOURS = 24
COMPLETE = 0.75  # of an hour's slots must be known
SURE = 0.3  # of a hidden level: standard deviation over mean up to which it is known
EPA_HOURS, HJ_HOURS = 18, 20  # of 24 that a daily mean needs
LONGEST_SLOT = 3600.0  # s of air; longer ones have no hourly means
BEYOND_EPA = 325.4  # µg/m³ where the index ends

CLASSES = {
    EPA: (
        ("Good", "A good day to be active outside."),
        (
            "Moderate",
            "Unusually sensitive people: make outdoor activity shorter or easier. Everyone else: a good day outside.",
        ),
        (
            "Unhealthy for sensitive groups",
            "Children, older people and people with heart or lung disease: shorter and easier activity outside, more "
            "breaks. Keep quick-relief medicine at hand.",
        ),
        (
            "Unhealthy",
            "Sensitive groups: avoid long or hard activity outside, or move it indoors. Everyone else: do less of it.",
        ),
        (
            "Very unhealthy",
            "Sensitive groups: no physical activity outside. Everyone else: avoid long or hard activity outside.",
        ),
        ("Hazardous", "Everyone: no physical activity outside. Sensitive groups: stay indoors and keep activity low."),
    ),
    HJ: (
        ("Excellent", "Everyone can be active as usual."),
        ("Good", "A very few unusually sensitive people should do less outside."),
        (
            "Lightly polluted",
            "Children, older people and people with heart or lung disease: less long and hard exercise outside.",
        ),
        (
            "Moderately polluted",
            "Children, older people and people with heart or lung disease: no long or hard exercise outside. Everyone "
            "else: somewhat less.",
        ),
        (
            "Heavily polluted",
            "Children, older people and people with heart or lung disease: stay indoors, no exercise outside. Everyone "
            "else: less of it.",
        ),
        ("Severely polluted", "Children, older people and the ill: stay indoors and rest. Everyone else: not outside."),
    ),
}


def available() -> bool:
    """Whether the package with the breakpoints is installed."""
    return aqi_usa is not None


def hourly_means(
    levels: Mapping[int, float], read: set[int], last: int, per_hour: int, hours: int
) -> list[float | None]:
    """The mean of each of the last hours, newest first; None where too little is known.

    Args:
        levels: estimated level by slot [µg/m³].
        read: slots in which a device reported.
        last: the newest slot.
        per_hour: slots in an hour.
        hours: how many.
    """
    means: list[float | None] = []
    for k in range(hours):
        slots = range(last - per_hour * (k + 1) + 1, last - per_hour * k + 1)
        known = [levels[x] for x in slots if x in levels]
        enough = len(known) >= COMPLETE * per_hour and not read.isdisjoint(slots)
        means.append(sum(known) / len(known) if enough else None)
    return means


def nowcast(hours: Sequence[float | None]) -> float | None:
    """The EPA's NowCast of particles from 12 hourly means, newest first; None: fewer than 2 of the last 3 are known."""
    recent = list(hours[:12])
    known = [x for x in recent if x is not None]
    if sum(x is not None for x in recent[:3]) < 2:
        return None
    weight = max(0.5, min(known) / max(known)) if max(known) > 0 else 1.0
    pairs = [(weight**k, x) for k, x in enumerate(recent) if x is not None]
    return sum(w * x for w, x in pairs) / sum(w for w, _ in pairs)


def mean_of(hours: Sequence[float | None], least: int) -> float | None:
    """The mean of the hours that are known, if they are enough."""
    known = [x for x in hours if x is not None]
    return sum(known) / len(known) if len(known) >= least else None


def epa_index(concentration: float) -> int:
    """The US index of PM2.5; the concentration is cut to tenths, as the EPA asks."""
    if concentration >= BEYOND_EPA:
        return 500
    tenths = math.floor(concentration * 10.0 + 1e-9) / 10.0
    return int(aqi_usa.cal_iaqi_usa(tenths + 1e-6, "PM25_24H"))


def hj_index(concentration: float, item: str) -> int:
    """The Chinese index of PM2.5; the concentration is rounded to µg/m³."""
    return int(aqi_cn.cal_iaqi_cn(item, round(concentration)))


def assess(hours: Sequence[float | None]) -> list[dict[str, Any]]:
    """Both standards on 24 hourly means, newest first: for now and for the day."""
    known = sum(x is not None for x in hours)
    wanted = [
        (EPA, "NowCast", "now", nowcast(hours), "2 of the last 3 hours"),
        (EPA, "24-hour mean", "day", mean_of(hours, EPA_HOURS), f"{EPA_HOURS} of the last 24 hours"),
        (HJ, "1-hour mean", "now", hours[0], "the last hour"),
        (HJ, "24-hour mean", "day", mean_of(hours, HJ_HOURS), f"{HJ_HOURS} of the last 24 hours"),
    ]
    return [
        {
            "standard": standard,
            "edition": EDITIONS[standard],
            "average": average,
            "period": period,
            "concentration": None if value is None else round(value, 1),
            **_verdict(standard, period, value, f"it needs {needs}; {known} of 24 are known so far"),
        }
        for standard, average, period, value, needs in wanted
    ]


def _verdict(standard: str, period: str, value: float | None, reason: str) -> dict[str, Any]:
    if value is None:
        empty = dict.fromkeys(("index", "level", "category", "colour", "advice"))
        return {**empty, "reason": f"not enough history yet: {reason}"}
    part = aqi_usa if standard == EPA else aqi_cn
    index = epa_index(value) if standard == EPA else hj_index(value, "PM25_1H" if period == "now" else "PM25_24H")
    level = part.get_aqi_level(index)
    category, advice = CLASSES[standard][level - 1]
    colour = part.get_aqi_level_color(level, "RGB_HEX")
    return {"index": index, "level": level, "category": category, "colour": colour, "advice": advice, "reason": None}


def check_slots(here: Services) -> None:
    """Turn a request away where slots are too long for hourly means."""
    if here.settings.air_seconds > LONGEST_SLOT:
        hours = here.settings.air_seconds / 3600.0
        abort(501, f"index and report need hourly means, and a slot is {hours:g} hours of air")


def last_day(here: Services) -> tuple[int, list[float | None]]:
    """The newest slot, -1 before the first reading, and the area's hourly means up to it, newest first [µg/m³]."""
    count = HOURS * here.settings.slots_per_hour
    rows = here.store.levels(0, limit=count)
    if not rows:
        return -1, [None] * HOURS
    last = rows[-1].slot
    read = here.store.slots_read(last - count + 1)
    if here.settings.problem.inference == "hidden":  # the belief says for how long a report counts
        read |= {x.slot for x in rows if x.deviation <= SURE * x.level}
    return last, hourly_means({x.slot: x.level for x in rows}, read, last, here.settings.slots_per_hour, HOURS)


@api.get("/health", summary="Index, class and advice: US EPA and HJ 633")
def health() -> Response:
    """Of PM2.5, from hourly means of the area's estimated level; where the history is too short, it says so."""
    if not available():
        abort(501, "the index needs the package aqi-hub: pip install 'aq-gym[service]'")
    here = services()
    check_slots(here)
    slot, hours = last_day(here)
    rounded = [None if x is None else round(x, 2) for x in hours]
    return jsonify(slot=slot, pollutant="PM2.5", unit="µg/m³", hours=rounded, standards=assess(hours))
