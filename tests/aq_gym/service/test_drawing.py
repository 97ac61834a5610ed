"""What is drawn and said on the page, in a real browser: no mark covers another, and trouble is named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.aq_gym.service.browser import CHROMIUM, Browser
from tests.aq_gym.service.conftest import Running

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


HEAP = """
const { drawMap } = await import("/static/map.js");
const places = Array.from({ length: 69 }, (_, n) => ({
  location: n, name: `place ${n}`, east: n < 30 ? 0 : 700 * n, north: n < 30 ? 0 : 900 * (n % 7), mean: 40,
  standard_deviation: 3, interval_90: null, joint_error: 4, source: n % 2 ? "measured" : "inferred" }));
const devices = places.slice(0, 60).map((_, n) => ({
  device: n % 3 ? `\u677e\u5c71\u5340\u5065\u5eb7\u570b${n}` : `device_${n}`, location: n, sense: n % 4 === 0,
  stale: n === 5, energy: 2, lost: 0, wake_by: 9, last_report: 3, last_value: 40, decrease: 0.2,
  scarcity: 1, forced: false }));
const now = { slot: 8, air_seconds: 600, horizon: 12, cycle_slot: 8, energy_budget: 6, level: 40, devices,
  locations: places };
const [drawn, legend] = [document.createElement("div"), document.createElement("p")];
drawn.id = "drawn";
document.querySelector("#map").after(drawn);
drawMap(drawn, legend, now, "level");
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_no_mark_of_the_map_covers_another(running: Running, tmp_path: Path, width: int) -> None:
    """Thirty places on one spot, sixty devices, some with Chinese names."""
    with Browser(tmp_path, width) as browser:
        browser.go(running.url)
        browser.wait("document.querySelector('#view')?.innerText.includes('No reading yet')")
        browser.value(f"(async () => {{ {HEAP} }})()")
        browser.wait("document.querySelectorAll('#drawn .place-value').length === 69")
        boxes = "JSON.stringify([...document.querySelectorAll(%r)].map((x) => x.getBoundingClientRect()))"
        marks = json.loads(browser.value(boxes % "#drawn .inferred, #drawn .measured"))
        names = json.loads(browser.value(boxes % "#drawn .device-box"))
        texts = json.loads(browser.value(boxes % "#drawn .device-name"))
        (frame,) = json.loads(browser.value(boxes % "#drawn svg"))
    middles = np.array([[x["left"] + x["width"] / 2, x["top"] + x["height"] / 2] for x in marks])
    apart = np.hypot(*(middles[:, None] - middles[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(marks))
    assert apart.min() > 0.8 * marks[0]["width"]
    assert 5 < len(names) < 60
    for k, x in enumerate(names):
        assert frame["left"] <= x["left"] and x["right"] <= frame["right"], "a name is cut off"
        assert x["left"] <= texts[k]["left"] and texts[k]["right"] <= x["right"], "a name is wider than its box"
        for other in [*names[:k], *marks]:
            beside = x["left"] >= other["right"] or other["left"] >= x["right"]
            assert beside or x["top"] >= other["bottom"] or other["top"] >= x["bottom"], "a name covers something"


def test_what_the_page_says_of_trouble(running: Running, tmp_path: Path) -> None:
    services = running.services
    with Browser(tmp_path) as browser:
        browser.go(running.url + "/#operator")
        browser.wait("document.querySelector('#connection')?.textContent === 'live'")
        running.report(0, 60.0)
        for slot in range(1, 10):  # nobody reports any more
            services.controller.plan_until(slot)
        browser.wait("document.querySelector('#view').innerText.split('silent').length === 4")
        said = browser.value("document.querySelector('#view').innerText")
        assert said.startswith("Alerts") and re.search(r"µg/m³; read 1\.5 h ago", said) and "Location 6." in said
        browser.value("import('/static/words.js').then((found) => (window.words = found))")
        browser.wait("window.words !== undefined")
        spent = "{ sense: false, energy: 0, decrease: 0.4, scarcity: 6, lost: 0, forced: false, stale: false }"
        assert "no energy left" in browser.value(f"words.why({spent}, {{ cycle_slot: 3 }})")
        assert browser.value("words.span(3, 4) + ', ' + words.span(3, 60)") == "12 s, 3 min"
        answer = """new Response('{"reason": "the database does not answer; wait"}', { status: 503 })"""
        browser.value(f"void (window.fetch = async () => {answer})")
        running.report(9, 60.0)
        browser.wait("document.querySelector('#connection').textContent === 'the database does not answer'")
