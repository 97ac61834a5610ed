"""A read-only part of OGC SensorThings 1.1: Things, Locations, Datastreams and Observations."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from flask import Response, abort, jsonify, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from aq_gym.service.database import Device
from aq_gym.service.maps import UNPLACED
from aq_gym.service.services import services

api = APIBlueprint("sensorthings", __name__, url_prefix="/sta/v1.1", abp_tags=[Tag(name="SensorThings 1.1")])
UNIT = {"name": "microgram per cubic metre", "symbol": "ug/m3", "definition": "ucum:ug/m3"}
KIND = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"
SETS = ("Things", "Locations", "Datastreams", "Observations")
MOST_SKIPPED = 10**7


class Position(BaseModel):
    """A device's position, which is the id of its Thing, Location and Datastream."""

    m: int = Field(ge=0, lt=2**31)


class ObservationId(Position):
    """Device and slot."""

    slot: int = Field(ge=0, lt=2**31)


@api.get("/", summary="The sets that are here")
def root() -> Response:
    """Name and address of each."""
    return jsonify(value=[{"name": name, "url": _url(name)} for name in SETS])


def _url(path: str) -> str:
    return f"{request.url_root}sta/v1.1/{path}"


def _paging() -> tuple[int, int]:
    """``$top`` and ``$skip``; what this part does not do is refused."""
    allowed = {"$top": (100, 1000), "$skip": (0, MOST_SKIPPED)}
    other = sorted(set(request.args) - {*allowed, "$orderby"})
    if other:
        abort(501, f"{other[0]}: only $top, $skip and $orderby are supported")
    found = []
    for name, (otherwise, most) in allowed.items():
        text = request.args.get(name, str(otherwise))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= MOST_SKIPPED):
            abort(400, f"{name}: expected a whole number from 0 to {MOST_SKIPPED}, got {text!r}")
        found.append(min(int(text), most))
    return found[0], found[1]


def _page(rows: list[dict[str, Any]], top: int, skip: int) -> Response:
    """At most ``top`` of ``top + 1`` rows; the one more says that there is a next page."""
    answer: dict[str, Any] = {"value": rows[:top]}
    if top and len(rows) > top:
        query = {**request.args, "$top": top, "$skip": skip + top}
        answer["@iot.nextLink"] = f"{request.base_url}?{urlencode(query, safe='$')}"
    return jsonify(answer)


def _entity(kind: str, m: int, **fields: Any) -> dict[str, Any]:
    return {"@iot.id": m, "@iot.selfLink": _url(f"{kind}({m})"), **fields}


def _thing(x: Device) -> dict[str, Any]:
    links = {
        f"{kind}@iot.navigationLink": _url(f"Things({x.position})/{kind}") for kind in ("Locations", "Datastreams")
    }
    return _entity("Things", x.position, name=x.id, description="air-quality device", properties={}, **links)


def _location(x: Device) -> dict[str, Any]:
    here = services().settings
    point = {"type": "Point", "coordinates": here.places.degrees(here.problem.network, x.location)}
    about = {"name": here.places.name(x.location), "description": "WGS 84", "encodingType": "application/geo+json"}
    return _entity("Locations", x.position, **about, location=point)


def _placed() -> bool:
    """Whether degrees are known; without them there are no Locations, whose points must be GeoJSON."""
    return services().settings.places.origin is not None


def _datastream(x: Device) -> dict[str, Any]:
    about = {"name": f"PM2.5 of {x.id}", "description": "one value a slot", "observationType": KIND}
    links = {"Observations@iot.navigationLink": _url(f"Datastreams({x.position})/Observations")}
    links["Thing@iot.navigationLink"] = _url(f"Things({x.position})")
    return _entity("Datastreams", x.position, **about, unitOfMeasurement=UNIT, **links)


def _devices(entity: Callable[[Device], dict[str, Any]]) -> Response:
    top, skip = _paging()
    if "$orderby" in request.args:
        abort(501, "$orderby: only Observations can be ordered")
    return _page([entity(x) for x in services().store.devices()[skip : skip + top + 1]], top, skip)


def _device(m: int) -> Device:
    devices = services().store.devices()
    if m >= len(devices):
        abort(404, f"no entity {m}; their ids are 0 to {len(devices) - 1}")
    return devices[m]


@api.get("/Things", summary="Devices")
def things() -> Response:
    """Page by page."""
    return _devices(_thing)


@api.get("/Locations", summary="Where they stand")
def locations() -> Response:
    """Page by page."""
    return _devices(_location) if _placed() else jsonify(value=[])


@api.get("/Datastreams", summary="One series a device")
def datastreams() -> Response:
    """Page by page."""
    return _devices(_datastream)


@api.get("/Things(<int:m>)", summary="One device")
def thing(path: Position) -> Response:
    """By position."""
    return jsonify(_thing(_device(path.m)))


@api.get("/Locations(<int:m>)", summary="One location")
def location(path: Position) -> Response:
    """By position."""
    device = _device(path.m)
    if not _placed():
        abort(404, UNPLACED)
    return jsonify(_location(device))


@api.get("/Datastreams(<int:m>)", summary="One series")
def datastream(path: Position) -> Response:
    """By position."""
    return jsonify(_datastream(_device(path.m)))


@api.get("/Things(<int:m>)/Locations", summary="Where a device stands")
def thing_locations(path: Position) -> Response:
    """One."""
    device = _device(path.m)
    return jsonify(value=[_location(device)] if _placed() else [])


@api.get("/Things(<int:m>)/Datastreams", summary="A device's series")
def thing_datastreams(path: Position) -> Response:
    """One."""
    return jsonify(value=[_datastream(_device(path.m))])


@api.get("/Observations", summary="Readings")
def observations() -> Response:
    """Page by page, oldest first."""
    return _observations(None)


@api.get("/Datastreams(<int:m>)/Observations", summary="Readings of a device")
def datastream_observations(path: Position) -> Response:
    """Page by page, oldest first."""
    return _observations(_device(path.m).id)


def _observations(device: str | None) -> Response:
    top, skip = _paging()
    order = request.args.get("$orderby", "phenomenonTime asc").split()
    if not order or order[0] != "phenomenonTime" or order[1:] not in ([], ["asc"], ["desc"]):
        abort(501, "$orderby: only phenomenonTime, asc or desc, is supported")
    here = services()
    positions = {x.id: x.position for x in here.store.devices()}
    found = here.store.readings(device=device, skip=skip, limit=top + 1, newest_first=order[1:] == ["desc"])
    rows = [_observation(positions[x.device], x.slot, x.value) for x in found]
    return _page(rows, top, skip)


@api.get("/Observations(<int:m>,<int:slot>)", summary="One reading")
def observation(path: ObservationId) -> Response:
    """By device and slot."""
    found = services().store.readings(path.slot, path.slot, device=_device(path.m).id)
    if not found:
        abort(404, f"no reading of {path.m} in slot {path.slot}")
    return jsonify(_observation(path.m, path.slot, found[0].value))


def _observation(m: int, slot: int, value: float) -> dict[str, Any]:
    time = services().clock.iso(slot)
    about = {"@iot.id": f"{m},{slot}", "@iot.selfLink": _url(f"Observations({m},{slot})")}
    link = {"Datastream@iot.navigationLink": _url(f"Datastreams({m})")}
    return {**about, "phenomenonTime": time, "resultTime": time, "result": value, **link}
