"""Nothing that a client sends ends in a server error, and nobody writes without a token."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings

from aq_gym.service.app import create_app
from aq_gym.service.intake import Report
from aq_gym.service.services import Services
from tests.aq_gym.service.conftest import OPERATOR

REQUESTS = 2_000
GOOD = json.dumps({"readings": [{"device": "device_0", "value": 12.5, "slot": 3, "unit": "ug/m3"}]}).encode()
WRONG = [
    *(b"", b"null", b"[]", b"{}", b'{"readings": []}', b'{"readings": [{}]}', b"[" * 5000, b"\xff\xfe", b'{"a": NaN}'),
    *(GOOD.replace(b"12.5", x) for x in (b"-1", b"1e400", b"NaN", b'"1"', b"true", b"null", b"9" * 400, b"[1]")),
    *(GOOD.replace(b": 3", x) for x in (b": -1", b": 1e9", b": 3.5", b": " + b"9" * 40, b': "3"', b": 999999")),
    *(GOOD.replace(b"device_0", x) for x in (b"nobody", b"x" * 999, b"\\u0000", b"\\ud800", b"' OR 1=1 --")),
    *(GOOD.replace(b"ug/m3", x) for x in (b"ppm", b"")),
]
KINDS = ["application/json", "text/plain", "", "application/json; charset=utf-99", "multipart/form-data", "a" * 300]
TOKENS = [f"Bearer {OPERATOR}", "Bearer", "Bearer \u00e9", "Basic abc", "", "Bearer " + "x" * 4000, "Bearer \x80\xff"]
OTHERS = [{}, {"Accept": "\x00"}, {"Content-Encoding": "gzip"}, {"If-None-Match": '"' * 99}, {"X-Forwarded-For": "é"}]


@pytest.fixture
def client(make_services: Callable[..., Services]) -> FlaskClient:
    services = make_services(slot=9, rate_per_second=1e6)
    for slot in range(10):
        services.controller.plan_until(slot)
        services.store.add_readings([Report(f"device_{m}", slot, 30.0 + m) for m in range(3)])
    return create_app(services).test_client()


def stored(client: FlaskClient) -> list[dict[str, Any]]:
    return list(client.get("/api/v1/history").json["readings"])


def test_malformed_requests_are_refused_with_a_reason(client: FlaskClient) -> None:
    rng = np.random.default_rng(0)
    before = stored(client)
    for k in range(REQUESTS):
        kind, token, other = KINDS[k % len(KINDS)], TOKENS[k // 2 % len(TOKENS)], OTHERS[k // 3 % len(OTHERS)]
        body = bytearray(GOOD if k % 2 else WRONG[rng.integers(len(WRONG))])
        if k % 2:  # a good body that is cut off, or has a byte that it should not have
            body[rng.integers(len(body)) :] = b"" if k % 4 == 1 else bytes(rng.integers(0, 256, 3).tolist())
        headers = {"Authorization": token, "Content-Type": kind, **other}
        answer = client.post("/api/v1/readings", data=bytes(body), headers=headers)
        assert 400 <= answer.status_code < 500, (k, body[:80], headers)
        assert answer.json["reason"], "no reason"
    assert stored(client) == before


def writing_routes(client: FlaskClient) -> list[tuple[str, str]]:
    """Method and path of every route of the OpenAPI document that is not read-only, an operator's or a device's."""
    paths = client.get("/openapi/openapi.json").json["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods if method not in ("get", "head")]


def test_no_token_no_write(client: FlaskClient) -> None:
    routes = writing_routes(client)
    assert len(routes) >= 3
    before = stored(client), client.get("/api/v1/devices").json
    for method, path in routes:
        where = path.replace("{device}", "device_0")
        assert "{" not in where, f"{path}: say here what its parameter is to be"
        for token in ("", "Bearer ", "Bearer wrong", "Basic " + OPERATOR):
            headers = {"Authorization": token, "Content-Type": "application/json"}
            answer = client.open(where, method=method.upper(), data=GOOD, headers=headers)
            assert answer.status_code in (401, 403), (method, path, token)
    assert (stored(client), client.get("/api/v1/devices").json) == before


def test_the_document_has_every_route_and_says_which_need_a_token(client: FlaskClient) -> None:
    paths = client.get("/openapi/openapi.json").json["paths"]
    assert all(paths[path][method].get("security") for method, path in writing_routes(client))
    rules = [x for x in client.application.url_map.iter_rules() if x.methods - {"GET", "HEAD", "OPTIONS"}]
    writing = {path.replace("{", "<").replace("}", ">") for _, path in writing_routes(client)}
    assert {x.rule for x in rules} == writing, "a route writes and is not in the document"


@pytest.mark.slow
def test_the_openapi_document_leads_to_no_server_error(client: FlaskClient) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi/openapi.json", client.application)
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            answer = case.call(headers={"Authorization": f"Bearer {OPERATOR}"})
            assert answer.status_code < 500, (case.path, answer.content)

        check()


@pytest.mark.parametrize("unit", ["\u00b5g/m³", "\u03bcg/m³", "ug/m3", "mg/m³"])
def test_units_and_both_letters_for_micro(make_services: Callable[..., Services], unit: str) -> None:
    client, value = create_app(make_services(slot=9)).test_client(), 0.0125 if unit[0] == "m" else 12.5
    body = {"readings": [{"device": "device_0", "value": value, "slot": 3, "unit": unit}]}
    answer = client.post("/api/v1/readings", json=body, headers={"Authorization": f"Bearer {OPERATOR}"})
    assert answer.status_code == 201 and [x["value"] for x in stored(client)] == [12.5]


def test_a_body_that_is_too_large_is_told_how_large_it_may_be(client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"}
    answer = client.post("/api/v1/readings", data=b" " * 2**21, headers=headers)
    assert answer.status_code == 413 and "at most 1,048,576 bytes" in answer.json["reason"]
