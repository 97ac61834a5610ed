"""The speed report runs end to end with tiny settings."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scripts import measure_speed


@pytest.mark.slow
def test_writes_every_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure_speed, "start_up", lambda: [0.02, 3.0, 0.4])  # compiling anew takes seconds
    output = tmp_path / "new" / "speed.csv"
    measure_speed.main(measure_speed.parse(["--rounds=1", "--seconds=0", "--start-rounds=1", f"--output={output}"]))
    assert "MultiDevice-v0" in capsys.readouterr().out
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(measure_speed.CONTESTANTS) + 3
    assert all(float(row["median"]) > 0 and row["numba"] for row in rows)
    ratios = {(row["what"], row["batch"]): row["/CartPole"] for row in rows}
    assert ratios["CartPole-v1", "native 64"] == "1.00"
    assert [path.name for path in output.parent.iterdir()] == ["speed.csv"], "no half-written file stays"
