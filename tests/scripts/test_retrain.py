"""scripts.retrain on a small made-up service: a version that is promoted, one that is not, rollback, interruption."""

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flask_openapi3", reason="the service needs pip install 'aq-gym[service]'")

from aq_gym.forecasting.combined import Calibrated
from aq_gym.forecasting.series import Series
from aq_gym.problem import Problem
from aq_gym.service import drift
from aq_gym.service.artefacts import Artefacts
from aq_gym.service.control import register_devices
from aq_gym.service.database import Alert, Plan, make_engine
from aq_gym.service.settings import Settings
from aq_gym.service.store import Report, Store
from baselines.learners.shipped import GENERALIST
from baselines.studies.retraining import fitting
from baselines.studies.retraining.comparing import Comparison, compare, compare_networks
from baselines.studies.retraining.stored import read
from scripts import retrain
from scripts.served import serving

SLOTS = 400
PROBLEM: list[Any] = [[0, 6, 12], 12, 3, 6]
OPTIONS = ["--devices", "0", "6", "12", "--horizon", "12", "--energy-budget", "3", "--max-sleep", "6"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a service leaves whose devices read in turn, the first one 40 % more than the network says."""
    problem = Problem.create("pku2018", *PROBLEM)
    settings, rng = Settings(problem), np.random.default_rng(0)
    store = Store(make_engine(f"sqlite:///{tmp_path}/service.sqlite3"))
    store.create_tables()
    names = [device.id for device in register_devices(store, settings)]
    levels = 80.0 + 30.0 * np.sin(np.arange(SLOTS) / 20.0) + np.cumsum(rng.normal(0.0, 1.0, SLOTS))
    known = {"level_deviation": 5.0, "promised_error": 5.0}
    plans = [Plan(slot=k, cycle_slot=1, level=float(levels[k]), **known, state={}, decisions=[]) for k in range(SLOTS)]
    values = levels * rng.normal(1.0, 0.08, SLOTS) * np.where(np.arange(SLOTS) % 3 == 0, 1.4, 1.0)
    store.add_readings([Report(names[k % 3], k, float(max(values[k], 1.0))) for k in range(SLOTS)])
    with store.session.begin() as session:
        session.add_all(plans)
    store.engine.dispose()
    return tmp_path


def run(folder: Path, *arguments: str) -> str | None:
    given = ["--folder", str(folder), "--policy", str(GENERALIST), "--seconds", "1", *OPTIONS, *arguments]
    return retrain.main(retrain.parse(given))


def test_a_new_forecaster_is_calibrated_on_two_weeks_whatever_a_slot_is() -> None:
    level = 50.0 + 10.0 * np.sin(np.arange(500) / 8.0)
    found = fitting.fit_forecaster("chain", Series(level, level, np.zeros(500)), None, 0, 24)
    assert isinstance(found, Calibrated) and (found.window, found.every) == (14 * 24, 6)


@pytest.mark.slow
def test_a_better_version_is_promoted_served_and_rolled_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == "0001"
    artefacts = Artefacts(folder / "models")
    manifest = artefacts.manifest("0001")
    assert set(manifest["files"]) == {"forecaster.zip", "network.json", "network.npz", "policy.safetensors"}
    assert manifest["data"]["readings"] == SLOTS and manifest["data"]["slots"] == [0, SLOTS - 1]
    assert len(manifest["data"]["sha256"]) == 64 and manifest["parent"] is None
    network = manifest["scores"]["network"]
    assert network["taken"] and network["low"] <= network["percent"] <= network["high"] < 0.0
    problem, policy = serving(artefacts.promoted(), retrain.parse(OPTIONS))
    assert problem.network != Problem.create("pku2018", *PROBLEM).network and policy.observation == "compact"
    with pytest.raises(ValueError, match="was made for"):
        serving(artefacts.promoted(), retrain.parse([*OPTIONS, "--devices", "0", "6", "13"]))
    assert run(folder, "--if-drift") is None and "nothing to do" in capsys.readouterr().out
    store = Store(make_engine(f"sqlite:///{folder}/service.sqlite3"))
    assert store.fact(drift.FACT, "") == str(SLOTS)
    assert run(folder, "--rollback") is None and artefacts.current() is None


def test_what_is_worse_is_stored_and_not_promoted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = Comparison("error", 1.0, 1.1, 10.0, 5.0, 15.0)
    for name in ("compare_networks", "compare_agents", "compare_forecasters"):
        monkeypatch.setattr(fitting, name, lambda *given: worse)
    shipped = sorted((Path(fitting.__file__).parents[2] / "pretrained").glob("Multi*.safetensors"))[0]
    monkeypatch.setattr(fitting, "fine_tune", lambda *given: shipped)
    with Store(make_engine(f"sqlite:///{folder}/service.sqlite3")).session.begin() as session:
        session.add(Alert(slot=390, kind="drift", subject="device_0", message="changed"))
    assert run(folder, "--if-drift") is None
    out = capsys.readouterr().out
    assert "changed: device_0" in out and "stored and not promoted" in out and "the running one stays" in out
    artefacts = Artefacts(folder / "models")
    assert artefacts.current() is None and artefacts.versions() == ["0001"]
    files = artefacts.manifest("0001")["files"]
    assert files["policy.safetensors"] == hashlib.sha256(GENERALIST.read_bytes()).hexdigest(), "the running one stays"
    kept = Problem.create(str(folder / "models/0001/network.npz"), *PROBLEM).network
    assert np.array_equal(kept.mean_relation, Problem.create("pku2018", *PROBLEM).network.mean_relation)


def test_not_worse_means_the_whole_interval() -> None:
    rng = np.random.default_rng(0)
    errors = rng.uniform(4.0, 6.0, 300)
    assert compare("error", errors * 0.99, errors, 10).taken and compare("error", errors, errors, 10).taken
    unsure = compare("error", errors[::-1].copy(), errors, 10)
    assert unsure.low < 0.0 < unsure.high and not unsure.taken
    with pytest.raises(ValueError, match="too few"):
        compare("error", errors[:2], errors[:2], 1)


def test_networks_are_compared_on_the_same_readings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the service that runs stores a reading between two looks."""
    store, problem = Store(make_engine(f"sqlite:///{folder}/service.sqlite3")), Problem.create("pku2018", *PROBLEM)
    stored, asked, slots = read(store, SLOTS), store.readings, iter(range(SLOTS - 3, 0, -3))

    def and_one_comes(*given: Any, **named: Any) -> list[Report]:
        found = asked(*given, **named)
        store.add_readings([Report("device_0", next(slots), 60.0)])
        return found

    monkeypatch.setattr(store, "readings", and_one_comes)
    assert compare_networks(Settings(problem), store, stored, problem, 144).percent == 0.0


def test_bad_databases_and_a_second_run_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 104 planned slots"):
        run(folder, "--slots", "50")
    with pytest.raises(FileNotFoundError, match=r"service\.sqlite3 is missing"):
        run(folder / "elsewhere")
    with retrain.FileLock(folder / "models" / ".lock"), pytest.raises(ValueError, match="another retraining"):
        run(folder)


@pytest.mark.parametrize("where", ["compare_networks", "fine_tune"])
def test_an_interruption_leaves_the_running_version(folder: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def terminate(*given: Any) -> None:  # scripts.command turns the signal into a KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(fitting, where, terminate)
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    finally:
        signal.signal(signal.SIGTERM, handler)
    left = [path.name for path in (folder / "models").iterdir()]
    assert left == [".lock"] and Artefacts(folder / "models").current() is None


def test_no_training_is_lost_by_a_forecaster_that_cannot_be_fitted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "fine_tune", lambda *given: pytest.fail("trained before the error"))
    with Store(make_engine(f"sqlite:///{folder}/service.sqlite3")).session.begin() as session:
        for plan in session.query(Plan).filter(Plan.slot % 20 == 0):  # the service was down again and again
            plan.level_deviation = None
    with pytest.raises(ValueError, match=r"no stretch of \d+ slots without a gap to learn from; add slots"):
        run(folder)


def test_a_training_that_was_stopped_makes_no_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "train", lambda training, seconds: setattr(training, "interrupted", True))
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    assert Artefacts(folder / "models").versions() == []
