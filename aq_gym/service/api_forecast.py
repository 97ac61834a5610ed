"""The level as it was and as it may become."""

from __future__ import annotations

from flask import Response, abort, jsonify
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from aq_gym.service.database import LARGEST_SLOT
from aq_gym.service.services import services

api = APIBlueprint("forecast", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="outlook")])


class LevelsQuery(BaseModel):
    """Which slots."""

    since: int = Field(default=0, ge=0, le=LARGEST_SLOT, description="first slot")
    limit: int = Field(default=1000, ge=1, le=10_000, description="the newest so many")


@api.get("/forecast", summary="The level some slots ahead, with intervals")
def forecast() -> Response:
    """`model` is "calibrated", by the operator's forecaster, or "chain", whose intervals are the model's own."""
    here = services()
    plan = here.store.last_plan()
    found = None if plan is None else here.outlook.of(plan)
    if found is None:
        abort(503, "no device has reported yet")
    return jsonify(found)


@api.get("/levels", summary="The level of each slot as it was estimated then")
def levels(query: LevelsQuery) -> Response:
    """In the order of slots; those before the first reading are left out."""
    rows = services().store.levels(query.since, query.limit)
    return jsonify(
        levels=[{"slot": slot, "level": round(level, 3), "promised_error": round(e, 3)} for slot, level, e in rows]
    )
