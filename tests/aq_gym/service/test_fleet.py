"""The simulated fleet: a file of readings as the air, and what happens when the service refuses it."""

import dataclasses
import io
import json
import urllib.error
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aq_gym import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.fleet import Fleet, recorded_air
from aq_gym.service.settings import Settings
from scripts import serve as serve_command

NAMES = ("north", "south", "west")


@pytest.fixture(scope="module")
def network() -> SensorNetwork:
    return dataclasses.replace(SensorNetwork.synthetic(3, seed=0), slot_minutes=60.0)


def write(path: Path, *, columns: tuple[str, ...] = NAMES, minutes: int = 60, header: bool = True) -> np.ndarray:
    """40 rows of readings with a gap in row 1 and 3412 µg/m³ in row 2, both in the first column."""
    table = np.round(np.random.default_rng(0).uniform(20.0, 60.0, (40, len(columns))), 1)
    table[1, 0], table[2, 0] = np.nan, 3412.0
    index = pd.date_range("2024-01-01", periods=40, freq=f"{minutes}min", name="time")
    pd.DataFrame(table, index=index, columns=list(columns)).to_csv(path, index=header, header=header)
    table[2, 0] = np.nan
    return table


@pytest.mark.parametrize("header", [True, False])
def test_rows_are_slots_and_what_cannot_be_right_is_a_gap(network: SensorNetwork, tmp_path: Path, header: bool) -> None:
    file = tmp_path / "a.csv"
    table = write(file, header=header)
    air = recorded_air(file, network)
    file.unlink()  # it was read once
    np.testing.assert_array_equal([air(slot) for slot in range(41)], [*table, table[0]])


def test_columns_are_found_by_the_locations_names(network: SensorNetwork, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    table = write(file, columns=("abroad", "west", "north", "south"))
    np.testing.assert_array_equal(recorded_air(file, network, NAMES)(0), table[0, [2, 3, 1]])
    with pytest.raises(ValueError, match=r"expected 3 columns, a location each.*\(east missing\), got 4"):
        recorded_air(file, network, ("east", "north", "south"))


def test_the_largest_reading_may_be_raised(network: SensorNetwork, tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    assert recorded_air(tmp_path / "a.csv", network, NAMES, 5000.0)(2)[0] == 3412.0


def test_columns_that_only_some_names_fit_are_refused(network: SensorNetwork, tmp_path: Path) -> None:
    """By their order `b` would be read at the place of `a`."""
    (tmp_path / "air.csv").write_text("time,b,a,d\n" + "".join(f"2024-01-01 0{k}:00,1,2,3\n" for k in range(9)))
    with pytest.raises(ValueError, match=r"air\.csv: expected 3 columns, .* has them \(c missing\), got 3"):
        recorded_air(tmp_path / "air.csv", network, ["a", "b", "c"])
    assert recorded_air(tmp_path / "air.csv", network, ["a", "b", "d"])(0).tolist() == [2.0, 1.0, 3.0]


def test_rows_that_are_longer_than_slots_are_refused(network: SensorNetwork, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", minutes=180)
    with pytest.raises(ValueError, match="a row every 180 minutes, but slots of 60 are asked for"):
        recorded_air(tmp_path / "a.csv", network)


class Asked(Fleet):
    """A fleet of two devices whose requests go nowhere."""

    status = 200

    def _ask(self, path: str, body: Any = None) -> Any:
        if path.endswith("readings"):
            self.sent = body["readings"]
            if self.status != 200:
                raise urllib.error.HTTPError(path, self.status, "", Message(), io.BytesIO(b"the reason"))
            self._stop_asked.set()
            return {}
        if path.endswith("devices"):
            return {"devices": [{"id": name, "location": n} for n, name in enumerate(NAMES)]}
        decisions = [{"device": name, "sense": name != "west", "stale": False} for name in NAMES]
        return {"slot": 0, "cycle_slot": 0, "decisions": decisions}


def test_a_gap_is_no_report(problem: Problem) -> None:
    fleet = Asked("http://nowhere", "", lambda slot: np.array([np.nan, 30.0, 40.0]), problem, 0.1)
    fleet.run()
    assert [x["device"] for x in fleet.sent] == ["south"] and json.dumps(fleet.sent)


def test_a_refused_report_ends_the_fleet_with_the_reason(problem: Problem) -> None:
    fleet = Asked("http://nowhere", "", lambda slot: np.full(3, 30.0), problem, 0.1)
    fleet.status = 422
    with pytest.raises(RuntimeError, match="422 the reason"):
        fleet.run()


def test_a_service_whose_fleet_dies_ends_with_a_message(
    tmp_path: Path, serve_here: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:  # no air is as clean, so the first report is refused
        serve_here("--simulate", "--largest", "1", "--slot-seconds", "0.1", "--folder", str(tmp_path))
    said = capfd.readouterr().err
    assert end.value.code == 2
    assert "error: the thread 'fleet' ended by RuntimeError" in said and "expected at most 1" in said


def test_a_slot_of_air_is_the_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def build(settings: Settings, *_: object) -> None:
        seen.append((settings.slot_seconds, settings.air_seconds, settings.largest))
        raise ValueError("seen")

    monkeypatch.setattr(serve_command, "build_services", build)
    monkeypatch.setattr(serve_command.logs, "configure", lambda level: None)
    common = ["--policy", "staggered", "--folder", str(tmp_path), "--network", "tainan2017"]
    for more in ([], ["--simulate"], ["--simulate", "--slot-seconds", "1"], ["--largest", "5000"]):
        with pytest.raises(ValueError, match="seen"):
            serve_command.main(serve_command.parse([*common, *more]))
    assert seen == [(3600.0, 3600.0, 2000.0), (2.0, 3600.0, 2000.0), (1.0, 3600.0, 2000.0), (3600.0, 3600.0, 5000.0)]
