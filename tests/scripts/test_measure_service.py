"""Measuring the live system: small runs of the command, and the arithmetic behind its table."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flask_openapi3", reason="the service needs pip install 'aq-gym[service]'")

from aq_gym.service.database import make_engine
from baselines.studies.service import report
from baselines.studies.service.load import growth
from scripts.measure_service import main, parse


def test_growth_compares_the_end_with_the_time_after_the_warm_up() -> None:
    warming_up = np.concatenate([np.linspace(100.0, 200.0, 400), np.full(600, 200.0)])
    assert growth(warming_up.tolist()) == (200.0, 200.0)
    early, late = growth((200.0 + 0.01 * np.arange(1000)).tolist())
    assert late - early == pytest.approx(4.5)


def test_a_missed_limit_is_named_and_ends_the_command_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [report.Figure("rate", "90/s", "100", held=False), report.Figure("lost", "0", "0")]
    monkeypatch.setattr("scripts.measure_service.kill_figures", lambda folder, rounds, seed: iter(figures))
    page = tmp_path / "page.md"
    with pytest.raises(SystemExit) as end:
        main(parse(["--sections", "kills", "--kills", "7", "--markdown", str(page)]))
    assert end.value.code == 1
    assert "100: MISSED" in capsys.readouterr().out and "| rate | 90/s | 100: MISSED |" in page.read_text("utf-8")


def test_a_connection_holds_little_of_the_database(tmp_path: Path) -> None:
    """SQLite's 2 MiB a connection fill as the database grows, which looked like a leak."""
    engine = make_engine(f"sqlite:///{tmp_path}/x.sqlite3")
    with engine.connect() as connection:
        assert -1024 <= connection.exec_driver_sql("PRAGMA cache_size").scalar_one() < 0
    engine.dispose()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_load_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        main(parse(["--sections", "load", "--seconds", "0.5", "--pages", "3"]))
    except SystemExit as end:  # a busy machine may miss a limit
        assert end.code == 1
    lines = capsys.readouterr().out.splitlines()
    rates = [float(x.split(": ")[1].split()[0]) for x in lines if x.endswith("readings/s")][:2]
    assert len(rates) == 2 and min(rates) > 1.0
    (shown,) = [x for x in lines if x.startswith("from sending a reading until a page has it, median and worst: ")]
    middle, worst = (float(x) for x in re.findall(r"\d+", shown))
    assert 0.0 < middle <= worst < 30_000.0
