"""What scripts.serve serves: the problem of an id, changed by options; policies that cannot play it are refused."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aq_gym.episodes import Episodes
from aq_gym.problem import Problem
from aq_gym.service.artefacts import NETWORK, Artefacts
from aq_gym.service.fleet import Fleet
from baselines.heuristics.problems import entry_problem, same_problem
from baselines.heuristics.relay import Relay
from baselines.learners.shipped import PRETRAINED
from scripts import serve
from scripts.served import serving

SMALL = ["--devices", "0", "6", "12", "--horizon", "12", "--energy-budget", "3", "--max-sleep", "6"]


def of(folder: Path, *arguments: str) -> tuple[Problem, Any]:
    return serving(Artefacts(folder / "models").promoted(), serve.parse(list(arguments)))


def test_an_id_is_served_and_options_change_it(tmp_path: Path) -> None:
    problem, policy = of(tmp_path)
    assert same_problem(problem, entry_problem("MultiDevice-v0")) and policy.observation == "compact"
    problem, policy = of(tmp_path, "--env", "aq_gym/TwoDevices-Hidden-v0", "--policy", "relay")
    assert same_problem(problem, entry_problem("TwoDevices-Hidden-v0")) and isinstance(policy, Relay)
    problem, _ = of(tmp_path, *SMALL, "--inference", "hidden", "--loss", "0.2", "--policy", "adaptive-relay")
    assert same_problem(problem, Problem.create("pku2018", [0, 6, 12], 12, 3, 6, inference="hidden", loss=0.2))
    _, policy = of(tmp_path, "--policy", str(PRETRAINED / "MultiDevice-v0.safetensors"))
    assert policy.card["env_id"] == "aq_gym/MultiDevice-v0"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--policy", "timetable"], "--policy timetable: .* need inference='hidden', got 'paper'"),
        (["--inference", "level-aware", "--policy", "generalist"], "not with 'level-aware'"),
        ([*SMALL], "--policy pretrained: .*no agent was trained on this problem"),
        (["--policy", "stagered"], "did you mean 'staggered'"),
        (["--policy", "tests"], "has no policy.safetensors"),
        (["--loss", "0.2"], "loss: reports get lost with inference='hidden' alone"),
        (["--env", "aq_gym/Nowhere-v0"], "no registered id"),
    ],
)
def test_what_is_impossible_is_refused_by_name(tmp_path: Path, arguments: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        of(tmp_path, *arguments)
    assert not list(tmp_path.iterdir()), "something was started"


def test_a_taken_port_is_refused_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "serving", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(OSError, match=f"--host 127.0.0.1 --port {port}: Address already in use; choose others"):
            serve.main(serve.parse(["--port", port, "--folder", str(tmp_path / "new")]))


def test_control_c_ends_a_simulation_with_a_line_and_its_token_was_said(
    tmp_path: Path,
    serve_here: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("AQ_GYM_OPERATOR_TOKEN", raising=False)
    own = Fleet.report

    def report(self: Fleet, plan: dict[str, Any]) -> None:
        own(self, plan)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Fleet, "report", report)
    serve_here("--simulate", "--slot-seconds", "0.2", "--folder", str(tmp_path))
    said = capfd.readouterr()
    lines = (said.out + said.err).splitlines()
    assert len([line for line in lines if line.startswith("operator's token: ")]) == 1, lines
    assert any(line.startswith("serving http") for line in lines) and "ended; readings and plans stay" in lines[-1]


REHEARSED = """
import gc, sys
from numba.core.dispatcher import Dispatcher
from aq_gym.service.app import build_services
from aq_gym.service.artefacts import Served
from aq_gym.service.settings import Settings
from baselines.playing import problem_of
from scripts.served import policy_for

def compiled():
    found = [x for x in gc.get_objects() if isinstance(x, Dispatcher) and x.signatures]
    return {f"{x.py_func.__module__}.{x.py_func.__name__}": len(x.signatures) for x in found}

problem = problem_of("MultiDevice-v0")
policy, before = policy_for(problem, "pretrained"), compiled()
controller = build_services(Settings(problem, sys.argv[1]), Served(problem, policy), 0.0).controller
decided = [controller.plan_until(slot)[-1].decisions for slot in range(3)]
assert all(decided) and before and compiled() == before, set(compiled().items()) - set(before.items())
"""


@pytest.mark.slow
def test_nothing_is_left_to_compile_once_a_policy_was_tried(tmp_path: Path, root: Path) -> None:
    command = [sys.executable, "-c", REHEARSED, f"sqlite:///{tmp_path}/s.sqlite3"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_agent_of_another_problem_is_served_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = str(PRETRAINED / "MultiDevice-v0.safetensors")
    of(tmp_path, *SMALL, "--policy", agent)
    assert "was made for another problem: its devices are" in capsys.readouterr().err
    monkeypatch.setattr("aq_gym.service.deciding.Episodes", lambda *given, **how: Episodes(*given, observation="full"))
    with pytest.raises(ValueError, match=f"--policy {agent}: observation of shape"):
        of(tmp_path, *SMALL, "--policy", agent)


def test_a_version_is_served_where_it_was_made_for_the_problem(tmp_path: Path, problem: Problem) -> None:
    artefacts = Artefacts(tmp_path / "models")
    older = {"devices": [0, 6, 12], "horizon": 12, "energy_budget": 3, "max_sleep": 6}  # from before there were options
    with artefacts.drafting() as draft:
        problem.network.save(draft / NETWORK)
        artefacts.promote(artefacts.add(draft, {"problem": older}))
    assert of(tmp_path, *SMALL, "--policy", "staggered")[0].network == problem.network
    with pytest.raises(ValueError, match=r"version 0001 was made for another problem: its inference is paper, here"):
        of(tmp_path, *SMALL, "--policy", "staggered", "--inference", "hidden")


def test_the_fleet_loses_reports_and_stale_devices_report_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = Problem.create("pku2018", [0, 6], 12, 3, 6, inference="hidden", loss=0.25)
    fleet, sent = Fleet("http://nowhere", "t", lambda slot: np.full(30, 50.0), lossy, 1.0), []

    def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        sent.extend([] if body is None else json.loads(json.dumps(body))["readings"])
        return {"devices": [{"id": "device_0", "location": 0}, {"id": "device_1", "location": 6}]}

    monkeypatch.setattr(fleet, "_ask", ask)
    decisions = [{"device": f"device_{m}", "sense": m == 0, "stale": False} for m in range(2)]
    for slot in range(400):
        fleet.report({"slot": slot, "cycle_slot": min(slot, 1), "decisions": decisions})
    assert {x["device"] for x in sent} == {"device_0"} and sent[0]["slot"] == 0
    assert len(sent) / 400 == pytest.approx(0.75, abs=0.07)
    decisions[1]["stale"] = True
    fleet.report({"slot": 400, "cycle_slot": 0, "decisions": decisions})
    assert {x["device"] for x in sent} == {"device_0", "device_1"}
