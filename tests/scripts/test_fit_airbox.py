"""The networks of the two cities: made byte for byte where the readings are at hand, refused where they do not fit."""

import os
from pathlib import Path

import pytest

from aq_gym import SensorNetwork
from scripts import fit_airbox

DATA = Path(os.environ.get("AQ_GYM_DATA", "data/raw")) / "airbox2017"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the AirBox readings, see scripts.fit_airbox")
def test_the_bundled_cities_are_made_anew(capsys: pytest.CaptureFixture[str]) -> None:
    fit_airbox.main(fit_airbox.parse(["--data", str(DATA), "--check"]))
    assert capsys.readouterr().out.count("the same bytes") == 2


def test_the_cities_are_as_their_cards_say() -> None:
    for name, size in (("tainan2017", 92), ("taipei2017", 69)):
        network = SensorNetwork.load(name)
        assert (network.n_locations, network.slot_minutes) == (size, 60.0)
        assert network.level_model is not None and network.coordinates is not None


def test_other_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text("hour,b1\n0,3.5\n")
    (tmp_path / "stations.csv").write_text("station,latitude,longitude\nb1,23.0,120.2\n")
    with pytest.raises(ValueError, match=r"expected readings\.csv of 500 hours or more"):
        fit_airbox.fitted("tainan2017", tmp_path)
