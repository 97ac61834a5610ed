"""The page: a few files that the browser needs nothing else for."""

from __future__ import annotations

from flask import Response, current_app
from flask_openapi3 import APIBlueprint

api = APIBlueprint("page", __name__)


@api.get("/", doc_ui=False)
def index() -> Response:
    """It asks /api/v1 for all that it shows."""
    return current_app.send_static_file("index.html")
