"""Metrics, alerts, and whether the map keeps its promise."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aq_gym.service.app import create_app
from aq_gym.service.drift import LEAST_READINGS, confirm
from aq_gym.service.intake import Report
from aq_gym.service.services import Services

Make = Callable[..., Services]


def run(services: Services, read: Callable[[str, int], float], slots: int) -> None:
    for slot in range(slots):
        due = [x["device"] for x in services.controller.plan_until(slot)[-1].decisions if x["sense"]]
        if due:
            services.store.add_readings([Report(name, slot, read(name, slot)) for name in due])


def test_the_map_is_confirmed_where_devices_agree_and_not_where_one_is_broken(make_services: Make) -> None:
    rng = np.random.default_rng(0)
    services = make_services()
    run(services, lambda name, slot: 60.0 + rng.normal(0.0, 3.0), 60)
    calm = confirm(services.settings, services.store, 60)
    assert calm.readings >= LEAST_READINGS and calm.delivered < calm.promised and not calm.broken
    assert not [x for x in services.store.alerts(0) if x.kind == "unconfirmed"]


def test_a_broken_sensor_raises_one_alert(make_services: Make) -> None:
    services = make_services(alert_level=1000.0)
    run(services, lambda name, slot: 250.0 if name == "device_1" else 40.0, 70)
    assert confirm(services.settings, services.store, 70).broken
    assert [x.kind for x in services.store.alerts(0) if x.kind != "energy"] == ["unconfirmed"]


def test_a_spike_is_said_once_when_it_begins(make_services: Make) -> None:
    services = make_services(alert_level=75.0)
    run(services, lambda name, slot: 40.0 if slot < 5 else 140.0, 30)
    spikes = [x for x in services.store.alerts(0) if x.kind == "spike"]
    assert len(spikes) == 1 and re.search(r"is \d+\.\d µg/m³, above 75$", spikes[0].message)
    services.controller.plan_until(34)  # slots went by, and the air is as it was
    assert len(services.store.alerts(0, kind="spike")) == 1, "a stop is no new spike"


def test_metrics_can_be_read_and_count(make_services: Make) -> None:
    services = make_services(slot=9)
    run(services, lambda name, slot: 50.0, 10)
    client = create_app(services).test_client()
    headers = {"Authorization": "Bearer " + services.settings.operator_token}
    body = {"readings": [{"device": "device_0", "value": 51.0, "slot": 9}]}
    client.post("/api/v1/readings", json=body, headers=headers)
    client.get("/api/v1/no/such/path")
    text = client.get("/metrics").get_data(as_text=True)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert sum(value for key, value in found.items() if key[0] == "aq_readings_total") == 1
    assert found["aq_level",] == pytest.approx(client.get("/api/v1/now").json["level"])
    assert found["aq_http_request_seconds_count", "GET", "unknown", "404"] == 1
    assert found["aq_energy_left", "device_0"] == services.store.last_plan().state["energy"][0]


def test_no_level_is_claimed_before_a_reading_and_then_the_present_one(make_services: Make) -> None:
    services = make_services()
    services.controller.plan_until(0)
    client = create_app(services).test_client()

    def levels() -> list[float | None]:
        text = client.get("/metrics").get_data(as_text=True)
        metric = next(float(x.split()[1]) for x in text.splitlines() if x.startswith("aq_level "))
        now, plan = client.get("/api/v1/now").json, client.get("/api/v1/schedule").json
        return [now["level"], now["promised_error"], plan["level"], plan["promised_error"], metric]

    assert levels()[:4] == [None] * 4 and np.isnan(levels()[4])
    services.store.add_readings([Report(f"device_{m}", 0, x) for m, x in enumerate((41.0, 33.0, 45.0))])
    level, error, *planned, metric = levels()
    assert planned == [None, None] and metric == level
    assert 33.0 < level < 50.0 and 0.0 < error < 10.0
    found = client.get("/api/v1/map").json
    assert found["level"] == level and found["average_joint_error"] == error
    services.controller.plan_until(1)
    level, _, planned_level, planned_error, metric = levels()  # nobody has reported in this slot
    assert level == metric == pytest.approx(planned_level) and planned_error > 0.0
    services.store.add_readings([Report("device_0", 1, 90.0)])
    assert levels()[0] > level + 5.0 and levels()[2] == planned_level


def test_an_assumed_level_raises_and_hides_no_spike(make_services: Make) -> None:
    services = make_services(alert_level=45.0)  # the level that is assumed at first is higher
    run(services, lambda name, slot: 90.0, 3)
    assert [(x.kind, x.slot) for x in services.store.alerts(0)] == [("spike", 1)]
    quiet = make_services(alert_level=45.0, database="sqlite://")
    quiet.controller.plan_until(3)
    assert not [x for x in quiet.store.alerts(0) if x.kind == "spike"]
