"""Devices and their tokens; for the operator."""

from flask import Response, abort, jsonify
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from aq_gym.service.services import hash_of, new_token, require_operator, services

api = APIBlueprint("devices", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="devices")])


class DevicePath(BaseModel):
    """Which device."""

    device: str = Field(max_length=64)


@api.get("/devices", summary="All devices")
def devices() -> Response:
    """Where each stands, and its newest reading."""
    return jsonify(devices=services().store.newest_readings())


@api.post("/devices/<device>/token", summary="A new token; the old one is void", security=[{"token": []}])
def make_token(path: DevicePath) -> tuple[Response, int]:
    """The token is returned only once."""
    require_operator()
    token = new_token()
    _set_hash(path.device, hash_of(token))
    return jsonify(device=path.device, token=token), 201


@api.delete("/devices/<device>/token", summary="Revoke a device's token", security=[{"token": []}])
def revoke_token(path: DevicePath) -> tuple[str, int]:
    """The device can report no more."""
    require_operator()
    _set_hash(path.device, None)
    return "", 204


def _set_hash(name: str, token_hash: str | None) -> None:
    store = services().store
    found = next((x for x in store.devices() if x.id == name), None)
    if found is None:
        abort(404, store.no_device(name))
    found.token_hash = token_hash
    store.put_device(found)
