"""A real Prometheus reads a real server by the shipped rules, and an alert fires."""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from baselines.studies.service.server import Server, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus (apt install prometheus)"),
]
SCRAPE = "200ms"
SECONDS = 60.0


def configure(deploy: Path, folder: Path, target: str) -> None:
    """The shipped configuration and rules, with shorter pauses and another target; nothing else is changed."""
    text = (deploy / "prometheus.yml").read_text("utf-8")
    text, durations = re.subn(r"(scrape_interval|evaluation_interval): \w+", rf"\1: {SCRAPE}", text)
    text, targets = re.subn(r'targets: \["service:8000"\]', f'targets: ["{target}"]', text)
    assert (durations, targets) == (2, 1)
    (folder / "prometheus.yml").write_text(text)
    rules, waits = re.subn(r"for: \w+", "for: 0s", (deploy / "rules.yml").read_text("utf-8"))
    assert waits >= 5
    (folder / "rules.yml").write_text(rules)


def firing(port: int) -> set[tuple[str, str | None]]:
    """Names of the alerts that fire, with their device."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts", timeout=5) as answer:
        alerts = json.loads(answer.read())["data"]["alerts"]
    return {(x["labels"]["alertname"], x["labels"].get("device")) for x in alerts if x["state"] == "firing"}


def test_a_missed_wake_up_fires_in_prometheus(root: Path, tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve("--slot-seconds", "0.5")  # nobody reports, so every device misses its first wake-up
    configure(root / "aq_gym/service/deploy", tmp_path, f"127.0.0.1:{server.port}")
    port = free_port()
    command = ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, "--storage.tsdb.path=tsdb"], cwd=tmp_path, stdout=log, stderr=log)
    try:
        wanted, seen, end = {("MissedWakeUp", f"device_{m}") for m in range(5)}, set(), time.monotonic() + SECONDS
        while not wanted <= seen:
            assert time.monotonic() < end, f"firing: {seen}; {(tmp_path / 'prometheus.log').read_text()[-1500:]}"
            assert process.poll() is None, (tmp_path / "prometheus.log").read_text()[-1500:]
            time.sleep(0.2)
            try:
                seen = firing(port)
            except OSError:  # it is starting
                continue
        assert "ServiceDown" not in {name for name, _ in seen}
        server.kill()
        while "ServiceDown" not in {name for name, _ in firing(port)}:
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
