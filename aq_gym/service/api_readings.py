"""Readings in: one or many, in any order, as often as a device likes."""

from collections import Counter
from typing import Any

from flask import Response, abort, jsonify
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from aq_gym.service.intake import Report
from aq_gym.service.services import require_writer, services

api = APIBlueprint("readings", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="readings")])
UNITS = {"µg/m³": 1.0, "ug/m3": 1.0, "mg/m3": 1000.0, "mg/m³": 1000.0}


class ReadingIn(BaseModel):
    """One reading."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    device: str = Field(max_length=64, description="the device's id")
    value: float = Field(strict=True, ge=0, description="what it measured")
    slot: int | None = Field(
        default=None, strict=True, ge=0, description="the slot; without it the one in which it arrives"
    )
    unit: str = Field(default="µg/m³", description="one of " + ", ".join(UNITS))


class ReadingsIn(BaseModel):
    """Many readings."""

    model_config = ConfigDict(extra="forbid")
    readings: list[ReadingIn] = Field(min_length=1)


class ReadingsOut(BaseModel):
    """What became of them."""

    stored: int
    repeated: int = Field(description="sent before with the same value")
    conflicting: list[dict[str, Any]] = Field(description="sent before with another value, which stays")


ANSWERS: dict[Any, Any] = {200: ReadingsOut, 201: ReadingsOut, 409: ReadingsOut}


@api.post("/readings", summary="Store readings", security=[{"token": []}], responses=ANSWERS)
def add_readings(body: ReadingsIn) -> tuple[Response, int]:
    """201: some were stored. 200: all were stored before. 409: none was stored, since other values were before.

    A request that is refused for another reason stores nothing. Repeating one changes nothing where it names the slots,
    so a device repeats it until it is answered; without a slot a reading is of the slot in which it arrives.
    """
    here, writer = services(), require_writer()
    if len(body.readings) > here.settings.most_batch:
        abort(413, f"expected at most {here.settings.most_batch} readings, got {len(body.readings)}")
    present = here.clock.slot()
    known = here.store.known_devices({reading.device for reading in body.readings})
    reports = [_report(k, reading, present, known) for k, reading in enumerate(body.readings)]
    if writer is not None and any(report.device != writer.id for report in reports):
        abort(403, f"the token of {writer.id} writes for no other device")
    received = here.store.add_readings(reports)
    refused = set(received.conflicting)
    results = Counter((r.device, "conflicting" if r in refused else "accepted") for r in reports)
    for (device, result), count in results.items():
        here.metrics.readings.labels(device, result).inc(count)
    conflicting = [vars(report) for report in received.conflicting]
    status = 201 if received.stored else 409 if conflicting else 200
    return jsonify(stored=received.stored, repeated=received.repeated, conflicting=conflicting), status


def _report(k: int, reading: ReadingIn, present: int, known: set[str]) -> Report:
    where = f"readings[{k}]"
    if reading.device not in known:
        abort(422, f"{where}.device: {services().store.no_device(reading.device)}")
    unit = reading.unit.replace("\u03bc", "\u00b5")  # a Greek mu, written for the sign micro
    if unit not in UNITS:
        abort(422, f"{where}.unit: expected one of {', '.join(UNITS)}, got {reading.unit!r}")
    value = reading.value * UNITS[unit]
    largest = services().settings.largest
    if value > largest:
        abort(422, f"{where}.value: expected at most {largest:g} µg/m³, got {value:g}")
    slot = present if reading.slot is None else reading.slot
    if not 0 <= slot <= present:
        abort(422, f"{where}.slot: expected a slot up to the present one, {present}, got {slot}")
    return Report(reading.device, slot, value)
