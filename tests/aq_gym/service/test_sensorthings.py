"""The SensorThings subset, as a client reads it: link by link."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from aq_gym.service.app import create_app
from aq_gym.service.intake import Report
from aq_gym.service.services import Services


@pytest.fixture
def client(make_services: Callable[..., Services]) -> FlaskClient:
    services = make_services(slot=9)
    services.store.add_readings([Report(f"device_{m}", slot, 10.0 * m + slot) for m in range(3) for slot in range(5)])
    return create_app(services).test_client()


def test_all_links_lead_somewhere(client: FlaskClient) -> None:
    seen, open_links = set(), ["/sta/v1.1/"]
    while open_links:
        link = open_links.pop()
        if link in seen:
            continue
        seen.add(link)
        answer = client.get(link)
        assert answer.status_code == 200, link
        rows = answer.json.get("value", [answer.json])
        open_links += [v for row in rows for k, v in row.items() if k == "url" or k.endswith("Link")]
    assert sum("/Observations(" in x for x in seen) == 15


def test_pages_hold_every_observation_once_in_order(client: FlaskClient) -> None:
    link, times, ids = "/sta/v1.1/Observations?$top=4&$orderby=phenomenonTime desc", [], []
    while link:
        page = client.get(link).json
        assert len(page["value"]) <= 4
        times += [x["phenomenonTime"] for x in page["value"]]
        ids += [x["@iot.id"] for x in page["value"]]
        link = page.get("@iot.nextLink")
    assert len(set(ids)) == len(ids) == 15 and times == sorted(times, reverse=True)


def test_values_and_units(client: FlaskClient) -> None:
    found = client.get("/sta/v1.1/Datastreams(2)/Observations?$skip=1&$top=1").json["value"]
    assert [x["result"] for x in found] == [21.0] and found[0]["phenomenonTime"] == "1970-01-01T00:16:40+00:00"
    assert client.get("/sta/v1.1/Datastreams(2)").json["unitOfMeasurement"]["symbol"] == "ug/m3"


@pytest.mark.parametrize(
    ("query", "status"),
    [("$filter=result gt 3", 501), ("$orderby=result", 501), ("$top=-1", 400), ("$skip=x", 400), ("$top=", 400)],
)
def test_what_is_not_supported_is_refused(client: FlaskClient, query: str, status: int) -> None:
    answer = client.get("/sta/v1.1/Observations?" + query)
    assert answer.status_code == status and query.partition("=")[0] in answer.json["reason"]
    assert client.get("/sta/v1.1/Things(7)").status_code == 404
