"""The level as it was and as it may become."""

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
    present = here.store.present()
    found = None if present is None else here.outlook.of(present)
    if found is None:
        abort(503, "no device has reported yet")
    return jsonify(found)


@api.get("/levels", summary="The level of each slot as it was estimated then")
def levels(query: LevelsQuery) -> Response:
    """In the order of slots; those before the first reading, and those while the service was down, are left out."""
    rows = services().store.levels(query.since, limit=query.limit)
    return jsonify(
        levels=[
            {"slot": x.slot, "level": round(x.level, 3), "promised_error": round(x.promised_error, 3)} for x in rows
        ]
    )
