"""The page and its events, over a real server and in a real browser."""

import http.client
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from aq_gym.service import app as app_module
from aq_gym.service.events import Live
from aq_gym.service.intake import Report
from aq_gym.service.services import Services
from tests.aq_gym.service.browser import CHROMIUM, Browser
from tests.aq_gym.service.conftest import WATCHERS, Running

Make = Callable[..., Services]
STATIC = Path(app_module.__file__).parent / "static"
SECONDS = 5.0  # until an event arrives; one on a quiet machine, this many on a busy one


def next_event(stream: http.client.HTTPResponse) -> tuple[str, dict[str, float]]:
    while not (line := stream.readline()).startswith(b"event:"):
        assert line, "the stream ended"
    return line.split()[1].decode(), json.loads(stream.readline().partition(b":")[2])


def test_events_say_what_has_changed(running: Running) -> None:
    stream = running.watch()
    assert stream.status == 200 and stream.headers["Content-Type"].startswith("text/event-stream")
    assert next_event(stream) == ("plan", {"slot": 0, "received": 0.0})
    running.report(0, 60.0)
    began = time.monotonic()
    kind, newest = next_event(stream)
    assert kind == "reading" and newest["received"] > 0.0 and time.monotonic() - began < SECONDS
    running.services.controller.plan_until(1)
    assert next_event(stream)[0] == "plan"


def test_fifty_watch_and_the_service_still_answers(running: Running) -> None:
    streams = [running.watch() for _ in range(WATCHERS)]
    for stream in streams:
        assert next_event(stream)[0] == "plan"
    refused = running.watch()
    assert refused.status == 503 and "/api/v1/now" in json.loads(refused.read())["reason"]
    running.report(0, 60.0)
    began = time.monotonic()
    assert {next_event(stream)[0] for stream in streams} == {"reading"}
    assert time.monotonic() - began < SECONDS
    running.hang_up()
    running.services.controller.plan_until(1)
    end = time.monotonic() + 10.0
    while running.live.watchers:  # a closed connection is noticed when something is sent
        assert time.monotonic() < end
        running.report(2, 60.0)
        time.sleep(0.05)
        running.services.controller.plan_until(running.services.store.newest().slot + 1)


def test_bytes_that_are_no_http_are_refused(running: Running) -> None:
    rng, netloc = np.random.default_rng(0), urlsplit(running.url).netloc
    line = b"POST /api/v1/readings HTTP/1.1\r\n"
    requests = [b"GET\r\n\r\n", line + b"Content-Length: -5\r\n\r\n", line + b"Content-Length: 1e3\r\n\r\n"]
    requests += [line + b"A: " + b"x" * 300_000 + b"\r\n\r\n", line + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"]
    requests += [bytes(rng.integers(0, 256, 200).tolist()) + b"\r\n\r\n" for _ in range(30)]
    for request in requests:
        with socket.create_connection(netloc.split(":"), timeout=20) as connection:
            connection.sendall(request)
            status = connection.makefile("rb").readline().split()[1]
        assert status[:1] == b"4", (request[:60], status)
    assert next_event(running.watch()) == ("plan", {"slot": 0, "received": 0.0}), "it still serves"


def test_a_stream_without_news_is_kept_alive(make_services: Make) -> None:
    live = Live(make_services().store, 1, heartbeat=0.01)
    assert live.join() and not live.join()
    events = live.events()
    assert next(events).startswith("retry:")
    seen = [next(events) for _ in range(40)]
    assert sum(x.startswith("event: plan") for x in seen) <= 1 and ": still here\n\n" in seen
    live.close()
    assert list(events) == []
    live.leave()


def test_a_head_request_holds_no_stream(make_services: Make) -> None:
    app = app_module.create_app(make_services())
    answer = app.test_client().head("/api/v1/events")
    assert answer.status_code == 200 and app.extensions["aq_gym_live"].watchers == 0


def test_now_is_made_once_for_each_change(make_services: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    services = make_services(0)
    services.controller.plan_until(0)
    client = app_module.create_app(services).test_client()
    first = client.get("/api/v1/now").get_json()
    assert first["slot"] == 0 and [x["sense"] for x in first["devices"]] == [True] * 3 and not first["locations"]
    services.store.add_readings([Report("device_1", 0, 70.0)])
    second = client.get("/api/v1/now").get_json()
    assert second["devices"][1]["last_value"] == 70.0
    assert second["locations"][6]["source"] == "measured" and second["locations"][7]["source"] == "inferred"
    monkeypatch.setattr("aq_gym.service.events.snapshot", lambda here: pytest.fail("made again without a change"))
    assert client.get("/api/v1/now").get_json() == second


def test_a_device_wakes_at_the_latest_when_its_sleep_or_the_budget_ends(make_services: Make) -> None:
    services = make_services(12)
    client = app_module.create_app(services).test_client()
    promised: set[tuple[str, int]] = set()
    for slot in range(services.settings.problem.horizon + 2):
        plan = services.controller.plan_until(slot)[-1]
        senses = [Report(x["device"], slot, 60.0) for x in plan.decisions if x["sense"]]
        assert {name for name, by in promised if by == slot} <= {x.device for x in senses}
        if senses:
            services.store.add_readings(senses)
        now = client.get("/api/v1/now").get_json()
        promised = {(x["device"], x["wake_by"]) for x in now["devices"]}
        assert slot < min(by for _, by in promised)


def test_the_page_needs_no_outside_host_and_no_inline_code(make_services: Make) -> None:
    client = app_module.create_app(make_services()).test_client()
    page = client.get("/")
    html = page.get_data(as_text=True)
    page.close()
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy
    for name in ["/", *(f"/static/{x.name}" for x in STATIC.iterdir())]:
        answer = client.get(name)
        text = answer.get_data(as_text=True)
        answer.close()
        assert answer.status_code == 200 and len(text.splitlines()) <= 300
        outside = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text)) - {"http://www.w3.org/2000/svg"}
        assert not outside, f"{name} names {outside}"
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", html)


def test_the_colours_are_the_standards_classes() -> None:
    usa = pytest.importorskip("aqi_hub.aqi_usa", reason="needs aqi-hub")
    ends = [float(x) for x in re.findall(r"upto: ([\d.]+)", (STATIC / "words.js").read_text())]
    assert ends == [x[1] for x in usa.breakpoints["PM25_24H"]][:5]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(running: Running, tmp_path: Path, width: int) -> None:
    with Browser(tmp_path, width) as browser:
        browser.go(running.url + "/#citizen")
        browser.wait("document.querySelector('#view')?.innerText.includes('No reading yet')")
        assert browser.value("document.querySelectorAll('#map .place-value, .badge').length") == 0
        for slot in range(4):
            running.services.controller.plan_until(slot)
            running.report(slot, 60.0 + slot)
        browser.wait("document.querySelectorAll('#map .place-value').length === 30")
        assert "US EPA" in browser.value("document.querySelector('#legend').innerText")
        boxes = "JSON.stringify([...document.querySelectorAll(%r)].map((x) => x.getBoundingClientRect()))"
        tabs = json.loads(browser.value(boxes % "[role=tab]"))
        assert len({x["top"] for x in tabs}) == 1 and max(x["right"] for x in tabs) <= width, "a tab is cut or wrapped"
        (chart_map,) = json.loads(browser.value(boxes % ".map-card"))
        first, second, *_ = json.loads(browser.value(boxes % ".sheet > .card"))
        assert width > 600 or first["bottom"] < chart_map["top"] < chart_map["bottom"] < second["top"]
        browser.value("location.hash = 'operator'")
        browser.wait("document.querySelectorAll('[data-device]').length === 3")
        level = running.live.now(running.services)
        browser.wait(f"document.querySelector('#view').innerText.includes('{json.loads(level)['level']:.1f}')")
        assert browser.value("document.querySelectorAll('#map .place-value').length") == 30
        browser.wait("document.querySelector('#connection').textContent === 'live'")
        time.sleep(0.5)
        running.report(4, 123.4)
        assert browser.wait("document.querySelector('#view').innerText.includes('123.4')") < SECONDS

        # the tabs by keyboard; every view shows something
        for view in ("researcher", "citizen", "planner", "official", "operator"):
            browser.value("document.querySelector('[role=tab][aria-selected=true]').focus()")
            for kind in ("keyDown", "keyUp"):
                browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight")
            browser.wait(f"document.querySelector('[aria-selected=true]').dataset.view === '{view}'")
            browser.wait(f"location.hash === '#{view}' && document.querySelector('#view').innerText.length > 30")
            assert browser.value("document.activeElement.dataset.view") == view
            if view == "planner":
                assert "Markov chain" in browser.value("document.querySelector('#view').innerText")
            assert browser.value("document.documentElement.scrollWidth") <= width
        # a new slot draws the view anew, and the focus stays where it was
        browser.value("location.hash = 'planner'")
        browser.wait("document.querySelector('#view .scroll') !== null")
        browser.value("window.old = document.querySelector('#view .scroll'), window.old.focus()")
        running.services.controller.plan_until(4)
        browser.wait("!window.old.isConnected")
        assert browser.value("document.activeElement.className") == "scroll"
        assert browser.problems == [] or all("503" in x for x in browser.problems)
        assert {urlsplit(x).netloc for x in browser.requested} == {urlsplit(running.url).netloc}
