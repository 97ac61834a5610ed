"""What the server knows: schedule, map, history, alerts."""

import csv
import io
from typing import Any
from urllib.parse import quote, unquote

from flask import Response, abort, jsonify
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from aq_gym.service.database import LARGEST_SLOT
from aq_gym.service.maps import UNPLACED, current_map, geojson
from aq_gym.service.planning_state import PlanningState
from aq_gym.service.services import services

try:
    import pyarrow
    from pyarrow import parquet
except ModuleNotFoundError:  # the rest of the service runs without it
    pyarrow = parquet = None

api = APIBlueprint("views", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="views")])


class HistoryQuery(BaseModel):
    """Which readings."""

    device: str | None = Field(default=None, max_length=64, description="of one device alone")
    since: int = Field(default=0, ge=0, le=LARGEST_SLOT, description="first slot")
    until: int = Field(default=LARGEST_SLOT, ge=0, le=LARGEST_SLOT, description="last slot")
    cursor: str = Field(default="", max_length=1000, description="`next` of the page before")
    limit: int = Field(default=1000, ge=1, le=10_000)


class SinceQuery(BaseModel):
    """From when on."""

    since: int = Field(default=0, ge=0, le=LARGEST_SLOT, description="first slot")


@api.get("/schedule", summary="Who senses in the present slot, and why")
def schedule() -> Response:
    """One decision a device, with the energy left, what its reading would be worth, and how scarce its energy is.

    Level and promised error are what the plan was made with when the slot began: null before the first reading.
    """
    here = services()
    present = here.store.present()
    if present is None:
        abort(503, "no slot is planned yet")
    plan, latest = present.plan, present.latest
    about = {"slot": plan.slot, "time": here.clock.iso(plan.slot), "cycle_slot": plan.cycle_slot}
    decisions = [
        {**x, "stale": bool(stale), "last_report": latest[x["device"]].slot if x["device"] in latest else None}
        for x, stale in zip(plan.decisions, PlanningState.from_json(plan.state).stale, strict=False)
    ]
    next_slot = {"next_slot": plan.slot + 1, "next_time": here.clock.iso(plan.slot + 1)}
    known = plan.level_deviation is not None  # else nobody had reported yet
    level, error = (plan.level, plan.promised_error) if known else (None, None)
    return jsonify(**about, **next_slot, level=level, promised_error=error, decisions=decisions)


@api.get("/map", summary="The map of all locations")
def show_map() -> Response:
    """Mean, standard deviation and joint error of each location, and whether it was measured or inferred."""
    return jsonify(_map())


@api.get("/map.geojson", summary="The same as GeoJSON")
def show_geojson() -> Response:
    """Points in degrees, WGS 84 (RFC 7946); 404 where the network's place on Earth is not known."""
    current, settings = _map(), services().settings
    if settings.places.origin is None:
        abort(404, UNPLACED)
    response = jsonify(geojson(settings, current))
    response.mimetype = "application/geo+json"
    return response


def _map() -> dict[str, Any]:
    here = services()
    present = here.store.present()
    found = None if present is None else current_map(here.settings, here.clock, present, here.store)
    if found is None:
        abort(503, "no device has reported yet")
    return found


@api.get("/history", summary="Readings, page by page")
def history(query: HistoryQuery) -> Response:
    """In the order of slots and devices. ``next`` is the cursor of the following page, null at the end."""
    rows, following = _page(query)
    return jsonify(readings=rows, next=following)


@api.get("/history.csv", summary="The same as CSV")
def history_csv(query: HistoryQuery) -> Response:
    """One page; the header X-Next holds the cursor of the following one."""
    rows, following = _page(query)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["device", "slot", "time", "value"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "device": _harmless(row["device"])} for row in rows)
    headers = {"X-Next": following} if following else {}
    return Response(text.getvalue(), mimetype="text/csv", headers=headers)


@api.get("/history.parquet", summary="The same as Parquet")
def history_parquet(query: HistoryQuery) -> Response:
    """One page; the header X-Next holds the cursor of the following one."""
    if pyarrow is None:
        abort(501, "Parquet needs the package pyarrow: pip install 'aq-gym[service]'")
    rows, following = _page(query)
    columns = [("device", pyarrow.string()), ("slot", pyarrow.int64()), ("time", pyarrow.string())]
    table = pyarrow.Table.from_pylist(rows, pyarrow.schema([*columns, ("value", pyarrow.float64())]))
    file = io.BytesIO()
    parquet.write_table(table, file)
    headers = {"X-Next": following} if following else {}
    return Response(file.getvalue(), mimetype="application/vnd.apache.parquet", headers=headers)


def _harmless(cell: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "'" + cell if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _page(query: HistoryQuery) -> tuple[list[dict[str, Any]], str | None]:
    here = services()
    if query.device is not None and not here.store.known_devices({query.device}):
        abort(404, here.store.no_device(query.device))
    after = -1, ""
    if query.cursor:
        slot, _, device = query.cursor.partition(":")
        if not (slot.isascii() and slot.isdigit() and len(slot) < 17):
            abort(422, f"cursor: expected a value of `next`, got {query.cursor!r}")
        after = min(int(slot), LARGEST_SLOT), unquote(device)
    found = here.store.readings(query.since, query.until, device=query.device, after=after, limit=query.limit)
    rows = [{"device": x.device, "slot": x.slot, "time": here.clock.iso(x.slot), "value": x.value} for x in found]
    # A header holds no names in other scripts, so these are written as in an address.
    following = f"{found[-1].slot}:{quote(found[-1].device)}" if len(found) == query.limit else None
    return rows, following


@api.get("/alerts", summary="What a person should know, newest first")
def alerts(query: SinceQuery) -> Response:
    """At most two hundred."""
    here = services()
    rows = here.store.alerts(query.since)
    return jsonify(alerts=[{**x.as_json(), "time": here.clock.iso(x.slot)} for x in rows])
