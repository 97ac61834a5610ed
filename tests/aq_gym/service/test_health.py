"""Averages, indices and the outlook, by hand; the daily report and the exports."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from flask.testing import FlaskClient

from aq_gym import SensorNetwork
from aq_gym.forecasting.forecaster import QUANTILES
from aq_gym.service import api_views, health, report
from aq_gym.service.app import create_app
from aq_gym.service.intake import Report
from aq_gym.service.outlook import chain_forecast
from aq_gym.service.services import Services

Make = Callable[..., Services]
Air = Callable[[int], float]
aqi_hub = pytest.importorskip("aqi_hub", reason="indices need pip install 'aq-gym[service]'")


def fill(make_services: Make, air: Air, slots: int) -> Services:
    """A service that has planned so many slots; every device that was due reported."""
    services = make_services(slots - 1)
    for slot in range(slots):
        plan = services.controller.plan_until(slot)[-1]
        reports = [Report(x["device"], slot, air(slot)) for x in plan.decisions if x["sense"]]
        if reports:
            services.store.add_readings(reports)
    return services


@pytest.fixture
def day(make_services: Make, air: Air) -> FlaskClient:
    return create_app(fill(make_services, air, 26 * 6)).test_client()


def test_an_hour_is_the_mean_of_its_slots() -> None:
    levels = {slot: float(slot) for slot in range(1, 13)}
    assert health.hourly_means(levels, {3, 12}, 12, 6, 3) == [9.5, 3.5, None]


def test_an_hour_of_which_too_little_is_known_has_no_mean() -> None:
    levels = {slot: 10.0 for slot in (1, 2, 3, 4, 5, 7, 8, 9, 10)}
    assert health.hourly_means(levels, {1, 7}, 12, 6, 2) == [None, 10.0]  # 4 of 6 slots, then 5 of 6
    assert health.hourly_means(levels, {7}, 12, 6, 2) == [None, None]  # nobody read in the older one


def test_nowcast() -> None:
    assert health.nowcast([40.0, 20.0, None]) == pytest.approx((40.0 + 0.5 * 20.0) / 1.5)  # weight 20/40
    assert health.nowcast([30.0, 10.0]) == pytest.approx((30.0 + 0.5 * 10.0) / 1.5)  # 10/30 is less than it may be
    assert health.nowcast([20.0, None, 20.0]) == pytest.approx(20.0)
    assert health.nowcast([0.0, 0.0]) == 0.0
    assert health.nowcast([20.0, None, None, 20.0, 20.0]) is None
    assert health.nowcast([20.0] * 12 + [1000.0]) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("concentration", "index"),
    [(0.0, 0), (9.0, 50), (9.09, 50), (9.1, 51), (35.4, 100), (35.5, 101), (55.5, 151), (125.5, 201), (225.5, 301)],
)
def test_us_index(concentration: float, index: int) -> None:
    assert health.epa_index(concentration) == index


def test_the_us_index_ends() -> None:
    assert health.epa_index(325.39) >= 498 and health.epa_index(325.4) == health.epa_index(2000.0) == 500


def test_every_tenth_has_an_index_that_rises() -> None:
    index = [health.epa_index(k / 10.0) for k in range(4000)]
    assert index == sorted(index)


@pytest.mark.parametrize(("concentration", "index"), [(35.0, 50), (60.0, 100), (60.4, 100), (115.0, 150), (150.0, 200)])
def test_chinese_index(concentration: float, index: int) -> None:
    assert health.hj_index(concentration, "PM25_24H") == index


def test_each_standard_waits_for_the_average_that_it_asks_for() -> None:
    def known(hours: int) -> list[bool]:
        return [x["index"] is not None for x in health.assess([20.0] * hours + [None] * (24 - hours))]

    assert known(1) == [False, False, True, False]
    assert known(2) == [True, False, True, False]
    assert known(18) == [True, True, True, False]
    assert known(20) == [True, True, True, True]
    first = health.assess([None] * 24)[0]
    assert first["category"] is None and "2 of the last 3 hours" in first["reason"]


def test_health(day: FlaskClient) -> None:
    found = day.get("/api/v1/health").get_json()
    mean = np.mean([x for x in found["hours"] if x is not None])
    us = found["standards"][1]
    assert us["average"] == "24-hour mean" and us["concentration"] == pytest.approx(mean, abs=0.1)
    assert us["index"] == health.epa_index(us["concentration"]) and us["advice"] and "2024" in us["edition"]


def test_health_without_the_package_names_the_extra(make_services: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "aqi_usa", None)
    answer = create_app(make_services()).test_client().get("/api/v1/health")
    assert answer.status_code == 501 and "aq-gym[service]" in answer.get_json()["reason"]


def test_nothing_is_known_before_the_first_reading(make_services: Make) -> None:
    services = make_services(0)
    client = create_app(services).test_client()
    assert client.get("/api/v1/now").status_code == 503
    services.controller.plan_until(0)
    assert client.get("/api/v1/now").get_json()["locations"] == []
    assert client.get("/api/v1/levels").get_json()["levels"] == []
    assert client.get("/api/v1/forecast").status_code == client.get("/api/v1/report").status_code == 503
    page = client.get("/report")
    assert (page.status_code, page.mimetype) == (503, "text/html") and "nothing to report: no hour" in page.text
    assert all(x["index"] is None for x in client.get("/api/v1/health").get_json()["standards"])


def test_slots_that_are_longer_than_hours_make_no_index(make_services: Make) -> None:
    services = make_services(air_seconds=86400.0)
    for slot in range(3):
        services.controller.plan_until(slot)
        services.store.add_readings([Report(f"device_{m}", slot, 40.0) for m in range(3)])
    client = create_app(services).test_client()
    answer = client.get("/api/v1/health")
    assert answer.status_code == 501 and "a slot is 24 hours of air" in answer.get_json()["reason"]
    assert client.get("/api/v1/report").status_code == client.get("/report").status_code == 501


def test_report(day: FlaskClient) -> None:
    found = day.get("/api/v1/report").get_json()
    hours = [x for x in found["hours"] if x is not None]
    assert found["known_hours"] == len(hours) >= 18
    assert found["mean"] == pytest.approx(np.mean(hours), abs=0.01) and found["highest"] == max(hours)
    assert found["exceedance_hours"] == sum(x > found["alert_level"] for x in hours)
    assert found["hours"][23 - found["highest_hours_ago"]] == found["highest"]
    means = [x["mean"] for x in found["hotspots"]]
    assert means == sorted(means, reverse=True) and len(means) == report.HOTSPOTS
    page = day.get("/report").get_data(as_text=True)
    assert f"Location {found['hotspots'][0]['location']}<" in page and str(found["mean"]) in page


def test_trend() -> None:
    assert report.trend([5.0, 4.0, None, 2.0]) == {"per_hour": 1.0, "word": "rising"}
    assert report.trend([1.0, 2.0, 3.0])["word"] == "falling"
    assert report.trend([3.0, 3.1, 3.0])["word"] == "steady"
    assert report.trend([3.0, None, 3.0])["per_hour"] is None


def test_the_fan_is_the_chains() -> None:
    network = SensorNetwork.load("pku2018")
    level = float(network.levels[6])
    fan = chain_forecast(network, level, 75.0)[:3]
    power = np.linalg.matrix_power(network.transition, 3)[6]
    edges = 10.0 * np.arange(len(network.levels) + 1)
    want = np.interp(QUANTILES, np.concatenate([[0.0], np.cumsum(power)]), edges)
    np.testing.assert_allclose(fan[2][1], want)
    assert all((np.diff(row) >= 0).all() for _, row, _ in fan)
    assert fan[2][2] == pytest.approx(power[network.levels > 75.0].sum())
    between = chain_forecast(network, level + 2.5, 0.0)[0][1]  # 3 parts of this level's row, 1 of the next one's
    mass = 0.75 * network.transition[6] + 0.25 * network.transition[7]
    np.testing.assert_allclose(between, np.interp(QUANTILES, np.concatenate([[0.0], np.cumsum(mass)]), edges))


def test_parquet_holds_what_json_does(day: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    query = "?limit=7&since=3"
    answer, expected = day.get("/api/v1/history.parquet" + query), day.get("/api/v1/history" + query).get_json()
    assert parquet.read_table(io.BytesIO(answer.data)).to_pylist() == expected["readings"]
    assert answer.headers["X-Next"] == expected["next"]
    monkeypatch.setattr(api_views, "pyarrow", None)
    refused = day.get("/api/v1/history.parquet")
    assert refused.status_code == 501 and "aq-gym[service]" in refused.get_json()["reason"]
