"""Names and degrees of a network's locations, from its card to the API."""

from collections.abc import Callable

import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.ingestion.stations import off_the_plane, on_a_plane, plane_origin
from aq_gym.network_files import read_card
from aq_gym.service.app import create_app
from aq_gym.service.intake import Report
from aq_gym.service.places import Places
from aq_gym.service.services import Services

Make = Callable[..., Services]
NAMES = ("Hafen", "a/b", *(f"s{k}" for k in range(2, 30)))


def test_the_plane_leads_back_to_degrees_across_the_date_line() -> None:
    degrees = np.array([[179.99, -17.0], [-179.98, -17.02], [179.97, -16.99]])
    origin = plane_origin(degrees)
    np.testing.assert_allclose(off_the_plane(on_a_plane(degrees), origin), degrees, atol=1e-9)
    assert -180.0 <= origin[0] < 180.0


def test_a_bundled_card_names_and_places_its_stations() -> None:
    network = SensorNetwork.load("tainan2017")
    places = Places.of(network, read_card("tainan2017"))
    assert places.name(0) == "b038" and places.device_name(3, 0) == "b038"
    east, north = places.degrees(network, 0) or (0.0, 0.0)
    assert 120.1 < east < 120.4 and 22.8 < north < 23.2


def test_cards_of_other_networks_and_numbered_columns_name_nothing() -> None:
    network = SensorNetwork.synthetic(3, seed=0)
    for card in ({}, {"stations": ["a"]}, {"stations": {"0": {}, "1": {}, "2": {}}}, {"data": 3}):
        assert Places.of(network, card) == Places()
    assert Places().device_name(2, 7) == "device_2" and Places().name(7) == "Location 7"


def test_the_api_names_devices_and_locations(make_services: Make) -> None:
    services = make_services(places=Places(NAMES, (9.99, 53.55)))
    services.controller.plan_until(0)
    assert [x.id for x in services.store.devices()] == ["Hafen", "s6", "s12"]
    services.store.add_readings([Report("Hafen", 0, 40.0)])
    client = create_app(services).test_client()
    assert [x["name"] for x in client.get("/api/v1/map").json["locations"]] == list(NAMES)
    assert client.get("/api/v1/now").json["degrees"] is True
    for answer in (client.get("/api/v1/history?device=harbour"), client.get("/api/v1/history.csv?device=harbour")):
        assert answer.status_code == 404 and answer.json["reason"] == "no device 'harbour'; there are Hafen, s6, s12"
    features = client.get("/api/v1/map.geojson").json["features"]
    longitude, latitude = np.array([x["geometry"]["coordinates"] for x in features]).T
    assert np.abs(longitude - 9.99).max() < 0.05 and np.abs(latitude - 53.55).max() < 0.05
    found = client.get("/sta/v1.1/Locations(1)").json
    assert found["name"] == "s6" and found["location"]["coordinates"] == features[6]["geometry"]["coordinates"]


def test_pages_of_the_history_follow_names_in_any_script(make_services: Make) -> None:
    """A name of Chinese letters in the header X-Next ended in a server error."""
    names = ("萬壽寺 甲", *NAMES[1:6], "Süd-Straße", *NAMES[7:])
    services = make_services(places=Places(names))
    services.controller.plan_until(0)
    devices = [x.id for x in services.store.devices()]
    assert devices == [names[0], names[6], names[12]]
    services.store.add_readings([Report(device, 0, 40.0) for device in devices])
    client, seen, cursor = create_app(services).test_client(), [], ""
    for _ in devices:
        answer = client.get("/api/v1/history.csv", query_string={"limit": 1, "cursor": cursor})
        page = client.get("/api/v1/history", query_string={"limit": 1, "cursor": cursor}).json
        cursor = answer.headers["X-Next"]
        assert cursor.isascii() and page["next"] == cursor
        seen.append(page["readings"][0]["device"])
    assert sorted(seen) == sorted(devices)


def test_metres_are_never_given_as_geojson(make_services: Make) -> None:
    services = make_services()
    services.controller.plan_until(0)
    services.store.add_readings([Report("device_0", 0, 40.0)])
    client = create_app(services).test_client()
    for path in ("/api/v1/map.geojson", "/sta/v1.1/Locations(1)"):
        answer = client.get(path)
        assert answer.status_code == 404 and "where on Earth" in answer.json["reason"]
    assert client.get("/sta/v1.1/Things(1)/Locations").json == {"value": []} == client.get("/sta/v1.1/Locations").json
    assert client.get("/api/v1/map").json["locations"][1]["east"] is not None


@pytest.mark.parametrize(
    ("body", "kind", "status", "reason"),
    [
        ("{", "application/json", 400, "the body: no JSON: Expecting property name"),
        ('{"readings": []}', None, 415, "Content-Type: expected application/json, got none"),
        ('{"readings": []}', "text/plain", 415, "Content-Type: expected application/json, got text/plain"),
        ("[1]", "application/json", 422, "the body: expected a JSON object"),
        ('{"readings": [3]}', "application/json", 422, "readings[0]: expected a JSON object"),
        (
            '{"readings": [{"device": "x", "value": 1, "time": 3}]}',
            "application/json",
            422,
            "readings[0].time: no such",
        ),
        ('{"readings": [{"device": "x", "value": 1}]}', "application/json", 422, "there are device_0, device_1"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(
    make_services: Make, body: str, kind: str | None, status: int, reason: str
) -> None:
    services = make_services()
    headers = {"Authorization": f"Bearer {services.settings.operator_token}"}
    answer = create_app(services).test_client().post("/api/v1/readings", data=body, content_type=kind, headers=headers)
    assert answer.status_code == status and reason in answer.json["reason"]


def test_the_status_says_what_became_of_readings(make_services: Make) -> None:
    services = make_services()
    client, headers = (
        create_app(services).test_client(),
        {"Authorization": f"Bearer {services.settings.operator_token}"},
    )

    def send(*values: float) -> tuple[int, int]:
        readings = [{"device": f"device_{m}", "value": x} for m, x in enumerate(values)]
        answer = client.post("/api/v1/readings", json={"readings": readings}, headers=headers)
        return answer.status_code, len(answer.json["conflicting"])

    assert send(41.0) == (201, 0)
    assert send(41.0) == (200, 0)
    assert send(42.0) == (409, 1)
    assert send(42.0, 33.0) == (201, 1)
    assert client.post("/api/v1/devices/Hafen/token", headers=headers).json["reason"].endswith("device_1, device_2")
