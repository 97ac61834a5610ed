"""Migrations, logs, webhooks, leadership and deployment files."""

import json
import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from aq_gym.problem import Problem
from aq_gym.service.database import Alert, Base, make_engine
from aq_gym.service.leader import Leadership
from aq_gym.service.logs import JsonFormatter
from aq_gym.service.services import Services
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store
from aq_gym.service.webhooks import Webhooks

Make = Callable[..., Services]


def test_migrations_make_the_tables_of_the_models(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/a.sqlite3")
    Base.metadata.create_all(engine)  # as a database from before the migrations
    for _ in range(2):
        Store(engine).create_tables()
    fresh = make_engine(f"sqlite:///{tmp_path}/b.sqlite3")
    Store(fresh).create_tables()
    for made in (engine, fresh):
        with made.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_plans_of_an_older_database_say_what_was_known(tmp_path: Path) -> None:
    store = Store(make_engine(f"sqlite:///{tmp_path}/a.sqlite3"))
    store.create_tables()
    rows = [(0, 50.0), (1, 50.0), (2, 61.0), (3, 50.0)]
    with store.engine.begin() as connection:
        connection.execute(text("alter table plan drop column level_deviation"))
        connection.execute(text("update alembic_version set version_num = '0001'"))
        for slot, level in rows:
            connection.execute(text(f"insert into plan values ({slot}, {slot}, {level}, 5.0, '{{}}', '[]')"))
    store.create_tables()
    assert [(x.slot, x.level) for x in store.levels(0)] == rows[2:], "the first level stood for nothing"
    assert [store.plan(slot).level_deviation for slot in range(4)] == [None, None, 0.0, 0.0]  # type: ignore[union-attr]


def test_a_log_line_is_one_json_object() -> None:
    record = logging.LogRecord("aq_gym.service", logging.INFO, "", 0, "two\nlines", (), None)
    record.about = {"slot": 3}
    line = JsonFormatter().format(record)
    assert "\n" not in line and json.loads(line)["event"] == "two\nlines" and json.loads(line)["slot"] == 3


def test_a_process_logs_to_stdout(tmp_path: Path) -> None:
    code = (
        "import logging; from aq_gym.service import logs; logs.configure('INFO');"
        "[logging.getLogger(name).info('seen') for name in ('aq_gym.service', 'alembic', 'waitress.queue')]"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["logger"] == "aq_gym.service" and found.stderr == ""


def test_requests_are_logged_without_tokens(make_services: Make, caplog: pytest.LogCaptureFixture) -> None:
    from aq_gym.service.app import create_app

    with caplog.at_level(logging.INFO):
        create_app(make_services()).test_client().get("/healthz?token=abc", headers={"Authorization": "Bearer abc"})
    lines = [JsonFormatter().format(x) for x in caplog.records]
    about = next(json.loads(x) for x in lines if json.loads(x)["event"] == "request")
    assert (about["route"], about["status"]) == ("/healthz", 200) and not any("abc" in x for x in lines)


def test_one_of_two_leads_and_the_other_takes_over(tmp_path: Path) -> None:
    first, second = (Leadership(make_engine(f"sqlite:///{tmp_path}/s.sqlite3")) for _ in range(2))
    assert first.held() and first.held() and not second.held()
    first.release()
    assert second.held() and not first.held()
    second.release()


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, object]], list[int]]]:
    """A receiver of webhooks: its URL, what came, and the statuses it is to answer with (200 when there are none)."""
    came: list[dict[str, object]] = []
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = statuses.pop(0) if statuses else 200
            came.append({**body, "path": self.path, "answer": status})
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/secret", came, statuses
    server.shutdown()
    thread.join()
    server.server_close()


def test_webhooks_try_again_and_go_on_after_a_restart(
    make_services: Make, receiver: tuple[str, list[dict[str, object]], list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    url, came, statuses = receiver
    store, leader = make_services().store, Leadership(make_engine("sqlite://"))
    statuses += [500, 302]
    plan = make_services().controller.plan_until(0)[0]
    plan.slot = 1
    store.add_plan(plan, [Alert(slot=1, kind=x, subject="area", message="hi") for x in ("a", "b")])
    hook = Webhooks(store, url, leader, first_pause=0.01)
    hook.start()
    for _ in range(500):
        if len(came) >= 4:
            break
        threading.Event().wait(0.01)
    hook.stop()
    assert [(x["kind"], x["answer"]) for x in came] == [("a", 500), ("a", 302), ("a", 200), ("b", 200)]
    assert {x["path"] for x in came} == {"/secret"}, "a redirection was followed"
    assert "secret" not in " ".join(JsonFormatter().format(x) for x in caplog.records)
    Webhooks(store, url, leader).send_new()
    assert len(came) == 4


@pytest.mark.parametrize("url", ["http://other.org/x", "file:///etc/passwd", "http://listed.org@other.org/"])
def test_webhooks_go_to_listed_hosts_alone(problem: Problem, url: str) -> None:
    with pytest.raises(ValueError, match=r"listed host \(listed.org\)"):
        Settings(problem, webhooks=(url,), webhook_hosts=("listed.org",))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt install prometheus)")
def test_prometheus_takes_the_configuration(root: Path) -> None:
    command = ["promtool", "check", "config", "prometheus.yml"]
    done = subprocess.run(command, cwd=root / "aq_gym/service/deploy", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_ask_for_metrics_that_exist(root: Path, make_services: Make) -> None:
    import re

    from prometheus_client import generate_latest

    services = make_services()
    services.controller.plan_until(1)
    exported = generate_latest(services.metrics.registry).decode()
    for name in ("rules.yml", "dashboard.json"):
        text = (root / "aq_gym/service/deploy" / name).read_text("utf-8")
        asked = set(re.findall(r"\baq_(?!gym)[a-z_]+", text))
        assert asked and all(re.sub("_(total|count|bucket)$", "", x) in exported for x in asked), asked


def test_manifests_follow_their_schemas(root: Path) -> None:
    pytest.importorskip("kubernetes_validate")
    deploy, tools = root / "aq_gym/service/deploy", Path(sys.executable).parent
    checks = [
        [tools / "kubernetes-validate", "--strict", deploy / "kubernetes/service.yaml"],
        [tools / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", deploy / "compose.yaml"],
    ]
    for command in checks:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
