"""Drift: a device that begins to read high is found, air as before is not, and a restart changes nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest

from aq_gym import SensorNetwork
from aq_gym.datasets import load_pku2018
from aq_gym.problem import Problem
from aq_gym.service import drift
from aq_gym.service.control import register_devices
from aq_gym.service.database import Alert, Plan, make_engine
from aq_gym.service.fleet import Air, SyntheticAir
from aq_gym.service.level import estimate_level
from aq_gym.service.maps import infer_map
from aq_gym.service.services import Services
from aq_gym.service.settings import Settings
from aq_gym.service.store import Report, Store

BEGIN, GAIN, FOUND_WITHIN = 900, 1.3, 144  # slots; the stated time: a day


def simulate(
    slots: int, seed: int, gain: float = 1.0, air: Air | None = None, network: str = "pku2018"
) -> tuple[Settings, Store]:
    """Devices that read in turn, every sixth slot each; from `BEGIN` on the first one reads too much."""
    problem = Problem.create(network, [0, 6, 12, 18, 24], 60, 10, 12)
    fitted, rng = problem.network, np.random.default_rng(seed)
    settings = Settings(problem)
    store = Store(make_engine("sqlite://"))
    store.create_tables()
    names = [device.id for device in register_devices(store, settings)]
    air, reports, plans = air or SyntheticAir(fitted, seed), [], []
    values, age = air(0)[list(problem.devices)], np.zeros(len(names), np.int64)
    for slot in range(slots):
        age += 1
        level = estimate_level(fitted, problem.devices, values, age).level
        m, truth = slot % 6, air(slot)
        if m < len(names):
            noise = 1.0 + fitted.measurement_variance**0.5 * rng.normal()
            values[m] = truth[problem.devices[m]] * noise * (gain if m == 0 and slot >= BEGIN else 1.0)
            age[m] = 0
            reports.append(Report(names[m], slot, float(values[m])))
        plans.append(
            Plan(slot=slot, cycle_slot=1, level=level, level_deviation=5.0, promised_error=5.0, state={}, decisions=[])
        )
    store.add_readings(reports)
    with store.session.begin() as session:
        session.add_all(plans)
    return settings, store


def alerts_at(settings: Settings, store: Store, slots: range) -> list[Alert]:
    """What the looks raise, stored as the control loop stores it."""
    found = []
    for slot in slots:
        raised = drift.drift_alerts(settings, store, Plan(slot=slot))
        with store.session.begin() as session:
            session.add_all(raised)
        found += raised
    return found


def test_a_change_of_the_mean_is_found_and_measured() -> None:
    rng = np.random.default_rng(0)
    calm, after = rng.normal(0.0, 1.0, 300), rng.normal(2.0, 1.0, 60)
    assert drift.change_of(calm) is None
    change = drift.change_of(np.concatenate([calm, after]))
    assert change is not None and change.before == pytest.approx(0.2, abs=0.2)
    assert change.after == pytest.approx(2.0, abs=0.4)
    assert drift.change_of(np.concatenate([calm, calm, calm + 0.3])) is None  # found, but of no consequence


def test_errors_of_forecasts_by_hand() -> None:
    stays = SensorNetwork.load("pku2018").coarsen(2)
    levels = np.full(13, stays.levels[0])
    p = np.linalg.matrix_power(stays.transition, drift.AHEAD)[0, 1]
    step = stays.levels[1] - stays.levels[0]
    assert drift.forecast_errors(stays, levels) == pytest.approx([p / np.sqrt(p * (1.0 - p))] * 2)
    levels[6:] += step
    assert drift.forecast_errors(stays, levels)[0] == pytest.approx((1.0 - p) / np.sqrt(p * (1.0 - p)))


def test_a_device_that_reads_high_is_found_in_time() -> None:
    settings, store = simulate(BEGIN + FOUND_WITHIN, 1, GAIN)
    looks = range(BEGIN - 2 * drift.EVERY, BEGIN + FOUND_WITHIN + 1, drift.EVERY)
    found = alerts_at(settings, store, looks)
    assert (found[0].kind, found[0].subject) == ("drift", "device_0") and found[0].slot > BEGIN
    names = [alert.subject for alert in found]  # the others' maps read the first one, so they may follow
    assert len(set(names)) == len(names), "once each, not at every look"
    again = Store(store.engine)  # a restart: nothing but the database
    at = found[0].slot
    assert "device_0" in drift.drifted(again, at) and drift.drifted(again, at + drift.WINDOW) == set()
    again.put_fact(drift.FACT, str(found[-1].slot + 1))  # retrained
    assert drift.drifted(again, BEGIN + FOUND_WITHIN) == set()
    assert not drift.drift_alerts(settings, again, Plan(slot=at + 1)), "looks come every few slots"


def test_air_as_before_is_hardly_ever_flagged() -> None:
    assert not any(drift.changes(*simulate(drift.WINDOW, seed), drift.WINDOW) for seed in range(3))


@pytest.mark.slow
def test_real_air_is_seldom_flagged(pku_data: Path) -> None:
    flagged = 0
    for network, table in zip(("pku2018-spring", "pku2018-summer"), load_pku2018()[0], strict=False):
        air = np.asarray(table, dtype=np.float64).__getitem__
        settings, store = simulate(2 * drift.WINDOW, 0, air=air, network=network)
        flagged += sum(len(drift.changes(settings, store, k * drift.WINDOW - 1)) for k in (1, 2))
    assert flagged <= 2  # of 24 fortnights of a stream


def test_the_control_loop_raises_it_and_metrics_show_it(
    make_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    services = make_services()
    services.controller.plan_until(1)
    assert b'aq_drift{stream="forecast"} 0.0' in generate_latest(services.metrics.registry)
    monkeypatch.setattr(drift, "change_of", lambda values: drift.Change(0.1, 2.0))
    services.controller.plan_until(drift.EVERY)
    raised = [alert for alert in services.store.alerts(0, 1000) if alert.kind == "drift"]
    assert {alert.subject for alert in raised} == {"device_0", "device_1", "device_2", "forecast"}
    assert all(alert.slot == drift.EVERY for alert in raised)
    text = generate_latest(services.metrics.registry)
    assert b'aq_drift{stream="forecast"} 1.0' in text and b'aq_drift{stream="device_2"} 1.0' in text


def test_a_place_is_inferred_as_the_map_infers_it() -> None:
    network = SensorNetwork.load("pku2018")
    given = [6, 12, 24], [40.0, 55.0, 61.0], [1, 0, 7], 52.0
    problem = Problem.create(network, [6, 12, 24], 60, 10, 12)
    whole, place = infer_map(problem, *given), infer_map(problem, *given, wanted=[3])
    assert np.ravel(place) == pytest.approx([whole.mean[3], whole.deviation[3]])
