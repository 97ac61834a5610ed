"""Nothing that a client sends ends in a server error, and nobody writes without a token."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings

from aq_gym.service.app import create_app
from aq_gym.service.services import Services

OPERATOR = "the-operator's-token"
pytestmark = pytest.mark.slow
GOOD = json.dumps({"readings": [{"device": "device_0", "value": 12.5, "slot": 3, "unit": "ug/m3"}]}).encode()
WRONG = [
    *(b"", b"null", b"[]", b"{}", b'{"readings": []}', b'{"readings": [{}]}', b"[" * 5000, b"\xff\xfe", b'{"a": NaN}'),
    *(GOOD.replace(b"12.5", x) for x in (b"-1", b"1e400", b"NaN", b'"1"', b"true", b"null", b"9" * 400, b"[1]")),
    *(GOOD.replace(b": 3", x) for x in (b": -1", b": 1e9", b": 3.5", b": " + b"9" * 40, b': "3"', b": 999999")),
    *(GOOD.replace(b"device_0", x) for x in (b"nobody", b"x" * 999, b"\\u0000", b"\\ud800", b"' OR 1=1 --")),
    *(GOOD.replace(b"ug/m3", x) for x in (b"ppm", b"")),
]


@pytest.fixture
def client(make_services: Callable[..., Services]) -> FlaskClient:
    services = make_services(slot=9, rate_per_second=1e6)
    services.controller.plan_until(9)
    return create_app(services).test_client()


def test_malformed_requests_are_refused_with_a_reason(client: FlaskClient) -> None:
    rng = np.random.default_rng(0)
    kinds = ["application/json", "text/plain", "", "application/json; charset=utf-99", "multipart/form-data"]
    tokens = [f"Bearer {OPERATOR}", "Bearer", "Bearer \u00e9", "Basic abc", "", "Bearer " + "x" * 4000]
    for k in range(2000):
        body = WRONG[k % len(WRONG)] if k % 2 else GOOD[: rng.integers(1, len(GOOD))]
        headers = {"Authorization": tokens[k % 7 % len(tokens)], "Content-Type": kinds[k % 5]}
        answer = client.post("/api/v1/readings", data=body, headers=headers)
        assert 400 <= answer.status_code < 500, (k, body[:80], headers)
        assert answer.json, "no reason"
    assert client.get("/api/v1/history").json["readings"] == []


def test_no_token_no_write(client: FlaskClient) -> None:
    for method, path in [
        ("POST", "/api/v1/readings"),
        ("POST", "/api/v1/devices/device_0/token"),
        ("DELETE", "/api/v1/devices/device_0/token"),
    ]:
        for token in ("", "Bearer ", "Bearer wrong"):
            answer = client.open(
                path, method=method, data=GOOD, headers={"Authorization": token, "Content-Type": "application/json"}
            )
            assert answer.status_code in (401, 403), (method, path, token)
    assert client.get("/api/v1/history").json["readings"] == []


def test_the_openapi_document_leads_to_no_server_error(client: FlaskClient) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi/openapi.json", client.application)
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            answer = case.call(headers={"Authorization": f"Bearer {OPERATOR}"})
            assert answer.status_code < 500 or answer.status_code in (501, 503), (case.path, answer.content)

        check()
